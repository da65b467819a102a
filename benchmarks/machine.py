"""Description of the machine in a results file."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def describe(device: str = "cpu") -> str:
    """Machine, versions and day, one line.

    Args:
        device: Where it was computed; a GPU is named.
    """
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "transformers", "lightning")
    )
    day = datetime.now(UTC).date()
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.startswith("cuda") else ""
    cores = f"{os.cpu_count()} cores of {cpu}"
    return f"{gpu}{cores}, Python {platform.python_version()}, {packages}; {day}."


def write(name: str, text: str) -> None:
    """Prints a results file and keeps it in ``benchmarks/results``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
