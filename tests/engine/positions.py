"""Positions that networks read, counted at their first blocks."""

from contextlib import ExitStack, contextmanager

from torch import nn


def first_blocks(network):
    """The first of each outermost list of blocks."""
    for part in network.children():
        if isinstance(part, nn.ModuleList):
            yield part[0]
        else:
            yield from first_blocks(part)


@contextmanager
def counted(*networks):
    """Positions that go into the first blocks of networks, and that a gradient comes back to."""
    found = {"forward": 0, "backward": 0}

    def positions(hidden):
        return hidden.shape[:-1].numel()

    def read(_, inputs, options):
        found["forward"] += positions(inputs[0] if inputs else options["hidden_states"])

    def back(_, __, grads):
        found["backward"] += positions(grads[0])

    with ExitStack() as stack:
        for network in networks:
            for block in first_blocks(network):
                hook = block.register_forward_pre_hook(read, with_kwargs=True)
                stack.callback(hook.remove)
                stack.callback(block.register_full_backward_hook(back).remove)
        yield found
