"""Fidelity of adapters: how well gradients through them predict losses of token swaps."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchmetrics.functional import spearman_corrcoef

from fuse_lightning.adapters import AdapterKind, AdapterSettings
from fuse_lightning.data.targets import Target
from fuse_lightning.engine.damping import damped
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.term_metrics import transfer_term
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives import (
    Objective,
    Sample,
    Sentiment,
    State,
    Term,
    predicted_change,
    smoothed_gradient,
)

BEST, SHORTLIST = 10, 40
MAX_WORDS = 14


@dataclass(frozen=True)
class Recipe:
    """Recipe for predicting losses from gradients.

    Attributes:
        kind: Kind of adapter.
        samples: Random tokens at the position that the gradient is averaged over; 0 takes it at
            the current token.
        others: Share of the other positions that hold random tokens too.
        first_word: Use the first word's gradient everywhere, as the published code does.
        damping: Share of the gradient that flows through the target's residual branches.
    """

    kind: AdapterKind
    samples: int = 0
    others: float = 0.0
    first_word: bool = False
    damping: float = 1.0

    def __str__(self) -> str:
        """Title of a row of the table.

        >>> str(Recipe("lookup", 8, 0.25))
        'lookup, mean of 8 random tokens, 25% of the others too'
        """
        where = f"mean of {self.samples} random tokens" if self.samples else "at current token"
        if self.damping != 1:
            where += f", branches damped to {self.damping:.0%}"
        if self.others:
            where += f", {self.others:.0%} of the others too"
        return f"{self.kind}, {'first word for all' if self.first_word else where}"


RECIPES = (
    Recipe("t_product", first_word=True),
    Recipe("t_product"),
    Recipe("least_squares"),
    Recipe("lookup"),
    Recipe("t_product", 8),
    Recipe("least_squares", 8),
    Recipe("lookup", 1),
    Recipe("lookup", 4),
    Recipe("lookup", 8),
    Recipe("lookup", 32),
    Recipe("lookup", 8, 0.25),
)


@dataclass
class Case:
    """One position of a prompt, with the true losses of tokens at that position.

    Attributes:
        state: The prompt.
        slot: The position.
        owner: Index of the prompt's target.
        tokens: The tokens tried.
        losses: Their losses, shape (tokens,).
    """

    state: State
    slot: int
    owner: int
    tokens: list[int]
    losses: Tensor


def fidelity(
    source: FrozenModel,
    target: FrozenModel,
    texts: Sequence[str],
    positions: int = 40,
    tokens: int = 400,
    seed: int = 0,
    recipes: Sequence[Recipe] = RECIPES,
    settings: AdapterSettings | None = None,
) -> dict[Recipe, tuple[float, float]]:
    """Rank correlation and recall of predicted losses.

    A prompt is a text; the loss of a text encoder is the cosine distance to the next text, that
    of a language model the mean negative log-likelihood, that of a classifier the cross-entropy
    of the next text's label. One whole word of a prompt is replaced by random whole-word tokens.

    Args:
        source: Model whose tokens are replaced.
        target: Model whose loss is predicted.
        texts: At least two texts.
        positions: Positions measured, one a text.
        tokens: Tokens tried at each.
        seed: Seed.
        recipes: Ways to predict.
        settings: Word list and cache of the adapters.

    Returns:
        For each recipe the mean Spearman correlation, in [-1, 1], and the recall of the ten best
        tokens among the forty predicted best, in [0, 1].
    """
    if len(texts) < 2:
        raise FuseError(f"{len(texts)} texts are too few; give a file with a text a line")
    settings = settings or AdapterSettings()
    terms = [_term(source, 0.0), _term(target, 1.0)]
    terms[0].name = "source"
    objective = Objective(terms, settings)
    objective.load()
    cases = _cases(objective, texts, positions, tokens, random.Random(seed))
    allowed = objective.primary.allowed_tokens("any")
    results = {}
    for recipe in recipes:
        objective = Objective(terms, replace(settings, kind=recipe.kind))
        # A damped gradient is taken at the same random tokens as the whole one.
        rng = random.Random(f"{seed}-{replace(recipe, damping=1.0)}")
        scores = [_predict(objective, case, recipe, allowed, rng) for case in cases]
        rho = [
            float(spearman_corrcoef(score, case.losses))
            for score, case in zip(scores, cases, strict=True)
        ]
        recall = [
            len({*_lowest(score, SHORTLIST)} & {*_lowest(case.losses, BEST)}) / BEST
            for score, case in zip(scores, cases, strict=True)
        ]
        results[recipe] = (sum(rho) / len(rho), sum(recall) / len(recall))
    return results


def _lowest(values: Tensor, count: int) -> list[int]:
    """Indices of the lowest values.

    >>> _lowest(torch.tensor([3.0, 1.0, 2.0]), 2)
    [1, 2]
    """
    lowest: list[int] = values.topk(min(count, len(values)), largest=False).indices.tolist()
    return lowest


def _term(model: FrozenModel, weight: float) -> Term:
    """Term with a loss over text, for a model of any kind."""
    term = transfer_term(model, [Target("any", text="any", sentiment="any")], [])
    term.weight = weight
    return term


def _cases(
    objective: Objective, texts: Sequence[str], positions: int, tokens: int, rng: random.Random
) -> list[Case]:
    texts = [" ".join(text.split()[:MAX_WORDS]) for text in texts]
    term = objective.terms[1]
    term.set_targets(_targets(term, [*texts[1:], texts[0]]))
    pieces = objective.primary.pieces
    whole = [i for i, piece in enumerate(pieces) if piece[:1] == " " and piece[1:].isalpha()]
    cases = []
    for owner, text in enumerate(texts):
        state = objective.encode_prompt(text)
        slots = [
            slot
            for slot, token in enumerate(state)
            if token in set(whole)
            and (slot + 1 == len(state) or pieces[state[slot + 1]][:1] in (" ", ",", "."))
        ]
        if not slots:
            continue
        slot = rng.choice(slots)
        tried = rng.sample(whole, min(tokens, len(whole)))
        states = [(*state[:slot], token, *state[slot + 1 :]) for token in tried]
        prompts = objective.prompts(states, [owner] * len(states))
        cases.append(
            Case(state, slot, owner, tried, objective.scores.term_losses(term, prompts).cpu())
        )
        if len(cases) == positions:
            break
    if not cases:
        raise FuseError("no text holds a word that is one token of the source model")
    return cases


def _targets(term: Term, texts: Sequence[str]) -> list[Target]:
    if isinstance(term, Sentiment):
        encoded = term.model.encode(texts).to(term.model.device)
        with torch.no_grad():
            classes = term.model.logits(encoded).argmax(1).tolist()
        return [
            Target(text, sentiment=str(index)) for text, index in zip(texts, classes, strict=True)
        ]
    return [Target(text, text=text) for text in texts]


def _predict(
    objective: Objective, case: Case, recipe: Recipe, allowed: Tensor, rng: random.Random
) -> Tensor:
    """Predicted change of the loss for the case's tokens, shape (tokens,); lower is better."""
    slot = 0 if recipe.first_word else case.slot
    choices = allowed.nonzero().squeeze(1).tolist()
    samples = []
    for _ in range(max(1, recipe.samples)):
        state = list(case.state)
        for position in range(len(state)):
            if recipe.samples and (position == slot or rng.random() < recipe.others):
                state[position] = rng.choice(choices)
        samples.append(Sample(tuple(state), 0, {slot}))
    with damped(recipe.damping):
        heads = smoothed_gradient(
            objective, samples, [case.owner], lambda term: term is objective.terms[1]
        )
    return predicted_change(heads, [(0, slot)], allowed)[0, case.tokens]
