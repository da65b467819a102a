"""Targets whose examples are shown in prompts, and losses of such prompts by plain forwards."""

import torch

from fuse_lightning.data import Target, TargetDataModule
from fuse_lightning.objectives import Classification
from fuse_lightning.optimizers import Demonstrations
from fuse_lightning.optimizers.racing import Racing

GOOD = ("a red star", "two dots", "a fine sky", "so red", "big and fine")
BAD = ("an ugly box", "a sad tile", "the sea", "one gray box", "so so")
WORDS = {"good": "fine", "bad": "sad"}
LAYOUT = "{prompt} {text} It was{answer}"


def examples(first, count):
    """Examples of two classes in turn."""
    return [
        {"text": (GOOD, BAD)[n % 2][n // 2 % 5], "label": ("good", "bad")[n % 2]}
        for n in range(first, first + count)
    ]


def target(train=6, select=0, name="a", first=0):
    return Target(
        name,
        examples=examples(first, train),
        select=examples(first + train, select),
        labels={label: [word] for label, word in WORDS.items()},
    )


class Given(TargetDataModule):
    """Data module of given targets."""

    def __init__(self, *given, batch_size=1):
        super().__init__(batch_size)
        self.given = given

    def all_targets(self):
        return [*self.given]


def search(model="zoo/gpt2", **options):
    """A search in which no race drops a prompt by chance."""
    given = {"count": 2, "steps": 6, "batch_size": 8, "racing": Racing(alpha=0)}
    return Demonstrations([Classification(model, LAYOUT)], **{**given, **options})


def shown(example):
    """An example as a prompt shows it."""
    return f"{example['text']} It was {WORDS[example['label']]}"


@torch.no_grad()
def plain_loss(model, prompt, asked):
    """Mean cross-entropy of examples behind a prompt, one row and word at a time."""
    losses = []
    for example in asked:
        ids = model.tokenizer(f"{prompt} {example['text']} It was", add_special_tokens=False)
        sums = []
        for word in WORDS.values():
            answer = model.tokenizer(f" {word}", add_special_tokens=False).input_ids
            row = [*model.start_ids, *ids.input_ids, *answer]
            logits = model.module(torch.tensor([row])).logits[0].double()
            likely = logits[-len(answer) - 1 : -1].log_softmax(-1)
            sums.append(likely[range(len(answer)), answer].sum())
        right = [*WORDS].index(example["label"])
        losses.append(-torch.stack(sums).log_softmax(0)[right])
    return float(torch.stack(losses).mean())
