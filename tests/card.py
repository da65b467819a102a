"""A made-up accelerator: a second name of the CPU, on which each wait for the device is noted.

Torch knows "cpu:0" beside "cpu" and computes on both alike. Tensors that were sent to "cpu:0", and
all that is computed with them, count as lying there; whatever a real card would have to finish its
work for (reading a value, choosing by a mask, copying without ``non_blocking``) is noted with the
line of code that asks for it.
"""

import sys
import traceback

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CARD = torch.device("cpu", 0)
READS = {
    *(Tensor.item, Tensor.tolist, Tensor.numpy, Tensor.nonzero, torch.nonzero),
    *(Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__),
    *(Tensor.masked_select, torch.masked_select),
}
PLACES = {Tensor.__getitem__, Tensor.__setitem__}


class Card(TorchFunctionMode):
    """While active, notes in ``waits`` what asks the card for something."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def put(self, *tensors):
        """Counts tensors as lying on the card."""
        for tensor in tensors:
            tensor.on_card = True

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [*tensors((args, kwargs))]
        first = given[0] if given else None
        if function == Tensor.device.__get__:
            return CARD if on_card(first) else torch.device("cpu")
        if function is Tensor.cpu:
            return self.move(first, torch.device("cpu"), function, args, kwargs)
        if function is Tensor.to:
            named = (*args[1:], *kwargs.values())
            devices = [torch.device(a) for a in named if isinstance(a, (str, torch.device))]
            if devices:
                args, kwargs = here(args), {name: here(value) for name, value in kwargs.items()}
                return self.move(first, devices[0], function, args, kwargs)
        if (function in READS and on_card(first)) or (function in PLACES and by_mask(*args[:2])):
            self.note()
        made_there = kwargs.get("device") == CARD
        found = function(*args, **{name: here(value) for name, value in kwargs.items()})
        if made_there or any(map(on_card, given)):
            for tensor in tensors(found):
                tensor.on_card = True
        return found

    def move(self, tensor, device, function, args, kwargs):
        """A copy on a device, where the tensor itself would come back as well."""
        found = function(*args, **kwargs)
        if on_card(tensor) == (device == CARD):
            found.on_card = device == CARD
            return found
        caller = sys._getframe(2).f_code
        if device != CARD or caller.co_name != "send":
            self.note()
        found = found.view_as(found) if found is tensor else found
        found.on_card = device == CARD
        return found

    def note(self):
        stack = traceback.extract_stack()
        skipped = ("/torch/", __file__, "transfer.py")
        line = next(f for f in reversed(stack) if not any(s in f.filename for s in skipped))
        self.waits.append(f"{line.filename}:{line.lineno} {line.line}")


def on_card(tensor):
    return getattr(tensor, "on_card", False)


def by_mask(tensor, index):
    index = index if isinstance(index, tuple) else (index,)
    masks = [part for part in index if isinstance(part, Tensor) and part.dtype == torch.bool]
    return any(map(on_card, (tensor, *masks))) and bool(masks)


def here(value):
    """The same argument with the CPU in place of the card."""
    if isinstance(value, tuple):
        return tuple(map(here, value))
    return torch.device("cpu") if isinstance(value, torch.device) else value


def tensors(value):
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)
