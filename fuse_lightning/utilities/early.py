"""Further processes of a run, which import what they need before the first one starts them.

Lightning starts the processes of further devices when the first one is ready for the search, by
which time it has imported torch and all the rest. Each of the others then does the same again,
while the first one waits. So the command begins them at once: each imports, and waits for a line
with the environment that Lightning gives to such a process, or for the end of the first one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

WAITS = "FUSE_WAITS"
"""Environment variable of a process that was begun early."""
STARTED = ("LOCAL_RANK", "RANK", "SLURM_JOB_ID", "NODE_RANK", "GROUP_RANK", "OMPI_COMM_WORLD_RANK")
"""Environment variables of processes that something else has started, or will."""
MOST = 16
"""Most processes that are begun early."""

_begun: list[subprocess.Popen[str]] = []


def devices_of(words: Sequence[str]) -> int:
    """Number of devices that a command line names, in an option or in a file; 1 if none is named.

    >>> devices_of(["fit", "--trainer.devices=3", "--model", "GCG"])
    3
    >>> devices_of(["fit", "--trainer.devices", "auto"])
    1
    """
    found: object = 1
    for word, behind in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        value = value if equals else behind
        if name == "--trainer.devices":
            found = value
        elif name in ("--config", "-c"):
            found = _configured(Path(value)) or found
    return int(str(found)) if str(found).isdecimal() else 1


def _configured(path: Path) -> object:
    """What a configuration file says of devices; ``None`` if it says nothing.

    A file that cannot be read is told of later, by whoever needs it.
    """
    with suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
        if path.is_file():
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
            trainer = config.get("trainer") if isinstance(config, dict) else None
            return trainer.get("devices") if isinstance(trainer, dict) else None
    return None


def begin(words: Sequence[str]) -> None:
    """Begins the processes of further devices, where this one is the first and will start them.

    Args:
        words: The command line of this process.
    """
    count = devices_of(words)
    if _begun or not 1 < count <= MOST or any(name in os.environ for name in STARTED):
        return
    for rank in range(1, count):
        environment = {**os.environ, "LOCAL_RANK": str(rank), "NODE_RANK": "0", WAITS: "1"}
        with suppress(OSError):
            _begun.append(
                subprocess.Popen(
                    [*_command(), *words], env=environment, stdin=subprocess.PIPE, text=True
                )
            )


def _command() -> list[str]:
    """How this process was started, as Lightning would start others."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is None:
        return [sys.executable, os.path.abspath(sys.argv[0])]
    return [sys.executable, "-m", spec.name]


def take(environments: Sequence[Mapping[str, str]]) -> list[subprocess.Popen[str]]:
    """Lets the early processes go on, as those of further devices.

    Args:
        environments: The environment of each.

    Returns:
        The processes; empty, and all are ended, if there are not as many of them.
    """
    if len(_begun) != len(environments) or any(each.poll() is not None for each in _begun):
        drop()
    taken = [*_begun]
    _begun.clear()
    for process, environment in zip(taken, environments, strict=False):
        assert process.stdin is not None
        # One that has just ended is missed by whoever watches them.
        with suppress(BrokenPipeError):
            process.stdin.write(f"{json.dumps(dict(environment))}\n")
            process.stdin.close()
        process.stdin = None
    return taken


def drop() -> None:
    """Ends processes that were begun and are not needed; they have done nothing but import."""
    while _begun:
        process = _begun.pop()
        process.kill()
        process.wait()


def wait_for_turn() -> None:
    """Waits, in a process that was begun early, until the first one starts it.

    Raises:
        SystemExit: With 0 if it never does.
    """
    if os.environ.pop(WAITS, None) is None:
        return
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(0)
    os.environ.clear()
    os.environ.update(json.loads(line))
