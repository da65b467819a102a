"""Answers of made-up prompts to labelled examples."""

import torch

from fuse_lightning.evaluation.judging import Answers


def labels(examples, classes=2, seed=0):
    """Random right classes."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randint(classes, (examples,), generator=generator)


def answers(name, labels, share, text=None, select=None, classes=2, seed=0):
    """Answers of a prompt that is right with a chance, each example by itself."""
    generator = torch.Generator().manual_seed(seed)
    right = torch.rand(len(labels), generator=generator) < share
    shift = torch.randint(1, classes, (len(labels),), generator=generator)
    likeliest = torch.where(right, labels, (labels + shift) % classes)
    sure = torch.rand(len(labels), classes, generator=generator) * 0.4
    sure[torch.arange(len(labels)), likeliest] += 0.5
    return Answers(
        name,
        name if text is None else text,
        sure / sure.sum(1, keepdim=True),
        share if select is None else select,
    )
