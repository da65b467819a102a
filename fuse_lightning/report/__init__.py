"""Pages to look at: the report of a run, and heat maps of scored texts."""

from fuse_lightning.report.heat_map import heat_map as heat_map
from fuse_lightning.report.run import Run as Run
from fuse_lightning.report.run import read_run as read_run
from fuse_lightning.report.write import report as report
