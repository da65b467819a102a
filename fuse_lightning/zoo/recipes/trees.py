"""Token trees of a picture's captions, which share the computation of common beginnings."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModel

from fuse_lightning.zoo.recipes.text_batches import TokenBatch

GROUPS = 8
"""Number of forwards for the trees of a batch, each padded to its own largest tree."""
MULTIPLE = 8
"""Divisor of padded tree sizes, as each new shape would need kernels of its own."""


@dataclass
class Trees:
    """Token trees of B pictures, each of T captions of at most L tokens.

    A token of a causal text tower depends on those before it alone, so captions that begin alike
    share these nodes. Nodes are numbered from the root on, caption by caption.

    ``ids`` (B, N) are the nodes' tokens, ``sees`` (B, N, N) says which nodes lie on the way to a
    node (padding sees itself), ``places`` (B, T, L) gives the node of each token, -1 for padding.
    """

    ids: Tensor
    sees: Tensor
    places: Tensor

    @property
    def last(self) -> Tensor:
        """Index of the last token of each caption, (B, T)."""
        return (self.places >= 0).sum(-1) - 1

    @property
    def ends(self) -> Tensor:
        """The node of each caption's last token, (B, T)."""
        return self.places.gather(2, self.last[..., None]).squeeze(2)

    def states(self, model: CLIPTextModel, captions: Tensor | None = None) -> Tensor:
        """Hidden states of the text tower at each node, (B, N, d).

        Reads trees in order of size, some at a time.

        Args:
            model: The text tower.
            captions: Which captions are asked for (B, T), all by default; nodes that none of them
                needs may be left at zero.
        """
        places = self.places if captions is None else self.places * captions[..., None]
        counts = places.amax((1, 2)) + 1
        order = counts.argsort()
        parts = []
        for rows in order.chunk(GROUPS):
            size = _rounded(int(counts[rows[-1]]))
            sees = self.sees[rows, :size, :size]
            states = model.embeddings.token_embedding(self.ids[rows, :size])
            # A token's position is how many come before it.
            states = states + model.embeddings.position_embedding(sees.sum(-1) - 1)
            mask = states.new_zeros(sees.shape).masked_fill(~sees, -1e9)[:, None]
            states = model.encoder(inputs_embeds=states, attention_mask=mask).last_hidden_state
            states = model.final_layer_norm(states)
            parts.append(F.pad(states, (0, 0, 0, self.ids.shape[1] - size)))
        return torch.cat(parts)[order.argsort()]


def grow(texts: TokenBatch, size: int) -> Trees:
    """Token trees of ``size`` pictures, whose captions lie row after row in ``texts``."""
    lengths = texts.mask.sum(-1).tolist()
    rows = [ids[:length] for ids, length in zip(texts.ids.tolist(), lengths, strict=True)]
    captions = len(rows) // size
    known: list[dict[tuple[int, int], int]] = [{} for _ in range(size)]
    places = np.full(texts.ids.shape, -1)
    for number, row in enumerate(rows):
        nodes, parent = known[number // captions], -1
        for place, token in enumerate(row):
            parent = nodes.setdefault((parent, token), len(nodes))
            places[number, place] = parent
    largest = _rounded(max(map(len, known)))
    ids = np.zeros((size, largest), int)
    sees = np.broadcast_to(np.eye(largest, dtype=bool), (size, largest, largest)).copy()
    for number, nodes in enumerate(known):
        ids[number, : len(nodes)] = [token for _, token in nodes]
        for node, (parent, _) in enumerate(nodes):
            if parent >= 0:
                sees[number, node] |= sees[number, parent]
    return Trees(
        torch.from_numpy(ids),
        torch.from_numpy(sees),
        torch.from_numpy(places).view(size, captions, -1),
    )


def _rounded(size: int) -> int:
    return -(-size // MULTIPLE) * MULTIPLE
