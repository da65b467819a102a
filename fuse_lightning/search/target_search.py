"""What is known of one target while its prompt is searched for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fuse_lightning.objectives import State
from fuse_lightning.results.result import Result


@dataclass
class Best:
    """One of the best prompts of a target so far."""

    loss: float
    losses: list[float]
    state: State
    prompt: str
    step: int


@dataclass
class TargetSearch:
    """The search of one target so far.

    Attributes:
        name: The target's id.
        digest: Of the target's content.
        generator: Its own random stream, the same whatever it is searched together with.
        kept: The best prompts, best first.
        step: Steps that it has had, with the present one.
        seconds: Its share of their wall time: the targets of a batch share alike.
        done: Whether it has ended.
        source: What the target is of.
    """

    name: str
    digest: str
    generator: torch.Generator
    kept: list[Best] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    done: bool = False
    source: str = ""

    @classmethod
    def begin(cls, name: str, digest: str, seed: int, source: str = "") -> "TargetSearch":
        """A search that has had no step."""
        generator = torch.Generator().manual_seed(hash_seed(seed, name))
        return cls(name, digest, generator, source=source)

    @property
    def best(self) -> Best | None:
        """The best prompt so far."""
        return self.kept[0] if self.kept else None

    def keep(self, found: Best, top: int) -> None:
        """Remembers a prompt if it is among the best ``top``, each text once.

        Of one text that several ids spell the best is kept.
        """
        others = [best for best in self.kept if best.prompt != found.prompt]
        known = [best for best in self.kept if best.prompt == found.prompt]
        # The same ids have one loss; what differs is rounding.
        if any(best.state == found.state or not found.loss < best.loss for best in known):
            return
        worst = others[-1].loss if len(others) == top else float("inf")
        if found.loss < worst:
            self.kept = sorted([*others, found], key=lambda best: best.loss)[:top]

    def results(self, terms: Sequence[str], seed: int) -> list[Result]:
        """The best prompts, as results.

        Args:
            terms: Names of the terms.
            seed: Seed of the run.
        """
        return [
            Result(
                self.name,
                best.prompt,
                list(best.state),
                best.loss,
                dict(zip(terms, best.losses, strict=True)),
                best.step,
                seed,
                self.seconds,
                rank,
                self.done,
                self.digest,
                self.source,
            )
            for rank, best in enumerate(self.kept, start=1)
        ]

    def check(self, name: str, vocab_size: int, terms: int) -> None:
        """Checks a restored search.

        Raises:
            TypeError, ValueError: If it is not of the target ``name``, or of another objective.
        """
        counts = [self.step, *(best.step for best in self.kept)]
        losses = (loss for best in self.kept for loss in (best.loss, *best.losses))
        numbers = [self.seconds, *losses]
        if self.name != name or not isinstance(self.digest, str) or self.done is not False:
            raise ValueError(f"it is no search of {name!r} that goes on")
        if not all(type(count) is int and count >= 0 for count in counts):
            raise TypeError("a step is no count")
        if not all(isinstance(number, float | int) for number in numbers):
            raise TypeError("a loss is no number")
        for best in self.kept:
            if not isinstance(best.prompt, str) or len(best.losses) != terms:
                raise ValueError("a prompt is of another objective")
            if not all(type(token) is int and 0 <= token < vocab_size for token in best.state):
                raise ValueError("a token is none of the primary's")

    def state_dict(self) -> dict[str, Any]:
        """Plain containers and tensors."""
        kept = [vars(best) | {"state": list(best.state)} for best in self.kept]
        return vars(self) | {"kept": kept, "generator": self.generator.get_state()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "TargetSearch":
        """Restores :meth:`state_dict`."""
        generator = torch.Generator()
        generator.set_state(state["generator"].cpu())
        kept = [Best(**{**best, "state": tuple(best["state"])}) for best in state["kept"]]
        return cls(**state | {"kept": kept, "generator": generator})


def hash_seed(seed: int, name: str) -> int:
    """A seed for one target, the same on every machine and rank."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1
