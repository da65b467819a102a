"""Contrastive decoding by stock ``generate`` without any cache of its own, and its inputs."""

import torch
from transformers import LogitsProcessor

from fuse_lightning.decoding.processor import as_streams
from tests.decoding.alone import log_probs_alone

MODES = {
    "greedy": {},
    "sampling": {"do_sample": True, "top_k": 0},
    "samples": {"do_sample": True, "top_k": 0, "num_return_sequences": 3},
    "warped": {"do_sample": True, "top_k": 9, "top_p": 0.9, "temperature": 0.8},
    "beams": {"num_beams": 4, "num_return_sequences": 2},
    "beam_sample": {"num_beams": 3, "do_sample": True, "top_k": 0},
}


def rows(*lengths, seed=0):
    """Random rows of ids that every family has."""
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.randint(3, 60, (n,), generator=generator).tolist()) for n in lengths]


def padded(some):
    """Rows padded on the left, and their mask, as ``generate`` takes them."""
    width = max(map(len, some))
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in some])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in some])
    return {"input_ids": ids, "attention_mask": mask}


def generate(network, some, seed=0, **options):
    """What ``network.generate`` writes behind rows, list by list."""
    torch.manual_seed(seed)
    options = {"max_new_tokens": 6, "do_sample": False, **options}
    given = padded(some)
    found = network.generate(**given, **options)
    return found[:, given["input_ids"].shape[1] :].tolist()


class Recomputing(LogitsProcessor):
    """Reference: each row of each stream is read alone, from its first token, at each call.

    Args:
        streams: All streams, that of the generating network first.
        contrast: Rule that joins them.
        prompts: For each stream the rows before the texts.
    """

    def __init__(self, streams, contrast, prompts):
        self.streams, self.contrast, self.prompts = as_streams(streams), contrast, prompts
        self.width = max(map(len, prompts[0]))

    def __call__(self, input_ids, scores):
        times = len(input_ids) // len(self.prompts[0])
        written = input_ids[:, self.width :].tolist()
        grown = [
            [(*some[number // times], *new) for number, new in enumerate(written)]
            for some in self.prompts
        ]
        found = self.contrast.scores(log_probs_alone(self.streams, grown).float())
        joined = torch.full_like(scores, -torch.inf)
        joined[:, : found.shape[1]] = found
        return joined
