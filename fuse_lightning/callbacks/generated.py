"""Pictures of found prompts for an evaluation, for ``--generate`` and ``--judge``."""

import warnings

from lightning.pytorch.callbacks import Callback

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.generation import PipelineGenerator, generator_of
from fuse_lightning.evaluation.generation.measures import (
    Editability,
    EditKeeps,
    GeneratedSimilarity,
    GeneratedText,
    GenerationSeconds,
    ReferenceSimilarity,
    Studio,
    Undrawn,
)
from fuse_lightning.evaluation.measures import Measure
from fuse_lightning.evaluation.sources import TARGETS
from fuse_lightning.evaluation.table import Figures
from fuse_lightning.models import CLIP, TextEncoder
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.loading import resolve
from fuse_lightning.objectives import Objective


class GeneratedPictures(Callback):
    """Callback with which the trainer's :class:`Evaluation` makes pictures of the prompts again.

    The figures are similarity of the made and the target's pictures, similarity of the made
    pictures and their prompt, what an exchanged noun changes, and seconds. A sentence encoder
    compares prompts with references.

    Args:
        generator: Text-to-image pipeline of diffusers (hub id or folder), or "zoo/scenes", which
            draws the scene that a prompt describes; ``None`` for no pictures.
        judge: CLIP that judges pictures, one that took no part in the search; for "zoo/scenes"
            "zoo/clip-judge" by default.
        sentences: Sentence encoder that compares prompts with references; ``None`` for none.
        samples: Pictures of each prompt.
        seed: Seed of the pictures.
        steps: Steps of denoising; by default the pipeline's own.
        size: Height and width of made pictures in pixels; by default the pipeline's own.
    """

    def __init__(
        self,
        generator: str | None = None,
        judge: str | None = None,
        sentences: str | None = None,
        samples: int = 1,
        seed: int = 0,
        steps: int | None = None,
        size: int | None = None,
    ) -> None:
        if samples < 1:
            raise FuseError(f"samples of GeneratedPictures is {samples}; it must be at least 1")
        if generator is None and judge is not None:
            raise FuseError(f"judge {judge!r} judges generated pictures; give --generate as well")
        self.generator = generator
        self.judge = judge
        self.sentences = sentences
        self.samples = samples
        self.seed = seed
        self.steps = steps
        self.size = size
        self.studio: Studio | None = None

    def about(self) -> str:
        """Words that name who makes the pictures and who judges them; empty without pictures."""
        if self.studio is None:
            return ""
        return f"pictures by {self.generator}, judge {self.studio.judge.model_id}"

    def undrawn(self, figures: Figures) -> str:
        """Line about prompts that name nothing that can be drawn; empty without any.

        Args:
            figures: The figures of the evaluation.
        """
        empty = [
            f"{row[Undrawn.name]:.0f} of {row[TARGETS]:.0f} ({source})"
            for source, row in figures.items()
            if row.get(Undrawn.name, 0) > 0
        ]
        if not empty:
            return ""
        return (
            f"prompts that name nothing that {self.generator} can draw: {', '.join(empty)}; their "
            f"pictures are empty and compared like all others, {Editability.name} counts these "
            f"prompts as 0, and {EditKeeps.name} leaves them out"
        )

    def measures(self, search: Objective) -> list[Measure]:
        """The measures, of models that are not loaded yet.

        Args:
            search: The search's objective.

        Raises:
            FuseError: If a model does not exist or is of another kind, or no judge is known.
        """
        found: list[Measure] = []
        if self.generator is not None:
            studio = self._studio(self.generator, search)
            self.studio = studio
            kinds = (
                *(Undrawn, GeneratedSimilarity, GeneratedText),
                *(Editability, EditKeeps, GenerationSeconds),
            )
            found += [kind(studio) for kind in kinds]
        if self.sentences is not None:
            encoder = auto_model(self.sentences)
            if not isinstance(encoder, TextEncoder):
                told = f"{self.sentences!r} is a {encoder.kind}"
                raise FuseError(f"{told}; give a sentence encoder as --sentences")
            found.append(ReferenceSimilarity(encoder))
        return found

    def _studio(self, name: str, search: Objective) -> Studio:
        generator = generator_of(name)
        if isinstance(generator, PipelineGenerator):
            generator = PipelineGenerator(name, self.steps, self.size)
        judge = self.judge or generator.judge
        if judge is None:
            raise FuseError(
                f"pictures of {name!r} need a judge; give --judge with a CLIP that took no part in "
                "the search"
            )
        model = auto_model(judge)
        if not isinstance(model, CLIP):
            raise FuseError(f"{judge!r} is a {model.kind}; give a {CLIP.kind} as --judge")
        if resolve(judge) in {resolve(each.model_id) for each in search.models}:
            warnings.warn(
                f"{judge!r} takes part in the search, so that it judges its own prompts",
                stacklevel=2,
            )
        return Studio(generator, model, self.samples, self.seed)
