"""Base of all prompt optimizers: searches over token ids, scored by an objective."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.callbacks.defaults import missing_callbacks
from fuse_lightning.data import Target
from fuse_lightning.engine.meter import Work
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CaptionModel
from fuse_lightning.objectives import Objective, Prompts, State, Term
from fuse_lightning.optimizers.admission import Admission
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.optimizers.description import models_work, terms_identity, terms_settings
from fuse_lightning.optimizers.example_search import ExampleSearch
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.optimizers.start import Start, draw, random_start
from fuse_lightning.search import Best, Scored
from fuse_lightning.search.lightning_glue import callbacks_of
from fuse_lightning.utilities.identity import Identity

SPARE = 2
"""Candidates proposed for each wanted one, as some are not read back as the same ids."""


class PromptOptimizer(ExampleSearch):
    """Base of all prompt optimizers: a search over ids of the primary model.

    A step asks the frontier (a callback of the trainer) for states, proposes candidates from them,
    scores these exactly, and hands them back. The best prompt over all steps is the result. A
    subclass says what to propose.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        steps: Most steps for each target.
        prompt_length: Random tokens to start from.
        initial_prompt: Text to start from, instead of random tokens; or a captioner, whose
            caption of a target's first picture it is.
        constraints: Constraints on prompts.
        patience: End a target after so many steps without a better prompt; ``None`` for never.
        stop_loss: End a target once its objective is at most this; ``None`` for never.
        max_evaluations: Budget of a target: prompts scored, or pairs of a prompt and an example. A
            target ends after the step that uses a budget up. ``None`` for no limit.
        max_tokens: Budget of positions that models read; targets of a batch share a step's alike.
        max_seconds: Budget of wall time, shared alike too; ``trainer.max_time`` ends the whole run.
        max_flops: Budget of the models' floating-point operations, shared alike too.
        top: Prompts reported for each target, best first.
        seed: Seed of the search; each target has a random stream of its own.
        adapter: How gradients of models with another tokenizer reach the primary's tokens.
        gradient_samples: Prompts with random tokens that a gradient is averaged over; 0 takes
            the gradient at the current tokens, as published methods do.
        gradient_resample: Share of the positions that hold random tokens in each of them; more
            where the samples would leave positions out.
        max_batch_tokens: Most token positions in one forward; fewer where memory runs out.
        rescore: Whether the best candidates of a step are scored again in float32 where the
            trainer's precision is a reduced one, such as ``bf16-mixed``.
        examples_per_step: Examples of each target that a step reads, the same for all its
            candidates; ``None`` for all. The best prompt is chosen by examples of its own.
        racing: Settings of that choice.

    Raises:
        FuseError: If an option is out of its range.
    """

    nothing_fits = "no proposal fits the models; relax constraints or shorten prefix and suffix"

    def __init__(
        self,
        terms: list[Term],
        steps: int = 16,
        prompt_length: int = 0,
        initial_prompt: str | CaptionModel = "",
        constraints: Constraints | None = None,
        patience: int | None = None,
        stop_loss: float | None = None,
        max_evaluations: int | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
        max_flops: float | None = None,
        top: int = 1,
        seed: int = 0,
        adapter: AdapterSettings | None = None,
        gradient_samples: int = 16,
        gradient_resample: float = 0.25,
        max_batch_tokens: int = 8192,
        rescore: bool = True,
        examples_per_step: int | None = None,
        racing: Racing | None = None,
    ) -> None:
        budgets = max_evaluations, max_tokens, max_seconds, max_flops
        super().__init__(steps, patience, stop_loss, *budgets, top, seed)
        counts = {"prompt_length": prompt_length, "gradient_samples": gradient_samples}
        for name, value in counts.items():
            if value < 0:
                raise FuseError(f"{name} is {value}; it must be at least 0")
        if not 0 < gradient_resample <= 1:
            raise FuseError(f"gradient_resample is {gradient_resample}; it must be in (0, 1]")
        self.objective = Objective(terms, adapter, max_batch_tokens)
        self.prompt_length = prompt_length
        self.initial_prompt = initial_prompt
        self.captioner = initial_prompt if isinstance(initial_prompt, CaptionModel) else None
        self.constraints = constraints or Constraints()
        self.gradient_samples = gradient_samples
        self.gradient_resample = gradient_resample
        self.rescore = rescore
        self.set_examples(examples_per_step, racing)

    @abstractmethod
    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """Candidates for each target, as tuples of the primary's ids.

        What holds other tokens than the constraints allow, or is not read back as the same ids,
        is dropped with a warning.

        Args:
            states: States to propose from, for each target; empty for finished targets.
        """

    # Set-up

    def setup(self, stage: str) -> None:
        """Loads the models on the trainer's device and finds the allowed tokens."""
        super().setup(stage)
        if stage == "fit":
            self.objective.scores.forget()
        if stage != "predict":
            self.load(self.trainer.strategy.root_device)

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models; a second call does nothing."""
        self.objective.load(device)
        if isinstance(self.initial_prompt, CaptionModel):
            self.initial_prompt.load(device)
        self.constraints.forbid_marks(self.objective.models)
        self.admission = Admission(self.objective, self.constraints, type(self).__name__)
        self.allowed_ids = self.admission.allowed_ids
        primary = self.objective.primary
        mask = torch.zeros(primary.vocab_size, dtype=torch.bool)
        mask[self.allowed_ids] = True
        self.allowed = mask.to(primary.device)
        self.start = Start(self.initial_prompt, self.objective, self.constraints, self.allowed_ids)

    def configure_callbacks(self) -> Sequence[Callback]:
        """Adds missing callbacks, such as greedy search and result files."""
        return missing_callbacks(callbacks_of(self.trainer))

    def on_train_end(self) -> None:
        """Collects the results, and frees what the models keep between forwards."""
        for model in self.objective.models:
            model.forget()
        super().on_train_end()

    # What a search must say of itself

    def own_identity(self, *, content: bool) -> Identity:
        """Identity of the objective and of the constraints."""
        found = {"constraints": repr(self.constraints)}
        return terms_identity(self.objective.terms, content=content) | found

    def loss_names(self) -> list[str]:
        """Names of the terms."""
        return [term.name for term in self.objective.terms]

    def settings(self) -> dict[str, Any]:
        """Model and weight of each term."""
        return terms_settings(self.objective.terms)

    def spent(self) -> Work:
        """Work of the terms' models and of the captioner so far, each model once."""
        return models_work([*self.objective.models, self.captioner])

    def shared(self) -> Sequence[object]:
        """The frozen models of the terms and of the captioner."""
        return [*self.objective.models, *([self.captioner] if self.captioner else [])]

    def ids_of(self, state: State) -> list[int]:
        """Ids of a prompt: the state itself."""
        return [*state]

    def check_state(self, state: Any) -> None:
        """Checks that a state is a prompt.

        Raises:
            TypeError, ValueError: If it is no tuple of ids of the primary.
        """
        if not isinstance(state, tuple):
            raise TypeError(f"{state!r} is no prompt")
        size = self.objective.primary.vocab_size
        if not all(type(token) is int and 0 <= token < size for token in state):
            raise ValueError("a token is none of the primary's")

    # Starts

    def scores_start(self) -> bool:
        """Whether a start prompt was given, which is then a candidate too."""
        return bool(self.initial_prompt)

    def start_states(self, places: Sequence[int]) -> list[list[State]]:
        """Start prompt of each search.

        Raises:
            FuseError: If it is longer than a model reads.
        """
        states = [self.initial_state(place) for place in places]
        if states:
            prompts = self.objective.prompts(states, places)
            self.objective.check_length(prompts, "the prompt to start from")
        return [[state] for state in states]

    def initial_state(self, target: int) -> State:
        """Start prompt of a target's search."""
        if state := self.start.state(self.targets[target]):
            return state
        generator = self.searches[target].generator
        return random_start(self.admission, self.start_length(target), generator, target)

    def caption(self, target: Target) -> str:
        """The captioner's caption of a target, as a start; empty without one."""
        return self.start.text(target)

    def captions(self) -> Callable[[Target], str] | None:
        """The captioner's captions; ``None`` without a captioner."""
        return None if self.captioner is None else self.caption

    def start_length(self, target: int) -> int:
        """Number of tokens of a random start."""
        return self.prompt_length

    def draw(self, target: int, count: int) -> list[int]:
        """Random allowed tokens from a target's own random stream."""
        return draw(self.allowed_ids, count, self.searches[target].generator)

    # Candidates

    def score(self, proposed: list[list[State]]) -> list[list[Scored[State]]]:
        """Exact losses of all valid candidates; the best are remembered.

        Raises:
            FuseError: If a candidate is no tuple of ids of the primary.
        """
        self.objective.scores.evaluations = [search.evaluated for search in self.searches]
        return self._score(self.admission.checked(proposed, self.expanded))

    def _score(self, prompts: Prompts) -> list[list[Scored[State]]]:
        losses = self.objective.losses(prompts)
        found, other = self.admission.results(prompts)
        raced, rows = self.parted(prompts, found)
        if rows and self.rescore and torch.is_autocast_enabled(self.device.type):
            first = self.objective.total(losses).tolist()
            rows = best_rows(first, prompts.owners, rows, self.top)
            with torch.autocast(self.device.type, enabled=False):
                losses[rows] = self.objective.losses(prompts.select(rows), again=True)
        totals = self.objective.total(losses).tolist()
        scored: list[list[Scored[State]]] = [[] for _ in self.searches]
        for total, state, owner in zip(totals, prompts.states, prompts.owners, strict=True):
            scored[owner].append((total, state))
        self.choose(prompts, raced, totals)
        # Best first: what follows is below the bar of hardly any target.
        for row in sorted(rows, key=totals.__getitem__):
            owner = prompts.owners[row]
            search = self.searches[owner]
            if totals[row] < search.bar(self.top):
                told = losses[row].tolist(), prompts.states[row], prompts.texts[row], search.step
                self.keep(owner, Best(totals[row], *told))
        if other and not self.constraints.canonical:
            self._score_texts(prompts.select(other))
        return scored

    def _score_texts(self, prompts: Prompts) -> None:
        """Scores the texts of prompts, and remembers the best."""
        states = self.objective.encode_prompts(prompts.texts)
        read = self.objective.prompts(states, prompts.owners)
        fits = zip(states, read.canonical, strict=True)
        self._score(read.select([row for row, (state, same) in enumerate(fits) if state and same]))


def best_rows(
    totals: Sequence[float], owners: Sequence[int], rows: list[int], top: int
) -> list[int]:
    """Rows that are among the ``top`` of their target, best first for each.

    >>> best_rows([3.0, 1.0, 2.0, 5.0], [0, 0, 0, 1], [0, 1, 2, 3], top=2)
    [1, 2, 3]

    Args:
        totals: Loss of each prompt.
        owners: Target of each prompt.
        rows: The rows to choose from.
        top: How many of each target.
    """
    chosen: dict[int, list[int]] = {owner: [] for owner in sorted({owners[row] for row in rows})}
    for row in sorted(rows, key=totals.__getitem__):
        if len(chosen[owners[row]]) < top:
            chosen[owners[row]].append(row)
    return [row for best in chosen.values() for row in best]
