"""Measurement of the accelerator memory that a piece of work takes."""

import torch


class MemoryGauge:
    """Gauge of the peak memory on the CUDA devices in use, from its creation on."""

    @staticmethod
    def works() -> bool:
        """Whether this process uses a CUDA device."""
        return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        self.before: dict[int, int] = {}
        for device in range(torch.cuda.device_count()):
            if allocated := torch.cuda.memory_allocated(device):
                torch.cuda.reset_peak_memory_stats(device)
                self.before[device] = allocated

    def times(self) -> float:
        """Free memory now, as a multiple of the work's peak memory."""
        found = torch.inf
        for device, before in self.before.items():
            taken = torch.cuda.max_memory_allocated(device) - before
            cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            free = torch.cuda.mem_get_info(device)[0] + cached
            found = min(found, free / taken if taken > 0 else torch.inf)
        return found
