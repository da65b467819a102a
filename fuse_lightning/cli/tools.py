"""Commands made of functions, whose arguments become options."""

from collections.abc import Callable, Mapping, Sequence

from jsonargparse import auto_cli

from fuse_lightning.cli.quiet import quiet_transformers

Tool = Callable[..., None]


def run_tool(tools: Tool | Mapping[str, Tool], command: str, words: Sequence[str]) -> None:
    """Runs a function with the options of a command line.

    Args:
        tools: The function, or several by the word that names each.
        command: The command, for its help.
        words: The words behind the command.

    Raises:
        ArgumentError: If an option is wrong.
    """
    quiet_transformers()
    auto_cli(
        tools if callable(tools) else dict(tools),
        args=[*words],
        prog=f"fuse {command}",
        as_positional=False,
        exit_on_error=False,
    )
