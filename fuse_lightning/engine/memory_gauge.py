"""What work takes of the memory of accelerators."""

import torch


class MemoryGauge:
    """What work takes of the memory of the CUDA devices that this process uses."""

    @staticmethod
    def works() -> bool:
        """Whether this process uses any."""
        return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        self.before: dict[int, int] = {}
        for device in range(torch.cuda.device_count()):
            if allocated := torch.cuda.memory_allocated(device):
                torch.cuda.reset_peak_memory_stats(device)
                self.before[device] = allocated

    def times(self) -> float:
        """How many times what the work took at its peak is free now."""
        found = torch.inf
        for device, before in self.before.items():
            taken = torch.cuda.max_memory_allocated(device) - before
            cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            free = torch.cuda.mem_get_info(device)[0] + cached
            found = min(found, free / taken if taken > 0 else torch.inf)
        return found
