"""What answers the examples of targets in a search: the term, and whether there are answers."""

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.answerer import Answerer
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.reasoner import Reasoner
from fuse_lightning.objectives import Classification, Objective, Reasoning, Term
from fuse_lightning.objectives.classification import LABEL


def answers_with(objective: Objective, term: Term) -> Answerer | None:
    """What answers examples by a term; ``None`` for a term that gives no answers.

    Args:
        objective: The objective of the term.
        term: The term.
    """
    if isinstance(term, Classification):
        return Labeller(objective, term)
    return Reasoner(objective, term) if isinstance(term, Reasoning) else None


def answerer_of(objective: object) -> Answerer | None:
    """What answers by the first term of an objective that gives answers.

    Args:
        objective: The objective; anything else gives ``None``.
    """
    if not isinstance(objective, Objective):
        return None
    found = (answers_with(objective, term) for term in objective.terms)
    return next((each for each in found if each is not None), None)


def has_answers(target: Target) -> bool:
    """Whether the examples of a target have right answers.

    >>> has_answers(Target("a", text="a red house"))
    False
    """
    told = bool(target.labels or target.answer)
    return bool(target.seen) and (told or LABEL in target.seen[0])
