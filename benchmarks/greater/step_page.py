"""Results page of the cost of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.greater.step_model import Sizes
from benchmarks.greater.step_work import Work, total
from benchmarks.machine import table

NAMES = "plain", "package"


@dataclass
class Found:
    """What is measured on one device, in one type of numbers.

    Attributes:
        machine: The machine, and the versions of packages.
        seconds: Of each step, plain and by the package, in turns.
        first: Seconds of the chains that the package writes once, before its first step.
        memory: Most memory that a step took beyond what was there, MB.
        same: Lines that compare what the two find.
        work: Work of a step by phase, predicted and measured.
    """

    machine: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})
    first: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})
    same: list[list[str]] = field(default_factory=list)
    work: dict[str, dict[str, Work]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Found:
        """What :func:`dataclasses.asdict` made of it."""
        work = {
            name: {phase: Work(**each) for phase, each in phases.items()}
            for name, phases in data["work"].items()
        }
        return cls(**{**data, "work": work})


def page(found: Mapping[str, Found], sizes: Sizes) -> str:
    """The results page.

    Args:
        found: What was measured, by device and type of numbers.
        sizes: Sizes of the step.
    """
    speed, same = [], []
    for name, each in found.items():
        one, other = (median(each.seconds[key]) for key in NAMES)
        speed.append(
            [
                name,
                str(len(each.first)),
                f"{one:.2f}",
                f"{other:.2f}",
                f"{one / other:.1f}",
                f"{median(each.first):.2f}",
                *(f"{max(each.memory[key]):.0f}" for key in NAMES),
            ]
        )
        same += [[name, *line] for line in each.same]
    first = next(iter(found.values()))
    work = []
    for name, phases in first.work.items():
        for phase, each in {**phases, "*all*": total(phases.values())}.items():
            line = [f"{each.positions}", f"{each.outputs}", f"{each.flops / 1e12:.3f}"]
            work.append([name, phase, *line])
    setting = (
        f"{sizes.questions} questions of {sizes.question} tokens, a prompt of {sizes.prompt} "
        f"tokens, chains of {sizes.chain} tokens, {sizes.candidates} candidates; a network of "
        f"Llama's shape with {sizes.layers} layers of width {sizes.width} and random weights, "
        f"{sizes.tokens} tokens."
    )
    parts = [
        "# What a step of GReaTer costs",
        "\n".join(f"- {name}: {each.machine}" for name, each in found.items()),
        setting,
        "A step proposes tokens for one position from what questions agree on, takes the gradient "
        "of the answers' loss behind fixed chains, and tries the most promising candidates behind "
        "chains of their own. *Plain* does it as published, with transformers alone "
        "(`benchmarks/greater/plain.py`): chains are written in batches of 9, those of the prompt "
        "as it is anew in each step, and every phase reads whole rows with the logits of all "
        "positions. Weights are frozen, which the published code leaves out. *Package* is this "
        "package with `preset: code`. It knows the chains of the prompt from the step before; "
        "writing them once, before the first step, takes the seconds of *once*.",
        "## Seconds and memory",
        "Medians of some steps in turns, each on questions and a prompt of its own. Seconds on a "
        "processor are those of the process. Memory is the most that a step took beyond what was "
        "there before.",
        table(
            [
                *("device and numbers", "steps", "plain, s", "package, s", "times faster"),
                *("once, s", "plain, MB", "package, MB"),
            ],
            speed,
        ),
        "## What both find",
        "Largest difference of the log-probabilities that proposals are made of (nats), relative "
        "differences of the gradient over the candidates and of the scores.",
        table(
            [
                *("device and numbers", "step", "log-probabilities", "candidates", "gradient"),
                *("shortlist", "equal chains", "scores", "chosen token"),
            ],
            same,
        ),
        "## Work",
        "Positions that go through the layers, those whose logits are computed, and operations of "
        "matrix products with weights and of attention, forward and backward. *Predicted* and "
        "*the least* are counted from the rows: of the plain step all tokens with their padding, "
        "of the package each distinct (prefix, token) pair once, and logits where they are asked "
        "for. Attention is not in these two.",
        table(["", "phase", "positions", "with logits", "TFLOP"], work),
    ]
    return "\n\n".join(parts) + "\n"
