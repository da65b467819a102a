"""Floors: prompts that cost no search, with which found prompts are compared."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.measures import FOUND, REFERENCE
from fuse_lightning.evaluation.names import check_names
from fuse_lightning.results.result import Result

SHORTLIST = 4
"""Number of found prompts, and of references, among which the constant prompt is chosen."""
TAKEN = (FOUND, "figures", "generated", "measures", "transfer", "without_prompt")
"""Reserved names: ``evaluation.json`` uses them itself."""


@dataclass(frozen=True)
class FloorSetting:
    """Data from which floors are made, the same on every device.

    Attributes:
        targets: All targets of the data.
        found: Best result of each target that has one, by target id.
        caption: Caption of a target by the search's captioner; ``None`` without a captioner.
        mean_losses: Mean objective of each of some texts, as the prompt of every target that has
            a result; lower is better. All devices work together: each must ask for the same texts.
    """

    targets: Sequence[Target]
    found: Mapping[str, Result]
    caption: Callable[[Target], str] | None
    mean_losses: Callable[[Sequence[str]], list[float]]


class Floor(ABC):
    """Base of floors: sources of prompts that cost no search.

    What a found prompt's figure is worth shows beside a floor's. A subclass gives a name and a
    prompt for each target. Where it is given to ``Evaluation``, or by a data module's method
    ``floors``, it is one more column.

    Attributes:
        name: Name of its column.
    """

    name: str

    def offered(self, setting: FloorSetting) -> bool:
        """Whether the floor exists for these targets and this search; by default it does."""
        return True

    def prepare(self, setting: FloorSetting) -> None:  # noqa: B027
        """Hook: prepares the floor before the first target; models are loaded by now."""

    @abstractmethod
    def prompt(self, target: Target) -> str | None:
        """Prompt of a target, which may be empty; ``None`` if there is none."""

    def about(self) -> str | None:
        """Text that is printed and written beside the floor's figures; ``None`` for nothing."""
        return None

    def remark(self) -> str:
        """Words that are printed behind :meth:`about`, such as how it was chosen; may be empty."""
        return ""


class Constant(Floor):
    """Floor: one prompt for all targets, the one of a few with the best mean objective.

    The few are the first found prompts and as many first references. The prompt is chosen on the
    same targets that its figures are reported for, so its objective looks a little too good: this
    floor is rather too high than too low.
    """

    name = "constant"

    def offered(self, setting: FloorSetting) -> bool:
        """Whether a target is other than a labelled set, for which a verdict has floors."""
        return not all(target.labels for target in setting.targets)

    def prepare(self, setting: FloorSetting) -> None:
        """Chooses the prompt."""
        found = [result.prompt for result in setting.found.values()]
        references = [target.references[0] for target in setting.targets if target.references]
        texts = [*dict.fromkeys([*found[:SHORTLIST], *references[:SHORTLIST]])]
        means = setting.mean_losses(texts)
        self.text = min(zip(texts, means, strict=True), key=lambda pair: pair[1])[0]

    def prompt(self, target: Target) -> str:
        """The one prompt."""
        return self.text

    def about(self) -> str:
        """The one prompt."""
        return self.text

    def remark(self) -> str:
        """Words on how the prompt was chosen."""
        return (
            "the best on these same targets among a few found prompts and references, so that its "
            "objective looks a little too good"
        )


class Caption(Floor):
    """Floor: the caption of a target's first picture by the search's captioner."""

    name = "captioner"

    def offered(self, setting: FloorSetting) -> bool:
        """Whether the search has a captioner."""
        return setting.caption is not None

    def prepare(self, setting: FloorSetting) -> None:
        """Stores the captioner."""
        self.caption = setting.caption

    def prompt(self, target: Target) -> str | None:
        """The caption; ``None`` if the captioner finds no word."""
        return (self.caption(target) or None) if self.caption else None


class Reference(Floor):
    """Floor: each target's first reference."""

    name = REFERENCE

    def offered(self, setting: FloorSetting) -> bool:
        """Whether any target with a result has a reference."""
        return any(target.references for target in setting.targets if target.id in setting.found)

    def prompt(self, target: Target) -> str | None:
        """The target's first reference.

        >>> Reference().prompt(Target("a", references=["a red star", "a star"]))
        'a red star'
        """
        return next(iter(target.references), "") or None


def all_floors(own: Sequence[Floor]) -> list[Floor]:
    """Every floor of an evaluation.

    Args:
        own: Floors of a user or of a data module, which come behind those of the package.

    Raises:
        FuseError: If one is none, two have the same name, or one has a name of another meaning.
    """
    floors = [Constant(), Caption(), Reference(), *own]
    check_names(Floor, floors)
    if taken := [floor.name for floor in floors if floor.name in TAKEN]:
        raise FuseError(
            f"a floor has the name {taken[0]!r}, which means something else; give it another"
        )
    return floors
