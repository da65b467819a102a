"""Proposer that asks a chat model for prompts on which two models diverge."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

import torch

from fuse_lightning.diffing.chat import Chat, Message
from fuse_lightning.diffing.proposer import Proposer
from fuse_lightning.diffing.replies import LONGEST_PROMPT, prompts_in
from fuse_lightning.diffing.specification import Specification, read_specification
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.numbers import check_number
from fuse_lightning.utilities.terminal import visible

logger = logging.getLogger(__name__)

COUNT = "{count}"
"""Place of the number of prompts in a request."""
COUNTS = ("asked", "failed", "empty", "dropped")
"""Counts of a proposer that its checkpoints hold."""
CHAT = "chat."
"""Beginning of the names of the chat model's own counts."""
SEEDS = 2**31
"""Number of seeds that a chat model may be given."""
Scores = Literal["shown", "shuffled", "hidden"]


class Scored(Protocol):
    """Prompt with its divergence."""

    @property
    def prompt(self) -> str:
        """The prompt."""

    @property
    def divergence(self) -> float:
        """Divergence of the two models behind it (nats)."""


class ChatProposer(Proposer):
    """Proposer that shows a chat model prompts with their divergences, and asks for better ones.

    It never ends a search. What fails is counted and said once: a chat model that gives no reply,
    a reply without prompts.

    Args:
        chat: The chat model.
        specification: What it is told; or the path of a specification file, or the name of one
            that comes with the package.
        scores: Whether divergences are shown, shown at random places, or hidden. Prompts come in
            the order of what is shown, and in random order without scores: so an ablation gives
            nothing away.
        examples: Whether prompts that were tried are shown at all.
        temperature: Temperature of the chat model.
        max_tokens: Most tokens of a reply.
        longest: Longest prompt, in characters. Longer ones of a reply are dropped; longer ones
            that were tried are shown without their end.

    Attributes:
        asked: Number of requests.
        failed: Number of requests without a reply.
        empty: Number of replies without prompts.
        dropped: Number of items of replies that were no usable prompts.
    """

    def __init__(
        self,
        chat: Chat,
        specification: Specification | str = "style",
        *,
        scores: Scores = "shown",
        examples: bool = True,
        temperature: float = 1.0,
        max_tokens: int = 1000,
        longest: int = LONGEST_PROMPT,
    ) -> None:
        if scores not in ("shown", "shuffled", "hidden"):
            raise FuseError(f"scores is {scores!r}; give shown, shuffled or hidden")
        check_number("temperature", temperature, 0)
        check_number("max_tokens", max_tokens, 1)
        check_number("longest", longest, 1)
        self.chat = chat
        self.specification = (
            specification
            if isinstance(specification, Specification)
            else read_specification(specification)
        )
        self.scores = scores
        self.examples = examples
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.longest = longest
        self.asked = self.failed = self.empty = self.dropped = 0
        self._told: set[str] = set()

    def propose(
        self, examples: Sequence[Scored], count: int, generator: torch.Generator
    ) -> list[str]:
        """New prompts, at most ``count``; none if the chat model gives none.

        Args:
            examples: Prompts that were tried, in any order.
            count: Number of prompts that are wanted.
            generator: Draws the seed of the chat model, and the order of an ablation.
        """
        known = [each for each in examples if math.isfinite(each.divergence)]
        # The same draws whatever is shown: ablations differ in nothing else.
        order = torch.randperm(len(known), generator=generator).tolist()
        seed = int(torch.randint(SEEDS, (), generator=generator))
        messages = self.messages(known, count, order)
        self.asked += 1
        try:
            reply = self.chat.reply(
                messages, temperature=self.temperature, max_tokens=self.max_tokens, seed=seed
            )
        except FuseError as error:
            self.failed += 1
            self._tell(str(error), f"the assistant proposes no prompts: {error}")
            return []
        found = prompts_in(reply, self.longest)
        self.dropped += found.dropped
        if not found.texts:
            self.empty += 1
            self._tell(
                "", f"{self.chat.name} replies without prompts; its reply begins {reply[:60]!r}"
            )
        return [*found.texts[:count]]

    def kept(self) -> dict[str, int]:
        """The counts of requests and replies, and those of the chat model."""
        own = {name: getattr(self, name) for name in COUNTS}
        return own | {f"{CHAT}{name}": count for name, count in self.chat.kept().items()}

    def restore(self, counts: Mapping[str, int]) -> None:
        """Takes the counts of a checkpoint, so that limits of the chat model hold on."""
        for name in COUNTS:
            setattr(self, name, counts.get(name, 0))
        chat = {name for name in counts if name.startswith(CHAT)}
        self.chat.restore({name.removeprefix(CHAT): counts[name] for name in chat})

    def messages(
        self, examples: Sequence[Scored], count: int, order: Sequence[int]
    ) -> list[Message]:
        """Turns that ask for prompts.

        Args:
            examples: Prompts that were tried, with finite divergences.
            count: Number of prompts that are wanted.
            order: Numbers of the examples in random order, for ablations.
        """
        told = self.specification
        listed = self._listed(examples, order) if self.examples else ""
        system = [told.system_start, told.system_loop if listed else "", told.system_end]
        user = [told.user_start, *([told.user_loop, listed] if listed else []), told.user_end]
        turns: list[Message] = []
        # What was tried may hold the mark of the count itself.
        if text := _joined(part.replace(COUNT, str(count)) for part in system):
            turns.append({"role": "system", "content": text})
        text = _joined(part if part is listed else part.replace(COUNT, str(count)) for part in user)
        turns.append({"role": "user", "content": text})
        return turns

    def _listed(self, examples: Sequence[Scored], order: Sequence[int]) -> str:
        """Lines of the prompts that were tried, most divergent first."""
        if self.scores == "hidden":
            shown = [(examples[n].prompt, math.nan) for n in order]
        else:
            givers = order if self.scores == "shuffled" else range(len(examples))
            shown = [
                (each.prompt, examples[giver].divergence)
                for each, giver in zip(examples, givers, strict=True)
            ]
            shown.sort(key=lambda pair: -pair[1])
        lines = []
        for number, (prompt, divergence) in enumerate(shown, 1):
            score = "" if math.isnan(divergence) else f" (divergence {digits(divergence)} nats)"
            text = json.dumps(_cut(prompt, self.longest), ensure_ascii=False)
            lines.append(f"prompt {number}{score}: {text}")
        return "\n".join(lines)

    def _tell(self, kind: str, line: str) -> None:
        """Says what failed, once for each kind."""
        if kind not in self._told:
            self._told.add(kind)
            logger.warning("%s", visible(line))


def digits(value: float) -> str:
    """Number with three digits, in nats and never rescaled: so that progress can be seen.

    >>> digits(0.12345), digits(12.0), digits(1234.5), digits(0.0)
    ('0.123', '12.0', '1234', '0.00')
    """
    size = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, 2 - size)}f}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part.strip())
