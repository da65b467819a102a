"""Accelerators that are not there: tensors of the CPU that say they lie elsewhere.

Values are those of the CPU. What torch would refuse, an operation over tensors of two devices, is
refused; so is reading a tensor of an accelerator as an array. What a real one would have to finish
its work for (reading a value, choosing by a mask, copying without ``non_blocking``) is noted, with
the line of code that asks for it.
"""

import traceback
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU, META = torch.device("cpu"), torch.device("meta")
aten = torch.ops.aten
CROSSING = {aten.copy_.default}
INDEXED = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
    aten._unsafe_index_put.default,
}
"""Here indices may lie on the CPU, as with a real accelerator."""
READS = {
    aten._local_scalar_dense.default,
    aten.bincount.default,
    aten.masked_select.default,
    aten.nonzero.default,
}


def lies(tensor):
    """The device that a tensor says it is on."""
    return META if tensor.is_meta else getattr(tensor.untyped_storage(), "virtual", CPU)


def put(tree, device):
    for leaf in tree_leaves(tree):
        if isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided:
            leaf.untyped_storage().virtual = device


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, device):
        ctx.home = lies(tensor)
        moved = tensor.clone()
        put(moved, device)
        return moved

    @staticmethod
    def backward(ctx, grad):
        moved = grad.clone()
        put(moved, ctx.home)
        return moved, None


def numbered(device):
    if isinstance(device, int):
        return torch.device("cuda", device)
    device = torch.device(device)
    return device if device in (CPU, META) else torch.device(device.type, device.index or 0)


def move(tensor, device):
    device = numbered(device)
    if META in (device, lies(tensor)):
        return tensor.to(device)
    return tensor if lies(tensor) == device else _Move.apply(tensor, device)


def line():
    """The line of code that is asking."""
    stack = traceback.extract_stack()
    skipped = ("/torch/", "contextlib", __file__, "devices.py")
    others = (f for f in reversed(stack) if not any(name in f.filename for name in skipped))
    frame = next(others, stack[-1])
    return f"{frame.filename}:{frame.lineno} {frame.line}"


class _Operations(TorchDispatchMode):
    """Below autograd: which device an operation's results are on."""

    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is aten.lift_fresh.default:
            return func(*args, **kwargs)
        indices = [i for i in args[1] if i is not None] if func in INDEXED else []
        asks = func in READS or any(i.dtype == torch.bool for i in indices)
        if asks and lies(args[0]) not in (CPU, META):
            self.waits.append(line())
        strict = args
        if func in INDEXED:
            # Neither do indices on the CPU count.
            indices = [i for i in args[1] if i is not None and lies(i) != CPU]
            strict = [args[0], indices, *args[2:]]
        given = [leaf for leaf in tree_leaves([strict, kwargs]) if isinstance(leaf, torch.Tensor)]
        # A single number may come from the CPU.
        homes = {lies(leaf) for leaf in given if leaf.dim() or lies(leaf) != CPU}
        if func in CROSSING:
            homes = {lies(args[0])}
        if len(homes) > 1:
            shapes = [(str(lies(leaf)), *leaf.shape) for leaf in given]
            raise RuntimeError(f"{func} over tensors of several devices: {shapes}")
        result = func(*args, **kwargs)
        put(result, next(iter(homes - {META}), CPU))
        return result


class _Calls(TorchFunctionMode):
    """Above autograd: what asks for a device, and what moves a tensor."""

    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        # Without an accelerator torch has no pinned memory to give.
        kwargs.pop("pin_memory", None)
        tensor = torch.Tensor
        if func == tensor.device.__get__:
            return lies(args[0])
        if func == tensor.is_cuda.__get__:
            return lies(args[0]).type == "cuda"
        if func is tensor.cpu:
            return self._move(args[0], CPU)
        if func is tensor.tolist and lies(args[0]) != CPU:
            self.waits.append(line())
        if func in (tensor.numpy, tensor.__array__) and lies(args[0]) != CPU:
            raise TypeError("can't convert a tensor of an accelerator to numpy")
        if func is tensor.to:
            return self._to(*args, **kwargs)
        if func is torch.device and isinstance(args[0], int):
            return torch.device("cuda", *args)
        device = kwargs.get("device")
        if device is None or numbered(device) == META:
            return func(*args, **kwargs)
        result = func(*args, **{**kwargs, "device": "cpu"})
        if isinstance(result, tensor):
            put(result, numbered(device))
        return result

    def _move(self, tensor, device, non_blocking=False):
        home = lies(tensor)
        if numbered(device) != home and not (home == CPU and non_blocking):
            self.waits.append(line())
        return move(tensor, device)

    def _to(self, source, *args, **kwargs):
        if args and isinstance(args[0], torch.Tensor):
            args = (lies(args[0]), args[0].dtype, *args[1:])
        other = kwargs.pop("other", None)
        if other is not None:
            kwargs |= {"device": lies(other), "dtype": other.dtype}
        args = [numbered(each) if type(each) is int else each for each in args]
        if type(kwargs.get("device")) is int:
            kwargs["device"] = numbered(kwargs["device"])
        copy = kwargs.pop("copy", False)
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        result = source if dtype is None else source.to(dtype)
        if layout is not None:
            result = result.contiguous(memory_format=layout)
        result = result if device is None else self._move(result, device, non_blocking)
        return result.clone() if copy and result is source else result


@contextmanager
def accelerators(count=2):
    """While active there are that many devices ``cuda:N``; gives the waits for them."""
    waits = []
    with ExitStack() as stack:
        # Optimizers of torch ask for one that is available, to look at its streams.
        for name, value in {
            "device_count": lambda: count,
            "current_accelerator": lambda check_available=False: (
                None if check_available else torch.device("cuda")
            ),
        }.items():
            stack.enter_context(patch.object(torch.accelerator, name, value))
        # Threads know nothing of the modes, and there is no memory to reserve.
        stack.enter_context(patch.dict("os.environ", HF_DEACTIVATE_ASYNC_LOAD="1"))
        stack.enter_context(patch("transformers.modeling_utils.caching_allocator_warmup"))
        stack.enter_context(_Operations(waits))
        stack.enter_context(_Calls(waits))
        yield waits
