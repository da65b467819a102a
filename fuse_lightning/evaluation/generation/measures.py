"""Figures of pictures that are generated from prompts."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor
from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.generation.generator import Generator
from fuse_lightning.evaluation.measures import JudgedPrompt, Measure, rivals
from fuse_lightning.metrics import Count, MeanCost, MeanScore
from fuse_lightning.models import CLIP, TextEncoder

KEPT = 256
"""Texts whose pictures' vectors are remembered: those of a batch of several sources."""


@dataclass
class Studio:
    """Generator and judge of pictures, with the vectors of the latest pictures.

    Attributes:
        generator: Makes pictures of texts.
        judge: CLIP that compares pictures; it should have taken no part in the search.
        samples: Pictures of each text.
        seed: Seed of the first picture; the next ones follow.
    """

    generator: Generator
    judge: CLIP
    samples: int = 1
    seed: int = 0
    _known: dict[str, tuple[Tensor, float]] = field(default_factory=dict, repr=False)

    def vectors(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Unit vectors of the pictures of each text under the judge, shape (N, samples, d)."""
        return torch.stack([vectors for vectors, _ in self._made(texts, device)])

    def seconds(self, texts: Sequence[str], device: torch.device) -> list[float]:
        """Wall time in which the pictures of each text were made."""
        return [seconds for _, seconds in self._made(texts, device)]

    def _made(self, texts: Sequence[str], device: torch.device) -> list[tuple[Tensor, float]]:
        self.generator.load(device)
        self.judge.load(device)
        for text in dict.fromkeys(texts):
            if text not in self._known:
                begin = time.perf_counter()
                pictures: list[Image.Image] = []
                for sample in range(self.samples):
                    pictures += self.generator.generate([text], self.seed + sample)
                taken = time.perf_counter() - begin
                self._known[text] = self.judge.image_features(pictures).cpu(), taken
        made = [self._known[text] for text in texts]
        for old in [*self._known][:-KEPT]:
            del self._known[old]
        return made

    def words(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Unit vectors of texts under the judge, shape (N, d)."""
        self.judge.load(device)
        return self.judge.text_features(self.judge.encode(list(texts))).cpu()


class PictureMeasure(Measure):
    """Base of measures of generated pictures: a mean cosine under the judge, in [-1, 1].

    Args:
        studio: Makes and judges the pictures.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def metric(self) -> Metric:
        """A mean cosine, in [-1, 1]."""
        return MeanScore("cosine")


class GeneratedSimilarity(PictureMeasure):
    """Measure: cosine of generated pictures and the target's own, under the judge.

    Higher is better. Of several pictures of a prompt and of a target it is the mean. Papers call it
    CLIP-I.
    """

    name = "generated_cosine"

    def applies(self, target: Target, source: str) -> bool:
        """Whether the target has pictures."""
        return bool(target.pictures)

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        device, cosines = torch.device(metric.device), []
        for each in prompts:
            vectors = self.studio.vectors([each.text], device)[0]
            own = self.studio.judge.image_features(each.target.images).cpu()
            cosines.append(float((vectors @ own.T).mean()))
        metric.update(cosines)


class GeneratedText(PictureMeasure):
    """Measure: cosine of generated pictures and their prompt, under the judge; higher is better.

    Papers call it CLIP-T.
    """

    name = "generated_text_cosine"

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        device, texts = torch.device(metric.device), [each.text for each in prompts]
        cosines: Tensor | list[float] = []
        if texts:
            made, read = self.studio.vectors(texts, device), self.studio.words(texts, device)
            cosines = torch.einsum("nsd,nd->ns", made, read).mean(1)
        metric.update(cosines)


class Editability(PictureMeasure):
    """Measure: share of exchanged nouns that change the picture as they should; higher is better.

    One noun of the prompt is exchanged for another, such as "dog" for "cat", and a picture is made
    with the same noise. Where the generator knows what it draws, that object alone must have
    changed. Else the judge must find the new picture nearer to the new noun than the old picture
    is, and further from the old noun. Every known noun of a prompt is tried. A prompt without one
    counts as 0: no word of it says what could be exchanged.
    """

    name = "editability"

    def metric(self) -> Metric:
        """A mean share, in [0, 1]."""
        return MeanScore("share")

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        device, shares = torch.device(metric.device), []
        for each in prompts:
            edits = edited(each.text, self.studio.generator)
            right = [self._changes(each.text, *edit, device) for edit in edits]
            shares.append(sum(right) / len(right) if right else 0.0)
        metric.update(shares)

    def _changes(self, text: str, new: str, was: str, now: str, device: torch.device) -> bool:
        if (exact := self.studio.generator.changes_one(text, new)) is not None:
            return exact
        before, after = self.studio.vectors([text, new], device).mean(1)
        old, young = self.studio.words([f"a {was}", f"a {now}"], device)
        return bool((after - before) @ young > 0 > (after - before) @ old)


class Undrawn(PictureMeasure):
    """Measure: number of prompts that name nothing that the generator can draw.

    Their pictures are empty, and are compared like all others. Only generators that know what they
    draw have this figure.
    """

    name = "undrawn_prompts"

    def metric(self) -> Metric:
        """A number of prompts."""
        return Count("prompts")

    def applies(self, target: Target, source: str) -> bool:
        """Whether the generator knows what it draws."""
        return self.studio.generator.draws("") is not None

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        drawn = [self.studio.generator.draws(each.text) for each in prompts]
        metric.update(drawn.count(False))


class EditKeeps(PictureMeasure):
    """Measure: cosine of the pictures before and after a noun is exchanged; higher is better.

    What the exchanged noun does not name should stay. Prompts without a known noun do not count.
    """

    name = "edit_kept_cosine"

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        device, cosines = torch.device(metric.device), []
        for each in prompts:
            if texts := [edit[0] for edit in edited(each.text, self.studio.generator)]:
                before, *after = self.studio.vectors([each.text, *texts], device)
                cosines += [float((before * other).sum(1).mean()) for other in after]
        metric.update(cosines)


class GenerationSeconds(PictureMeasure):
    """Measure: mean wall time in which the pictures of a prompt are made; lower is better."""

    name = "generation_seconds"

    def metric(self) -> Metric:
        """A mean time."""
        return MeanCost("seconds")

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts."""
        texts = [each.text for each in prompts]
        metric.update(self.studio.seconds(texts, torch.device(metric.device)))


class ReferenceSimilarity(Measure):
    """Measure: cosine of a prompt and its nearest reference under a sentence encoder.

    Higher is better. References are those that other measures compare with.

    Args:
        encoder: The encoder.
    """

    name = "reference_cosine"

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder

    def metric(self) -> Metric:
        """A mean cosine, in [-1, 1]."""
        return MeanScore("cosine")

    def applies(self, target: Target, source: str) -> bool:
        """Whether the target has a reference besides the prompt itself."""
        return bool(rivals(target, source))

    def update(self, metric: Metric, prompts: Sequence[JudgedPrompt]) -> None:
        """Adds prompts with their references."""
        self.encoder.load(torch.device(metric.device))
        cosines = []
        for each in prompts:
            texts = [each.text, *rivals(each.target, each.source)]
            prompt, *others = self.encoder.text_features(self.encoder.encode(texts)).cpu()
            cosines.append(max(float(prompt @ other) for other in others))
        metric.update(cosines)


def edited(text: str, generator: Generator) -> list[tuple[str, str, str]]:
    """Prompts with one noun exchanged, each with the old and the new noun.

    >>> from fuse_lightning.zoo.generator import SceneGenerator
    >>> edited("a red ball left of two stars", SceneGenerator())
    [('a red square left of two stars', 'ball', 'square'), \
('a red ball left of two crosses', 'stars', 'crosses')]
    """
    found = []
    for match in re.finditer(r"\w+", text):
        was = match[0].lower()
        if (now := generator.nouns.get(was)) is not None:
            new = text[: match.start()] + now + text[match.end() :]
            found.append((new, was, now))
    return found
