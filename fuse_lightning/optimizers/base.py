"""The base of all prompt optimizers: one Lightning training step is one search step."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.callbacks.defaults import missing_callbacks
from fuse_lightning.data import Target, TargetBatch, TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CaptionModel
from fuse_lightning.objectives import Objective, Prompts, State, Term
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.optimizers.start import Start
from fuse_lightning.results.distributed import gathered
from fuse_lightning.results.result import NO_PROMPT
from fuse_lightning.search import Scored
from fuse_lightning.search.discrete_step import DiscreteStep
from fuse_lightning.search.module import ResumableSearch
from fuse_lightning.search.precision import settle_precision
from fuse_lightning.search.target_search import Best, TargetSearch
from fuse_lightning.search.trainer_checks import check_trainer, settle_trainer
from fuse_lightning.utilities.numbers import check_number

TRIES = 16
"""Tokens tried at once for the next place of a random start."""
SPARE = 2
"""Candidates proposed for one wanted: some are not read back as the same ids."""


class PromptOptimizer(ResumableSearch, ABC):
    """Searches discrete prompts of a batch of targets.

    A step asks the search strategy (a callback of the trainer) for states, proposes candidates
    from them, scores these exactly, and hands them back. The best prompt over all steps is the
    result. A subclass says what to propose.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        steps: Most steps for each target.
        prompt_length: Random tokens to start from.
        initial_prompt: Text to start from, instead of random tokens; or a captioner, whose
            caption of a target's first picture it is.
        constraints: What a prompt may hold.
        patience: End a target after so many steps without a better prompt; ``None`` for never.
        stop_loss: End a target once its objective is at most this; ``None`` for never.
        stop_seconds: End a target after the step in which its share of the time is so much: targets
            of a batch share alike. ``None`` for never. ``trainer.max_time`` ends the whole run.
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
    """

    persists = False
    """Whether a search goes on where a step brought nothing that the constraints admit."""

    def __init__(
        self,
        terms: list[Term],
        steps: int = 16,
        prompt_length: int = 0,
        initial_prompt: str | CaptionModel = "",
        constraints: Constraints | None = None,
        patience: int | None = None,
        stop_loss: float | None = None,
        stop_seconds: float | None = None,
        top: int = 1,
        seed: int = 0,
        adapter: AdapterSettings | None = None,
        gradient_samples: int = 16,
        gradient_resample: float = 0.25,
        max_batch_tokens: int = 8192,
        rescore: bool = True,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("steps", steps, 1),
            ("prompt_length", prompt_length, 0),
            ("gradient_samples", gradient_samples, 0),
            ("patience", 1 if patience is None else patience, 1),
            ("top", top, 1),
        ):
            if value < least:
                raise FuseError(f"{name} is {value}; it must be at least {least}")
        if stop_loss is not None:
            check_number("stop_loss", stop_loss)
        if stop_seconds is not None and not stop_seconds > 0:
            raise FuseError(f"stop_seconds is {stop_seconds}; it must be above 0")
        if not 0 < gradient_resample <= 1:
            raise FuseError(f"gradient_resample is {gradient_resample}; it must be in (0, 1]")
        self.automatic_optimization = False
        self.objective = Objective(terms, adapter, max_batch_tokens)
        self.steps = steps
        self.prompt_length = prompt_length
        self.initial_prompt = initial_prompt
        self.captioner = initial_prompt if isinstance(initial_prompt, CaptionModel) else None
        self.constraints = constraints or Constraints()
        self.patience = patience
        self.stop_loss = stop_loss
        self.stop_seconds = stop_seconds
        self.top = top
        self.seed = seed
        self.gradient_samples = gradient_samples
        self.gradient_resample = gradient_resample
        self.rescore = rescore
        self.targets: list[Target] = []

    @property
    def best(self) -> list[Best | None]:
        """The best prompt so far of each target of the batch."""
        return [search.best for search in self.searches]

    # Set-up

    def setup(self, stage: str) -> None:
        """Loads the models on the trainer's device and finds the allowed tokens."""
        settle_precision(self.trainer)
        if stage == "fit":
            check_trainer(self.trainer)
            settle_trainer(self.trainer)
            self.targets = []
            self.forget_searches()
            self.objective.scores.forget()
        if stage != "predict":
            self.load(self.trainer.strategy.root_device)

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models; a second call does nothing."""
        self.objective.load(device)
        if isinstance(self.initial_prompt, CaptionModel):
            self.initial_prompt.load(device)
        self.constraints.forbid_marks(term.model for term in self.objective.terms)
        allowed = self.constraints.mask(self.objective.primary)
        self.allowed_ids = allowed.nonzero().squeeze(1)
        self.allowed = allowed.to(self.objective.primary.device)
        self.start = Start(self.initial_prompt, self.objective, self.constraints, self.allowed_ids)

    def configure_optimizers(self) -> DiscreteStep:
        """The step optimizer that makes Lightning count search steps."""
        return DiscreteStep(self.counter)

    def configure_callbacks(self) -> Sequence[Callback]:
        """Adds what the trainer was not given, such as greedy search and result files."""
        return missing_callbacks(self.trainer.callbacks)  # type: ignore[attr-defined]

    def on_train_epoch_end(self) -> None:
        """Ends the run: an epoch serves every target for all its steps."""
        self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Collects the results of several devices, in the order of the targets; frees memory.

        Where the run ended before its targets did, as by ``trainer.max_time``, their best
        prompts so far are among the results.
        """
        for term in self.objective.terms:
            term.model.forget()
        own = [search for search in self.searches if not search.done]
        waiting = [TargetSearch.from_state(each["search"]) for each in self.waiting.values()]
        for search in [*own, *waiting]:
            self._add_results(search)
        self.results, self.durable = gathered(self.results, self.trainer), 0

    # What was found

    def validation_step(self, batch: TargetBatch, batch_idx: int) -> None:
        """Leaves the measuring to :class:`Evaluation`, which gives the terms other targets."""
        self.targets = []
        batch.done.update(target.id for target in batch.targets)

    test_step = validation_step

    def predict_step(self, batch: TargetBatch, batch_idx: int) -> list[dict[str, Any]]:
        """The results of a batch's targets, as :meth:`Result.to_dict` gives them."""
        names = {target.id for target in batch.targets}
        batch.done.update(names)
        return [result.to_dict() for result in self.results if result.target in names]

    def caption(self, target: Target) -> str:
        """What the captioner says of a target, as a start for its search."""
        return self.start.text(target)

    # One step

    def training_step(self, batch: TargetBatch, batch_idx: int) -> None:
        """One search step for every target of the batch."""
        optimizer = self.optimizers()
        optimizer.step(closure=lambda: self._search(batch))  # type: ignore[union-attr]

    @torch.no_grad()
    def _search(self, batch: TargetBatch) -> None:
        begin = time.perf_counter()
        self._regroup(batch.targets)
        if not batch.targets:
            return
        for search in self.searches:
            search.step += 1
        self.objective.begin_step([search.step - 1 for search in self.searches])
        states = self.strategy.expand()
        count = self._move(states) if any(states) else 0
        seconds = time.perf_counter() - begin
        for place, search in enumerate(self.searches):
            search.seconds += seconds / len(self.searches)
            if self._over(place):
                self._finish(place)
                batch.done.add(search.name)
        self._log(count / seconds)

    def _regroup(self, targets: Sequence[Target]) -> None:
        """Lets go of targets that have ended, and begins those that are new."""
        places = {search.name: n for n, search in enumerate(self.searches) if not search.done}
        staying = [places[target.id] for target in targets if target.id in places]
        new = [target for target in targets if target.id not in places]
        if any(before is not now for before, now in zip_longest(self.targets, targets)):
            self._set_targets(targets)
        saved = {target.id: self.waiting.pop(target.id, None) for target in new}
        self.searches = [self.searches[place] for place in staying]
        self.searches += [
            TargetSearch.begin(target.id, target.digest, self.seed, target.source) for target in new
        ]
        entered = [*enumerate(saved.values(), start=len(staying))]
        fresh = [place for place, state in entered if state is None]
        begun = dict(zip(fresh, self._begin(fresh), strict=True))
        self.strategy.regroup(staying, [begun.get(place, []) for place, _ in entered])
        for place, state in entered:
            if state is not None:
                self._restore(place, state)
        if self.initial_prompt and fresh:
            self._score_starts(fresh, [*begun.values()])

    def _set_targets(self, targets: Sequence[Target]) -> None:
        self.targets = list(targets)
        # A device may be left without targets while others still have some.
        if targets:
            # Once for all steps, so that reduced precision would save little and cost all.
            with torch.autocast(self.device.type, enabled=False):
                self.objective.set_targets(targets)

    def _begin(self, places: Sequence[int]) -> list[list[State]]:
        """The prompts that the searches at some places start from."""
        states = [self.initial_state(place) for place in places]
        if states:
            prompts = self.objective.prompts(states, places)
            self.objective.check_length(prompts, "the prompt to start from")
        return [[state] for state in states]

    def _score_starts(self, places: Sequence[int], begun: Sequence[Sequence[State]]) -> None:
        """A prompt that was given is a candidate too: nothing worse may be the result."""
        proposed: list[list[State]] = [[] for _ in self.searches]
        for place, states in zip(places, begun, strict=True):
            proposed[place] = [state for state in states if state]
        for place, scored in enumerate(self._score(proposed)):
            if scored:
                self.strategy.frontiers[place] = scored

    def initial_state(self, target: int) -> State:
        """The prompt that the search of a target starts from."""
        return self.start.state(self.targets[target]) or self._random_state(target)

    def _random_state(self, target: int) -> State:
        """Random tokens, one after another: few draws of all at once read back as the same ids."""
        length, state = self.start_length(target), State()
        for _ in range(TRIES * (length + 1)):
            if len(state) == length:
                return state
            longer = [(*state, token) for token in self.draw(target, TRIES)]
            growing = len(state) + 1 < length
            (found,) = self.admitted([longer], [target], 1, growing=growing)
            # Behind some tokens hardly any other may stand.
            state = found[0] if found else state[:-1]
        raise FuseError(
            f"no {length} random tokens were found that read back as the same and that the "
            "constraints admit; give initial_prompt, or relax constraints"
        )

    def start_length(self, target: int) -> int:
        """Tokens of a random start."""
        return self.prompt_length

    def draw(self, target: int, count: int) -> list[int]:
        """Random allowed tokens from a target's own stream."""
        generator = self.searches[target].generator
        index = torch.randint(len(self.allowed_ids), (count,), generator=generator)
        tokens: list[int] = self.allowed_ids[index].tolist()
        return tokens

    def uniform(self, target: int, count: int) -> list[float]:
        """Random numbers in [0, 1) from a target's own stream."""
        numbers: list[float] = torch.rand(count, generator=self.searches[target].generator).tolist()
        return numbers

    @abstractmethod
    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """Candidates for each target.

        Args:
            states: States to propose from, for each target; empty for finished targets.

        Returns:
            Distinct canonical candidates for each target, possibly none.
        """

    def refine(self, scored: list[list[Scored]]) -> list[list[State]]:
        """Hook: more candidates for each target, drawn from the scored ones of this step."""
        return [[] for _ in scored]

    def _move(self, states: list[list[State]]) -> int:
        """Proposes, scores and selects; returns how many candidates there were."""
        scored = self._score(self.propose(states))
        more = self.refine(scored)
        if any(more):
            scored = [a + b for a, b in zip(scored, self._score(more), strict=True)]
        before = self.strategy.frontiers
        self.strategy.update(scored)
        if self.persists:
            now = self.strategy.frontiers
            self.strategy.frontiers = [new or old for new, old in zip(now, before, strict=True)]
        return sum(map(len, scored))

    def _score(self, proposed: list[list[State]]) -> list[list[Scored]]:
        """Exact losses of all candidates; remembers the best."""
        flat = [state for found in proposed for state in found]
        owners = [target for target, found in enumerate(proposed) for _ in found]
        prompts = self.objective.prompts(flat, owners)
        losses = self.objective.losses(prompts)
        admitted = [row for row, text in enumerate(prompts.texts) if self.constraints.admits(text)]
        # What is told is a text: of other ids than those that it is read as it would be untrue.
        other = [row for row in admitted if not prompts.canonical[row]]
        admitted = [row for row in admitted if prompts.canonical[row]]
        if self.rescore and torch.is_autocast_enabled(self.device.type):
            admitted = self._best_rows(prompts, losses, admitted)
            with torch.autocast(self.device.type, enabled=False):
                losses[admitted] = self.objective.losses(prompts.select(admitted), again=True)
        totals = self.objective.total(losses).tolist()
        scored: list[list[Scored]] = [[] for _ in proposed]
        for total, state, owner in zip(totals, flat, owners, strict=True):
            scored[owner].append((total, state))
        for row in admitted:
            search = self.searches[owners[row]]
            found = losses[row].tolist(), flat[row], prompts.texts[row], search.step
            search.keep(Best(totals[row], *found), self.top)
        if other and not self.constraints.canonical:
            self._score_texts(prompts.select(other))
        return scored

    def _score_texts(self, prompts: Prompts) -> None:
        """Remembers the best of prompts as their text is read."""
        states = self.objective.encode_prompts(prompts.texts)
        read = self.objective.prompts(states, prompts.owners)
        fits = zip(states, read.canonical, strict=True)
        rows = [row for row, (state, canonical) in enumerate(fits) if state and canonical]
        proposed: list[list[State]] = [[] for _ in self.searches]
        for row in rows:
            proposed[prompts.owners[row]].append(states[row])
        self._score(proposed)

    def _best_rows(self, prompts: Prompts, losses: Tensor, rows: list[int]) -> list[int]:
        """Those of the rows that are among the ``top`` of their target."""
        totals = self.objective.total(losses).tolist()
        chosen: list[list[int]] = [[] for _ in self.targets]
        for row in sorted(rows, key=totals.__getitem__):
            if len(chosen[prompts.owners[row]]) < self.top:
                chosen[prompts.owners[row]].append(row)
        return [row for best in chosen for row in best]

    def admitted(
        self,
        groups: Sequence[Sequence[State]],
        owners: Sequence[int],
        most: int,
        *,
        growing: bool = False,
    ) -> list[list[State]]:
        """The first ``most`` states of each group that the constraints admit, each once.

        Args:
            groups: States, best first.
            owners: Target of each group.
            most: How many of each group are wanted.
            growing: Whether their last words may still be beginnings of allowed ones.
        """
        flat = [state for group in groups for state in group]
        prompts = self.objective.prompts(
            flat, [owner for owner, group in zip(owners, groups, strict=True) for _ in group]
        )
        rows = iter(zip(prompts.texts, prompts.canonical, strict=True))
        result = []
        for group in groups:
            chosen: dict[State, None] = {}
            for state in group:
                text, canonical = next(rows)
                good = len(chosen) < most and (canonical or not self.constraints.canonical)
                if good and self.constraints.admits(text, growing=growing):
                    chosen[state] = None
            result.append([*chosen])
        return result

    def _over(self, place: int) -> bool:
        """Whether a target's search is over."""
        search = self.searches[place]
        if search.step >= self.steps or not self.strategy.frontiers[place]:
            return True
        if self.stop_seconds is not None and search.seconds >= self.stop_seconds:
            return True
        if search.best is None:
            return False
        reached = self.stop_loss is not None and search.best.loss <= self.stop_loss
        return reached or self._stalled(search, search.best.step)

    def _stalled(self, search: TargetSearch, since: int) -> bool:
        """Whether nothing better was found in too many steps after ``since``."""
        return self.patience is not None and search.step - since >= self.patience

    def _finish(self, place: int) -> None:
        search = self.searches[place]
        search.done = True
        self.strategy.close(place)
        self._add_results(search)
        if search.best is not None:
            return
        reason = (
            f"{NO_PROMPT} {search.name!r}: no proposal fits the models; "
            "relax constraints or shorten prefix and suffix"
        )
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, TargetDataModule):
            raise FuseError(reason)
        data.skip(self.targets[place], reason)

    def _add_results(self, search: TargetSearch) -> None:
        names = [term.name for term in self.objective.terms]
        self.results += search.results(names, self.seed)

    def _log(self, rate: float) -> None:
        found = [best for best in self.best if best is not None]
        if not found:
            return
        size = len(self.targets)
        mean = torch.tensor([[best.loss, *best.losses] for best in found]).mean(0)
        names = ["best", *(term.name for term in self.objective.terms)]
        self.log_dict(
            {f"train/{name}": value for name, value in zip(names, mean, strict=True)},
            batch_size=size,
        )
        self.log("train/candidates_per_second", rate, batch_size=size)
