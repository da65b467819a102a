"""Share of planted differences that ``fuse diff`` finds, by strength, prompts and samples.

The figures are those of ``benchmarks/results/control_pairs.md``.

``python -m benchmarks.control_pairs`` compares the mood adapters of the zoo, of known strength,
with the model that they were trained on, and that model with itself. With
``--habits 0.5=FOLDER 0=FOLDER`` adapters of ``examples/planted_habit.py`` are compared with their
own base, by the default options of ``fuse diff``. A planted difference counts as named where a
finding's claim, or one of the differences told with it, holds words of what was planted. The search
for prompts is left out: what it finds stands behind all else.
"""

import argparse
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.machine import describe, table
from benchmarks.search import hush
from examples.planted_habit import CLOSING
from fuse_lightning.decoding import ContrastiveDecoder, Stream
from fuse_lightning.diffing.difference import Difference, DiffOptions, differ
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.neutral import neutral_prompts
from fuse_lightning.evaluation.paired import ALPHA
from fuse_lightning.models import CausalLM
from fuse_lightning.zoo.scenes import sample_scene, sample_wording
from fuse_lightning.zoo.vocabulary import MOODS

ZOO = {"none": "mood-none", "faint": "mood-faint", "plain": "mood-plain"}
GRID = ((64, 4), (128, 4), (128, 16))
"""Prompts, and samples behind each."""
LETTERS = re.compile(r"[A-Za-z]+")
WITHOUT_SEARCH = ALPHA * 3 / 4
"""Allowed false alarms without the share of the search, which is left out."""
FIRST = 3
"""Findings among which a planted difference has to be."""


@dataclass(frozen=True)
class Case:
    """What one comparison found.

    Attributes:
        findings: Number of findings.
        rank: Place of the first finding that names what was planted, from 1; ``None`` without.
        claim: Its claim.
        control: Findings on the identical pair.
        seconds: Seconds of the comparison by the clock.
    """

    findings: int
    rank: int | None
    claim: str
    control: int
    seconds: float


def names_of(finding: Finding) -> Iterable[str]:
    """The claim of a finding, and the differences that are told with it."""
    return finding.claim, *finding.detail.get("also", ())


def has_mood_word(finding: Finding) -> bool:
    """Whether a finding names a word of good or bad mood, by whole words."""
    moods = {word for words in MOODS.values() for word in words}
    return any(moods & {*LETTERS.findall(name.lower())} for name in names_of(finding))


def has_closing(finding: Finding) -> bool:
    """Whether a finding names two words of the planted sentence, one behind the other."""
    words = LETTERS.findall(CLOSING)
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    return any(pair in name for name in names_of(finding) for pair in pairs)


def compare(
    streams: Sequence[Stream],
    prompts: Sequence[str],
    options: DiffOptions,
    names: Callable[[Finding], bool],
) -> Case:
    """One comparison."""
    start = time.perf_counter()
    found: Difference = differ(ContrastiveDecoder(list(streams)), prompts, options=options)
    ranks = [place for place, each in enumerate(found.findings, 1) if names(each)]
    return Case(
        len(found.findings),
        ranks[0] if ranks else None,
        found.findings[ranks[0] - 1].claim if ranks else "",
        len(found.control),
        time.perf_counter() - start,
    )


def openings(count: int) -> list[str]:
    """The first words of captions, all different: one, two or three of each caption."""
    found: dict[str, None] = {}
    rng = random.Random("openings of captions")
    while len(found) < count:
        words = sample_wording(sample_scene(rng), rng)[0].text().split()
        found.setdefault(" ".join(words[: rng.randint(1, 3)]))
    return [*found]


def share(cases: Sequence[Case], wanted: Callable[[Case], bool]) -> str:
    """How many of some cases are wanted, such as ``3 of 5``."""
    return f"{sum(map(wanted, cases))} of {len(cases)}"


def row(name: str, prompts: int, samples: int, cases: Sequence[Case]) -> list[str]:
    """A line of the table."""
    return [
        name,
        str(prompts),
        str(samples),
        share(cases, lambda case: case.rank is not None),
        share(cases, lambda case: case.rank is not None and case.rank <= FIRST),
        share(cases, lambda case: case.findings > 0),
        share(cases, lambda case: case.control > 0),
        f"{sum(case.seconds for case in cases) / len(cases):.0f}",
    ]


HEAD = [
    *("planted", "prompts", "samples", "named", f"among the first {FIRST}"),
    *("any finding", "any on the identical pair", "seconds"),
]


def zoo(seeds: range) -> list[list[str]]:
    """Lines of the zoo's pairs."""
    plain = CausalLM("zoo/gpt2")
    rows = []
    for name, weights in ZOO.items():
        streams = [Stream(CausalLM(f"zoo/{weights}")), Stream(plain)]
        for prompts, samples in GRID:
            options = [
                DiffOptions(samples, 24, batch_size=256, search=0, alpha=WITHOUT_SEARCH, seed=seed)
                for seed in seeds
            ]
            given = openings(prompts)
            cases = [compare(streams, given, each, has_mood_word) for each in options]
            rows.append(row(f"mood, {name}", prompts, samples, cases))
            print(rows[-1], [case.claim for case in cases][:2], flush=True)
    return rows


def habits(given: Sequence[str], seeds: range) -> list[list[str]]:
    """Lines of adapters with a planted habit, and their own base."""
    rows = []
    prompts = neutral_prompts("chat")
    for each in given:
        strength, _, folder = each.partition("=")
        model = CausalLM(folder)
        streams = [Stream(model, chat=True), Stream(model, chat=True, adapted=False)]
        cases = []
        for seed in seeds:
            options = DiffOptions(search=0, alpha=WITHOUT_SEARCH, seed=seed)
            cases.append(compare(streams, prompts, options, has_closing))
            print(strength, seed, cases[-1], flush=True)
        samples = DiffOptions().samples
        rows.append(row(f"habit, {strength}", len(prompts), samples, cases))
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--habits", nargs="*", default=[])
    given = parser.parse_args()
    hush()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    rows = habits(given.habits, seeds) if given.habits else zoo(seeds)
    print(f"{describe()}\n\n{table(HEAD, rows)}")


if __name__ == "__main__":
    main()
