"""Check that answers can be read off behind an extractor, by tokens and by their text."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fuse_lightning.data.answer_kind import OPEN, AnswerKind, Labels
from fuse_lightning.data.answer_kinds import find
from fuse_lightning.data.extractors import answer_text
from fuse_lightning.errors import FuseError
from fuse_lightning.models.vocabulary import Vocabulary


def answer_ids(
    vocabulary: Vocabulary, extractor: str, answers: Sequence[str]
) -> dict[str, list[int]]:
    """Token ids of answers as they stand behind an extractor, by answer.

    Args:
        vocabulary: Vocabulary of the model that reads them.
        extractor: Text before the answers.
        answers: The answers, without the space before them.

    Raises:
        FuseError: If the tokenizer joins an answer with the end of the extractor, or lacks a sign
            of it.

    >>> from fuse_lightning.models.loading import load_tokenizer
    >>> vocabulary = Vocabulary(load_tokenizer("zoo/gpt2", None, False))
    >>> ids = answer_ids(vocabulary, "the answer is", ["red", "blue"])
    >>> {answer: vocabulary.decode([row]) for answer, row in ids.items()}
    {'red': [' red'], 'blue': [' blue']}
    """
    texts = [answer_text(extractor, answer) for answer in answers]
    read = vocabulary.words.read([extractor, *(extractor + text for text in texts)], special=False)
    before, *rows = ([*row.ids] for row in read)
    unknown = vocabulary.tokenizer.unk_token_id
    found = {}
    for answer, row in zip(answers, rows, strict=True):
        behind = row[len(before) :]
        if row[: len(before)] != before or not behind:
            remedy = (
                "drop the white space at its end"
                if extractor[-1:].isspace()
                else "let it end in a colon, or in a sign before a space"
            )
            raise FuseError(
                f"the tokenizer{_of(vocabulary)} joins the answer {answer!r} with the end of the "
                f"extractor {extractor[-40:]!r}, so that no token is the answer's own; {remedy}"
            )
        if unknown is not None and unknown in behind and unknown not in before:
            raise FuseError(
                f"the tokenizer{_of(vocabulary)} has no token for the answer {answer!r} behind the "
                f"extractor {extractor[-40:]!r}; give data.labels other words for it"
            )
        found[answer] = behind
    return found


def check_extractor(
    vocabulary: Vocabulary,
    extractor: str,
    answers: Iterable[str],
    answer: str,
    labels: Labels = OPEN,
) -> list[list[str]]:
    """Groups of answers that begin with the same token; all can be told apart behind the extractor.

    Args:
        vocabulary: Vocabulary of the model that reads the answers.
        extractor: Text between the chain and its answer.
        answers: Right answers, where they are open; those of the label set count too.
        answer: Kind of the answers.
        labels: The closed label set; each word of each label is checked.

    Raises:
        FuseError: If the tokenizer joins an answer with the extractor or lacks a sign of it, two
            answers have the same tokens, or an answer is not found in its own text.

    >>> from fuse_lightning.models.loading import load_tokenizer
    >>> vocabulary = Vocabulary(load_tokenizer("zoo/gpt2", None, False))
    >>> check_extractor(vocabulary, "the answer is", ["red", "blue"], "word")
    []
    """
    kind = find(answer)
    words = {word: label for label, some in labels.items() for word in some}
    rights = {each: each for each in answers if each not in labels} | words
    ids = answer_ids(vocabulary, extractor, [*rights])
    owners: dict[tuple[int, ...], str] = {}
    for word, label in rights.items():
        other = owners.setdefault(tuple(ids[word]), word)
        if other != word:
            raise FuseError(
                f"the tokenizer{_of(vocabulary)} reads the answers {other!r} and {word!r} behind "
                f"the extractor {extractor[-40:]!r} alike; give data.labels other words for them"
            )
        _check_read(kind, extractor, word, label, labels)
    first = defaultdict[int, list[str]](list)
    for word, row in ids.items():
        first[row[0]].append(word)
    return [group for group in first.values() if len({rights[word] for word in group}) > 1]


def _check_read(kind: AnswerKind, extractor: str, word: str, label: str, labels: Labels) -> None:
    """Checks that an answer is found in its own text behind the extractor.

    Raises:
        FuseError: If not.
    """
    found = kind.read(answer_text(extractor, word), labels)
    if not kind.same(found, label):
        whose = "" if word == label else f" of {label!r}"
        raise FuseError(
            f"the answer {word!r}{whose} behind the extractor {extractor[-40:]!r} is read as "
            f"{found!r} by the kind {kind.name!r}; give data.answer another kind, or "
            "data.labels another word for it"
        )


def _of(vocabulary: Vocabulary) -> str:
    return f" of {vocabulary.name}" if vocabulary.name else ""
