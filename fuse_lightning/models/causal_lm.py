"""Causal language models of any architecture."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from fuse_lightning.engine.continuations import nested_log_probs, next_log_probs
from fuse_lightning.engine.devices import gather_at
from fuse_lightning.engine.generate import Generation, generate
from fuse_lightning.engine.likelihood import token_nll
from fuse_lightning.engine.row_cache import RowCache
from fuse_lightning.engine.sampling import Sampling
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.engine.trials import try_left_padding, try_sharing
from fuse_lightning.engine.writing import Limits
from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.options import ModelOptions, ModelSource, Unpack
from fuse_lightning.models.start import begin, example_rows, find_openings, find_start
from fuse_lightning.models.stop_texts import StopTexts


class CausalLM(FrozenModel):
    """Causal language model that ``AutoModelForCausalLM`` reads.

    Args:
        model_id: Hub id, local folder, GGUF file (a path, or a hub id with the file's path behind
            it), or ``zoo/NAME`` for a model that comes with the package. Or a network in memory.
        start: Start of every text, unless the text begins with it. "tokenizer" for what
            the tokenizer puts there, else its begin token, else its end token; "none"; or a text.
            "auto" is "tokenizer", except where that token marks the turns of a chat, as of some
            instruct models: there it is the one of the tokenizer's begin, end, unknown and
            padding token behind which the model finds ordinary texts likeliest.
        **options: Options of every :class:`FrozenModel`.
    """

    kind = "causal language model"

    def __init__(
        self, model_id: ModelSource, *, start: str = "auto", **options: Unpack[ModelOptions]
    ) -> None:
        super().__init__(model_id, **options)
        if not start:
            raise FuseError(f"start of {self.model_id!r} is empty; give none for no start")
        self.start = start

    @property
    def key(self) -> tuple[object, ...]:
        """Key that is equal for two models that can share weights and read texts alike."""
        return (*super().key, self.start)

    @property
    def auto_class(self) -> Any:
        """The transformers auto class of causal language models."""
        return AutoModelForCausalLM

    def accepts(self, config: PretrainedConfig) -> bool:
        """Whether the auto class maps the configuration to a network."""
        return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING

    @torch.no_grad()
    def prepare(self) -> None:
        """Checks that logits do not depend on later tokens."""
        # Masked language models load as causal ones too, and would see what they predict.
        ids = torch.tensor([[0, 0], [0, 1]], device=self.device)
        first = self.logits(ids, torch.ones_like(ids))[:, 0]
        if (first[0] - first[1]).abs().max() > 1e-2 * first.abs().max():
            raise FuseError(
                f"{self.model_id!r} is no {self.kind}: its {type(self.module).__name__} reads "
                "later tokens; give a model trained to continue text"
            )
        try_sharing(self, self._example)

    def _example(self) -> Tensor:
        """Likelihoods of example rows, whose change would show that sharing is not exact."""
        rows = example_rows(self)
        return self.token_nll(rows.ids, rows.mask.index_fill(1, torch.tensor(0), False))

    @cached_property
    def start_ids(self) -> tuple[int, ...]:
        """Ids before every text, see ``start``."""
        return find_start(self, self.start, self.token_nll)

    @cached_property
    def openings(self) -> frozenset[int]:
        """Special tokens that make a text need no other start."""
        return find_openings(self, self.start)

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids after which the model stops generating."""
        ids = self.module.generation_config.eos_token_id
        ids = ids if isinstance(ids, list) else [ids]
        known = {*ids, self.tokenizer.eos_token_id} - {None}
        return tuple(sorted(index for index in known if index < self.vocab_size))

    def encode(self, texts: Sequence[str], *, special: bool = True) -> TokenBatch:
        """Tokens of whole texts, behind :attr:`start_ids` unless ``special`` is false.

        So a text begins the same whether or not the tokenizer itself puts a token there. A text
        that begins with them already gets no second ones, nor one that begins with a special
        token, such as a chat, where the tokenizer puts nothing there itself.
        """
        plain = super().encode(texts, special=False)
        if not special or not self.start_ids:
            return plain
        return begin(plain, self.start_ids, self.openings, self.pad_id)

    def logits(self, ids: Tensor, mask: Tensor, embeds: Tensor | None = None) -> Tensor:
        """Next-token logits.

        Args:
            ids: Shape (N, T), padded on the right.
            mask: True for tokens, shape (N, T).
            embeds: Input embeddings to use instead of those of ``ids``, shape (N, T, d).

        Returns:
            Shape (N, T, W), float32. W is the width of the network's output, which may exceed V;
            the rows beyond take their share of the probability.
        """
        with self.embeddings_replaced(embeds):
            output = self.module(input_ids=ids, attention_mask=mask.long(), use_cache=False)
        logits: Tensor = output.logits.float()
        return logits

    def logits_at(
        self,
        places: Tensor,
        ids: Tensor,
        mask: Tensor,
        embeds: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Next-token logits at M of the tokens only, to save time in small models.

        Args:
            places: True for these tokens, shape (N, T), on the CPU.
            ids: Shape (N, T), padded on the right.
            mask: True for tokens, shape (N, T).
            embeds: Input embeddings to use instead of those of ``ids``, shape (N, T, d).
            positions: Positions of the tokens, shape (N, T), if rows do not begin at 0.

        Returns:
            Shape (M, W), float32, in the order of rows and then of tokens.
        """
        head: nn.Module | None = self.module.get_output_embeddings()
        given = {} if positions is None else {"position_ids": positions}
        handle = head and head.register_forward_pre_hook(
            lambda _, inputs: gather_at(inputs[0], places).unsqueeze(0)
        )
        try:
            with self.embeddings_replaced(embeds):
                output = self.module(
                    input_ids=ids, attention_mask=mask.long(), use_cache=False, **given
                )
        finally:
            if handle:
                handle.remove()
        logits: Tensor = output.logits[0] if handle else gather_at(output.logits, places)
        return logits.float()

    def token_nll(
        self,
        ids: Tensor,
        counted: Tensor,
        embeds: Tensor | None = None,
        fixed: Tensor | None = None,
        cache: RowCache | None = None,
        *,
        alike: Tensor | None = None,
    ) -> Tensor:
        """-log P(token | all before) of the counted tokens (nats).

        No row is read beyond the token before its last counted one, and rows that agree so far
        are read once: the likelihoods of all continuations of a text cost one forward of it.

        Args:
            ids: Shape (N, T), padded on the right.
            counted: Shape (N, T), false for the first token and for padding.
            embeds: Input embeddings to use instead of those of ``ids``, shape (N, T, d).
            fixed: Leading tokens of each row that have the embeddings of their ids, and need no
                gradient, shape (N,). Without ``embeds`` all of them.
            cache: Cache from :meth:`generate`: rows that extend its texts are computed from there.
            alike: Number of each row, shape (N,). With ``embeds``, rows of one number have equal
                embeddings where their ids agree, and what they begin with is read once.

        Returns:
            Shape (N, T), float32, 0 for tokens that are not counted.
        """
        return token_nll(self, ids.cpu(), counted.cpu(), embeds, fixed, cache, alike)

    @property
    def reduced(self) -> bool:
        """Whether the trainer's reduced precision is active."""
        return torch.is_autocast_enabled(self.device.type)

    @torch.no_grad()
    def next_log_probs(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities of the token after each row of ids (nats), shape (N, V).

        They are kept: :meth:`token_nll` of the rows' continuations needs no forward next.
        """
        return next_log_probs(self, rows)

    def nested_log_probs(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities of the token after each row of ids (nats), shape (N, V).

        Rows that others begin with are read with these, such as all beginnings of a text in one
        forward over it. What :meth:`next_log_probs` has kept stays.
        """
        return nested_log_probs(self, rows)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        samples: int = 1,
        seed: int = 0,
        streams: Sequence[int] | None = None,
        stop_ids: Sequence[int] | None = None,
        stop: Sequence[str] = (),
        keep_stop: bool = False,
        then: Sequence[int] = (),
        then_tokens: int = 0,
        cache: bool = False,
    ) -> Generation:
        """Texts that the model writes behind prompts, token by token.

        Args:
            prompts: Ids of each, of any lengths.
            max_new_tokens: Most tokens of a text. A text also ends at :attr:`max_tokens`, prompt
                included.
            temperature: Divisor of the logits; 0 always takes the likeliest token.
            top_k: Only so many of the likeliest tokens may be written; ``None`` for all.
            top_p: Only the likeliest tokens with this probability together may be written.
            samples: How many texts to write behind each prompt.
            seed: Seed. A text depends on it, its prompt's stream and its number, and nothing else.
            streams: A number for each prompt; by default its place among the prompts.
            stop_ids: Ids that end a text; by default :attr:`end_ids`.
            stop: Texts that end a text as soon as it spells one of them.
            keep_stop: Whether a text keeps the stop that ended it. Without it a token that spells
                the end of the text and the beginning of the stop goes with the stop.
            then: Ids that follow a text that has ended, in place of a stop id. A stop text stays.
            then_tokens: Most tokens that the model writes behind these, always the likeliest.
            cache: Whether to keep keys and values for :meth:`token_nll`, in the result's
                ``cache``: at most as many positions as the budget has. :meth:`forget` frees them.

        Raises:
            FuseError: If an option makes no sense, or a prompt is empty, too long, or holds ids
                that there are no tokens for.
        """
        ends = self.end_ids if stop_ids is None else stop_ids
        text = StopTexts(self, stop) if stop else None
        limits = Limits(
            *(max_new_tokens, self.max_tokens, frozenset(ends), text, keep_stop),
            *(tuple(then), then_tokens),
        )
        sampling = Sampling(temperature, top_k, top_p)
        rows = [tuple(prompt) for prompt in prompts]
        return generate(self, rows, limits, sampling, samples, seed, streams, cache)

    @cached_property
    def pads_left(self) -> bool:
        """Whether transformers' ``generate`` handles left-padded rows like single rows."""
        batch = example_rows(self)
        rows = [tuple(row[some].tolist()) for row, some in zip(batch.ids, batch.mask, strict=True)]
        return try_left_padding(self, [row[: len(row) - n] for n, row in enumerate(rows)])
