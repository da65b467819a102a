"""Measurement of a target's headroom before a search."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.answerer import Answerer
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.final import Chosen, chosen_floors
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.headroom import FloorFigure, Room, alike, is_inside
from fuse_lightning.evaluation.offers import BEST_STOCK
from fuse_lightning.evaluation.strongest import strongest
from fuse_lightning.evaluation.term_metrics import as_prompts
from fuse_lightning.models import CausalLM

WRITTEN = 64
"""Examples behind which the model writes an answer."""
SPARE = 2
"""Tokens written beyond those of the longest word."""


def narrowed(target: Target, most: int, seed: int) -> Target:
    """Target with at most so many of the examples that choose, and without test examples.

    Args:
        target: The target.
        most: Most examples that choose.
        seed: Seed of the draw of these.

    >>> target = Target("a", examples=[{"x": 1}], select=[{"x": n} for n in range(9)], test=[{}])
    >>> few = narrowed(target, 3, seed=0)
    >>> len(few.examples), len(few.select), len(few.test)
    (1, 3, 0)
    """
    seen, numbers = target.seen, target.choosing
    if len(numbers) > most:
        rng = random.Random(f"{seed}/{target.id}/check")
        return replace(target, select=[seen[n] for n in rng.sample(numbers, most)], test=())
    return replace(target, test=())


def measured_headroom(
    answerer: Answerer, target: Target, options: FloorOptions, seed: int, most: int
) -> tuple[Room, int]:
    """Headroom of a target by the examples that choose.

    Args:
        answerer: What answers, by the term of the search.
        target: The target, whose test examples are counted and not read.
        options: Options of the floors.
        seed: Seed of all random draws.
        most: Most examples that are read.

    Returns:
        The headroom, and how many pairs of a prompt and an example were answered for it.
    """
    few = narrowed(target, most, seed)
    floors = chosen_floors(answerer, few, options, seed)
    examples = len(few.choosing)
    figures = []
    for each in floors:
        judges = each.judges[each.place]
        right = int((each.right[each.place] & judges).sum())
        asked = max(1, int(judges.sum()))
        figures.append(FloorFigure.of(each.offer.name, each.text, right, asked, each.select_loss))
    stock = [each for each in floors if each.offer.name == BEST_STOCK]
    labels = Counter(target.seen[number]["label"] for number in target.choosing)
    answerer.give(few)
    best = floors[strongest((each.accuracy, each.loss) for each in figures)].reference
    share, written = None, best.unread
    if isinstance(answerer, Labeller):
        share, written = outside(answerer, few.choosing)
    found = Room(
        examples=examples,
        floors=figures,
        majority=max(labels.values()) / labels.total(),
        alike=alike(stock[0].right) if stock else None,
        differing=_differing(floors),
        tests=len(target.test),
        outside=share,
        written=written,
        chains=best.chains,
        settings=answerer.settings,
    )
    return found, sum(each.right.numel() for each in floors)


def _differing(floors: Sequence[Chosen]) -> float:
    """Share of the examples on which one alone of the two best floors is right."""
    best = sorted(floors, key=lambda each: each.select, reverse=True)[:2]
    if len(best) < 2:
        return 0.0
    first, second = (each.right[each.place] for each in best)
    both = torch.stack([each.judges[each.place] for each in best]).all(0)
    return float(((first != second) & both).sum() / both.sum().clamp_min(1))


@torch.no_grad()
def outside(labeller: Labeller, numbers: Sequence[int]) -> tuple[float | None, str]:
    """Share of written answers that begin with no word of a class, and one of them.

    The model writes a few tokens behind the layout with an empty prompt, the likeliest each time.

    Args:
        labeller: Labeller, which was given the target.
        numbers: Numbers of examples, of which the first ones are read.

    Returns:
        The share and the answer; ``None`` and no answer where the model does not write.
    """
    term, model = labeller.term, labeller.term.model
    if not isinstance(model, CausalLM):
        return None, ""
    prompts = as_prompts(labeller.objective, [""], [0])
    reading = term.read(prompts, [numbers[:WRITTEN]])
    assert reading.wanted is not None
    counts = reading.wanted.sum(1)
    # Each example is read once with each word: what stands before is the same.
    rows = (reading.number == 0).nonzero().flatten().tolist()
    begun = [
        tuple(reading.rows.ids[row, : int(reading.wanted[row].int().argmax())].tolist())
        for row in rows
    ]
    begun = [ids for ids in begun if 0 < len(ids) < model.max_tokens]
    if not begun:
        return None, ""
    told = model.generate(begun, max_new_tokens=int(counts.max()) + SPARE, temperature=0)
    texts = [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in told.ids]
    words = term.batch[0].verbalizers.words
    wrong = [text for text in texts if not is_inside(text, words)]
    return len(wrong) / len(texts), next((text for text in wrong if text.strip()), "")
