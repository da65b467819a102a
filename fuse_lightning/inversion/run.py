"""Prompts of pictures and texts by one call."""

import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from threading import current_thread, main_thread
from typing import Any, get_args

import lightning as L

from fuse_lightning.callbacks import PromptTable, PromptWriter
from fuse_lightning.callbacks.joining import joined
from fuse_lightning.data import ImageTargets, SentimentTargets, TargetDataModule, TextTargets
from fuse_lightning.data.in_memory import ImageSource, listed
from fuse_lightning.data.module import OnError
from fuse_lightning.errors import FuseError
from fuse_lightning.inversion.announcer import Announcer, ErrorStreamBar, Found
from fuse_lightning.inversion.drawn import tell_unlike_scenes
from fuse_lightning.inversion.from_hub import tell_of_hub
from fuse_lightning.inversion.given import sorted_out
from fuse_lightning.inversion.search import Wish, check_used, search, used_models
from fuse_lightning.inversion.settings import ROLES, Models, Preset, is_of_zoo, setting_of
from fuse_lightning.inversion.sidecars import Sidecars
from fuse_lightning.inversion.strays import check_no_text, without_strays
from fuse_lightning.models import CLIP, CausalLM, Classifier, TextEncoder
from fuse_lightning.models.options import ModelSource
from fuse_lightning.results.result import Result
from fuse_lightning.utilities.interrupts import interruption
from fuse_lightning.utilities.option_names import option
from fuse_lightning.utilities.silence import silence

ADDRESS = ("http://", "https://")


def invert(
    targets: ImageSource | Sequence[ImageSource] = (),
    text: str | None = None,
    preset: Preset = "caption",
    *,
    images: ImageSource | Sequence[ImageSource] = (),
    models: Models | None = None,
    writer: ModelSource | CausalLM | None = None,
    clip: ModelSource | CLIP | None = None,
    encoder: ModelSource | TextEncoder | None = None,
    classifier: ModelSource | Classifier | None = None,
    weights: Mapping[str, float] | None = None,
    sentiment: str = "positive",
    top: int = 5,
    steps: int | None = None,
    seed: int = 0,
    join: bool = False,
    sidecar: bool = False,
    force: bool = False,
    progress: bool = False,
    found: Found | None = None,
    skipped: Callable[[str, str], None] | None = None,
) -> list[Result]:
    """Searches prompts for pictures, for texts, or for pictures and a text together.

    Nothing is printed, and no file is written but sidecars. The package's own models know drawn
    scenes only: where they are used, a log message names a picture or a text of another kind.

    Args:
        targets: A picture, a text, or a list of either: a PIL image; an array or tensor (height x
            width, or with 1, 3 or 4 colours, bytes or floats from 0 to 1); a path, folder, glob
            pattern, address or data set as of :class:`ImageTargets`; a text. A ``str`` is taken for
            a picture's name if something of that name exists or it ends like a picture or a table,
            otherwise for a text; one that ends in ``.txt`` is a file with a text a line.
        text: A text whose meaning the prompts shall have; with pictures, beside theirs.
        preset: "caption" writes fluent captions; "clip" finds the tokens that CLIP likes best;
            "style" does so for all pictures together; "sentiment" writes captions with a mood.
        images: Pictures whose names are never taken for texts.
        models: Where models come from that are not named: "zoo" for those of the package, "hub" for
            GPT-2, CLIP and RoBERTa from the hub; by default "hub" as soon as one is named that does
            not come with the package.
        writer: Causal language model of the captions: hub id, folder, GGUF file, or in memory.
        clip: CLIP that compares prompts with pictures.
        encoder: Sentence encoder or CLIP that compares prompts with texts; by default the CLIP.
        classifier: Sentiment classifier.
        weights: Weight of some terms by name: fluency, image_similarity, text_similarity,
            sentiment.
        sentiment: Label wanted by the preset "sentiment".
        top: Prompts of each target.
        steps: Steps of the search, by default the preset's.
        seed: Seed.
        join: Whether to add the best prompts of all targets joined into one, with its losses for
            each target, as rank 0.
        sidecar: Whether to write the best prompt of each picture beside it, as ``NAME.txt``.
        force: Whether ``sidecar`` may replace files.
        progress: Whether to show a progress bar on standard error.
        found: Function that gets the prompts of each target, best first, as soon as its search
            has ended; joined prompts come last.
        skipped: Function that gets the id and the reason of each target that could not be read,
            at the end; a log message names it before. Without one, such a target is an error.

    Returns:
        Prompts of all targets, target by target, best first.

    Raises:
        FuseError: If there is nothing to invert, an option is wrong, or an image or model cannot
            be read.
        KeyboardInterrupt: If the user interrupts it; ``found`` then also gets the best prompts of
            the target under way, with ``finished`` false.
    """
    if preset not in get_args(Preset):
        raise FuseError(
            f"{option('preset')} is {preset!r}; it must be one of {', '.join(get_args(Preset))}"
        )
    named = dict(zip(ROLES, (writer, clip, encoder, classifier), strict=True))
    setting = setting_of(models, named)
    pictures, texts = sorted_out(without_strays(listed(targets)))
    pictures += without_strays(listed(images))
    check_no_text(pictures)
    if text is not None and not pictures:
        texts, text = [*texts, text], None
    if not pictures and not texts:
        raise FuseError(f"there is nothing to invert; give images or {option('text')}")
    if texts and pictures:
        raise FuseError(f"{texts[0]!r:.60} is a text beside pictures; give it as {option('text')}")
    beside = None if text is None else _one_text(text)
    wish = Wish(
        *(preset, bool(pictures), bool(texts), beside, sentiment),
        *(weights or {}, top, steps, seed),
    )
    check_used(wish, named)
    module, frontier = search(wish, setting)
    data = _data(wish, pictures, texts, "raise" if skipped is None else "skip")
    data.setup("fit")
    sidecars = [Sidecars(data.targets, force)] if sidecar else []
    used = used_models(wish, setting)
    if models is None:
        tell_of_hub({role: model for role, model in used.items() if named[role] is None})
    if of_zoo := {role: named[role] is not None for role in used if is_of_zoo(used[role])}:
        tell_unlike_scenes(data.targets, beside, of_zoo)
    with silence(), tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            max_epochs=1,
            # One picture more or less is no work for several devices.
            devices=1,
            logger=False,
            callbacks=[
                frontier,
                PromptTable(enabled=False),
                PromptWriter(enabled=False),
                *sidecars,
                *([] if found is None else [Announcer(found)]),
                *([ErrorStreamBar()] if progress else []),
            ],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        _fit(trainer, module, data)
        joint = joined(module.objective, module.results, data.targets) if join else []
    if found is not None:
        for row in joint:
            found([row])
    if skipped is not None:
        for name, reason in data.skipped.items():
            skipped(name, reason)
    return [*module.results, *joint]


def _fit(trainer: L.Trainer, module: L.LightningModule, data: TargetDataModule) -> None:
    """Runs a search; an interrupt stays one, and the next one is heard."""
    before = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, data)
    except SystemExit as end:
        # Lightning makes an exit of it, which would end a notebook's kernel.
        if interruption(end) is signal.SIGINT:
            raise KeyboardInterrupt from end
        raise
    finally:
        if current_thread() is main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)


def _one_text(text: str) -> str:
    if not text.endswith(".txt"):
        return text
    (first, *more) = [target.text or "" for target in TextTargets(text).all_targets()]
    if more:
        raise FuseError(f"{option('text')} is a file of several texts; beside images give one")
    return first


def _data(wish: Wish, pictures: list[Any], texts: list[str], on_error: OnError) -> TargetDataModule:
    if texts:
        return TextTargets(texts, on_error=on_error)
    if wish.preset == "sentiment":
        return SentimentTargets(
            wish.sentiment, pictures, urls=_named_by_address(pictures), on_error=on_error
        )
    return ImageTargets(
        pictures,
        together=wish.preset == "style",
        urls=_named_by_address(pictures),
        on_error=on_error,
    )


def _named_by_address(pictures: list[Any]) -> bool:
    """Whether the user named a picture by an address, which is to be fetched then."""
    return any(isinstance(each, str) and each.startswith(ADDRESS) for each in pictures)
