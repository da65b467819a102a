"""Files and tables of the texts that ``fuse decode`` has found."""

from __future__ import annotations

import json
from pathlib import Path

from fuse_lightning.cli.decode_print import print_summary
from fuse_lightning.cli.decode_setup import Variants
from fuse_lightning.decoding import DecodingOptions, ScoredText
from fuse_lightning.decoding.contrast import NAMES, Contrast
from fuse_lightning.decoding.most_divergent import UNSORTED, MostDivergent
from fuse_lightning.decoding.properties import Property
from fuse_lightning.decoding.rates import Grades
from fuse_lightning.decoding.summary import PromptSummary, TextFigures, by_prompt, csv_of
from fuse_lightning.decoding.sweep import Sweep, print_sweep
from fuse_lightning.decoding.terminal_text import print_texts
from fuse_lightning.report.heat_map import heat_map
from fuse_lightning.results.run_folder import SWEEP
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.terminal import quoted, say, visible

PAGE, TABLE = "report.html", "prompts.csv"
MOST_SHOWN = 1000
"""Most texts of the page, so that it opens in seconds."""


class Results:
    """Texts of a run, of which sums are kept, and the most divergent whole.

    Args:
        pair: Names of the two streams that are compared.
        sort: Divergence by which texts are sorted, or "none".
        shown: How many texts are printed.
        about: Line that says which models the streams are.
    """

    def __init__(self, pair: tuple[str, str], sort: str, shown: int, about: str = "") -> None:
        self.pair = pair
        self.measure = "kl" if sort == UNSORTED else sort
        self.sort = sort
        self.shown = shown
        self.about = about
        self.most = MostDivergent(max(MOST_SHOWN, shown), sort)
        self.figures: list[TextFigures] = []
        self.prompts: list[PromptSummary] = []
        self.streams: tuple[str, ...] = ()
        self.sweep: Sweep | None = None
        self.unbiased = False

    def add(self, text: ScoredText) -> None:
        """Takes a text into account."""
        self.most.add(text)
        self.figures.append(TextFigures.of(text))
        self.streams = self.streams or tuple(text.tokens.log_probs)

    @property
    def keys(self) -> frozenset[tuple[int, int, tuple[float, ...]]]:
        """Numbers of prompt and sample, and weights, of all texts."""
        return frozenset(each.key for each in self.figures)

    def finish(
        self,
        variants: Variants | None,
        prop: Property | None,
        at: float | None,
        writing: DecodingOptions,
        folder: Path,
    ) -> None:
        """Writes the files about all texts.

        Args:
            variants: Contrast and weights; ``None`` where texts were read.
            prop: Property whose rate is counted.
            at: Amount at which it is extrapolated; by default that of A alone.
            writing: How texts were written.
            folder: The run's folder.
        """
        place = {weights: n for n, weights in enumerate(variants.weights)} if variants else {}
        self.figures.sort(key=lambda each: (place.get(each.weights, 0), *each.key[:2]))
        self.prompts = by_prompt(self.figures)
        self.unbiased = (
            variants is not None
            and self.pair[0] == "A"
            and all(each.weights for each in self.figures)
            and is_of_first(variants.contrast, writing)
        )
        replace_file(folder / TABLE, csv_of(self.prompts, self.streams))
        if prop is not None and variants is not None:
            wanted = variants.alone if at is None else at
            groups = [
                self._graded(prop, amount, weights)
                for amount, weights in zip(variants.amounts, variants.weights, strict=True)
            ]
            self.sweep = Sweep.of_grades(groups, prop.name, prop.description, wanted=wanted)
            replace_file(folder / SWEEP, f"{json.dumps(self.sweep.to_dict(), indent=1)}\n")
        heat_map(
            self.most.texts[:MOST_SHOWN],
            folder / PAGE,
            about=self.about,
            measure=self.measure,
            sort=self.sort != UNSORTED,
            sweep=self.sweep,
        )

    def _graded(self, prop: Property, amount: float, weights: tuple[float, ...]) -> Grades:
        some = [each for each in self.figures if each.weights == weights]
        grades = prop.grades([each.text for each in some], [each.prompt for each in some])
        return Grades(amount, tuple(grades), tuple(each.prompt_number for each in some))

    def show(self, folder: Path) -> None:
        """Prints tables, the most divergent texts, and where everything is."""
        say(visible(self.about))
        if self.shown:
            print_texts(self.most.texts[: self.shown], self.measure)
        print_summary(self.prompts, self.streams, self.pair, self.measure, self.unbiased)
        if self.sweep is not None:
            print_sweep(self.sweep)
        say(
            f"the texts with colours: {visible(quoted(folder / PAGE))}, for a browser; "
            f"all numbers are beside it"
        )


def is_of_first(contrast: Contrast, writing: DecodingOptions) -> bool:
    """Whether texts are samples of stream A as it is.

    >>> is_of_first(Contrast((1, 0)), DecodingOptions())
    True
    >>> is_of_first(Contrast((1, 0)), DecodingOptions(temperature=0.5))
    False
    """
    alone = contrast.weights == tuple(float(name == "A") for name in NAMES[: len(contrast.weights)])
    masked = (contrast.alpha, contrast.top_p, contrast.top_k, contrast.gate)
    plain = contrast.mode == "weighted" and masked == (None,) * len(masked)
    # What a stop text takes away from a text is missing in its sum.
    how = (writing.temperature, writing.top_k, writing.top_p, writing.beams, writing.stop)
    return alone and plain and how == (1, None, 1, 1, ())
