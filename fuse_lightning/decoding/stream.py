"""Stream: one frozen language model with the text that it reads around a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fuse_lightning.decoding.contrast import NAMES
from fuse_lightning.decoding.readers import Row, StreamNetwork
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM


@dataclass(frozen=True, eq=False)
class Stream:
    """One language model with its prefix or chat, or one of its layers.

    Attributes:
        model: The model, which several streams may share.
        prefix: Text before every prompt, with its own white space at the end.
        chat: Whether prefix and prompt are a user's turn in the chat template of the tokenizer.
        system: Text of the system's turn; only with ``chat``. ``None`` for that of the template.
        layers: Early layers that it takes in place of the last one, see :class:`StreamNetwork`.
        temperature: Divisor of its logits.
        adapted: Whether the layers of a PEFT adapter act, if the model has any.

    Raises:
        FuseError: If a setting makes no sense.
    """

    model: CausalLM
    prefix: str = ""
    chat: bool = False
    system: str | None = None
    layers: tuple[int, ...] = ()
    temperature: float = 1.0
    adapted: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise FuseError(
                f"temperature of the stream of {self.model.model_id!r} is {self.temperature}; "
                "give a number above 0"
            )
        if self.system is not None and not self.chat:
            raise FuseError(
                f"system of the stream of {self.model.model_id!r} is {self.system!r}, and chat is "
                "off; set chat, or give the text as prefix"
            )

    @cached_property
    def network(self) -> StreamNetwork:
        """Network of the loaded model, as readers take it.

        Raises:
            FuseError: If the model has no such layer.
        """
        # In a network that reads all layers the last one is no early one.
        count = self.model.text_config.num_hidden_layers if self.layers else 0
        if wrong := [layer for layer in self.layers if not 0 <= layer < count]:
            raise FuseError(
                f"layer {wrong[0]} of {self.model.model_id!r} is no early layer; give numbers from "
                f"0 (embeddings) to {count - 1}"
            )
        return StreamNetwork(
            self.model.module,
            self.layers,
            self.temperature,
            self.adapted,
            self.model.pads_left,
        )

    def texts(self, prompts: Sequence[str]) -> list[str]:
        """Texts that the model reads up to where it begins to write.

        Raises:
            FuseError: If the tokenizer has no chat template, or the template refuses the turns.
        """
        plain = [self.prefix + prompt for prompt in prompts]
        if not self.chat:
            return plain
        tokenizer, name = self.model.tokenizer, self.model.model_id
        if not tokenizer.chat_template:
            raise FuseError(
                f"the tokenizer of {name!r} has no chat template; leave chat out, or give an "
                "instruct model"
            )
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        chats = [[*system, {"role": "user", "content": text}] for text in plain]
        try:
            written: list[str] = tokenizer.apply_chat_template(
                chats, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # A template is a program of its own, which may refuse anything.
            raise FuseError(f"the chat template of {name!r} refuses the turns: {error}") from None
        return written

    def rows(self, prompts: Sequence[str]) -> list[Row]:
        """Ids before each text.

        Raises:
            FuseError: If there are none before a text.
        """
        found = self._encode(self.texts(prompts))
        for prompt, row in zip(prompts, found, strict=True):
            if not row:
                raise FuseError(
                    f"the prompt {prompt!r} has no tokens in {self.model.model_id!r}; give a "
                    "prompt, or a model that begins with a token of its own"
                )
        return found

    def _encode(self, texts: Sequence[str]) -> list[Row]:
        batch = self.model.encode(texts)
        return [tuple(row[some].tolist()) for row, some in zip(batch.ids, batch.mask, strict=True)]

    def behind(self, prompts: Sequence[str], texts: Sequence[str]) -> list[Row]:
        """Ids of texts behind their prompts.

        They are those of prompt and text in one where the prompt keeps its own ids there, else
        those of the text alone.
        """
        begins = self.rows(prompts)
        joined = [start + text for start, text in zip(self.texts(prompts), texts, strict=True)]
        wholes = self._encode(joined)
        batch = self.model.encode(texts, special=False)
        alone = [tuple(row[some].tolist()) for row, some in zip(batch.ids, batch.mask, strict=True)]
        return [
            whole[len(begin) :] if whole[: len(begin)] == begin else text
            for begin, whole, text in zip(begins, wholes, alone, strict=True)
        ]


def check_same_tokens(streams: Sequence[Stream]) -> None:
    """Checks that all streams have the same tokens, as far as they know them.

    One may know tokens that another lacks, such as those of a chat. These are never written.

    Raises:
        FuseError: If an id stands for different tokens, or a token has different ids.
    """
    first = streams[0]
    ours = first.model.tokenizer.get_vocab()
    spelled = {index: token for token, index in ours.items()}
    for name, stream in zip(NAMES[1:], streams[1:], strict=False):
        if stream.model is first.model:
            continue
        theirs = stream.model.tokenizer.get_vocab()
        pair = f"A ({first.model.model_id}) and {name} ({stream.model.model_id})"
        for token, index in sorted(theirs.items(), key=lambda item: item[1]):
            other = spelled.get(index, token)
            if other != token or ours.get(token, index) != index:
                there = f"id {index} is {other!r} in A and {token!r} in {name}"
                if other == token:
                    there = f"{token!r} is id {ours[token]} in A and id {index} in {name}"
                raise FuseError(
                    f"the tokenizers of the streams {pair} differ: {there}; give models of one "
                    "tokenizer"
                )


def common_ids(streams: Sequence[Stream]) -> list[int]:
    """Ids of the tokens that all streams know, in order."""
    known = [{*stream.model.tokenizer.get_vocab().values()} for stream in streams]
    sizes = [stream.model.vocab_size for stream in streams]
    return sorted(index for index in set.intersection(*known) if index < min(sizes))
