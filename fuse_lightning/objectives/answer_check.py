"""Check that answers can be read off behind an extractor by their text."""

from collections.abc import Mapping

from fuse_lightning.data.answer_kind import AnswerKind, Labels
from fuse_lightning.data.extractors import answer_text
from fuse_lightning.errors import FuseError


def check_read(
    kind: AnswerKind, extractor: str, answers: Mapping[str, str], labels: Labels, target: str
) -> None:
    """Checks that answers are found in their own text behind an extractor.

    Args:
        kind: Kind of the answers.
        extractor: Text between the chain and its answer.
        answers: Right answer that each word stands for, by word.
        labels: The closed label set; empty for open answers.
        target: Name of their target, for errors.

    Raises:
        FuseError: If one is not, so that it would never count as right.

    >>> from fuse_lightning.data.answer_kinds import find
    >>> check_read(find("number"), "it is", {"1,200": "1200"}, {}, "sums")
    """
    for word, label in answers.items():
        found = kind.read(answer_text(extractor, word), labels)
        if not kind.same(found, label):
            whose = "" if word == label else f" of {label!r}"
            raise FuseError(
                f"the answer {word!r:.40}{whose} of target {target!r} is read as {found!r:.40} "
                f"behind the extractor {extractor[-40:]!r} by the kind {kind.name!r}; give "
                "data.answer another kind, or data.labels another word for it"
            )
