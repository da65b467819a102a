"""Data module of seed prompts for a search for prompts on which two models diverge."""

from __future__ import annotations

from pathlib import Path

from fuse_lightning.data import Target, TargetDataModule
from fuse_lightning.data.names import Root
from fuse_lightning.decoding.prompt_sources import PromptSources


class DivergencePrompts(TargetDataModule):
    """Data module of seed prompts, which together are one target.

    Args:
        prompts: Prompts to begin with: texts, files with a prompt a line (``.txt``), tables, or
            data sets such as ``hub:USER/NAME``.
        column: Column of tables that holds prompts; by default a usual name, or the only column.
        split: Split of data sets.
        count: Most prompts that are read; ``None`` for all.
        name: Name of the target in results.
        skip_finished: Folder of a run, or several, whose finished targets are left out.
        root: Folder that relative sources are looked up in; by default the current folder.

    Raises:
        FuseError: If an option makes no sense, or a source cannot be read.

    >>> module = DivergencePrompts(["a picture of", "photo of"])
    >>> [example["text"] for example in module.all_targets()[0].examples]
    ['a picture of', 'photo of']
    """

    def __init__(
        self,
        prompts: str | list[str],
        column: str | None = None,
        split: str | None = None,
        count: int | None = None,
        name: str = "divergence",
        skip_finished: str | list[str] | None = None,
        root: str | None = None,
    ) -> None:
        super().__init__(skip_finished=skip_finished, root=root)
        self.prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        self.target = name
        self.sources = PromptSources(column, split, count, "data.prompts")

    def all_targets(self) -> list[Target]:
        """The one target, with the seed prompts as its examples.

        Raises:
            FuseError: If a source is missing, empty, or holds something else than texts.
        """
        found = self.sources.read([self._under_root(source) for source in self.prompts])
        return [
            Target(
                self.target,
                examples=[{"text": prompt} for prompt in dict.fromkeys(found)],
                source=", ".join(self.prompts),
            )
        ]

    def _under_root(self, source: str) -> str:
        """A source that is a file under the root folder, by its whole path."""
        place = Path(Root(self.root).folder) / source
        try:
            return str(place) if place.exists() and source.strip() else source
        # A text may be no name that a file can have.
        except (OSError, ValueError):
            return source
