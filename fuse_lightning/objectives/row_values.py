"""Losses and scores of rows, in batches that fit into memory."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives.reading import Reading, mean_of
from fuse_lightning.objectives.term import Term


def by_reader(reading: Reading) -> Iterator[tuple[int, Tensor]]:
    """Numbers of the models that read rows, each with its rows in order."""
    for number in torch.unique(reading.reader).tolist():
        yield number, (reading.reader == number).nonzero().squeeze(1)


def checked(term: Term, values: Tensor, count: int) -> Tensor:
    """The values of ``count`` rows, as a term gives them.

    Raises:
        FuseError: If there are not as many, or they are of no type that has gradients.
    """
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise FuseError(
            f"{type(term).__name__} gives {kind} for its rows; loss and score must return a "
            "tensor of floating-point numbers"
        )
    if values.dim() == 0 or len(values) != count:
        raise FuseError(
            f"{type(term).__name__} gives values of shape {tuple(values.shape)} for {count} rows; "
            f"loss and score must return one for each row, shape ({count},)"
        )
    return values


def row_values(term: Term, reading: Reading, call: Callable[[Reading], Tensor]) -> Tensor:
    """Values of ``term.loss`` or ``term.score`` for each row.

    Args:
        term: The term.
        reading: R rows.
        call: One of the two.

    Returns:
        Shape (R, ...), float32, on the device of the term's first model; infinite for rows that
        are longer than their model reads.
    """
    found: list[Tensor] = []

    def one(rows: Tensor, device: torch.device, chosen: slice) -> None:
        part = reading[rows[chosen]]
        values = checked(term, call(part if term.splits else part.to(device)), len(part)).float()
        if not found:
            shape = len(reading), *values.shape[1:]
            found.append(values.new_full(shape, torch.inf, device=term.model.device))
        found[0][to_device(rows[chosen], term.model.device)] = to_device(values, term.model.device)

    for number, rows in by_reader(reading):
        model = term.models[number]
        lengths = reading.lengths[rows]
        order = lengths.argsort()[: int((lengths <= model.max_tokens).sum())]

        visit = partial(one, rows[order], model.device)
        if not term.splits:
            model.budget.run(lengths[order].tolist(), visit)
        elif len(order):
            visit(slice(None))
    return found[0] if found else torch.full((len(reading),), torch.inf, device=term.model.device)


def reduced(term: Term, values: Tensor, reading: Reading) -> Tensor:
    """What a term's ``reduce`` makes of the values of rows, shape (M,).

    Raises:
        FuseError: If it is not one number for each pair of a prompt and an example.
    """
    count = len(reading.pairs)
    items = term.reduce(values, reading, count)
    if items.shape != (count,):
        raise FuseError(
            f"reduce of {type(term).__name__} gives shape {tuple(items.shape)}; it must give one "
            f"number for each pair of a prompt and an example, shape ({count},)"
        )
    return items


def item_losses(term: Term, reading: Reading, values: Tensor) -> Tensor:
    """One number for each pair of a prompt and an example.

    Args:
        term: The term.
        reading: R rows.
        values: Their values from :func:`row_values`.

    Returns:
        Losses of ``reading.pairs``, shape (M,), float32; infinite where a row cannot be read.
    """
    if reading.plain and type(term).reduce is Term.reduce:
        return values
    items = reduced(term, values, reading).float()
    # Whatever a term makes of a row that cannot be read, the prompt cannot be scored.
    lost = values.isinf().view(len(values), -1).any(1)
    bad = mean_of(lost.float(), reading.item, len(items)) > 0
    return items.masked_fill(bad, torch.inf)
