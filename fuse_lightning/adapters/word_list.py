"""Words on which an adapter is fitted."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from fuse_lightning.adapters.alignment import WORD
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel

MAX_WORDS = 200_000


def vocabulary_words(*models: FrozenModel) -> list[str]:
    """Tokens of the models' vocabularies that are words by themselves, shuffled.

    Where there are more than an adapter is fitted on, the first are as good as any.
    """
    texts = (piece.strip() for model in models for piece in model.pieces)
    words = sorted({text for text in texts if text.isalpha()})
    Random(0).shuffle(words)
    return words


def corpus_words(source: str) -> list[str]:
    """Distinct words of a text file or of a ``datasets`` corpus, most frequent first.

    Args:
        source: A text file, or a data set as ``NAME``, ``NAME@SPLIT`` or ``NAME:CONFIG@SPLIT``
            that has a text column.

    Raises:
        FuseError: If it is neither, or holds no word.
    """
    counts: dict[str, int] = {}
    for line in _lines(source):
        for word in WORD.findall(line):
            counts[word] = counts.get(word, 0) + 1
    words = sorted((word for word in counts if word.isalpha()), key=lambda w: (-counts[w], w))
    if not words:
        raise FuseError(f"no words in {source!r}; give a text file or a data set with text")
    return words[:MAX_WORDS]


def _lines(source: str) -> Iterator[str]:
    path = Path(source)
    if path.is_file():
        try:
            yield from path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise FuseError(f"word list {source!r} is not UTF-8 text: {error}") from error
        return
    import datasets

    name, _, split = source.partition("@")
    name, _, config = name.partition(":")
    try:
        data = datasets.load_dataset(name, config or None, split=split or "train")
    except Exception as error:  # datasets raises a different type for every way to fail
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FuseError(
            f"word list {source!r} is no text file, and no data set either ({first}); "
            "give a path, or NAME, NAME@SPLIT or NAME:CONFIG@SPLIT"
        ) from error
    columns = [
        name for name, kind in data.features.items() if getattr(kind, "dtype", "") == "string"
    ]
    if not columns:
        raise FuseError(f"data set {source!r} has no text column; it has {list(data.features)}")
    yield from _column(data, columns[0])


def _column(data: Iterable[dict[str, str]], column: str) -> Iterator[str]:
    for row in data:
        yield row[column] or ""
