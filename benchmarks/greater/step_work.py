"""Work of a step: positions and operations, predicted from its rows and measured."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.greater import plain
from benchmarks.greater.plain import Ids, Setting, Step


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


def of_plain(network: Any, setting: Setting, prompt: Ids, position: int, step: Step) -> Work:
    """Work of the plain step, from the lengths of its rows."""
    forward = outputs = 0
    prompts = [plain.swapped(prompt, position, token) for token in step.shortlist]
    for chains in (step.chains, *step.fresh):
        for start in range(0, len(chains), setting.batch):
            some = [*range(start, min(start + setting.batch, len(chains)))]
            width = max(len(setting.before[number]) for number in some)
            width += len(prompt) + len(setting.between)
            longest = min(max(len(chains[number]) for number in some) + 1, setting.chain_tokens)
            forward += len(some) * (width + longest - 1)
            outputs += len(some) * longest
    whole = [len(setting.row(number, prompt, each)) for number, each in enumerate(step.chains)]
    # Proposals, and the forward of the gradient.
    forward += 2 * sum(whole)
    outputs += 2 * sum(whole)
    for other, chains in zip(prompts, step.fresh, strict=True):
        rows = [len(setting.row(number, other, each)) for number, each in enumerate(chains)]
        for start in range(0, len(rows), setting.batch):
            some = rows[start : start + setting.batch]
            forward += len(some) * max(some)
            outputs += len(some) * max(some)
    back = sum(whole)
    return Work(forward, outputs, operations(network, forward, outputs, back, back))


def least(network: Any, setting: Setting, prompt: Ids, position: int, step: Step) -> Work:
    """Work of a step that reads each distinct (prefix, token) pair once in each pass.

    The chains of the prompt as it is are known. A gradient goes back through the positions from
    the token that may change.
    """
    known = prefixes((*before, *prompt[:position]) for before in setting.before)
    forward, outputs = len(known), len(setting.before)
    rows = [setting.row(number, prompt, each) for number, each in enumerate(step.chains)]
    # What stands before the position is known, and has no gradient. The last token asks nothing.
    behind = prefixes(row[:-1] for row in rows) - known
    asked = sum(map(len, setting.answers)) + len(setting.before) * len(prompt)
    forward += len(behind)
    outputs += asked
    back, back_outputs = len(behind), asked
    fresh = []
    for token, chains in zip(step.shortlist, step.fresh, strict=True):
        other = plain.swapped(prompt, position, token)
        fresh += [setting.row(number, other, each)[:-1] for number, each in enumerate(chains)]
        outputs += sum(min(len(each) + 1, setting.chain_tokens) for each in chains) + asked
    forward += len(prefixes(fresh) - known)
    return Work(forward, outputs, operations(network, forward, outputs, back, back_outputs))
