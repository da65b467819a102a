"""Difference of two models: what their texts and the probabilities of their tokens tell apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.forced import given_rows
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.decoding.summary import Summary, TextFigures, by_prompt, over_prompts
from fuse_lightning.decoding.sweep import percent
from fuse_lightning.diffing.compare import compare
from fuse_lightning.diffing.divergent_prompts import check_begins, divergent_prompts
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.mined_texts import two_halves
from fuse_lightning.diffing.mining import Mining, MiningOptions, mine
from fuse_lightning.diffing.paired_texts import PairedTexts, check_different
from fuse_lightning.diffing.phases import Phases
from fuse_lightning.diffing.text_findings import FEWEST, text_findings
from fuse_lightning.diffing.word_shifts import word_shifts
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import ALPHA
from fuse_lightning.utilities.numbers import check_number
from fuse_lightning.utilities.option_names import option


@dataclass(frozen=True)
class DiffOptions:
    """Options of a comparison of two models.

    Attributes:
        samples: Texts of each model behind each prompt.
        max_new_tokens: Most tokens of a text.
        temperature: Divisor of the logits, above 0.
        amount: Strength a of the amplified texts A + a (A - B), which help to find what differs.
        seed: Seed of texts, halves and topics.
        batch_size: Most texts that are written together.
        search: Steps of a search for prompts on which the two part; 0 for none.
        alpha: Share of comparisons of identical models that may have a finding. Texts, words,
            tokens and prompts share it alike.

    Raises:
        FuseError: If an option is out of range.
    """

    samples: int = 4
    max_new_tokens: int = 64
    temperature: float = 1.0
    amount: float = 2.0
    seed: int = 0
    batch_size: int = 64
    search: int = 10
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha, 1e-6, 0.5)
        check_number("search", self.search, 0)
        if not self.writing.temperature > 0:
            raise FuseError(
                f"{option('temperature')} is {self.temperature}, and rates are those of sampled "
                "texts; give a number above 0"
            )

    @property
    def writing(self) -> DecodingOptions:
        """How texts are written."""
        return DecodingOptions(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            samples=self.samples,
            seed=self.seed,
            batch_size=self.batch_size,
        )


@dataclass(frozen=True)
class Difference:
    """What two models differ in.

    Attributes:
        findings: The differences that are shown, those of written texts first.
        control: Findings of the same procedure on a pair of identical models: there should be none.
        looked: For each kind how many differences were looked at.
        texts: The texts with what both models say of their tokens; empty for answers of others.
        divergence: Means of the divergences over these texts; ``None`` without.
        notes: Sentences about what was compared.
        hints: Sentences about how to read the findings, or how to find more.
    """

    findings: tuple[Finding, ...]
    control: tuple[Finding, ...]
    looked: dict[str, int]
    texts: tuple[ScoredText, ...] = ()
    divergence: Summary | None = None
    notes: tuple[str, ...] = field(default=())
    hints: tuple[str, ...] = field(default=())

    @property
    def summary(self) -> str:
        """A sentence about the findings and their control."""
        count, same = len(self.findings), len(self.control)
        shown = f"{count} difference{'' if count == 1 else 's'}" if count else "No difference"
        return (
            f"{shown} shown, of {sum(self.looked.values())} that were looked at. Of texts that are "
            f"known to differ in nothing the same procedure shows {same or 'none'}."
        )

    def to_dict(self) -> dict[str, Any]:
        """The difference as an object that JSON can hold, without the texts."""
        return {
            "summary": self.summary,
            "findings": [each.to_dict() for each in self.findings],
            "control": [each.to_dict() for each in self.control],
            "looked": self.looked,
            "notes": [*self.notes, *self.hints],
        }


def differ(
    decoder: ContrastiveDecoder,
    prompts: Sequence[str],
    texts: Sequence[tuple[str, str]] = (),
    options: DiffOptions | None = None,
    *,
    seen: Callable[[ScoredText], None] = lambda _: None,
    known: Sequence[ScoredText] = (),
    folder: Path | None = None,
    phases: Phases | None = None,
) -> Difference:
    """Compares two models by the texts that they write, and by what they say of texts.

    Both answer the same prompts. What A's texts have more often than B's is found on one half of
    the prompts and measured on the other. Both read texts, given ones or one written text for each
    prompt, of A and of B in turns: tokens and topics whose probability moved are found on one half
    of them and measured on the other. At last a search finds prompts on which the two part.

    Args:
        decoder: The decoder whose pair is A and B.
        prompts: At least 16 different prompts.
        texts: Given texts with their prompts, which may be empty, in place of written ones.
        options: How the two are compared.
        seen: Function that gets each text as it is written.
        known: Texts that an earlier call with the same arguments has given to ``seen``. They are
            not written again, and the result is the same. Only ``alpha``, ``search`` and
            ``batch_size`` of the options may have changed.
        folder: Folder in which the search for prompts leaves what it goes on with.
        phases: Listener to the phases.

    Raises:
        FuseError: If there are too few prompts or texts, or one is too long; before anything is
            written.
    """
    options = options or DiffOptions()
    listener = phases or Phases()
    check_given(decoder, prompts, texts, options)
    written: list[ScoredText] = []

    def keep(text: ScoredText) -> None:
        # Texts of one model alone, of the samples that were asked for.
        is_one = sorted(text.weights.values()) == [0.0] * (len(text.weights) - 1) + [1.0]
        if is_one and text.sample < options.samples:
            written.append(text)

    def found_now(text: ScoredText) -> None:
        seen(text)
        keep(text)
        listener.advance()

    # A, B, amplified A and fresh A.
    listener.begin("texts", 4 * options.samples * len(prompts), len(known))
    for text in known:
        keep(text)
    paired = compare(
        decoder, prompts, options.writing, amount=options.amount, seen=found_now, known=known
    )
    alpha = options.alpha / (4 if options.search else 3)
    found = text_findings(paired, seed=options.seed, alpha=alpha)
    alone = [*written]
    listener.begin("tokens", len(texts) or len(prompts))
    if texts:
        written = []
        for text in decoder.read(texts):
            written.append(text)
            listener.advance()
    read = [*texts] or [(text.prompt, text.text) for text in written if _is_read(text)]
    words, looked = word_shifts(
        _draws(written) if texts else written, seed=options.seed, alpha=alpha
    )
    mined = mine(decoder, read, MiningOptions(seed=options.seed))
    shown = [each for each in mined.looked if each.p is not None and each.p < alpha]
    shown.sort(key=lambda each: (each.kind != "topic", -abs(each.effect)))
    parted: list[Finding] = []
    scored = 0
    if options.search:
        parted, scored = divergent_prompts(
            decoder,
            prompts,
            options.search,
            seed=options.seed,
            alpha=alpha,
            folder=folder,
            phases=listener,
        )
    return Difference(
        findings=(*found.findings, *words, *shown, *parted),
        control=found.control,
        looked={"text": found.tested, "word": looked, **_mined_of(mined)}
        | ({"prompt": scored} if options.search else {}),
        texts=tuple(written),
        divergence=over_prompts(by_prompt(map(TextFigures.of, written))),
        notes=(
            f"Texts: {options.samples} of each model behind each of {len(prompts)} prompts; "
            f"{found.prompts} prompts measured, the others chose.",
            *_cut_off(alone, options.max_new_tokens),
            f"Tokens: both models read {mined.choosing + mined.measuring} texts; "
            f"{mined.measuring} measured ({mined.positions} tokens), the others chose.",
        ),
        hints=_pieces(shown, words),
    )


def check_given(
    decoder: ContrastiveDecoder,
    prompts: Sequence[str],
    texts: Sequence[tuple[str, str]],
    options: DiffOptions,
) -> None:
    """Checks prompts and texts before anything is written.

    Args:
        decoder: The decoder whose pair is A and B.
        prompts: The prompts.
        texts: Given texts with their prompts; may be empty.
        options: How the two are compared.

    Raises:
        FuseError: If there are too few, one is given twice, or one is too long.
    """
    check_prompts(prompts)
    if texts:
        _, ids = given_rows(decoder.ensemble, texts)
        two_halves([text for text, row in zip(texts, ids, strict=True) if row], options.seed)
    if options.search:
        check_begins(decoder, prompts, options.seed)


def check_prompts(prompts: Sequence[str]) -> None:
    """Checks the number of prompts, and that all differ.

    Raises:
        FuseError: If there are too few, or one is given twice.
    """
    if len(prompts) < FEWEST:
        raise FuseError(f"there are {len(prompts)} prompts; give {FEWEST} or more")
    check_different(prompts)


def differ_answers(answers: PairedTexts, options: DiffOptions | None = None) -> Difference:
    """Compares answers that two models gave elsewhere.

    Args:
        answers: The answers.
        options: Its seed and alpha count.

    Raises:
        FuseError: If there are too few questions.
    """
    options = options or DiffOptions()
    found = text_findings(answers, seed=options.seed, alpha=options.alpha)
    return Difference(
        findings=found.findings,
        control=found.control,
        looked={"text": found.tested},
        notes=(f"Answers to {len(answers.prompts)} questions; {found.prompts} measured.",),
    )


def _is_read(text: ScoredText) -> bool:
    """Whether tokens are looked at in a written text: one a prompt, of A and of B in turns.

    Texts behind one prompt depend on each other.
    """
    turn = text.pair[text.prompt_number % 2]
    return text.sample == 0 and text.weights[turn] == 1


def _draws(texts: Sequence[ScoredText]) -> list[ScoredText]:
    """Given texts as draws: equal ones count once, and those behind one prompt are one."""
    numbers: dict[str, int] = {}
    found: dict[tuple[str, str], ScoredText] = {}
    for text in texts:
        number = numbers.setdefault(text.prompt or text.text, len(numbers))
        found.setdefault((text.prompt, text.text), replace(text, prompt_number=number))
    return [*found.values()]


def _cut_off(texts: Sequence[ScoredText], limit: int) -> list[str]:
    """What to know where texts were cut off: their lengths and ends depend on the limit."""
    first, second = (
        [text.ended == "length" for text in texts if text.weights[text.pair[side]] == 1]
        for side in (0, 1)
    )
    if not any(first + second):
        return []
    a, b = (percent(sum(each) / len(each)) for each in (first, second))
    return [
        f"Lengths: {a} of A's texts and {b} of B's were cut off after {limit} tokens; their "
        "lengths and ends depend on that. Give --max_new_tokens a larger number to see whole texts."
    ]


def _pieces(tokens: Sequence[Finding], words: Sequence[Finding]) -> tuple[str, ...]:
    """What to know where tokens are shown, and no words."""
    if not tokens or words:
        return ()
    return (
        "Tokens may be pieces of words, and shift a little after any training. No word is shown "
        "yet: words take more texts than tokens do, often some hundreds.",
    )


def _mined_of(mined: Mining) -> dict[str, int]:
    kinds = [each.kind for each in mined.looked]
    return {kind: kinds.count(kind) for kind in ("topic", "token")}
