"""Lightning module that trains the zoo's reasoner."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from fuse_lightning.zoo.recipes.modules import ZooModule
from fuse_lightning.zoo.recipes.reasoning_batches import ReasoningBatch
from fuse_lightning.zoo.recipes.text_batches import IGNORE

TOLD_WEIGHT = 0.5
"""Weight of the mean over tokens of questions and prompts."""
CHAIN_WEIGHT = 3.0
"""Weight of the mean over tokens of chains."""
ANSWER_WEIGHT = 2.0
"""Weight of the mean over answers."""


class ReasoningModule(ZooModule):
    """Next-token prediction of questions, prompts and chains, and probabilities of answers."""

    def optimizer(self) -> Optimizer:
        """Muon and AdamW, stepping together."""
        return self.layers_by_muon("transformer.h.")

    def training_step(self, batch: ReasoningBatch, batch_idx: int) -> Tensor:
        """Weighted sum of mean cross-entropies of tokens and answers (nats)."""
        logits = self.model(batch.texts.ids, attention_mask=batch.texts.mask).logits.float()
        ahead = logits[:, :-1].transpose(1, 2)
        told = F.cross_entropy(ahead, batch.told[:, 1:], ignore_index=IGNORE)
        chain = F.cross_entropy(ahead, batch.chains[:, 1:], ignore_index=IGNORE)
        rows = torch.arange(len(logits))
        logs = logits[rows, batch.places].log_softmax(-1)[:, batch.answers]
        answer = -(batch.odds * logs).sum(1).mean()
        # How far the answers' probabilities are from those that are right.
        excess = answer + torch.special.xlogy(batch.odds, batch.odds).sum(1).mean()
        self.log_dict({"told": told, "chain": chain, "answer": excess}, prog_bar=True)
        loss: Tensor = TOLD_WEIGHT * told + CHAIN_WEIGHT * chain + ANSWER_WEIGHT * answer
        return loss
