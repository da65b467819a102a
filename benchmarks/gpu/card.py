"""The device that is measured: its name, its clock, its memory, and its rate of products."""

import subprocess
import time
from contextlib import suppress

import torch

from benchmarks.machine import describe


class Card:
    """Device whose work is timed.

    Args:
        device: Name of the device, such as ``cuda`` or ``cpu``.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.is_gpu = self.device.type == "cuda"
        if self.is_gpu and not torch.cuda.is_available():
            raise SystemExit(f"--device {device}: there is no such device; give --device cpu")

    def clock(self) -> float:
        """Seconds, once the device has done all that it was given."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def forget_peak(self) -> None:
        """Starts to look for the largest memory anew."""
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> str:
        """Largest memory of tensors since then, MB; empty where there is no card."""
        if not self.is_gpu:
            return ""
        return f"{torch.cuda.max_memory_allocated(self.device) / 2**20:.0f}"

    def told(self) -> str:
        """Card, driver, versions and settings that change the figures."""
        lines = [describe(str(self.device))]
        if self.is_gpu:
            lines.append(f"Driver {driver()}, CUDA {torch.version.cuda}.")
        lines.append(
            f"float32 products: {torch.get_float32_matmul_precision()} precision"
            + (f", TF32 in cuDNN {torch.backends.cudnn.allow_tf32}." if self.is_gpu else ".")
        )
        return " ".join(lines)


def driver() -> str:
    """Version of the driver; ``unknown`` where nobody says it."""
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    return "unknown"
