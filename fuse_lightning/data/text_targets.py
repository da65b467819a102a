"""Data module of texts whose meaning a prompt shall carry."""

from typing import Any

from fuse_lightning.data import manifest, tables
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.names import Root, text_name
from fuse_lightning.data.targets import Target, distinct
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import read_text

FILE = ".txt"
TABLES = (*manifest.SUFFIXES, *tables.SUFFIXES)
"""Endings of files that hold more than texts."""


class TextTargets(TargetDataModule):
    """Data module of texts whose meaning a prompt shall carry, such as a long prompt to shorten.

    Args:
        texts: A text, which may have several lines; a file (``.txt``) with a text a line; or a
            list of them. White space around a text does not count.
        batch_size: Targets searched together.
        limit: Only the first so many targets.
        **options: Options of every :class:`TargetDataModule`.
    """

    def __init__(
        self,
        texts: str | list[str],
        batch_size: int = 1,
        limit: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, limit, **options)
        self.texts = [texts] if isinstance(texts, str) else list(texts)

    def all_targets(self) -> list[Target]:
        """All targets. The id of a text is the text, or the first words of a long one.

        Raises:
            FuseError: If a text is empty or a file cannot be read.
        """
        root = Root(self.root)
        texts = [text for source in self.texts for text in _texts(source, root)]
        if not texts:
            raise FuseError("data.texts is empty; give a text or a file with a text a line")
        return distinct(Target(text_name(text), text=text, source=text) for text in texts)


def _is_file(root: Root, source: str) -> bool:
    try:
        return root.find(source, "text file").is_file()
    # A long text is no name of a file.
    except (FuseError, OSError, ValueError):
        return False


def _texts(source: Any, root: Root) -> list[str]:
    # YAML makes numbers and other things of some words.
    if not isinstance(source, str):
        raise FuseError(f"data.texts holds {source!r}, which is no text; put it in quotes")
    if not source.strip():
        raise FuseError("data.texts holds an empty text; give one that says something")
    if source.lower().endswith(TABLES) and _is_file(root, source):
        raise FuseError(
            f"data.texts names the table {source!r}; give a {FILE} file with a text a line, or the "
            "texts themselves (LabelledExamples reads tables of labelled texts, ReasoningExamples "
            "those of questions with answers)"
        )
    if not source.endswith(FILE) or "\n" in source:
        return [source.strip()]
    try:
        text = read_text(root.find(source, "text file"))
    except (OSError, ValueError) as error:
        raise FuseError(
            f"text file {source!r} cannot be read ({error}); give an existing file, or a text "
            f"that does not end in {FILE}"
        ) from error
    # Other separators than the end of a line may be part of a text.
    if not (found := [line.strip() for line in text.split("\n") if line.strip()]):
        raise FuseError(f"text file {source!r} holds no text; give one with a text a line")
    return found
