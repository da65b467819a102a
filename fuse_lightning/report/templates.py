"""Templates of the pages: escapes, and files and hashes of styles and scripts."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.terminal import quoted, visible


def environment_of_pages() -> Environment:
    """Environment of the templates: all text is escaped, and an unknown name is an error."""
    environment = Environment(
        loader=PackageLoader("fuse_lightning.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"digest": digest, "visible": visible, "visible_lines": visible_lines}
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def own_file(name: str) -> Markup:
    """Content of a static file of the page, such as its style sheet."""
    return Markup(files("fuse_lightning.report").joinpath(name).read_text(encoding="utf-8"))


def write_page(path: Path, content: str) -> Path:
    """Writes a page, and makes the folders above it.

    Args:
        path: The file; an older one is replaced.
        content: The page.

    Returns:
        The path.

    Raises:
        FuseError: If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise FuseError(
            f"page {quoted(path)} cannot be written ({error.strerror or error}); make room there, "
            "or give another path"
        ) from error
    return path


def visible_lines(text: str) -> str:
    r"""Text with control characters made visible, and its lines kept.

    >>> visible_lines("a\nb")
    'a\nb'
    """
    return "\n".join(visible(line) for line in text.split("\n"))


def digest(text: str) -> str:
    """Hash of a script or style for the content security policy.

    >>> digest("let a")
    'sha256-IfEXP/8HLuXoAiy0hZVrCAcjcLsZqYFpLOHDGj8enqE='
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
