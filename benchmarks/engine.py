"""Cost of one step: proposing and scoring, beside plain forwards, nanoGCG and arithmetic.

``python -m benchmarks.engine`` writes ``benchmarks/results/engine.md``. Float32, a GPT-2 of 12
layers and the text tower of a CLIP ViT-B/32 with random weights; all that is compared takes turns.
For the row of nanoGCG give the Python of an environment with nanogcg 0.3.0, transformers 4.47.1 and
the same torch: ``--nanogcg PATH``.
"""

import argparse
import gc
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import describe, table, write
from benchmarks.real_models import build, made_up_words
from benchmarks.search import hush
from fuse_lightning.data.targets import Target
from fuse_lightning.models import CLIP, CausalLM, FrozenModel
from fuse_lightning.models.options import DType
from fuse_lightning.objectives import Continuation, Fluency, ImageSimilarity, Reading, State, Term
from fuse_lightning.optimizers import GCG, AutoDAN, PromptOptimizer
from fuse_lightning.search.target_search import TargetSearch

WORDS = 40_000
PREFIX = "ba na lo"
LABEL_LENGTH = 8
POSITIONS = 77
LONG = 20.0
"""Seconds of a step that is taken only once."""


class PlainFluency(Fluency):
    """The same loss by a forward over every candidate, with logits everywhere."""

    splits = False

    def mean_nll(self, reading: Reading, counted: Tensor, embeds: Tensor | None) -> Tensor:
        """Mean over counted tokens."""
        ids, mask = reading.rows.ids, reading.rows.mask
        logits = self.model.logits(ids, mask, embeds)[:, :-1]
        nll = logits.logsumexp(-1) - logits.gather(-1, ids[:, 1:, None]).squeeze(-1)
        counted = counted[:, 1:].to(nll.device)
        return torch.where(counted, nll, 0.0).sum(1) / counted.sum(1).clamp(min=1)


class PlainContinuation(PlainFluency, Continuation):
    """The same for a continuation."""

    loss = Continuation.loss
    label_change = Term.label_change


class PlainSimilarity(ImageSimilarity):
    """The same loss by a forward over every candidate."""

    splits = False
    length = 0

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """1 - cos."""
        ids, mask = reading.rows.ids, reading.rows.mask
        missing = max(0, self.length - ids.shape[1])
        ids = F.pad(ids, (0, missing), value=self.model.pad_id)
        mask = F.pad(mask, (0, missing))
        if embeds is not None and missing:
            embeds = torch.cat([embeds, self.model.embed(ids[:, -missing:])], dim=1)
        features = self.model._vectors(ids, mask, embeds)
        return 1 - (features * self.vectors[reading.owner]).sum(-1)


class PaddedSimilarity(PlainSimilarity):
    """Padded to the tower's full length, as published code does."""

    length = POSITIONS


@dataclass
class Case:
    """A step that is compared.

    Attributes:
        name: What it is.
        optimizer: Makes the module of some terms.
        parents: Tokens of the prompts that the step begins with, and how many prompts.
        candidates: Exact evaluations.
        variants: Terms by name of the variant; the first is the engine's.
    """

    name: str
    optimizer: Callable[[list[Term]], PromptOptimizer]
    length: int
    beams: int
    variants: dict[str, Callable[[], list[Term]]]


@dataclass
class Figures:
    """What was measured of one variant, medians of its steps."""

    propose: list[float] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    positions: int = 0

    @property
    def seconds(self) -> float:
        return median(a + b for a, b in zip(self.propose, self.score, strict=True))


class Setting:
    """The two models and the cases."""

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        bf16: bool = False,
        dtype: DType = "float32",
        compiled: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.bf16 = bf16
        self.lm = CausalLM(str(folder / "gpt2"), dtype=dtype, compile=compiled)
        self.clip = CLIP(str(folder / "clip"), dtype=dtype, compile=compiled)
        picture = folder / "picture.png"
        Image.new("RGB", (64, 64), (200, 30, 30)).save(picture)
        words = made_up_words(WORDS, 0)
        self.label = " ".join(words[100 : 100 + LABEL_LENGTH])
        self.target = Target("one", pictures=[picture], text=self.label)

    def cases(self) -> list[Case]:
        """What is compared."""

        def pair(fluency: type[Fluency], similarity: type[ImageSimilarity]) -> list[Term]:
            return [
                fluency(self.lm, 1.0, prefix=PREFIX),
                similarity(self.clip, 22.0, prefix=PREFIX),
            ]

        def autodan(candidates: int) -> Callable[[list[Term]], AutoDAN]:
            return lambda terms: AutoDAN(terms, batch_size=candidates, end_probability=1.0)

        def gcg(terms: list[Term]) -> GCG:
            return GCG(terms, batch_size=128, top_k=256, merge=0, gradient_samples=0)

        both = {
            "engine": lambda: pair(Fluency, ImageSimilarity),
            "plain": lambda: pair(PlainFluency, PlainSimilarity),
        }
        return [
            Case("AutoDAN, 4 x 64 candidates of 7 tokens", autodan(64), 6, 4, both),
            Case("AutoDAN, 4 x 512 candidates of 17 tokens", autodan(512), 16, 4, both),
            Case(
                "GCG, 128 candidates, slot 18, label 8, prefix 4",
                gcg,
                18,
                1,
                {
                    "engine": lambda: [Continuation(self.lm, prefix=PREFIX)],
                    "plain": lambda: [PlainContinuation(self.lm, prefix=PREFIX)],
                },
            ),
            Case(
                "GCG on CLIP, 128 candidates of 16 tokens",
                gcg,
                16,
                1,
                {
                    "engine": lambda: [ImageSimilarity(self.clip)],
                    "plain": lambda: [PlainSimilarity(self.clip)],
                    "padded to 77": lambda: [PaddedSimilarity(self.clip)],
                },
            ),
        ]

    def begin(self, case: Case, variant: str) -> PromptOptimizer:
        """A module in the middle of a search."""
        module = case.optimizer(case.variants[variant]())
        module.to(self.device)
        module.load(self.device)
        module.targets = [self.target]
        module.objective.set_targets([self.target])
        module.searches = [TargetSearch.begin(self.target.id, self.target.digest, 0)]
        module.expanded = [[]]
        if isinstance(module, AutoDAN):
            # A language model that has learnt something mostly proposes whole words.
            model = module.objective.primary
            words = torch.tensor([piece[:1] == " " for piece in model.pieces])
            module.allowed &= words.to(self.device)
            module.allowed_ids = module.allowed.cpu().nonzero().squeeze(1)
        return module

    def clock(self) -> float:
        """Seconds, once the device has done its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def parents(self, module: PromptOptimizer, case: Case) -> list[State]:
        """Prompts of whole words, which read back as their own tokens."""
        model = module.objective.primary
        words = [
            index for index in module.allowed_ids.tolist() if len(model.pieces[index].strip()) > 3
        ]
        words = [index for index in words if model.pieces[index][0] == " "] or words
        rng, found = random.Random(case.length), []
        while len(found) < case.beams:
            states = [tuple(rng.choices(words, k=case.length)) for _ in range(100)]
            prompts = module.objective.prompts(states, [0] * len(states))
            found += [s for s, good in zip(states, prompts.canonical, strict=True) if good]
        return found[: case.beams]


@contextmanager
def counting(model: FrozenModel) -> Iterator[list[int]]:
    """Counts the positions that the first layer of a network reads."""
    positions = [0]
    if not model.loaded:
        yield positions
        return
    text = getattr(model.module, "text_model", model.module)
    layers = next(part for part in text.modules() if isinstance(part, torch.nn.ModuleList))

    def count(_: Any, inputs: tuple[Any, ...], given: dict[str, Any]) -> None:
        hidden = inputs[0] if inputs else given["hidden_states"]
        positions[0] += hidden.shape[0] * hidden.shape[1]

    handle = layers[0].register_forward_pre_hook(count, with_kwargs=True)
    yield positions
    handle.remove()


def step(
    setting: Setting, module: PromptOptimizer, parents: list[State], figures: Figures
) -> list[State]:
    """One step; returns the candidates."""
    module.searches = [TargetSearch.begin(setting.target.id, setting.target.digest, 0)]
    module.expanded = [parents]
    with (
        torch.no_grad(),
        torch.autocast(setting.device.type, torch.bfloat16, enabled=setting.bf16),
        ExitStack() as stack,
    ):
        if isinstance(module, AutoDAN):
            # What is kept from the step before is of prompts that are a token shorter.
            module.objective.begin_step([0])
            shorter = module.propose([[parent[:-1] for parent in parents]])
            if all(term.splits for term in module.objective.terms):
                module.score(shorter)
        # A search never scores the same prompts twice; a benchmark does.
        module.objective.scores.forget()
        module.objective.begin_step([0])
        lm, clip = (stack.enter_context(counting(model)) for model in (setting.lm, setting.clip))
        begun = setting.clock()
        proposed = module.propose([parents])
        between, read = setting.clock(), lm[0] + clip[0]
        module.score(proposed)
        done = setting.clock()
    figures.propose.append(between - begun)
    figures.score.append(done - between)
    figures.positions = lm[0] + clip[0] - read
    return proposed[0]


def layer_flops(model: FrozenModel) -> float:
    """Floating-point operations of one position in all layers."""
    text = getattr(model.module, "text_model", model.module)
    layers = next(part for part in text.modules() if isinstance(part, torch.nn.ModuleList))
    return 2.0 * sum(weight.numel() for weight in layers.parameters() if weight.dim() > 1)


def distinct_pairs(module: PromptOptimizer, candidates: list[State]) -> tuple[int, float]:
    """Distinct (prefix, token) pairs that scoring must read, and their operations."""
    prompts = module.objective.prompts(candidates, [0] * len(candidates))
    total, flops = 0, 0.0
    for term in module.objective.terms:
        reading = term.read(prompts)
        ids, mask = reading.rows.ids, reading.rows.mask
        causal = isinstance(term.model, CausalLM)
        # Nobody needs what follows the last token whose likelihood is asked for.
        sizes = (mask.sum(1) - int(causal)).tolist()
        rows = [tuple(row[:size]) for row, size in zip(ids.tolist(), sizes, strict=True)]
        pairs = {row[:end] for row in rows for end in range(1, len(row) + 1)}
        total += len(pairs)
        flops += len(pairs) * layer_flops(term.model)
        if causal:
            head = 2.0 * term.model.module.get_output_embeddings().weight.numel()
            asked = {
                row[:end]
                for row, whole in zip(rows, reading.prompt, strict=True)
                for end in range(int(whole.int().argmax()), len(row) + 1)
            }
            if isinstance(term, Continuation):
                asked = {row[:end] for row in rows for end in range(len(row) - 7, len(row) + 1)}
            flops += head * len(asked)
    return total, flops


def product_rate(setting: Setting, size: int = 4096, dtype: torch.dtype | None = None) -> float:
    """Operations a second of a large matrix product, by default in the type of autocast."""
    dtype = dtype or (torch.bfloat16 if setting.bf16 else torch.float32)
    a, weight = torch.randn(2, size, size, device=setting.device, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        begun = setting.clock()
        F.linear(a, weight)
        best = min(best, setting.clock() - begun)
    return 2 * size**3 / best


class NanoGCG:
    """nanoGCG in a process of its own."""

    def __init__(self, python: str, setting: Setting, slot: str) -> None:
        worker = Path(__file__).with_name("nanogcg_worker.py")
        self.process = subprocess.Popen(
            [
                python,
                str(worker),
                setting.lm.model_id,
                PREFIX + " ",
                slot,
                setting.label,
                "128",
                str(setting.device),
                setting.lm.dtype,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit("the process of nanoGCG ended early")
        return line

    def steps(self) -> list[float]:
        """Seconds of some steps."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return [float(seconds) for seconds in self.line().split()]


def memory(folder: Path, number: int, variant: str) -> None:
    """Prints MB of the process before and at the peak of a step, and of the weights."""
    setting = Setting(folder)
    case = setting.cases()[number]
    module = setting.begin(case, variant)
    parents = setting.parents(module, case)
    # The first step also fits the adapter.
    with torch.no_grad():
        proposed = module.propose([parents])
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    with torch.no_grad():
        module.score(proposed)
    models = {id(term.model): term.model.module for term in module.objective.terms}
    weights = sum(w.numel() * 4 for model in models.values() for w in model.parameters()) / 2**20
    print("MEMORY", weights, before, status("VmHWM"))


def status(name: str) -> float:
    """MB of this process as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def peak(folder: Path, number: int, variant: str) -> str:
    """What scoring takes beyond what is there before, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.engine", "--memory", str(folder), str(number)]
    output = subprocess.run([*command, variant], capture_output=True, text=True, check=True).stdout
    weights, before, after = map(float, output.split("MEMORY ")[1].split())
    return f"{after - before:.0f} (weights {weights:.0f})"


def measure(setting: Setting, number: int, rounds: int, python: str | None, folder: Path) -> str:
    """The section of one case."""
    case = setting.cases()[number]
    modules = {name: setting.begin(case, name) for name in case.variants}
    figures = {name: Figures() for name in modules}
    engine = modules["engine"]
    parents = setting.parents(engine, case)
    nano: NanoGCG | None = None
    seconds: list[float] = []
    if python is not None and number == 2:
        slot = engine.objective.prompts(parents, [0]).texts[0]
        nano = NanoGCG(python, setting, slot)
        nano.steps()
    candidates: dict[str, list[State]] = {}
    step(setting, engine, parents, Figures())
    for _ in range(rounds):
        for name, module in modules.items():
            known = figures[name]
            if not known.score or known.seconds < LONG:
                candidates[name] = step(setting, module, parents, known)
        if nano is not None:
            seconds += nano.steps()
    # Numbers are rounded otherwise, so that candidates of nearly equal promise change places.
    chosen = {*candidates["engine"]}
    same = min(len(chosen.intersection(found)) for found in candidates.values()) / len(chosen)
    pairs, flops = distinct_pairs(engine, candidates["engine"])
    floor = flops / product_rate(setting)
    own = figures["engine"]
    rows = [
        [
            name,
            f"{found.seconds:.2f}",
            f"{1 / found.seconds:.2f}",
            f"{found.seconds / own.seconds:.1f}",
            f"{median(found.propose):.2f}",
            f"{median(found.score):.2f}",
            f"{found.positions} ({found.positions / pairs:.2f})",
            f"{median(found.score) / floor:.1f}",
            peak(folder, number, name) if setting.device.type == "cpu" else "",
        ]
        for name, found in figures.items()
    ]
    if seconds:
        time_ = median(seconds)
        ratio = f"{time_ / own.seconds:.1f}"
        rows.append(
            ["nanoGCG 0.3.0", f"{time_:.2f}", f"{1 / time_:.2f}", ratio, "", "", "", "", ""]
        )
    head = [
        "variant",
        "seconds a step",
        "steps a second",
        "times the engine's",
        "proposing",
        "scoring",
        "positions scored (of distinct pairs)",
        "scoring, times the floor",
        "memory of scoring, MB",
    ]
    count = len(candidates["engine"])
    return (
        f"## {case.name}\n\n{count} candidates, {same:.1%} of them chosen by every variant; "
        f"{pairs} distinct (prefix, token) pairs, whose arithmetic alone takes {floor:.2f} s.\n\n"
        f"{table(head, rows)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nanogcg", help="Python of an environment with nanoGCG")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--bf16", action="store_true", help="bfloat16, the best again in float32")
    parser.add_argument("--only", type=int, nargs="*", default=[0, 1, 2, 3])
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    hush()
    if options.memory:
        memory(Path(options.memory[0]), int(options.memory[1]), options.memory[2])
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, 12, WORDS)
        setting = Setting(folder, options.device, options.bf16)
        sections = [
            measure(setting, number, options.rounds, options.nanogcg, folder)
            for number in options.only
        ]
    precision = "bfloat16, the best candidates again in float32" if options.bf16 else "float32"
    name = "engine" if (options.device, options.bf16) == ("cpu", False) else "engine_device"
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else "the CPU"
    write(
        name,
        f"# What a step costs\n\n{describe()} On {device}, {precision}. Medians of "
        f"{options.rounds} steps of each variant (one of those that take more than {LONG:.0f} s), "
        "in turns. AutoDAN's candidates begin with a space, as most of what a trained language "
        "model proposes; its gradients are averaged over 16 samples, and each of its steps comes "
        "after an untimed one at prompts a token shorter.\n\n" + "\n".join(sections),
    )


if __name__ == "__main__":
    main()
