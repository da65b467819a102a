"""Encoder-decoder language models, such as T5, Flan-T5 and BART."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, PretrainedConfig
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

from fuse_lightning.engine.answers import answer_nll
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.limits import NO_LIMIT, longest_input
from fuse_lightning.models.start import placed_start


class Seq2SeqLM(FrozenModel):
    """Encoder-decoder language model that ``AutoModelForSeq2SeqLM`` reads.

    Its encoder reads a text, and its decoder writes the answer as a text of its own. It measures
    prompts, and no search has gradients of it.
    """

    kind = "language model with encoder and decoder"

    @property
    def auto_class(self) -> Any:
        """The transformers auto class of encoder-decoder language models."""
        return AutoModelForSeq2SeqLM

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether the auto class maps the configuration to an encoder with a decoder."""
        return is_seq2seq(config)

    def prepare(self) -> None:
        """Checks that the decoder has a start."""
        if not self.start_ids:
            raise FuseError(
                f"{self.model_id!r} does not say with which token its decoder starts; add "
                "decoder_start_token_id to its config.json"
            )

    @cached_property
    def start_ids(self) -> tuple[int, ...]:
        """Ids that the decoder reads before every answer.

        Its start token, and behind it what the tokenizer puts before a text, as BART's ``<s>``.
        """
        settings = (self.module.generation_config, self.module.config)
        starts = [getattr(each, "decoder_start_token_id", None) for each in settings]
        known = [start for start in starts if start is not None]
        return (known[0], *placed_start(self)) if known else ()

    @property
    def text_config(self) -> PretrainedConfig:
        """Configuration of the encoder, or of the whole network where there is one for both."""
        config = self.module.config
        encoder = getattr(config, "encoder", None)
        return (encoder if isinstance(encoder, PretrainedConfig) else config).get_text_config()

    @cached_property
    def max_tokens(self) -> int:
        """Longest text in tokens, special ones included.

        Relative positions, as of T5, set no limit. There it is what the tokenizer says, else the
        length that the model was trained on, where its configuration names one.
        """
        limit, config = self.tokenizer.model_max_length, self.text_config
        fixed = getattr(config, "max_encoder_position_embeddings", None) or NO_LIMIT
        trained = getattr(config, "n_positions", None) or NO_LIMIT
        limit = min(trained if limit >= NO_LIMIT else limit, fixed)
        return longest_input(self.module, config, limit)

    def encode_answers(self, answers: Sequence[str]) -> list[tuple[int, ...]]:
        """Ids of answers, without special tokens.

        An answer begins a text of its own: white space before it is dropped, and SentencePiece
        puts its mark there. So `` great`` and ``great`` are one answer.

        Raises:
            FuseError: If an answer has no token, one that stands for what is unknown, or more than
                the decoder reads.
        """
        rows = super().encode([answer.lstrip() for answer in answers], special=False).rows
        unknown = self.tokenizer.unk_token_id
        most = self.max_tokens - len(self.start_ids) + 1
        for answer, row in zip(answers, rows, strict=True):
            if not row or unknown in row or max(row) >= self.vocab_size:
                what = "no token for a part of it" if row else "no token for it"
                raise FuseError(
                    f"the answer {answer!r} cannot be read by {self.model_id!r}, which has {what}; "
                    "give another word"
                )
            if len(row) > most:
                raise FuseError(
                    f"the answer {answer!r:.60} has {len(row)} tokens, more than the {most} that "
                    f"{self.model_id!r} reads; shorten it"
                )
        return rows

    @torch.no_grad()
    def answer_nll(self, texts: TokenBatch, answers: Sequence[str]) -> Tensor:
        """-log P(answer | text), summed over the answer's tokens (nats).

        The end token behind an answer is not scored, as an answer may go on. Each distinct text
        is encoded once, whatever the number of its answers. There are no gradients.

        Args:
            texts: N texts from :meth:`encode`, no longer than :attr:`max_tokens`.
            answers: Answer to each of them.

        Returns:
            Shape (N,), float32; lower is likelier.

        Raises:
            FuseError: If the model cannot read an answer.
        """
        distinct = [*dict.fromkeys(answers)]
        ids = dict(zip(distinct, self.encode_answers(distinct), strict=True))
        return answer_nll(self, texts.rows, [ids[answer] for answer in answers], self.start_ids)

    def encoder_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Last states of the encoder.

        Args:
            ids: Shape (N, T), padded on the right.
            mask: True for tokens, shape (N, T).

        Returns:
            Shape (N, T, d).
        """
        encoder = self.module.get_encoder()
        states: Tensor = encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return states

    def decoder_logits(self, states: Tensor, seen: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Next-token logits of the decoder.

        Args:
            states: States of the text of each row, shape (N, T, d).
            seen: True for the tokens of the text, shape (N, T).
            ids: What the decoder reads, its start first, shape (N, L), padded on the right.
            mask: True for tokens of it, shape (N, L).

        Returns:
            Shape (N, L, W), float32. W is the width of the network's output, which may exceed V;
            the rows beyond take their share of the probability.
        """
        output = self.module(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=seen.long(),
            decoder_input_ids=ids,
            decoder_attention_mask=mask.long(),
            use_cache=False,
        )
        logits: Tensor = output.logits.float()
        return logits


def is_seq2seq(config: PretrainedConfig) -> bool:
    """Whether a configuration is of an encoder with a decoder, both of which read text.

    Example:
        >>> from transformers import BartConfig, GPT2Config, T5Config
        >>> [is_seq2seq(kind()) for kind in (T5Config, BartConfig, GPT2Config)]
        [True, True, False]
    """
    # The auto class also maps models that hear and write, which have no encoder of texts.
    known = type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    return known and bool(getattr(config, "is_encoder_decoder", False))
