"""Files of a run's results, which survive a lost folder or a full disk."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fuse_lightning.errors import FuseError
from fuse_lightning.results.export import csv_text, json_lines
from fuse_lightning.results.result import Result, read_targets, result_files
from fuse_lightning.results.run_folder import RunFolder
from fuse_lightning.utilities.files import append_lines, replace_file
from fuse_lightning.utilities.terminal import quoted, visible


class WriteError(FuseError):
    """Error about results that cannot be written, with the list of those on disk."""


class FolderLostError(WriteError):
    """Error about a folder that was deleted and now belongs to another run."""


class ResultFiles:
    """Table and JSON lines of a run's results; each device has its own pair of files.

    Args:
        folder: The run's folder.
        rank: Number of this device, where there are several.

    Attributes:
        written: How many of this device's results are in a file.
        sizes: Bytes of each file that this process has written.
    """

    def __init__(self, folder: RunFolder, rank: int | None = None) -> None:
        self.folder = folder
        self.rank = rank
        self.written = 0
        self.sizes: dict[Path, int] = {}

    @property
    def own(self) -> tuple[Path, Path]:
        """CSV and JSON-lines file of this device."""
        return self._pair("" if self.rank is None else f"-rank{self.rank}")

    @property
    def joined(self) -> tuple[Path, Path]:
        """CSV and JSON-lines file of all devices."""
        return self._pair("")

    def _pair(self, rank: str) -> tuple[Path, Path]:
        return self.folder.path / f"prompts{rank}.csv", self.folder.path / f"prompts{rank}.jsonl"

    def there(self) -> bool:
        """Whether this device's files hold all that this process has written."""
        return all(map(self._there, self.own))

    def _there(self, path: Path) -> bool:
        with suppress(OSError):
            # A link that has taken the file's place leads to what is not the run's.
            return not path.is_symlink() and path.stat().st_size >= self.sizes[path]
        return False

    def hold(self, results: Sequence[Result]) -> None:
        """Makes a folder again that was deleted under this process.

        Args:
            results: All results of this device.

        Raises:
            FolderLostError: If it is another run's now; nothing else may be written there.
            WriteError: If it cannot be made.
        """
        try:
            with self.told(self.folder.path, results):
                self.folder.hold()
        except FuseError as error:
            if isinstance(error, WriteError):
                raise
            raise FolderLostError("; ".join([str(error), *_elsewhere(results)])) from error

    def write(
        self, paths: tuple[Path, Path], rows: Sequence[Result], results: Sequence[Result]
    ) -> None:
        """Writes both files anew, atomically.

        Args:
            paths: The table and the lines.
            rows: Their new content.
            results: All results of this device.

        Raises:
            WriteError: If one cannot be written.
        """
        table, lines = paths
        for path, text in ((lines, json_lines(rows)), (table, csv_text(rows))):
            with self.told(path, results):
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, text)
                self.sizes[path] = path.stat().st_size

    def add(self, results: Sequence[Result]) -> None:
        """Adds those results of this device that are in no file yet.

        Raises:
            WriteError: If they cannot be written.
        """
        table, lines = self.own
        new, header = results[self.written :], self.sizes[table] == 0
        with self.told(lines, results):
            self.sizes[lines] = append_lines(lines, json_lines(new))
            self.written = len(results)
        with self.told(table, results):
            self.sizes[table] = append_lines(table, csv_text(new, header))

    @contextmanager
    def told(self, path: Path, results: Sequence[Result] = ()) -> Iterator[None]:
        """Context that turns an error of the system into one with the results on disk.

        Raises:
            WriteError: In place of the error.
        """
        try:
            yield
        except OSError as error:
            raise WriteError(
                f"{quoted(path)} cannot be written ({error.strerror or error}); make "
                f"room or allow writing there; {'; '.join(self.intact(results))}"
            ) from error

    def intact(self, results: Sequence[Result] = ()) -> list[str]:
        """Lines about the results on disk and the command that resumes the run.

        Args:
            results: All results of this device. If some of them are in no file, all are written
                into a temporary folder.
        """
        files = result_files(self.folder.path)
        count = sum(map(len, read_targets(files).values()))
        lines = [f"{count} prompts are in {visible(str(files[0]))}"] if files else []
        if len(results) > self.written:
            lines += _elsewhere(results)
        if (self.folder.path / "config.yaml").is_file():
            folder = visible(shlex.quote(str(self.folder.path)))
            launched = "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_JOB_ID" in os.environ
            how = ", by what started this run," if launched else ""
            lines.append(f"go on{how} with: fuse fit --resume {folder}")
        return lines or ["nothing was written"]


def _elsewhere(results: Sequence[Result]) -> list[str]:
    """Writes results into a temporary folder in place of the run's, and says so."""
    place = Path(tempfile.mkdtemp(prefix="fuse-results-")) / "prompts.jsonl"
    try:
        replace_file(place, json_lines(results))
    except OSError:
        shutil.rmtree(place.parent, ignore_errors=True)
        return []
    return [f"all {len(results)} are in {visible(str(place))}"]
