"""Causal language models of any architecture."""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from fuse_lightning.engine.batching import try_sharing
from fuse_lightning.engine.devices import gather_at, to_device
from fuse_lightning.engine.kv_reuse import (
    CachedRows,
    Suffixes,
    behind,
    can_stay,
    join,
    read_on,
    whole,
)
from fuse_lightning.engine.likelihood import Continuations, token_nll
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.options import ModelOptions, ModelSource, Unpack
from fuse_lightning.models.start import EXAMPLES, find_start, placed_start


class CausalLM(FrozenModel):
    """Any model that ``AutoModelForCausalLM`` reads.

    Args:
        model_id: Hub id, local folder, GGUF file (a path, or a hub id with the file's path behind
            it), or ``zoo/NAME`` for a model that comes with the package. Or a network in memory.
        start: What stands before every text, unless the text begins with it. "tokenizer" for what
            the tokenizer puts there, else its begin token, else its end token; "none"; or a text.
            "auto" is "tokenizer", except where that token marks the turns of a chat, as of some
            instruct models: there it is the one of the tokenizer's begin, end, unknown and
            padding token behind which the model finds ordinary texts likeliest.
        **options: Those of every :class:`FrozenModel`.
    """

    kind = "causal language model"
    latest: Continuations | None = None
    """What the last call of :meth:`next_log_probs` told."""

    def __init__(
        self, model_id: ModelSource, *, start: str = "auto", **options: Unpack[ModelOptions]
    ) -> None:
        super().__init__(model_id, **options)
        if not start:
            raise FuseError(f"start of {self.model_id!r} is empty; give none for no start")
        self.start = start

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two models that can share weights in memory and read texts alike."""
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
        """Likelihoods of some rows that begin alike: ordinary words, which the model knows.

        On special tokens rounding may be far larger than in any text.
        """
        rows = self.encode(EXAMPLES)
        ids, mask = rows.ids[:, : self.max_tokens], rows.mask[:, : self.max_tokens]
        if len({*map(tuple, ids.tolist())}) < len(EXAMPLES):
            # A tokenizer that does not know the words.
            count = min(self.vocab_size, 11)
            ids = torch.tensor(
                [[(5 * i + 3 * (i > 2 + row) * row) % count for i in range(7)] for row in range(4)]
            )[:, : self.max_tokens]
            mask = torch.ones_like(ids, dtype=torch.bool)
        return self.token_nll(ids, mask.index_fill(1, torch.tensor(0), False))

    @cached_property
    def start_ids(self) -> tuple[int, ...]:
        """Ids before every text, see ``start``."""
        return find_start(self, self.start)

    @cached_property
    def _opens(self) -> frozenset[int]:
        """Special tokens with which a text needs no start but its own.

        None where the tokenizer itself puts its start before any text, or the user does.
        """
        if self.start not in ("auto", "tokenizer") or placed_start(self):
            return frozenset()
        return self.vocabulary.special_ids

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Ids after which the model would stop generating."""
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
        start = self.start_ids if special else ()
        if not start:
            return plain
        longer = TokenBatch(
            torch.cat([torch.tensor(start).expand(len(texts), -1), plain.ids], dim=1),
            F.pad(plain.mask, (len(start), 0), value=True),
            F.pad(plain.spans, (0, 0, len(start), 0)),
        )
        begun = self._begun(plain)
        if not begun.any():
            return longer
        plain = TokenBatch(
            F.pad(plain.ids, (0, len(start)), value=self.pad_id),
            F.pad(plain.mask, (0, len(start))),
            F.pad(plain.spans, (0, 0, 0, len(start))),
        )
        return TokenBatch(
            torch.where(begun[:, None], plain.ids, longer.ids),
            torch.where(begun[:, None], plain.mask, longer.mask),
            torch.where(begun[:, None, None], plain.spans, longer.spans),
        )[:]

    def _begun(self, plain: TokenBatch) -> Tensor:
        """Which texts begin with their start, or with a special token that needs none."""
        start = torch.tensor(self.start_ids)
        size = len(start)
        first = plain.ids[:, :1]
        opened = torch.isin(first, torch.tensor([*self._opens])) & plain.mask[:, :1]
        if plain.ids.shape[1] < size:
            return opened.any(1)
        same = (plain.ids[:, :size] == start) & plain.mask[:, :size]
        return opened.any(1) | same.all(1)

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
        """Next-token logits at M of the tokens only: they are the dearest part of small models.

        Args:
            places: True for these tokens, shape (N, T), on the CPU.
            ids: Shape (N, T), padded on the right.
            mask: True for tokens, shape (N, T).
            embeds: Input embeddings to use instead of those of ``ids``, shape (N, T, d).
            positions: Of the tokens, shape (N, T), where rows do not begin at 0.

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
    ) -> Tensor:
        """-log P(token | all before) of the counted tokens (nats).

        No row is read beyond the token before its last counted one, and rows that agree so far
        are read once: the likelihoods of all continuations of a text cost one forward of it.

        Args:
            ids: Shape (N, T), padded on the right.
            counted: Shape (N, T), false for the first token and for padding.
            embeds: Input embeddings to use instead of those of ``ids``, shape (N, T, d).
            fixed: How many leading tokens of each row have the embeddings of their ids, and need
                no gradient, shape (N,). Without ``embeds`` all of them.

        Returns:
            Shape (N, T), float32, 0 for tokens that are not counted.
        """
        return token_nll(self, ids.cpu(), counted.cpu(), embeds, fixed)

    def forget(self) -> None:
        """Also lets go of what :meth:`next_log_probs` told."""
        super().forget()
        self.latest = None

    @property
    def reduced(self) -> bool:
        """Whether the trainer's reduced precision is at work."""
        return torch.is_autocast_enabled(self.device.type)

    @torch.no_grad()
    def next_log_probs(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities of the token after each row of ids (nats), shape (N, V).

        They are kept until the next call: :meth:`token_nll` of the rows' continuations needs no
        forward.
        """
        numbers: dict[Row, int] = {}
        chosen = [numbers.setdefault(tuple(row), len(numbers)) for row in rows]
        distinct, earlier = [*numbers], self.latest
        found: list[tuple[Tensor, Tensor]] = []

        def read(ends: Suffixes) -> None:
            there = partial(to_device, device=self.device)
            positions = None if ends.positions is None else there(ends.positions)
            ids, mask = there(ends.ids), there(ends.mask)
            log_probs = self.logits_at(ends.mask, ids, mask, None, positions).log_softmax(-1)
            last = ends.mask.sum(1).cumsum(0) - 1
            nll = torch.zeros(ids.shape, device=self.device)
            # Behind the last token of a row stands the first of the next one, which is masked.
            follows = F.pad(ends.ids, (0, 1))[:, 1:][ends.mask]
            told = log_probs.gather(1, there(follows)[:, None]).squeeze(1)
            nll[:, 1:] = -torch.zeros_like(nll).masked_scatter(mask, told)[:, :-1]
            if earlier is not None and positions is not None:
                most = int(ends.starts.max()) + 1
                before = earlier.before[there(ends.of), :most]
                places = behind(ends.starts + 1, most, nll.shape[1] - 1)
                nll = join(before, nll[:, 1:], there(places), 1)
            found.append((nll, log_probs[there(last), : self.vocab_size]))

        kept: CachedRows | None = None
        if self.shares and can_stay(self, distinct):
            kept = read_on(self, earlier.kept if earlier else None, distinct, read)
        else:
            lengths = [len(row) for row in distinct]
            self.budget.run(lengths, lambda chosen: read(whole(distinct[chosen], self.pad_id)))
        width = max(nll.shape[1] for nll, _ in found)
        before = torch.cat([F.pad(nll, (0, width - nll.shape[1])) for nll, _ in found])
        after = torch.cat([told for _, told in found])
        self.latest = Continuations(numbers, self.reduced, before, after, kept)
        return after[to_device(torch.tensor(chosen), self.device)]
