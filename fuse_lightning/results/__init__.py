"""Results of searches, their files, and the folder of a run."""

from fuse_lightning.results.result import Result as Result
from fuse_lightning.results.result import run_results as run_results
from fuse_lightning.results.run_folder import RunFolder as RunFolder
from fuse_lightning.results.run_folder import folder_of as folder_of
