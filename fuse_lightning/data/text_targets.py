"""Texts to find prompts for."""

from typing import Any

from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.targets import Target, unique
from fuse_lightning.errors import FuseError
from fuse_lightning.files import home_path
from fuse_lightning.regular import read_text

NAME_WORDS = 5


class TextTargets(TargetDataModule):
    """Serves texts whose meaning a prompt is to have, such as a long prompt to shorten.

    Args:
        texts: A text, a file (``.txt``) with a text a line, or a list of them.
        batch_size: Targets searched together.
        limit: Only the first so many targets.
        **options: What every :class:`TargetDataModule` takes.
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
        """All targets, named by their first words.

        Raises:
            FuseError: If a text is empty or a file cannot be read.
        """
        texts = [text for source in self.texts for text in _texts(source)]
        if not texts:
            raise FuseError("data.texts is empty; give a text or a file with a text a line")
        return unique(
            [
                Target("-".join(text.lower().split()[:NAME_WORDS]).replace("/", "-"), text=text)
                for text in texts
            ]
        )


def _texts(source: str) -> list[str]:
    if not source.strip():
        raise FuseError("data.texts holds an empty text; give one that says something")
    if not source.endswith(".txt"):
        return [source.strip()]
    path = home_path(source, "text file")
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FuseError(
            f"text file {source!r} cannot be read ({error}); give an existing file, or a text "
            "that does not end in .txt"
        ) from error
    if not (found := [line.strip() for line in lines if line.strip()]):
        raise FuseError(f"text file {source!r} holds no text; give one with a text a line")
    return found
