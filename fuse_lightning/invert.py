"""Ready-made searches for prompts of pictures and texts."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks import PromptTable, PromptWriter
from fuse_lightning.callbacks.joining import joined
from fuse_lightning.data import (
    ImageTargets,
    SentimentTargets,
    TargetDataModule,
    TextTargets,
)
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import (
    Fluency,
    ImageSimilarity,
    Sentiment,
    State,
    Term,
    TextSimilarity,
)
from fuse_lightning.optimizers import GCG, AutoDAN, PromptOptimizer
from fuse_lightning.results.result import Result
from fuse_lightning.search import BeamSearch, Frontier, HistorySearch, search_of

Preset = Literal["caption", "clip", "style", "sentiment"]
Models = Literal["zoo", "hub"]
OPENING = "An image of"


@dataclass
class Growth:
    """Sizes of a search that grows captions.

    Attributes:
        beam_width: Width of the beam search.
        batch_size: Candidates of a state.
        siblings: Most prompts of the beam that extend the same one; ``None`` for no limit.
        gradient_weight: Factor of the predicted change in the ranking of tokens; 0 for proposals
            of the language model alone.
        patience: Steps without a better prompt after which a target ends.
    """

    beam_width: int
    batch_size: int
    siblings: int | None = None
    gradient_weight: float = 0.25
    patience: int = 18


@dataclass
class Setting:
    """Models and sizes of a ready-made search.

    Attributes:
        writer: Causal language model.
        clip: CLIP.
        classifier: Sentiment classifier.
        similarity: Weight of a similarity; that of fluency is 1.
        sentiment: Weight of the classifier.
        caption: Growth of captions.
        mood: Growth of captions with a mood.
        steps: Steps of AutoDAN.
        swap_steps: Steps of GCG.
        swaps: Candidates of a step of GCG.
    """

    writer: str
    clip: str
    classifier: str
    similarity: float
    sentiment: float
    caption: Growth
    mood: Growth
    steps: int
    swap_steps: int
    swaps: int


SETTINGS: dict[Models, Setting] = {
    "zoo": Setting(
        "zoo/gpt2",
        "zoo/clip",
        "zoo/sentiment",
        6,
        0.4,
        Growth(48, 20, siblings=2, gradient_weight=0, patience=5),
        Growth(16, 32),
        28,
        100,
        128,
    ),
    "hub": Setting(
        "openai-community/gpt2-medium",
        "openai/clip-vit-base-patch32",
        "cardiffnlp/twitter-roberta-base-sentiment-latest",
        22,
        1,
        Growth(4, 512),
        Growth(4, 512),
        16,
        300,
        2048,
    ),
}


class Announcer(Callback):
    """Callback that reports the prompts of each target once its search has ended.

    Args:
        found: Function that gets the prompts of a target, best first.
    """

    def __init__(self, found: Callable[[list[Result]], None]) -> None:
        self.found = found
        self.told = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Reports the results that are new since the last step."""
        results = search_of(pl_module).results
        new = results[self.told :]
        self.told = len(results)
        for _, rows in groupby(new, key=lambda result: result.target):
            self.found([*rows])


def invert(
    images: Sequence[str | Path] = (),
    text: str | None = None,
    preset: Preset = "caption",
    models: Models = "zoo",
    sentiment: str = "positive",
    top: int = 5,
    steps: int | None = None,
    seed: int = 0,
    join: bool = False,
    progress: bool = False,
    found: Callable[[list[Result]], None] | None = None,
) -> list[Result]:
    """Searches prompts for pictures, for a text, or for both together.

    Args:
        images: Pictures, folders or glob patterns.
        text: A text whose meaning the prompts shall have; with pictures, beside theirs.
        preset: "caption" writes fluent captions; "clip" finds the tokens that CLIP likes best;
            "style" does so for all pictures together; "sentiment" writes captions with a mood.
        models: "zoo" for the models of the package, "hub" for GPT-2 and CLIP from the hub.
        sentiment: Label wanted by the preset "sentiment".
        top: Prompts of each target.
        steps: Steps of the search, by default the preset's.
        seed: Seed.
        join: Whether to add the best prompts of all targets joined into one, with its losses for
            each target, as rank 0.
        progress: Whether to show a progress bar.
        found: Function that gets the prompts of each target, best first, as soon as its search
            has ended; joined prompts come last.

    Returns:
        Prompts of all targets, target by target, best first.

    Raises:
        FuseError: If there is nothing to invert, or an image or model cannot be read.
    """
    for name, value, values in (("preset", preset, Preset), ("models", models, Models)):
        if value not in get_args(values):
            raise FuseError(f"{name} is {value!r}; it must be one of {', '.join(get_args(values))}")
    if not images and text is None:
        raise FuseError("there is nothing to invert; give images or --text")
    if images and text is not None and text.endswith(".txt"):
        (text, *more) = [target.text for target in TextTargets(text).all_targets()]
        if more:
            raise FuseError("--text is a file of several texts; beside images give one")
    setting = SETTINGS[models]
    module, frontier = _search(preset, setting, bool(images), text, sentiment, top, steps, seed)
    data = _data([str(image) for image in images], text, preset, sentiment)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_epochs=1,
            # One picture more or less is no work for several devices.
            devices=1,
            logger=False,
            callbacks=[
                frontier,
                PromptTable(enabled=False),
                PromptWriter(enabled=False),
                *([] if found is None else [Announcer(found)]),
            ],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, data)
    joint = joined(module.objective, module.results, data.targets) if join else []
    if found is not None:
        for row in joint:
            found([row])
    return [*module.results, *joint]


def _data(images: list[str], text: str | None, preset: Preset, sentiment: str) -> TargetDataModule:
    if not images:
        return TextTargets(text or "")
    if preset == "sentiment":
        return SentimentTargets(sentiment, images)
    return ImageTargets(images, together=preset == "style")


def _search(
    preset: Preset,
    setting: Setting,
    images: bool,
    text: str | None,
    sentiment: str,
    top: int,
    steps: int | None,
    seed: int,
) -> tuple[PromptOptimizer, Frontier[State]]:
    fluent = preset in ("caption", "sentiment")
    opening = OPENING if fluent and images else ""
    weight = setting.similarity if fluent else 1.0
    terms: list[Term] = []
    if fluent:
        terms.append(Fluency(setting.writer, prefix=opening))
    if images:
        terms.append(ImageSimilarity(setting.clip, weight, opening))
    if text is not None:
        # Without pictures the text, or each line of a file, is a target.
        stand_in = text if images else None
        terms.append(TextSimilarity(setting.clip, weight, opening, text=stand_in))
    if preset == "sentiment":
        terms.append(Sentiment(setting.classifier, setting.sentiment, opening, label=sentiment))
    if fluent:
        growth = setting.mood if preset == "sentiment" else setting.caption
        return AutoDAN(
            terms,
            steps=setting.steps if steps is None else steps,
            batch_size=growth.batch_size,
            gradient_weight=growth.gradient_weight,
            gradient_samples=8,
            patience=growth.patience,
            # A mood often stands where a caption could end: ", how lovely".
            end_probability=0.95 if preset == "sentiment" else 0.5,
            top=top,
            seed=seed,
        ), BeamSearch(growth.beam_width, growth.siblings)
    return GCG(
        terms,
        steps=setting.swap_steps if steps is None else steps,
        batch_size=setting.swaps,
        top_k=64,
        top=top,
        seed=seed,
    ), HistorySearch()
