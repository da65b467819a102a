"""Verdict whose test examples have judged earlier prompts of the same run."""

from dataclasses import replace

from fuse_lightning.evaluation.verdict import Verdict


def after(verdict: Verdict, earlier: Verdict | None, *, cut: bool = False) -> Verdict:
    """Verdict that says how often its test examples were read, and whether the search had ended.

    The same short list, read again, tells nothing new and does not count.

    Args:
        verdict: The verdict of now.
        earlier: The last one of the same target and model; ``None`` if there is none.
        cut: Whether the search was cut short.
    """
    text = f"{verdict.sentence}; the search was cut short" if cut else verdict.sentence
    told = earlier.earlier if earlier else ()
    if earlier and _texts(earlier) != _texts(verdict):
        told = (*told, earlier.sentence)
    if told:
        text += f"; the test examples were {read(len(told) + 1)}"
    return replace(verdict, sentence=text, earlier=told)


def read(times: int) -> str:
    """How often something was read, in words.

    >>> read(2), read(3)
    ('read twice', 'read 3 times')
    """
    return "read twice" if times == 2 else f"read {times} times"


def reading_lines(verdict: Verdict) -> list[str]:
    """Lines about earlier readings of the test examples; none where there was none."""
    if not verdict.earlier:
        return []
    return [
        "the test examples judged earlier prompts of this run, too. Who went on because of that "
        "verdict has chosen by them; p and intervals hold for the first reading alone",
        *(f"verdict {n} was: {text}" for n, text in enumerate(verdict.earlier, 1)),
    ]


def _texts(verdict: Verdict) -> list[str]:
    return [score.text for score in verdict.candidates]
