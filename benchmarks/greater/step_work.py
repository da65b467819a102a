"""Work of a step: positions and operations, predicted from its rows and measured."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.greater import plain
from benchmarks.greater.plain import Ids, Setting, Step

PHASES = (
    "chains of the prompt as it is",
    "proposals",
    "gradient",
    "candidates: chains and scores",
)
"""Phases of a step, in their order."""


@dataclass(frozen=True)
class Work:
    """Work of a network.

    Attributes:
        positions: Positions that go through the layers forward.
        outputs: Positions whose logits are computed.
        flops: Floating-point operations, backward passes included.
    """

    positions: int
    outputs: int
    flops: float


def layers_of(network: Any) -> nn.ModuleList:
    """The layers of a network."""
    return next(part for part in network.modules() if isinstance(part, nn.ModuleList))


def counted(network: Any, do: Callable[[], Any]) -> Work:
    """Work of a call, measured."""
    positions = outputs = 0

    def layer(_: Any, inputs: tuple[Any, ...], given: dict[str, Any]) -> None:
        nonlocal positions
        hidden = inputs[0] if inputs else given["hidden_states"]
        positions += hidden.shape[0] * hidden.shape[1]

    def head(_: Any, inputs: Any, output: Tensor) -> None:
        nonlocal outputs
        outputs += output.numel() // output.shape[-1]

    handles = (
        layers_of(network)[0].register_forward_pre_hook(layer, with_kwargs=True),
        network.get_output_embeddings().register_forward_hook(head),
    )
    counter = FlopCounterMode(display=False)
    with counter:
        do()
    for handle in handles:
        handle.remove()
    return Work(positions, outputs, float(counter.get_total_flops()))


def operations(network: Any, forward: int, outputs: int, back: int, back_outputs: int) -> float:
    """Operations of products with weights.

    Args:
        network: The network; its weights have no gradient.
        forward: Positions that go through the layers.
        outputs: Positions whose logits are computed.
        back: Positions that a gradient goes back through.
        back_outputs: Those of them with logits.
    """
    weights = sum(each.numel() for each in layers_of(network).parameters() if each.dim() > 1)
    head = network.get_output_embeddings().weight.numel()
    return 2.0 * (weights * (forward + back) + head * (outputs + back_outputs))


def prefixes(rows: Iterable[Sequence[int]]) -> set[Ids]:
    """Distinct (prefix, token) pairs of rows.

    >>> len(prefixes([(1, 2, 3), (1, 2, 4)]))
    4
    """
    return {tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)}


def of_plain(
    network: Any, setting: Setting, prompt: Ids, position: int, step: Step
) -> dict[str, Work]:
    """Work of the phases of the plain step, from the lengths of its rows."""
    prompts = [plain.swapped(prompt, position, token) for token in step.shortlist]

    def writing(chains: Sequence[Ids]) -> tuple[int, int]:
        forward = outputs = 0
        for start in range(0, len(chains), setting.batch):
            some = [*range(start, min(start + setting.batch, len(chains)))]
            width = max(len(setting.before[number]) for number in some)
            width += len(prompt) + len(setting.between)
            longest = min(max(len(chains[number]) for number in some) + 1, setting.chain_tokens)
            forward += len(some) * (width + longest - 1)
            outputs += len(some) * longest
        return forward, outputs

    forward, outputs = writing(step.chains)
    refresh = Work(forward, outputs, operations(network, forward, outputs, 0, 0))
    whole = sum(len(setting.row(number, prompt, each)) for number, each in enumerate(step.chains))
    proposals = Work(whole, whole, operations(network, whole, whole, 0, 0))
    slope = Work(whole, whole, operations(network, whole, whole, whole, whole))
    forward = outputs = 0
    for other, chains in zip(prompts, step.fresh, strict=True):
        more = writing(chains)
        rows = [len(setting.row(number, other, each)) for number, each in enumerate(chains)]
        parts = [
            rows[start : start + setting.batch] for start in range(0, len(rows), setting.batch)
        ]
        read = sum(len(some) * max(some) for some in parts)
        forward, outputs = forward + more[0] + read, outputs + more[1] + read
    tried = Work(forward, outputs, operations(network, forward, outputs, 0, 0))
    return dict(zip(PHASES, (refresh, proposals, slope, tried), strict=True))


def least(
    network: Any, setting: Setting, prompt: Ids, position: int, step: Step
) -> dict[str, Work]:
    """Work of a step's phases that read each distinct (prefix, token) pair once.

    The chains of the prompt as it is are known. What stands before the position is read for the
    proposals alone, and a gradient goes back through the positions behind it.
    """
    known = prefixes((*before, *prompt[:position]) for before in setting.before)
    count = len(setting.before)
    proposals = Work(len(known), count, operations(network, len(known), count, 0, 0))
    rows = [setting.row(number, prompt, each) for number, each in enumerate(step.chains)]
    # The last token asks nothing.
    behind = len(prefixes(row[:-1] for row in rows) - known)
    asked = sum(map(len, setting.answers)) + count * len(prompt)
    slope = Work(behind, asked, operations(network, behind, asked, behind, asked))
    fresh, outputs = [], 0
    for token, chains in zip(step.shortlist, step.fresh, strict=True):
        other = plain.swapped(prompt, position, token)
        fresh += [setting.row(number, other, each)[:-1] for number, each in enumerate(chains)]
        outputs += sum(min(len(each) + 1, setting.chain_tokens) for each in chains) + asked
    forward = len(prefixes(fresh) - known)
    tried = Work(forward, outputs, operations(network, forward, outputs, 0, 0))
    return dict(zip(PHASES, (Work(0, 0, 0.0), proposals, slope, tried), strict=True))


def total(works: Iterable[Work]) -> Work:
    """Work of several phases together.

    >>> total([Work(1, 2, 3.0), Work(10, 20, 30.0)])
    Work(positions=11, outputs=22, flops=33.0)
    """
    some = [*works]
    return Work(
        sum(each.positions for each in some),
        sum(each.outputs for each in some),
        sum(each.flops for each in some),
    )
