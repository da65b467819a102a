"""Term: denoising error of a diffusion model given the prompt (arXiv 2312.12416)."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import Diffusion
from fuse_lightning.models.options import PipelineSource
from fuse_lightning.objectives.layout import Message
from fuse_lightning.objectives.reading import Reading
from fuse_lightning.objectives.target_cache import PerTarget
from fuse_lightning.objectives.term import Term


class Denoising(Term):
    """Mean squared error of the predicted noise (or velocity) on the target's noisy latents.

    Averaged over ``samples`` pairs of a timestep and a noise. All prompts of a step meet the
    same pairs, so that they compare fairly; pairs depend on seed and target alone. Of
    several pictures each pair takes one, all as equally often as can be.

    Args:
        model: The Stable Diffusion pipeline, or its id.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text after the prompt.
        name: Name in logs and results.
        samples: Pairs of a timestep and a noise.
        timesteps: Range of timesteps as shares of all, one in each of ``samples`` equal parts
            of it. Noisy (late) ones speak of what is in a picture, early ones of its texture;
            by default those of the published code.
        batch_size: Most noisy latents in one forward of the denoising network.
        seed: Seed of timesteps and noises.
        redraw: Whether each step has pairs of its own, so that no prompt is fitted to a few, as
            published. Losses of different steps then compare only roughly, while the choice of
            the best prompt of all steps takes them as exact.
        layout: Text or turns of a chat with ``{prompt}``, in place of prefix and suffix.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    model: Diffusion
    model_class = Diffusion
    incidental = ("batch_size",)

    def __init__(
        self,
        model: PipelineSource | Diffusion,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        samples: int = 4,
        timesteps: tuple[float, float] = (0.5, 0.9),
        batch_size: int = 8,
        seed: int = 0,
        redraw: bool = False,
        layout: str | list[Message] | None = None,
        score_weight: float | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name, layout, score_weight)
        for option, value in (("samples", samples), ("batch_size", batch_size)):
            if value < 1:
                raise FuseError(f"{option} of {self.name} is {value}; it must be at least 1")
        low, high = timesteps
        if not 0 <= low < high <= 1:
            raise FuseError(
                f"timesteps of {self.name} are [{low}, {high}]; give two rising numbers in [0, 1]"
            )
        self.samples = samples
        self.timesteps = timesteps
        self.batch_size = batch_size
        self.seed = seed
        self.redraw = redraw
        self.steady = not redraw
        self._kept: PerTarget[Tensor] = PerTarget(self._encode)

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Encodes the pictures and draws the pairs of the first step.

        Raises:
            FuseError: If a target has no picture.
        """
        self._ids = [target.id for target in targets]
        self._latents = self._kept.of(targets)
        self.begin_step([0 for _ in targets])

    def _encode(self, targets: Sequence[Target]) -> list[Tensor]:
        for target in targets:
            target.need_images(self.name, "remove the term")
            if self.samples < len(target.images) and not self.redraw:
                raise FuseError(
                    f"samples of {self.name} is {self.samples}, but target {target.id!r} has "
                    f"{len(target.images)} pictures; give at least as many samples, or redraw: true"
                )
        return [self.model.latents(target.images) for target in targets]

    def begin_step(self, steps: Sequence[int]) -> None:
        """Draws the step's pairs for every target."""
        draws = [
            self._draw(f"{self.seed}:{name}:{step if self.redraw else 0}", latents)
            for name, latents, step in zip(self._ids, self._latents, steps, strict=True)
        ]
        # Shapes (targets, samples, ...).
        self._times, self._noisy, self._wanted = map(torch.stack, zip(*draws, strict=True))

    def _draw(self, seed: str, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Random timesteps, noisy latents and their prediction targets, for one step."""
        # On the CPU, so that every device gets the same.
        generator = torch.Generator().manual_seed(random.Random(seed).getrandbits(63))
        order = torch.randperm(len(latents), generator=generator)
        picked = latents[order.repeat(self.samples)[: self.samples]]
        noise = torch.randn(picked.shape, generator=generator).to(picked.device)
        low, high = self.timesteps
        parts = torch.arange(self.samples) + torch.rand(self.samples, generator=generator)
        shares = low + (high - low) * parts / self.samples
        count = self.model.scheduler.config.num_train_timesteps
        times = (shares * count).long().clamp(max=count - 1).to(picked.device)
        return times, *self.model.noised(picked, noise, times)

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Mean squared error over pairs and latents, shape (N,)."""
        pairs = torch.arange(len(reading.owner) * self.samples)
        errors = [
            # A backward recomputes each batch: activations of one at a time are kept.
            checkpoint(
                self._errors,
                reading,
                embeds,
                part // self.samples,
                part % self.samples,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for part in torch.split(pairs, self.batch_size)
        ]
        return torch.cat(errors).view(-1, self.samples).mean(1)

    def _errors(
        self, reading: Reading, embeds: Tensor | None, rows: Tensor, samples: Tensor
    ) -> Tensor:
        """Squared errors of some texts, each with one pair of its target."""
        encoded = reading.rows[rows]
        if embeds is not None:
            embeds = embeds[rows, : encoded.ids.shape[1]]
        chosen = reading.owner[rows], samples
        prediction = self.model.noise_prediction(
            encoded, embeds, self._noisy[chosen], self._times[chosen]
        )
        return (prediction - self._wanted[chosen]).square().flatten(1).mean(1)
