"""Re-tokenized first tokens of prompts behind another prefix."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fuse_lightning.adapters.maps import fit_map
from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.frames import Ids


@dataclass(eq=False)
class Openings:
    """Ids that each of V tokens becomes where its text begins a prompt.

    Attributes:
        model: The model that reads.
        ids: For each token the ids, most often one.
    """

    model: FrozenModel
    ids: list[Ids]

    @classmethod
    def find(cls, model: FrozenModel, prefix: Ids, before: str) -> "Openings":
        """Re-tokenizes the text of every token; a token without text stays itself.

        Args:
            model: The loaded model.
            prefix: Ids of the text before the prompt, without special ones that the model puts
                there itself.
            before: The text before the prompt.
        """
        words = [piece.strip() for piece in model.pieces]
        spelt = [index for index, word in enumerate(words) if word and "\ufffd" not in word]
        ids: list[Ids] = [(index,) for index in range(len(words))]
        size = len(prefix)
        rows = model.words.read([f"{before}{words[index]}" for index in spelt])
        for index, row in zip(spelt, rows, strict=True):
            if tuple(row.ids[:size]) == prefix and len(row.ids) > size:
                ids[index] = tuple(row.ids[size:])
        return cls(model, ids)

    @cached_property
    def first(self) -> Tensor:
        """First id of each token, shape (V,), on the model's device."""
        return torch.tensor([ids[0] for ids in self.ids], device=self.model.device)

    @cached_property
    def table(self) -> Tensor:
        """Mean embedding of each token's ids, shape (V, d), float32."""
        known = self.model.embedding_table.float()
        counts = torch.tensor([len(ids) for ids in self.ids])
        flat = torch.tensor([index for ids in self.ids for index in ids])
        rows = torch.arange(len(counts)).repeat_interleave(counts)
        there = known[to_device(flat, known.device)]
        sums = torch.zeros_like(known).index_add_(0, to_device(rows, known.device), there)
        return sums / to_device(counts, known.device)[:, None]

    @cached_property
    def map(self) -> Tensor:
        """Linear map from tokens' embeddings to :attr:`table`, shape (1, 1, d, d)."""
        known = self.model.embedding_table.float()
        with torch.autocast(known.device.type, enabled=False):
            return fit_map("least_squares", known[:, None], self.table[:, None])
