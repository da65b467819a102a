"""``fuse report``: the results of a run as one HTML file and one table."""

from fuse_lightning.report.run import Run as Run
from fuse_lightning.report.run import read_run as read_run
from fuse_lightning.report.write import report as report
