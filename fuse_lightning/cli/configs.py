"""``fuse configs``: lists the configurations that come with the package, or prints one."""

from collections.abc import Sequence

from fuse_lightning.cli.help import usage
from fuse_lightning.cli.named_configs import shipped_configs
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.nearest import did_you_mean
from fuse_lightning.utilities.terminal import say

FOOT = (
    "",
    "fuse configs NAME prints one, to save it and change it. Its first lines show the command that",
    "runs it, such as: fuse fit --config quickstart",
)


def command(words: Sequence[str]) -> None:
    """Prints the list, or the file whose name follows.

    Raises:
        FuseError: If the package has no configuration of this name, or more words follow.
    """
    names = words[1:]
    if {"-h", "--help"} & {*names}:
        say(*usage("configs"))
        return
    if len(names) > 1:
        raise FuseError(f"fuse configs prints one configuration; leave out {names[1]!r}")
    if not names:
        say(*config_list(), *FOOT)
        return
    known = shipped_configs()
    name = names[0].removesuffix(".yaml")
    if name not in known:
        raise FuseError(
            f"there is no configuration {names[0]!r}; {did_you_mean(name, known)}there are: "
            f"{', '.join(known)}"
        )
    say(*known[name].read_text(encoding="utf-8").splitlines())


def config_list() -> list[str]:
    """Lines with the name of each configuration and what it is for.

    >>> next(line for line in config_list() if line.startswith("style "))
    'style                   One prompt that several pictures share, such as a style.'
    """
    return [
        f"{name:<23} {path.read_text(encoding='utf-8').partition(chr(10))[0].lstrip('# ')}"
        for name, path in shipped_configs().items()
    ]
