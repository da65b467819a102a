"""Base of searches for prompts with two streams, whose prompts are kept in a bank."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks.defaults import missing_callbacks
from fuse_lightning.data import Target
from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.opening import StreamOptions, open_streams
from fuse_lightning.decoding.run_identity import content_identity, streams_identity
from fuse_lightning.diffing.prompt_bank import PromptBank
from fuse_lightning.diffing.proposals import Collected, Proposal
from fuse_lightning.diffing.proposer import Proposer, kept_by_all, restore_all
from fuse_lightning.engine.meter import Work
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.optimizers.description import models_work
from fuse_lightning.search import GreedySearch, SearchModule
from fuse_lightning.search.lightning_glue import callbacks_of, frontiers_of
from fuse_lightning.utilities.identity import Identity


class BankSearch(SearchModule[str]):
    """Base of searches for texts by two streams A and B, with a :class:`PromptBank`.

    A subclass sets ``a`` and ``b``, and ``proposed`` to ``{}``, in its constructor.

    Attributes:
        a: Options of stream A.
        b: Options of stream B.
        proposers: Proposers of texts, whose counts checkpoints keep; none in some searches.
        decoder: The two loaded streams, which write by A.
        proposed: What is about to be scored, by place of the target and prompt.
    """

    persists = True
    proposers: Sequence[Proposer] = ()
    a: StreamOptions
    b: StreamOptions
    proposed: dict[tuple[int, str], Proposal]

    @abstractmethod
    def collected(self, place: int) -> Collected:
        """New prompts of a target, drawn from its random stream."""

    @abstractmethod
    def load_parts(self, decoder: ContrastiveDecoder, device: torch.device | str) -> None:
        """Loads what the search needs beside the streams.

        Args:
            decoder: The two loaded streams.
            device: Device of further models.
        """

    def configure_callbacks(self) -> Sequence[Callback]:
        """Adds missing callbacks, such as the bank and result files.

        Raises:
            FuseError: If the frontier is no :class:`PromptBank`, or the prompts are to be measured
                by the objective that this search does not have.
        """
        name = type(self).__name__
        if self.trainer.state.fn in ("validate", "test"):
            raise FuseError(
                f"{name} measures its prompts itself, by fresh texts at its end; read "
                "prompts.jsonl in the run's folder, or search again with more final_samples"
            )
        for frontier in frontiers_of(self.trainer):
            if not isinstance(frontier, PromptBank):
                raise FuseError(
                    f"{name} keeps its prompts in a PromptBank, and "
                    f"trainer.callbacks hold {type(frontier).__name__}; give PromptBank"
                )
        missing = missing_callbacks(callbacks_of(self.trainer))
        return [PromptBank() if isinstance(each, GreedySearch) else each for each in missing]

    def setup(self, stage: str) -> None:
        """Loads the models of a search on the trainer's device."""
        super().setup(stage)
        if stage == "fit":
            self.load(self.trainer.strategy.root_device)

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models, and checks that they go together; a second call does nothing.

        Raises:
            FuseError: If a model cannot be read, or the tokenizers differ.
        """
        if hasattr(self, "decoder"):
            return
        options = [replace(each, device=each.device or str(device)) for each in (self.a, self.b)]
        decoder = ContrastiveDecoder(open_streams(options), Contrast((1, 0)), top=0)
        self.load_parts(decoder, device)
        self.decoder = decoder

    @property
    def bank(self) -> PromptBank:
        """The bank of the trainer."""
        found: Any = self.frontier
        assert isinstance(found, PromptBank)
        return found

    def kept_counts(self) -> dict[str, int]:
        """Counts of the proposers, such as the requests of a chat model."""
        return kept_by_all(self.proposers)

    def take_counts(self, counts: Mapping[str, int]) -> None:
        """Takes the counts of the proposers from a checkpoint."""
        restore_all(self.proposers, counts)

    def models(self) -> list[FrozenModel]:
        """All loaded models."""
        return [stream.model for stream in self.decoder.ensemble.streams]

    def own_identity(self, *, content: bool) -> Identity:
        """Identity of the streams."""
        found = streams_identity([self.a, self.b], ("A", "B"), 0)
        return found | (content_identity(self.decoder.ensemble.streams) if content else {})

    def settings(self) -> dict[str, Any]:
        """The models of the streams."""
        return {"a": self.a.model, "b": self.b.model}

    def shared(self) -> Sequence[object]:
        """The frozen models."""
        return self.models()

    def spent(self) -> Work:
        """Work of the models so far."""
        return models_work(self.models())

    def propose(self, states: list[list[str]]) -> list[list[str]]:
        """New prompts of each target, none of them a near-duplicate of a known one.

        The first of several devices proposes for all: a chat model is asked once.
        """
        leads = self.team.leads
        made = [self.collected(n) if each and leads else None for n, each in enumerate(states)]
        made = self.team.first(made)
        self.proposed = {}
        for place, found in enumerate(made):
            if found is not None:
                self.bank.refuse(place, found.refused)
                self.searches[place].generator.set_state(found.random)
                self.proposed |= {(place, each.prompt): each for each in found.proposals}
        return [[each.prompt for each in found.proposals] if found else [] for found in made]

    def shares_targets(self, targets: Sequence[Target]) -> bool:
        """Whether several devices share out the prompts of each step: they always do."""
        return True

    def figures(self) -> dict[str, float]:
        """Best and mean divergence of the bank, its diversity, and refused near-duplicates."""
        return self.bank.figures()

    def check_state(self, state: Any) -> None:
        """Checks that a state is a prompt.

        Raises:
            TypeError: If it is no text.
        """
        if not isinstance(state, str):
            raise TypeError(f"{state!r} is no prompt")
