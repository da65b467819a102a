"""Floors of a verdict on reasoning: prompts for questions that cost no search."""

from pathlib import PurePath

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.drawn_examples import drawn_demonstrations
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.offers import BEST_STOCK, Offer
from fuse_lightning.evaluation.reasoner import Reasoner
from fuse_lightning.evaluation.reasoning_stock import PUBLISHED_START, STEP_BY_STEP, STOCK
from fuse_lightning.objectives import Objective
from fuse_lightning.objectives.layout import Message

MOST_NAMED = 12
"""Most labels that an instruction names."""
PUBLISHED = {"web_of_lies": PUBLISHED_START}
"""Published prompts by the name of their task in BIG-bench Hard (arXiv 2412.09722)."""


def reasoning_offers(
    answerer: Reasoner, target: Target, options: FloorOptions, seed: int
) -> list[Offer]:
    """Offers of the floors of a target with questions.

    Args:
        answerer: Answerer by the search's own term, which was given the target.
        target: The target.
        options: Options of the floors.
        seed: Seed of the draws of demonstrations.
    """
    published = published_prompt(target, options)
    labels = [words[0] for words in target.labels.values() if words]
    stock = options.instructions(labels if len(labels) <= MOST_NAMED else [], STOCK)
    offers = [
        Offer("the question alone", [""], _placed(answerer, alone(answerer.term.given))),
        Offer(f'"{STEP_BY_STEP}"', [STEP_BY_STEP], answerer),
        Offer("the initial prompt", [options.initial] if options.initial else [], answerer),
        Offer("the published prompt", [published] if published else [], answerer),
        Offer(BEST_STOCK, stock, answerer),
    ]
    # A brace of the gap is no field.
    gap = (options.separator or " ").replace("{", "{{").replace("}", "}}")
    before = _placed(answerer, fronted(answerer.term.given, gap))
    before.give(target)
    if shown := drawn_demonstrations(before, target, options, seed):
        offers.append(Offer("the best demonstrations", [*shown], before, shown=[*shown.values()]))
    return [offer for offer in offers if offer.texts]


def _placed(reasoner: Reasoner, layout: str | list[Message]) -> Reasoner:
    """Reasoner with another layout."""
    term = reasoner.term
    other = type(term).for_transfer(term.model, [], [term])
    assert other is not None
    other.layout = layout
    objective = Objective([other], max_batch_tokens=reasoner.objective.max_batch_tokens)
    objective.load(term.model.device)
    return Reasoner(objective, other)


def alone(layout: str | list[Message]) -> str | list[Message]:
    r"""Layout in which an empty prompt leaves no trace: it stands where the chain begins.

    Args:
        layout: Text or turns of a chat. A prompt without a space before it stays where it is.

    >>> alone("{question} {prompt}\n"), alone("{question} {prompt}")
    ('{question}\n{prompt}', '{prompt} {question}')
    >>> [turn["content"] for turn in alone([{"role": "user", "content": "{question} {prompt}"}])]
    ['{question}', '{prompt}']
    """
    if isinstance(layout, str):
        begin, space, end = layout.partition(" {prompt}")
        # Between a question and a prompt something must stand.
        return f"{begin}{end}{{prompt}}" if space and end else fronted(layout)
    if not any(" {prompt}" in turn["content"] for turn in layout):
        return layout
    turns: list[Message] = [
        {"role": turn["role"], "content": turn["content"].replace(" {prompt}", "", 1)}
        for turn in layout
    ]
    begun = turns.pop()["content"] if turns[-1]["role"] == "assistant" else ""
    return [*turns, {"role": "assistant", "content": f"{begun}{{prompt}}"}]


def fronted(layout: str | list[Message], gap: str = " ") -> str | list[Message]:
    r"""Layout whose prompt stands before the question.

    Demonstrations are read before the question that they prepare for.

    Args:
        layout: Text or turns of a chat. A prompt without a space before it stays where it is.
        gap: Text between prompt and question, its braces doubled.

    >>> fronted("{question} {prompt}\n"), fronted("{prompt} {question}")
    ('{prompt} {question}\n', '{prompt} {question}')
    """
    if isinstance(layout, str):
        begin, space, end = layout.partition(" {prompt}")
        return f"{{prompt}}{gap}{begin}{end}" if space else layout
    return [
        {"role": turn["role"], "content": str(fronted(turn["content"], gap))} for turn in layout
    ]


def published_prompt(target: Target, options: FloorOptions) -> str | None:
    """Published prompt for the task of a target, which its name or its file tells.

    >>> own = FloorOptions(published={"snarks": "Spot the irony."})
    >>> published_prompt(Target("BBH/snarks.json"), own)
    'Spot the irony.'
    """
    known = PUBLISHED | options.published
    names = (target.id, PurePath(target.id).stem, PurePath(target.source).stem)
    return next((known[name] for name in names if name in known), None)
