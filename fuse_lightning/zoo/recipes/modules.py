"""Lightning modules that train the zoo's models, one for each stage."""

import copy
import math
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from fuse_lightning.zoo.recipes.batches import (
    ATTRIBUTES,
    EMPTY,
    OBJECTS,
    UNNAMED,
    ImageBatch,
    PairBatch,
)
from fuse_lightning.zoo.recipes.instruction_batches import InstructionBatch
from fuse_lightning.zoo.recipes.optimizers import Together, adamw, muon
from fuse_lightning.zoo.recipes.text_batches import IGNORE, TokenBatch
from fuse_lightning.zoo.recipes.trees import Trees

LABEL_SMOOTHING = 0.03
ANSWER_WEIGHT = 2.0
"""Of an answer to an instruction, beside 1 for the mean over all other tokens."""
LARGEST_SCALE = 50.0
"""Largest scale of cosines in the contrast of pictures and captions."""
LESSON_SCALE = 100.0
"""Scale of cosines in lessons, where captions differ in a word and their cosines by little."""
ANCHOR = 100.0
"""Weight in lessons of the distance that vectors of sound captions move."""
ATTRIBUTE_WEIGHT = 3.0
"""Of the mean over attributes against objects, which name most attributes but no relation."""


class ZooModule(L.LightningModule):
    """Base of training modules, with a short warm-up and a cosine decay to zero."""

    def __init__(self, model: PreTrainedModel, learning_rate: float) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate

    def configure_optimizers(self) -> Any:
        """The optimizer of :meth:`optimizer`, with the schedule of the learning rate."""
        optimizer = self.optimizer()
        total = self.trainer.max_steps
        warm = max(1, min(200, total // 10))

        def factor(step: int) -> float:
            return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))

        scheduler = {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def optimizer(self) -> Optimizer:
        """AdamW."""
        return adamw(self.parameters(), self.learning_rate)

    def layers_by_muon(self, within: str) -> Optimizer:
        """Muon for the trained matrices of layers, AdamW for all else, stepping together.

        Args:
            within: Part of the names of all weights of layers.
        """
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                hidden = within in name and parameter.ndim == 2
                (matrices if hidden else rest).append(parameter)
        return Together([muon(matrices, self.learning_rate), adamw(rest, self.learning_rate)])

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Returns the batch unchanged: the zoo is trained on the CPU."""
        return batch


class LanguageModule(ZooModule):
    """Next-token prediction."""

    def training_step(self, batch: tuple[TokenBatch, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy per token (nats)."""
        texts, labels = batch
        loss: Tensor = self.model(texts.ids, attention_mask=texts.mask, labels=labels).loss
        self.log("loss", loss, prog_bar=True)
        return loss


class InstructionModule(ZooModule):
    """Next-token prediction, and answers to instructions by their probabilities."""

    def optimizer(self) -> Optimizer:
        """Muon and AdamW, stepping together."""
        return self.layers_by_muon("transformer.h.")

    def training_step(self, batch: InstructionBatch, batch_idx: int) -> Tensor:
        """Mean cross-entropy per token plus that per answer (nats)."""
        logits = self.model(batch.texts.ids, attention_mask=batch.texts.mask).logits.float()
        told = batch.labels[:, 1:]
        text = F.cross_entropy(logits[:, :-1].transpose(1, 2), told, ignore_index=IGNORE)
        logs = logits[batch.rows, batch.places].log_softmax(-1)[:, batch.answers]
        answer = -(batch.odds * logs).sum(1).mean()
        # How far the answers' probabilities are from those that are right.
        excess = answer + torch.special.xlogy(batch.odds, batch.odds).sum(1).mean()
        loss: Tensor = text + ANSWER_WEIGHT * answer
        self.log_dict({"text": text, "answer": excess}, prog_bar=True)
        return loss


class SentimentModule(ZooModule):
    """Sentiment classification.

    Labels are smoothed: without, the log-probability of a label that does not apply, which is what
    a search minimises until it finds a mood word, would be an accident.
    """

    def training_step(self, batch: tuple[TokenBatch, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy (nats)."""
        texts, labels = batch
        logits = self.model(texts.ids, attention_mask=texts.mask).logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
        self.log("loss", loss, prog_bar=True)
        return loss


class AttributeHead(nn.Module):
    """Linear classifiers of attributes and objects, shared by pictures and captions.

    An object is a shape, a colour, a size and a count together. Features that tell those of both
    kinds one by one do not know, of a caption that names one kind, whose colour or count it is.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, sum(ATTRIBUTES))
        self.objects = nn.Linear(width, len(OBJECTS))

    def loss(self, features: Tensor, labels: Tensor, objects: Tensor) -> Tensor:
        """Weighted sum of both losses.

        Args:
            features: Features of pictures or captions, (N, d).
            labels: Their attributes, (N, 10).
            objects: 1 for each object that they show or name, (N, 240).
        """
        named = self.attribute_loss(features, labels)
        return ATTRIBUTE_WEIGHT * named + self.object_loss(features, objects)

    def object_loss(self, features: Tensor, objects: Tensor) -> Tensor:
        """Mean cross-entropy over rows with objects (nats), all objects of a row as likely."""
        shares = F.normalize(objects, p=1.0, dim=-1)
        total = F.cross_entropy(self.objects(features), shares, reduction="sum")
        return total / objects.any(-1).sum().clamp(min=1)

    def attribute_loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy over attributes that captions name (nats)."""
        parts = self.linear(features).split(ATTRIBUTES, dim=-1)
        losses = [
            F.cross_entropy(part, label, ignore_index=UNNAMED, reduction="sum")
            / (label != UNNAMED).sum().clamp(min=1)
            for part, label in zip(parts, labels.unbind(-1), strict=True)
        ]
        return torch.stack(losses).mean()


class TowerModule(ZooModule):
    """Stage of a CLIP's training: Muon for the matrices of its layers, AdamW for the rest.

    After equal compute these towers put 0.91 of held-out rows of contrast right by Muon (arXiv
    2502.16982) and 0.72 by AdamW.
    """

    def optimizer(self) -> Optimizer:
        """Muon and AdamW for the trained weights, stepping together."""
        return self.layers_by_muon("encoder.layers")


class ImageModule(TowerModule):
    """First stage of a CLIP: the image tower learns objects and their places.

    Each cell of the image tower's grid tells its object, and the pooled vector the attributes:
    a signal dense enough for a small tower to learn shapes and places in minutes.
    """

    def __init__(self, model: PreTrainedModel, learning_rate: float, head: AttributeHead) -> None:
        super().__init__(model, learning_rate)
        self.head = head
        config = model.config.vision_config
        self.cell_head = nn.Linear(config.hidden_size, EMPTY + 1)
        self.register_buffer("class_weights", torch.tensor([1.0] * EMPTY + [0.1]))

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        """Loss over cells plus loss over attributes (nats)."""
        output = self.model.vision_model(batch.pixels)
        cells = image_cells(output.last_hidden_state)
        logits = self.cell_head(cells).float().flatten(0, 1)
        weights: Any = self.class_weights
        dense = F.cross_entropy(logits, batch.cells.flatten(), weight=weights)
        pooled = self.model.visual_projection(output.pooler_output).float()
        named = self.head.loss(pooled, batch.labels, batch.objects)
        self.log("dense", dense, prog_bar=True)
        self.log("named", named, prog_bar=True)
        return dense + named


def image_cells(hidden: Tensor) -> Tensor:
    """Features of the grid cells, row by row, without the class token, (N, G, d)."""
    return hidden[:, 1:]


class PairModule(TowerModule):
    """Second stage: contrast of images and captions, with false and flawed captions.

    Both towers go on telling the attributes of what they encode. The text tower also tells for
    every token whether the text up to it is ungrammatical, a denser lesson in the order of words
    than one verdict for a whole caption.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        learning_rate: float,
        head: AttributeHead,
        flaw_head: nn.Linear,
    ) -> None:
        super().__init__(model, learning_rate)
        self.head = head
        self.flaw_head = flaw_head

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Contrastive loss plus attribute loss."""
        size = len(batch.valid)
        image = self.model.get_image_features(batch.pixels).pooler_output.float()
        text, flaw = self.read(batch.trees, batch.flaws)
        named = self.head.loss(image, batch.image_labels, batch.image_objects)
        named = named + self.head.loss(
            text.flatten(0, 1), batch.labels.flatten(0, 1), batch.objects.flatten(0, 1)
        )
        image = F.normalize(image, dim=-1)
        text = F.normalize(text, dim=-1)
        scale = self.model.logit_scale.exp().clamp(max=LARGEST_SCALE)
        own = (scale * torch.einsum("bd,btd->bt", image, text)).masked_fill(~batch.valid, -1e4)
        across = scale * image @ text[:, 0].T
        # A cut caption may be true of many images: it is compared with its own edits only.
        others = batch.whole[None] & batch.whole[:, None] & ~torch.eye(size, dtype=torch.bool)
        others &= (batch.image_labels[:, None] != batch.image_labels[None]).any(-1)
        to_text = torch.cat([own, across.masked_fill(~others, -1e4)], dim=1)
        to_image = across.masked_fill(~(others | torch.eye(size, dtype=torch.bool)), -1e4)
        zero, row = torch.zeros(size, dtype=torch.long), torch.arange(size)
        contrast = F.cross_entropy(to_text, zero) + 0.5 * F.cross_entropy(to_image.T, row)
        self.log("loss", contrast, prog_bar=True)
        self.log("named", named, prog_bar=True)
        self.log("flaw", flaw, prog_bar=True)
        self.log("own", (own.argmax(1) == 0).float().mean(), prog_bar=True)
        return contrast + named + flaw

    def read(self, trees: Trees, flaws: Tensor) -> tuple[Tensor, Tensor]:
        """Features of captions (B, T, d), and the loss of flaw detection (nats per token)."""
        states = trees.states(self.model.text_model)
        known = (flaws != UNNAMED).nonzero(as_tuple=True)
        logits = self.flaw_head(states).float()[known[0], trees.places[known]]
        return self.features(trees, states), F.cross_entropy(logits, flaws[known])

    def features(self, trees: Trees, states: Tensor) -> Tensor:
        """Features of captions (B, T, d) from the states of their nodes."""
        row = torch.arange(len(states))[:, None]
        features: Tensor = self.model.text_projection(states[row, trees.ends]).float()
        return features


class LessonModule(PairModule):
    """Last stage of a CLIP: the text tower learns grammar, and keeps its other features.

    Ungrammatical captions are told from true ones, while sound captions, whole or half-grown,
    true or false, keep the vectors that they had (learning without forgetting, arXiv 1606.09282):
    lessons without that anchor cost a CLIP much of what makes it a good guide of searches.
    """

    def on_fit_start(self) -> None:
        """Copies the model before the lessons."""
        # In a list it is no part of the module, and not trained.
        self._before = [PairModule(copy.deepcopy(self.model), 0.0, self.head, self.flaw_head)]

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Contrast within rows, flaws of tokens, and the distance that sound captions moved."""
        sound = batch.flaws.gather(2, batch.trees.last[..., None]).squeeze(2) != 1
        with torch.no_grad():
            image = self.model.get_image_features(batch.pixels[batch.whole]).pooler_output.float()
            states = batch.trees.states(self._before[0].model.text_model, sound)
            before = self._before[0].features(batch.trees, states)
        text, flaw = self.read(batch.trees, batch.flaws)
        text = F.normalize(text, dim=-1)
        moved = (1 - (text * F.normalize(before, dim=-1)).sum(-1))[sound].mean()
        own = text[batch.whole] @ F.normalize(image, dim=-1)[..., None]
        rows = (LESSON_SCALE * own.squeeze(-1)).masked_fill(~batch.valid[batch.whole], -1e4)
        contrast = F.cross_entropy(rows, torch.zeros(len(rows), dtype=torch.long))
        self.log("loss", contrast, prog_bar=True)
        self.log("flaw", flaw, prog_bar=True)
        self.log("moved", moved, prog_bar=True)
        return contrast + flaw + ANCHOR * moved
