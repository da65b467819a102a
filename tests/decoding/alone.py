"""Streams read without any cache: each row alone, from its first token."""

import torch

from fuse_lightning.decoding.processor import as_streams
from tests.decoding import oracle


@torch.no_grad()
def logits_alone(stream, row):
    """Logits of the next token behind one row, shape (W,), as one stream gives them."""
    output = stream.network(torch.tensor([row]), use_cache=False, output_hidden_states=True)
    last = output.logits[0, -1].double()
    if stream.layers:
        head = stream.network.get_output_embeddings()
        early = [head(output.hidden_states[layer][0, -1]).double() for layer in stream.layers]
        cap = getattr(stream.network.config, "final_logit_softcapping", None)
        if cap:
            early = [cap * (each / cap).tanh() for each in early]
        number, _ = oracle.furthest([each.tolist() for each in early], last.tolist())
        last = early[number] if len(early) > 1 else early[0]
    return last / stream.temperature


def log_probs_alone(streams, rows):
    """Log-probabilities by each stream, shape (S, N, V) for the smallest head.

    Args:
        streams: Networks or streams.
        rows: For each stream its N rows.
    """
    found = []
    for stream, some in zip(as_streams(streams), rows, strict=True):
        found.append([logits_alone(stream, row) for row in some])
    width = min(len(logits) for some in found for logits in some)
    return torch.stack(
        [torch.stack([logits[:width].log_softmax(-1) for logits in some]) for some in found]
    )
