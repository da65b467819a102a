"""State of one target's search: its best prompts, random stream, steps and what it has used."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Generic

import torch

from fuse_lightning.engine.meter import Work
from fuse_lightning.results.result import Result
from fuse_lightning.search.frontier import StateT
from fuse_lightning.utilities.evaluations import Evaluations

NOTHING = float("inf")
ROUNDING = 1e-5
"""Share of a loss by which two computations of it may differ."""


@dataclass
class Best(Generic[StateT]):
    """One of the best prompts of a target so far.

    Attributes:
        loss: The minimized number.
        losses: Its parts, unweighted.
        state: State of the search, such as token ids.
        prompt: The text that the state stands for.
        step: Step of the target's search in which it was found, from 1.
    """

    loss: float
    losses: list[float]
    state: StateT
    prompt: str
    step: int


@dataclass
class TargetSearch(Generic[StateT]):
    """State of the search of one target; a checkpoint holds all of it.

    Attributes:
        name: The target's id.
        digest: Digest of the target's content.
        generator: Its own random stream, the same whatever it is searched together with.
        kept: The best prompts, best first.
        step: Steps that it has had, with the present one.
        seconds: Its share of their wall time: the targets of a batch share alike.
        tokens: Its share of the positions that models read.
        flops: Its share of the models' floating-point operations.
        evaluated: Number of evaluations: prompts scored, or pairs of a prompt and an example.
        done: Whether it has ended.
        source: Source of the target, such as a path.
        curve: Steps after which the best loss was another one, each with this loss.
        own: Data that the optimizer itself keeps for the target between steps: plain
            containers, numbers and tensors. Checkpoints hold it, and it goes with the target.
    """

    name: str
    digest: str
    generator: torch.Generator
    kept: list[Best[StateT]] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    tokens: float = 0.0
    flops: float = 0.0
    evaluated: Evaluations = field(default_factory=Evaluations)
    done: bool = False
    source: str = ""
    own: dict[str, Any] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def begin(cls, name: str, digest: str, seed: int, source: str = "") -> "TargetSearch[StateT]":
        """State of a search before its first step."""
        generator = torch.Generator().manual_seed(hash_seed(seed, name))
        return cls(name, digest, generator, source=source)

    @property
    def evaluations(self) -> int:
        """Number of evaluations so far."""
        return self.evaluated.count

    @property
    def best(self) -> Best[StateT] | None:
        """The best prompt so far."""
        return self.kept[0] if self.kept else None

    def spend(self, seconds: float, work: Work, count: int) -> None:
        """Adds the target's share of what a step took, and the best loss behind it to the curve.

        Args:
            seconds: Wall time of the step.
            work: Work of the models in the step.
            count: Number of the targets that share it.
        """
        self.seconds += seconds / count
        self.tokens += work.tokens / count
        self.flops += work.flops / count
        known = self.curve[-1][1] if self.curve else NOTHING
        # A loss that was computed again may differ by rounding.
        if self.best and not math.isclose(self.best.loss, known, rel_tol=ROUNDING):
            self.curve.append((self.step, self.best.loss))

    def bar(self, top: int) -> float:
        """Loss below which a prompt is among the best ``top``."""
        return self.kept[-1].loss if len(self.kept) == top else NOTHING

    def keep(self, found: Best[StateT], top: int) -> None:
        """Adds a prompt to the best ``top``, each text once.

        Of one text that several states stand for the best is kept.
        """
        others = [best for best in self.kept if best.prompt != found.prompt]
        known = [best for best in self.kept if best.prompt == found.prompt]
        # The same state has one loss; what differs is rounding.
        if any(best.state == found.state or not found.loss < best.loss for best in known):
            return
        worst = others[-1].loss if len(others) == top else NOTHING
        if found.loss < worst:
            self.kept = sorted([*others, found], key=lambda best: best.loss)[:top]

    def results(
        self, names: Sequence[str], seed: int, ids: Callable[[StateT], list[int]]
    ) -> list[Result]:
        """The best prompts, as results.

        Args:
            names: Names of the losses.
            seed: Seed of the run.
            ids: Gives the token ids of a state; none where states have no ids.
        """
        return [
            Result(
                self.name,
                best.prompt,
                ids(best.state),
                best.loss,
                dict(zip(names, best.losses, strict=True)),
                best.step,
                seed,
                self.seconds,
                rank,
                self.done,
                self.digest,
                self.source,
                self.evaluations,
                round(self.tokens),
                self.flops,
                [*self.curve] if rank == 1 else [],
            )
            for rank, best in enumerate(self.kept, start=1)
        ]

    def check(self, name: str, losses: int, check_state: Callable[[Any], None]) -> None:
        """Checks a restored search.

        Args:
            name: The target that it must be of.
            losses: How many losses a prompt has.
            check_state: Raises an error over what is no state.

        Raises:
            TypeError, ValueError: If it is no such search.
        """
        counts = [self.step, *(best.step for best in self.kept)]
        numbers = [self.seconds, self.tokens, self.flops]
        for best in self.kept:
            numbers += [best.loss, *best.losses]
        for step, loss in self.curve:
            counts, numbers = [*counts, step], [*numbers, loss]
        if self.name != name or not isinstance(self.digest, str) or self.done is not False:
            raise ValueError(f"it is no search of {name!r} that goes on")
        if not all(type(count) is int and count >= 0 for count in counts):
            raise TypeError("a step is no count")
        if not all(isinstance(number, float | int) for number in numbers):
            raise TypeError("a loss is no number")
        if not isinstance(self.own, dict) or not isinstance(self.source, str):
            raise TypeError("a part is of another kind")
        for best in self.kept:
            if not isinstance(best.prompt, str) or len(best.losses) != losses:
                raise ValueError("a prompt is of another objective")
            check_state(best.state)

    def state_dict(self) -> dict[str, Any]:
        """The search as plain containers and tensors."""
        # Generic classes note their parameters in an instance, which no checkpoint can hold.
        kept = [
            {each.name: getattr(best, each.name) for each in fields(best)} for best in self.kept
        ]
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return own | {
            "kept": kept,
            "generator": self.generator.get_state(),
            "evaluated": self.evaluated.state_dict(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "TargetSearch[StateT]":
        """Restores a search from its :meth:`state_dict`."""
        generator = torch.Generator()
        generator.set_state(state["generator"].cpu())
        kept = [Best[StateT](**best) for best in state["kept"]]
        evaluated = Evaluations.from_state(state["evaluated"])
        return cls(**state | {"kept": kept, "generator": generator, "evaluated": evaluated})


def hash_seed(seed: int, name: str) -> int:
    """Seed of one target, the same on every machine and rank.

    >>> hash_seed(0, "red.png")
    8212381477205117838
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1
