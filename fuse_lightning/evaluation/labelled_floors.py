"""Floors of a verdict on labelled examples: prompts that cost no search."""

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.drawn_examples import drawn_demonstrations
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.offers import BEST_STOCK, Offer
from fuse_lightning.objectives import Objective
from fuse_lightning.objectives.layout import ANSWER

STOCK = (
    "Classify the text.",
    "Choose the right label.",
    "Read the text and name its class.",
    "Label the following text as {labels}.",
    "Is the following {labels}?",
    "Which of {labels} fits best?",
    "Answer with one of: {labels}.",
    "The possible answers are {labels}.",
    "You are an expert. Label the text as {labels}.",
    "Decide whether the text is {labels}.",
    "Read the following text carefully. Then answer {labels}.",
    "Below is a text. Say whether it is {labels}.",
)
"""Instructions that anybody would try first; ``{labels}`` stands for the classes' words."""


def floor_offers(
    labeller: Labeller, target: Target, options: FloorOptions, seed: int
) -> list[Offer]:
    """Offers of a labelled target's floors.

    Args:
        labeller: Labeller by the search's own term, which was given the target.
        target: The target.
        options: Options of the floors.
        seed: Seed of the draws of demonstrations.
    """
    words = labeller.term.batch[0].verbalizers
    first = [words.words[words.of.index(number)] for number in range(len(words.classes))]
    offers = [
        Offer("the text alone", [""], _bare(labeller)),
        Offer("the template alone", [""], labeller),
        Offer("the calibrated template", [""], labeller, calibrated=True),
        Offer("the initial prompt", [options.initial] if options.initial else [], labeller),
        Offer(BEST_STOCK, options.instructions(first, STOCK), labeller),
    ]
    if shown := drawn_demonstrations(labeller, target, options, seed):
        offers.append(Offer("the best demonstrations", [*shown], labeller, shown=[*shown.values()]))
    return [offer for offer in offers if offer.texts]


def _bare(labeller: Labeller) -> Labeller:
    """Labeller without a template: the example alone, and the answer behind."""
    term = labeller.term
    names = [name for name in term.form.names if name != ANSWER]
    fields = " ".join(f"{{{name}}}" for name in names)
    bare = type(term)(term.model, f"{{prompt}} {fields}{{answer}}", term.words, name=term.name)
    objective = Objective([bare], max_batch_tokens=labeller.objective.max_batch_tokens)
    objective.load(term.model.device)
    return Labeller(objective, bare)
