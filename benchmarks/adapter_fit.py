"""Time and memory of fitting an adapter between a GPT-2 and a CLIP of real sizes.

``python -m benchmarks.adapter_fit`` writes ``benchmarks/results/adapter_fit.md``. Both models are
random.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe, table, write
from benchmarks.real_models import build, made_up_words
from fuse_lightning.adapters import AdapterSettings, FuseAdapter
from fuse_lightning.cli.quiet import quiet_transformers
from fuse_lightning.models import CLIP, CausalLM

KINDS = ("lookup", "least_squares", "t_product")
POOL = 600_000
WORDS_A_CASE = 8192


def full_cases(source: CausalLM, target: CLIP) -> list[str]:
    """Words of which every pair of token numbers up to 4 has as many as a fit takes."""
    cases: dict[tuple[int, int], list[str]] = {}
    pool = list(dict.fromkeys(made_up_words(POOL, 1)))
    for start in range(0, len(pool), 10_000):
        words = pool[start : start + 10_000]
        texts = [f"a {word}" for word in words]
        sizes = [model.encode(texts, special=False).mask.sum(1) - 1 for model in (source, target)]
        for word, m, n in zip(words, *(size.tolist() for size in sizes), strict=True):
            known = cases.setdefault((m, n), [])
            if max(m, n) <= 4 and len(known) < WORDS_A_CASE:
                known.append(word)
    return [word for words in cases.values() for word in words]


def fit(kind: str, folder: Path) -> None:
    """Fits one kind and prints seconds, peak MB and cases."""
    source, target = CausalLM(str(folder / "gpt2")), CLIP(str(folder / "clip"))
    source.load()
    target.load()
    words = full_cases(source, target)
    (folder / "words.txt").write_text("\n".join(words))
    settings = AdapterSettings(kind=kind, cache=False, words=str(folder / "words.txt"))
    adapter = FuseAdapter(source, target, settings)
    start = time.perf_counter()
    maps = adapter.maps
    if kind == "lookup":
        _ = adapter.lookup_table
    seconds = time.perf_counter() - start
    full = sum(len(ids) == WORDS_A_CASE for ids, _ in adapter.cases(words).values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"RESULT {seconds:.1f} {peak:.0f} {len(maps)} {full}")


def main() -> None:
    quiet_transformers()
    if len(sys.argv) == 3:
        fit(sys.argv[1], Path(sys.argv[2]))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), 1)
        for kind in KINDS:
            output = subprocess.run(
                [sys.executable, "-m", "benchmarks.adapter_fit", kind, name],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            rows.append([kind, *output.split("RESULT ")[1].split()])
    write(
        "adapter_fit",
        "# Fitting an adapter at real sizes\n\n"
        f"{describe()}\n\n"
        "From a GPT-2 (32 000 tokens, width 768) to a CLIP (49 000 tokens, width 512), up to 8 192 "
        "words a case, words of up to 4 tokens in either; each kind in a process of its own.\n\n"
        + table(["kind", "seconds", "peak memory, MB", "cases", "of which full"], rows)
        + "\n",
    )


if __name__ == "__main__":
    main()
