"""``fuse report``: one HTML file and one table of everything that a run found."""

from fuse_lightning.report.run import Run, read_run
from fuse_lightning.report.write import report

__all__ = ["Run", "read_run", "report"]
