"""Cases of words: how many tokens a word has in the source and in the target vocabulary."""

from collections.abc import Collection, Sequence

from fuse_lightning.adapters.alignment import align
from fuse_lightning.models import Vocabulary

Case = tuple[int, int]
"""Source tokens and target tokens of a word."""
Ids = list[list[int]]
Places = tuple[int, ...]

CHUNK = 4096
"""Number of words that are read at once."""


def find_cases(
    source: Vocabulary, target: Vocabulary, words: Sequence[str], most: int, examples: int
) -> dict[Case, tuple[Ids, Ids]]:
    """Words grouped by how many tokens they have in either vocabulary.

    Each word is read behind another one, as it stands in a text.

    Args:
        source: The primary's vocabulary.
        target: The secondary's.
        words: The words, the better ones first.
        most: Most tokens of a word in either vocabulary; longer words are left out.
        examples: Most words of a case.

    Returns:
        From (m, n) to the source ids, (N, m), and the target ids, (N, n).
    """
    cases: dict[Case, tuple[Ids, Ids]] = {}
    for start in range(0, len(words), CHUNK):
        texts = [f"a {word}" for word in words[start : start + CHUNK]]
        sides = [word_ids(vocabulary, texts) for vocabulary in (source, target)]
        for source_ids, target_ids in zip(*sides, strict=True):
            case = len(source_ids), len(target_ids)
            if not 1 <= min(case) <= max(case) <= most:
                continue
            known = cases.setdefault(case, ([], []))
            if len(known[0]) < examples:
                known[0].append(source_ids)
                known[1].append(target_ids)
    return cases


def word_ids(vocabulary: Vocabulary, texts: Sequence[str]) -> Ids:
    """Ids of each text without special tokens and without its first word.

    Example:
        >>> from fuse_lightning.models.loading import load_tokenizer
        >>> vocabulary = Vocabulary(load_tokenizer("zoo/gpt2", None, False))
        >>> ids = word_ids(vocabulary, ["a red circle", "a"])
        >>> [vocabulary.decode([row])[0] for row in ids]
        [' red circle', '']
    """
    encoded = vocabulary.encode(texts, special=False)
    ids, spans = encoded.ids.tolist(), encoded.spans.tolist()
    result = []
    for text, row, offsets in zip(texts, ids, spans, strict=True):
        _, *words = align(text, offsets, offsets)
        result.append([row[position] for word in words for position in word.source])
    return result


def split_word(
    source: Places, target: Places, known: Collection[Case]
) -> list[tuple[Places, Places]]:
    """A word cut into parts of known cases: the nearest smaller case first, then the rest.

    Args:
        source: Positions of its source tokens.
        target: Positions of its target tokens.
        known: Cases that have a map.

    Returns:
        Source and target positions of each part; none where no case is small enough.

    Example:
        >>> split_word((0, 1, 2), (0, 1), {(1, 1), (2, 1)})
        [((0, 1), (0,)), ((2,), (1,))]
    """
    parts = []
    while source and target:
        fitting = [(m, n) for m, n in known if m <= len(source) and n <= len(target)]
        if not fitting:
            break
        m, n = min(fitting, key=lambda c: (abs(len(source) - c[0]) + abs(len(target) - c[1]), c))
        parts.append((source[:m], target[:n]))
        source, target = source[m:], target[n:]
    return parts
