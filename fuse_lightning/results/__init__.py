"""Results of searches, their files, and the folder of a run."""

from fuse_lightning.results.result import Result, run_results
from fuse_lightning.results.run_folder import RunFolder, folder_of

__all__ = ["Result", "RunFolder", "folder_of", "run_results"]
