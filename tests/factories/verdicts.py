"""Made-up verdicts with the answers behind them, and the folder of a run that has them."""

import torch

from fuse_lightning.evaluation.deciding import Marked, decide
from fuse_lightning.evaluation.final import Judged
from fuse_lightning.evaluation.judging import judge
from fuse_lightning.evaluation.verdict import ChainScore, ChainSettings
from fuse_lightning.evaluation.verdict_files import write_verdicts
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result
from tests.factories.answers import answers, labels


def judged(ours, theirs, examples=120, classes=2, prompt="judge it:", text="star", short=2):
    """Verdict on a short list whose first prompt is right in a share of the examples."""
    right = labels(examples, classes)
    names = [f"class {number}" for number in range(classes)]
    made = [
        answers(f"prompt {n + 1}", right, ours, prompt, 0.9 - n / 1000, classes, n)
        for n in range(short)
    ]
    floors = [
        answers("the text alone", right, theirs / 2, "", 0.4, classes, 98),
        answers("the best stock instruction", right, theirs, "Classify.", 0.6, classes, 99),
    ]
    verdict = judge(made, floors, right, names)
    rows = [
        {
            "example": {"text": f"{text} {n}", "label": names[label]},
            "answers": [
                names[int(each.probabilities[n].argmax())] for each in (made[0], floors[1])
            ],
            "probabilities": [float(each.probabilities[n, label]) for each in (made[0], floors[1])],
        }
        for n, label in enumerate(right.tolist())
    ]
    return Judged(verdict, rows)


def run_with(folder, verdicts):
    """A run's folder that holds verdicts by target and model."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [Result(target, "judge it:", [1], 0.5, {}, 3, 0, 1.0) for target in verdicts]
    (folder / "prompts.jsonl").write_text(json_lines(rows))
    write_verdicts(folder, verdicts)
    return folder


def reasoned(ours, theirs, examples=60, chain="so it is", chains=1):
    """Verdict on one reasoning prompt, right in a share of the examples, with its chains."""
    generator = torch.Generator().manual_seed(7)
    sides = [torch.rand(examples, generator=generator) < share for share in (ours, theirs)]
    score = ChainScore(readable=0.9, written=0.8, cut=0.2, right=0.55)
    names = [("prompt 1", "Think:", 0.9), ("the question alone", "", 0.4)]
    marked = [
        Marked(
            *(name, text, right, select, 0.1, 0.7),
            readings=(("parse", right), ("read", ~right)),
            chains=score,
        )
        for (name, text, select), right in zip(names, sides, strict=True)
    ]
    settings = ChainSettings("parse", chains, 0.7 * (chains > 1), 0, 128)
    verdict = decide(marked[:1], marked[1:], chains=settings)
    rows = [
        {
            "example": {"question": f"What is {n}?", "label": str(n)},
            "answers": [str(n) if side[n] else "" for side in sides],
            "probabilities": [0.25 + n / 1000, 0.5],
            "right": [bool(side[n]) for side in sides],
            "chains": [f"{chain} {n} {name}" for name, _, _ in names],
            "behind": [f" {n}", ""],
            "parsed": [str(n), ""],
        }
        for n in range(examples)
    ]
    return Judged(verdict, rows)
