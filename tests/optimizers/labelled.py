"""Targets of labelled texts, and their loss by plain forwards of a network, one row at a time."""

import torch
from torch.nn import functional as F

from fuse_lightning.data import Target
from fuse_lightning.data.module import TargetDataModule
from tests.factories.terms import Labels

WORDS = ["good", "bad"]
TEXTS = {
    "stars": [("a red star", 0), ("two tiles", 1), ("a circle", 0)],
    "snow": [("the snow above", 1), ("lovely teal", 0)],
}


def term(model, **options):
    """A classification term over the targets."""
    return Labels(model, WORDS, layout="{text} {prompt} It was{answer}", **options)


class LabelledTexts(TargetDataModule):
    """Targets whose metadata hold labelled texts."""

    def all_targets(self):
        """The targets, in order."""
        return [Target(name, metadata={"examples": texts}) for name, texts in TEXTS.items()]


class Plain:
    """Loss of a prompt at any embeddings of its tokens, with the network of a loaded model."""

    def __init__(self, model):
        self.model = model
        self.table = model.module.get_input_embeddings().weight.detach()

    def ids(self, text):
        return self.model.tokenizer(text, add_special_tokens=False).input_ids

    def loss(self, name, points):
        """Mean cross-entropy over the target's texts; ``points`` of shape (L, d)."""
        losses = []
        for text, label in TEXTS[name]:
            sums = []
            for word in WORDS:
                head = [*self.model.start_ids, *self.ids(text)]
                middle, answer = self.ids(" It was"), self.ids(f" {word}")
                rest = self.table[torch.tensor([*middle, *answer])]
                row = torch.cat([self.table[torch.tensor(head)], points, rest])
                logits = self.model.module(inputs_embeds=row[None]).logits[0]
                likely = logits[-len(answer) - 1 : -1].log_softmax(-1)
                sums.append(likely[range(len(answer)), answer].sum())
            losses.append(F.cross_entropy(torch.stack(sums), torch.tensor(label)))
        return torch.stack(losses).mean()

    def loss_of(self, name, state):
        """Loss of a prompt."""
        with torch.no_grad():
            return float(self.loss(name, self.table[torch.tensor(state)]))

    def gradient(self, name, state):
        """Gradient at the embeddings of a prompt's tokens, shape (L, d)."""
        points = self.table[torch.tensor(state)].clone().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self.loss(name, points), points)[0]
