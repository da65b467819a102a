"""A data module: lists the targets. This one reads a file with one text per line."""

from pathlib import Path

from fuse_lightning.data import Target, TargetDataModule


class Lines(TargetDataModule):
    """Texts of a file; ``TextSimilarity`` and ``Continuation`` look at ``Target.text``.

    Args:
        path: The file.
        batch_size: Targets searched together.
    """

    def __init__(self, path: str, batch_size: int = 1) -> None:
        super().__init__(batch_size=batch_size)
        self.path = path

    def all_targets(self):
        """All targets in order. Each has an id of its own; ``examples=[{...}]`` go to a term."""
        lines = (Path(self.root) / self.path).read_text(encoding="utf-8").splitlines()
        return [
            Target(f"line {number}", text=line, metadata={"number": number})
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
