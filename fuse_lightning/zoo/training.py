"""Rebuilds the zoo's four models from a seed, with Lightning."""

import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    ConvNextConfig,
    ConvNextModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    VisionTextDualEncoderModel,
)

from fuse_lightning.zoo.batches import (
    ATTRIBUTES,
    LABELS,
    UNTOLD,
    Endless,
    PairBatch,
    TokenBatch,
    pair_batch,
    sentence_batch,
    sentiment_batch,
)
from fuse_lightning.zoo.render import IMAGE_SIZE
from fuse_lightning.zoo.tokenizers import (
    WORD_PIECES,
    clip_tokenizer,
    gpt2_tokenizer,
    word_piece_tokenizer,
)

STEPS = {"gpt2": 2500, "clip": 2600, "sentiment": 1200, "clip-judge": 1800}
BATCH = {"gpt2": 128, "clip": 128, "sentiment": 64, "clip-judge": 128}
LEARNING_RATE = {"gpt2": 2e-3, "clip": 1e-3, "sentiment": 1e-3, "clip-judge": 1e-3}
LARGEST_SCALE = 50.0


class ZooModule(L.LightningModule):
    """A model with AdamW, a short warm-up and a cosine decay to zero."""

    def __init__(self, model: PreTrainedModel, learning_rate: float) -> None:
        super().__init__()
        self.model = model
        self.learning_rate = learning_rate

    def configure_optimizers(self) -> Any:
        """AdamW; norms and biases do not decay."""
        decayed = [p for p in self.parameters() if p.ndim > 1]
        rest = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.98))
        total = self.trainer.max_steps
        warm = max(1, min(200, total // 10))

        def factor(step: int) -> float:
            return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))

        scheduler = {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Batches stay where they are: the zoo is trained on the CPU."""
        return batch


class LanguageModule(ZooModule):
    """Next-token prediction."""

    def training_step(self, batch: tuple[TokenBatch, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy per token (nats)."""
        texts, labels = batch
        loss: Tensor = self.model(texts.ids, attention_mask=texts.mask, labels=labels).loss
        self.log("loss", loss, prog_bar=True)
        return loss


class SentimentModule(ZooModule):
    """Sentiment classification."""

    def training_step(self, batch: tuple[TokenBatch, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy (nats)."""
        texts, labels = batch
        loss: Tensor = self.model(texts.ids, attention_mask=texts.mask, labels=labels).loss
        self.log("loss", loss, prog_bar=True)
        return loss


class PairModule(ZooModule):
    """Contrast of images and captions, with one-attribute edits as hard negatives.

    Both towers also tell the attributes of what they encode through one shared linear head, which
    is dropped after training: the dense signal makes small models learn shapes and counts fast.
    """

    def __init__(self, model: PreTrainedModel, learning_rate: float) -> None:
        super().__init__(model, learning_rate)
        self.head = nn.Linear(model.config.projection_dim, sum(ATTRIBUTES))

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Contrastive loss plus attribute loss."""
        size, choices = batch.valid.shape
        image = self.model.get_image_features(batch.pixels).pooler_output.float()
        text = self.model.get_text_features(
            batch.texts.ids, attention_mask=batch.texts.mask
        ).pooler_output.float()
        told = self._attribute_loss(image, batch.image_labels) + self._attribute_loss(
            text, batch.labels.flatten(0, 1)
        )
        image = F.normalize(image, dim=-1)
        text = F.normalize(text, dim=-1).view(size, choices, -1)
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
        self.log("told", told, prog_bar=True)
        self.log("own", (own.argmax(1) == 0).float().mean(), prog_bar=True)
        return contrast + told

    def _attribute_loss(self, features: Tensor, labels: Tensor) -> Tensor:
        parts = self.head(features).split(ATTRIBUTES, dim=-1)
        losses = [
            F.cross_entropy(part, label, ignore_index=UNTOLD, reduction="sum")
            / (label != UNTOLD).sum().clamp(min=1)
            for part, label in zip(parts, labels.unbind(-1), strict=True)
        ]
        return torch.stack(losses).mean()


def gpt2(seed: int) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerBase]:
    """A GPT-2 of 3 layers and width 128."""
    tokenizer = gpt2_tokenizer(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_embd=128,
        n_layer=3,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config), tokenizer


def clip(seed: int) -> tuple[CLIPModel, PreTrainedTokenizerBase]:
    """A CLIP: 3 causal text layers and 4 image layers of width 128, patches of 8 px."""
    tokenizer = clip_tokenizer(seed)
    shape = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_attention_heads": 4,
        "hidden_act": "gelu",
    }
    text = {
        **shape,
        "num_hidden_layers": 3,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**shape, "num_hidden_layers": 4, "image_size": IMAGE_SIZE, "patch_size": 8}
    return CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)
    ), tokenizer


def clip_judge(seed: int) -> tuple[VisionTextDualEncoderModel, PreTrainedTokenizerBase]:
    """Another kind of CLIP: a ConvNeXt beside a bidirectional BERT."""
    tokenizer = word_piece_tokenizer(seed, WORD_PIECES["clip-judge"])
    text = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    vision = ConvNextConfig(
        image_size=IMAGE_SIZE,
        patch_size=4,
        hidden_sizes=[48, 96, 160],
        depths=[2, 2, 2],
        num_stages=3,
    )
    vision.hidden_size = vision.hidden_sizes[-1]
    model = VisionTextDualEncoderModel(
        vision_model=ConvNextModel(vision), text_model=BertModel(text)
    )
    return model, tokenizer


def image_processor() -> CLIPImageProcessorPil:
    """Scales to the pictures' size and to [-1, 1], as :func:`batches.pixels` does."""
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessorPil(size=size, do_center_crop=False, image_mean=half, image_std=half)


def sentiment(seed: int) -> tuple[BertForSequenceClassification, PreTrainedTokenizerBase]:
    """A BERT of 2 layers and width 96 over three labels."""
    tokenizer = word_piece_tokenizer(seed, WORD_PIECES["sentiment"])
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    return BertForSequenceClassification(config), tokenizer


RECIPES: dict[str, tuple[Any, Any, type[ZooModule]]] = {
    "gpt2": (gpt2, sentence_batch, LanguageModule),
    "clip": (clip, pair_batch, PairModule),
    "sentiment": (sentiment, sentiment_batch, SentimentModule),
    "clip-judge": (clip_judge, pair_batch, PairModule),
}


def train_model(name: str, out: Path, seed: int = 0, steps: int | None = None) -> float:
    """Trains one model and saves it as a transformers folder.

    Args:
        name: One of ``RECIPES``.
        out: The folder to write.
        seed: Seed of weights and data.
        steps: Training steps, by default those of the shipped weights.

    Returns:
        Seconds taken.
    """
    start = time.perf_counter()
    build, make_batch, module = RECIPES[name]
    L.seed_everything(seed, verbose=False)
    model, tokenizer = build(seed)
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            # The fused kernel's backward is several times slower on short texts on a CPU.
            part.set_attn_implementation("eager")
    data = Endless(partial(make_batch, tokenizer, BATCH[name]), f"train-{name}-{seed}")
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed",
        max_steps=steps or STEPS[name],
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    loader = DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=8)
    trainer.fit(module(model, LEARNING_RATE[name]), loader)
    # Half precision halves the package; loading turns it back to float32.
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    if module is PairModule:
        image_processor().save_pretrained(out)
    return time.perf_counter() - start
