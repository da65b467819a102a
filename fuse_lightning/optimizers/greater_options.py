"""Options of GReaTer that presets set together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.numbers import check_number

RankBy = Literal["gradient", "likelihood", "random"]
Preset = Literal["paper", "code"]


@dataclass(frozen=True)
class GreaterOptions:
    """Options of GReaTer that presets set together.

    Attributes:
        top_k: Tokens in the list of the likeliest ones behind a question.
        intersect: Questions whose lists are intersected.
        pools: Such intersections, of which the union is the pool of candidates. The paper has one.
        least: Least number of tokens in the pool beside the one that stands there; the lists grow
            until there are as many.
        gradient_pool: Tokens that the gradient favours most, which join the pool where it is
            ranked by the gradient; 0 for none, as published.
        gradient_among: How many of the tokens that are likeliest on average these are taken from.
            Over a whole vocabulary the gradient's favourites are mostly noise.
        rank_by: What shortens the pool: "gradient", the predicted change of the loss;
            "likelihood", the model's own probabilities; "random", nothing.
        label_part: Whether the predicted change of a prompt's likelihood counts its tokens as those
            that were expected, too, and not only as those that are read, as published.
        residual_damping: Share of the gradient that flows through residual branches; 1 for all.
        screen: Candidates whose cross-entropy over the incumbent's chains is computed before any
            chain is written; 0 for none.
        screen_examples: Examples of a step that the screen reads; ``None`` for all.
        shortlist: Candidates whose chains are written, so that they are scored exactly.
        verify: Whether fresh chains decide. Without, the screen does.
        keep_incumbent: Whether the prompt as it is competes with its candidates.
        anneal: Whether a worse candidate takes the incumbent's place with a probability that falls
            with its loss and with the steps. It needs a frontier that drops what is not proposed,
            such as ``GreedySearch`` or ``BeamSearch``.
        force_ends: Whether a candidate that ends a sentence in the second half of the prompt's
            first length is taken whatever its loss, as the published code does.
        max_length: Most tokens of a prompt, at the start too; ``None`` for what the models read.
    """

    top_k: int = 10
    intersect: int = 5
    pools: int = 3
    least: int = 6
    gradient_pool: int = 8
    gradient_among: int = 1000
    rank_by: RankBy = "gradient"
    label_part: bool = True
    residual_damping: float = 1.0
    screen: int = 0
    screen_examples: int | None = None
    shortlist: int = 4
    verify: bool = True
    keep_incumbent: bool = True
    anneal: bool = False
    force_ends: bool = False
    max_length: int | None = 32

    @classmethod
    def of(cls, preset: Preset | None, given: dict[str, Any]) -> GreaterOptions:
        """Options of a preset, with those that are given in place of its own.

        Args:
            preset: "paper" or "code", which differ; ``None`` for this package's own.
            given: Options by name; ``None`` for those that are not given.

        Raises:
            FuseError: If there is no such preset, or an option is out of its range.

        >>> GreaterOptions.of("paper", {"top_k": None}).pools, GreaterOptions.of("code", {}).pools
        (1, 5)
        """
        if preset not in PRESETS:
            raise FuseError(f"preset is {preset!r}; give paper, code or none")
        some = {name: value for name, value in given.items() if value is not None}
        options = cls(**PRESETS[preset] | some)
        options.check()
        return options

    def check(self) -> None:
        """Checks the values.

        Raises:
            FuseError: If one is out of its range.
        """
        for name in ("top_k", "intersect", "pools", "least", "gradient_among", "shortlist"):
            check_number(name, getattr(self, name), 1)
        for name in ("gradient_pool", "screen"):
            check_number(name, getattr(self, name), 0)
        for name in ("screen_examples", "max_length"):
            value = getattr(self, name)
            check_number(name, 1 if value is None else value, 1)
        check_number("residual_damping", self.residual_damping, 0, 1)
        if self.rank_by not in get_args(RankBy):
            raise FuseError(
                f"rank_by is {self.rank_by!r}; give one of: {', '.join(get_args(RankBy))}"
            )
        if not self.verify and not self.screen:
            raise FuseError("verify is false and screen 0, so that nothing decides; give a screen")
        for name, needed, what in (
            ("anneal", "keep_incumbent", "the prompt as it is does not compete"),
            ("anneal", "verify", "the prompt as it is is not scored"),
        ):
            if getattr(self, name) and not getattr(self, needed):
                raise FuseError(f"{name} is true and {needed} false, so that {what}; change one")
        if self.screen_examples is not None and not self.screen:
            raise FuseError(
                f"screen_examples is {self.screen_examples}, but screen is 0, so that nothing is "
                "screened; give a screen"
            )
        if self.verify and 0 < self.screen <= self.shortlist:
            raise FuseError(
                f"screen is {self.screen}, but the shortlist already has {self.shortlist}, so that "
                "the screen leaves nothing out; give a larger screen, or 0 for none"
            )
        if self.rank_by != "gradient" and self.residual_damping != 1:
            raise FuseError(
                f"residual_damping is {self.residual_damping}, but rank_by is {self.rank_by!r}, so "
                "that no gradient is taken; set it to 1, or rank_by to 'gradient'"
            )


PUBLISHED: dict[str, Any] = {
    "gradient_pool": 0,
    "label_part": False,
    "shortlist": 3,
    "keep_incumbent": False,
    "max_length": None,
}
PRESETS: dict[str | None, dict[str, Any]] = {
    None: {},
    "paper": {**PUBLISHED, "pools": 1},
    "code": {**PUBLISHED, "pools": 5, "force_ends": True},
}
"""Options by preset, where they differ from the package's own: those of the paper of GReaTer
(arXiv 2412.09722) and those of its published code, which differ."""
