"""Best prompts for labelled examples and questions in the formats of other tools."""

from collections.abc import Mapping
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks.writer import PromptWriter
from fuse_lightning.data.answer_kinds import guess
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.answering import has_answers
from fuse_lightning.objectives import Classification, Objective, Reasoning
from fuse_lightning.objectives.layout import Layout, parse
from fuse_lightning.objectives.questions import EXTRACTOR
from fuse_lightning.objectives.verbalizers import Verbalizers
from fuse_lightning.results.portable import Part, Portable, files, safe_name
from fuse_lightning.results.portable_reasoning import PortableReasoning
from fuse_lightning.search import search_of
from fuse_lightning.search.lightning_glue import data_of
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.terminal import quoted, visible


class PortablePrompts(Callback):
    """Callback that writes the best prompt for examples with answers as other tools read it.

    At the end of a search it writes ``prompt.txt``, ``prompt.template.txt``, ``chat.json`` and
    ``gepa.json`` beside ``prompts.jsonl``; for labelled examples also ``dspy.json`` and
    ``promptfoo.yaml``, for questions ``reasoning.json`` and a task of lm-eval. For several targets
    they lie in a folder each below ``portable``. The layout is that of the search's first
    ``Classification`` or ``Reasoning``. Where no ``prompts.jsonl`` is written, neither are they.

    Args:
        enabled: Whether to write.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the files.

        Raises:
            FuseError: If one cannot be written.
        """
        objective: object = getattr(pl_module, "objective", None)
        data = data_of(trainer)
        folder = _folder(trainer)
        if not (self.enabled and folder and data and isinstance(objective, Objective)):
            return
        kinds = Classification, Reasoning
        term = next((term for term in objective.terms if isinstance(term, kinds)), None)
        targets = [target for target in data.targets if has_answers(target)]
        if term is None or not targets:
            return
        best = {row.target: row.prompt for row in search_of(pl_module).results if row.rank == 1}
        for target in targets:
            if target.id in best:
                place = folder / "portable" / safe_name(target.id) if len(targets) > 1 else folder
                _write(place, files_of(term, target, best[target.id]))
        where = folder / "portable" if len(targets) > 1 else folder / "prompt.txt"
        print(visible(f"wrote {where} and other formats of the prompts"))


def _folder(trainer: L.Trainer) -> Path | None:
    """The folder that results are written to by this process."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    writer = next((each for each in callbacks if isinstance(each, PromptWriter)), None)
    if writer is None or writer.folder is None or not trainer.is_global_zero:
        return None
    return writer.folder.path


def files_of(term: Classification | Reasoning, target: Target, prompt: str) -> dict[str, str]:
    """Content of each file about a prompt of a target, by its name.

    Args:
        term: The loaded term.
        target: The target, whose test examples are told.
        prompt: The prompt.
    """
    if isinstance(term, Reasoning):
        return portable_reasoning(term, target, prompt).files()
    return files(portable(term, target, prompt))


def portable_reasoning(term: Reasoning, target: Target, prompt: str) -> PortableReasoning:
    """A prompt of a target with questions in the layout of a loaded term; see :func:`files_of`."""
    turns = None
    if not isinstance(term.given, str):
        turns = [(turn["role"], _parts(Layout((*parse(turn["content"]),)))) for turn in term.given]
    limits = ("max_chain_tokens", "max_answer_tokens", "temperature")
    return PortableReasoning(
        name=f"fuse_{safe_name(target.id)}",
        prompt=prompt,
        form=_parts(term.form.without_answer()),
        turns=turns,
        extractor=term.extractor or target.extractor or EXTRACTOR,
        kind=target.answer or guess([each["label"] for each in target.seen], target.labels),
        labels=target.labels,
        limits={name: getattr(term, name) for name in limits},
        examples=target.test,
    )


def portable(term: Classification, target: Target, prompt: str) -> Portable:
    """A prompt of a target in the layout of a loaded term.

    Args:
        term: The term.
        target: The target, whose test examples are told.
        prompt: The prompt.
    """
    assert term.layout is not None
    turns = None
    if not isinstance(term.layout, str):
        read = [(turn["role"], _before(Layout((*parse(turn["content"]),)))) for turn in term.layout]
        # Of a chat's answer only its beginning is said.
        turns = [(role, parts) for role, parts in read if parts]
    words = Verbalizers.read(target, term.words, term.name)
    return Portable(
        prompt,
        _before(term.form),
        turns,
        {
            name: [word for word, of in zip(words.words, words.of, strict=True) if of == number]
            for number, name in enumerate(words.classes)
        },
        target.test,
    )


def _before(layout: Layout) -> list[Part]:
    """Parts of a layout before its answer."""
    form = Classification.up_to_answer(layout).without_answer() if layout.pieces else layout
    return _parts(form)


def _parts(layout: Layout) -> list[Part]:
    return [Part(piece.text, piece.name) for piece in layout.pieces]


def _write(folder: Path, found: Mapping[str, str]) -> None:
    for name, text in found.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)
        except OSError as error:
            raise FuseError(
                f"{quoted(path)} cannot be written ({error.strerror or error}); make room or "
                "allow writing there; all prompts are in prompts.jsonl"
            ) from error
