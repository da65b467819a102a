"""Chat models that propose prompts and judge texts; here with the package's own language models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.models.options import ModelSource


class Message(TypedDict):
    """One turn of a chat.

    Attributes:
        role: Who speaks.
        content: The text.
    """

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Reply:
    """Answer of a chat model.

    Attributes:
        text: The text.
        firsts: Log-probabilities (nats) of the likeliest first tokens, by their texts; empty where
            the model tells none.
    """

    text: str
    firsts: Mapping[str, float]


class Chat(ABC):
    """Base of models that answer a chat.

    Attributes:
        name: Name in messages, without keys.
        at_once: How many replies may be asked for at the same time, from several threads.
    """

    name: str
    at_once: int = 1

    def kept(self) -> dict[str, int]:
        """Counts that a search keeps in its checkpoints, such as requests; by default none."""
        return {}

    def restore(self, counts: Mapping[str, int]) -> None:  # noqa: B027
        """Takes the counts of :meth:`kept` from a checkpoint."""

    @abstractmethod
    def answer(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        max_tokens: int = 500,
        seed: int = 0,
        firsts: int = 0,
    ) -> Reply:
        """The model's next turn.

        Args:
            messages: Turns so far, the last of them the user's.
            temperature: Divisor of the logits; 0 always takes the likeliest token.
            max_tokens: Most tokens of the turn.
            seed: Seed of the draws.
            firsts: Number of first tokens whose log-probabilities are wanted.

        Raises:
            FuseError: If there is no reply. The line holds no key.
        """

    def reply(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        max_tokens: int = 500,
        seed: int = 0,
    ) -> str:
        """Text of :meth:`answer`."""
        return self.answer(messages, temperature=temperature, max_tokens=max_tokens, seed=seed).text


class LocalChat(Chat):
    """Chat with a causal language model, in the chat template of its tokenizer.

    A system turn that the template refuses or leaves out stands before the first user turn
    instead. Special tokens inside turns are left out, since they could end a turn.

    Args:
        model: The language model, or its id.
        top_p: Only the likeliest tokens with this probability together are written.
    """

    def __init__(self, model: ModelSource | CausalLM, top_p: float = 0.95) -> None:
        self.model = model if isinstance(model, CausalLM) else CausalLM(model)
        self.top_p = top_p
        self.name = f"the chat model {self.model.model_id!r}"

    def answer(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        max_tokens: int = 500,
        seed: int = 0,
        firsts: int = 0,
    ) -> Reply:
        """The model's next turn; see :meth:`Chat.answer`.

        Raises:
            FuseError: If the tokenizer has no chat template, the template refuses the turns, or
                they are longer than the model reads.
        """
        self.model.load()
        (row,) = self.model.encode([self.text(messages)]).rows
        written = self.model.generate(
            [row], max_tokens, temperature=temperature, top_p=self.top_p, seed=seed
        )
        likely: dict[str, float] = {}
        if firsts:
            values, ids = self.model.next_log_probs([row])[0].topk(
                min(firsts, self.model.vocab_size)
            )
            texts = self.model.decode([[index] for index in ids.tolist()])
            # Of several tokens with one text the likeliest comes first.
            for text, value in zip(texts, values.tolist(), strict=True):
                likely.setdefault(text, value)
        return Reply(self.model.decode(written.ids)[0], likely)

    def text(self, messages: Sequence[Message]) -> str:
        """Text of a chat, up to where the model begins to write.

        Raises:
            FuseError: If the tokenizer has no chat template, or it refuses the turns.
        """
        if not getattr(self.model.tokenizer, "chat_template", None):
            raise FuseError(
                f"the tokenizer of {self.model.model_id!r} has no chat template; give an instruct "
                "model as the assistant"
            )
        turns = [Message(role=turn["role"], content=self._tame(turn)) for turn in messages]
        try:
            whole = self._written(turns)
        except Exception as error:  # A template is a program of its own, which may refuse anything.
            if turns[0]["role"] != "system":
                raise self._refused(error) from None
        else:
            if turns[0]["role"] != "system" or turns[0]["content"].strip() in whole:
                return whole
        try:
            return self._written(_without_system(turns))
        except Exception as error:
            raise self._refused(error) from None

    def _written(self, turns: Sequence[Message]) -> str:
        return str(
            self.model.tokenizer.apply_chat_template(
                [*turns], tokenize=False, add_generation_prompt=True
            )
        )

    def _refused(self, error: Exception) -> FuseError:
        return FuseError(f"the chat template of {self.model.model_id!r} refuses the turns: {error}")

    def _tame(self, turn: Message) -> str:
        text = turn["content"]
        for mark in sorted(self.model.marks, key=len, reverse=True):
            text = text.replace(mark, "")
        return text


def _without_system(turns: Sequence[Message]) -> list[Message]:
    """Turns with the system's text before the first user turn."""
    system, first, *rest = turns
    return [Message(role="user", content=f"{system['content']}\n\n{first['content']}"), *rest]
