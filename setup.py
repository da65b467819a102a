"""What pyproject.toml has no words for: configs in the wheel, and links of its index page."""

import re
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
LINK = re.compile(r"(?P<picture>!)?(?P<text>\[[^]]*\])\((?!https?://|#)(?P<path>[^)]+)\)")


class BuildWithConfigs(build_py):
    """Build step that also copies ``configs`` into the package.

    An editable install has no copy: there the command line finds the folder beside the package.
    """

    def run(self) -> None:
        """Copies modules, data files and configurations."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib, "fuse_lightning", "configs")
        self.mkpath(str(folder))
        for path in sorted((ROOT / "configs").glob("*.yaml")):
            self.copy_file(str(path), str(folder))


def index_page() -> str:
    """The README with whole addresses in place of paths, as an index of packages shows it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = project["urls"]["Source"]
    pictures = source.replace("://github.com/", "://raw.githubusercontent.com/")

    def whole(link: re.Match[str]) -> str:
        folder = f"{pictures}/main" if link["picture"] else f"{source}/blob/main"
        return f"{link['picture'] or ''}{link['text']}({folder}/{link['path']})"

    return LINK.sub(whole, (ROOT / "README.md").read_text(encoding="utf-8"))


setup(
    cmdclass={"build_py": BuildWithConfigs},
    long_description=index_page(),
    long_description_content_type="text/markdown",
)
