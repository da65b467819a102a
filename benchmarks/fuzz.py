"""Broken inputs of every kind, read in one process: counts of all but one-line errors.

``python -m benchmarks.fuzz --inputs 100000`` writes ``results/fuzz.md``;
``python -m benchmarks.fuzz --kind picture --seed 7`` reads one input and shows what it raises.
"""

import argparse
import faulthandler
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from unittest.mock import patch

from benchmarks.machine import describe, table, write
from fuse_lightning.data import web
from tests.fuzzing.inputs import SHARES, Inputs, prepared
from tests.fuzzing.watch import watched

SLOW = 10
HANGS = 60
COMMANDS = 0.2
"""Percent of inputs that the whole command line reads."""


class Hang(BaseException):
    """An input that takes a minute; no reader may catch it."""


def hang(*_: object) -> None:
    raise Hang


def one(inputs: Inputs, kind: str, seed: int, counts: Counter, faults: list[list[str]]) -> None:
    """Reads an input and counts what becomes of it."""
    began = time.monotonic()
    signal.alarm(HANGS)
    fault = ""
    with watched(inputs.folder) as outside:
        try:
            counts["read" if inputs.read(kind, seed) else "one line"] += 1
        except (Exception, Hang) as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            fault = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
        finally:
            signal.alarm(0)
    took = time.monotonic() - began
    counts["slowest"] = max(counts["slowest"], took)
    for name, what in (
        ("other errors", fault),
        (f"over {SLOW} s", f"{took:.0f} s" if took > SLOW else ""),
        ("files, programs", ", ".join(outside)),
    ):
        if what:
            counts[name] += 1
            faults.append([kind, str(seed), name, what])
            print("FAULT", kind, seed, name, what, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first input of each kind")
    parser.add_argument("--kind", choices=[*SHARES, "command"])
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    os.environ["no_proxy"] = "*"
    logging.disable()
    warnings.simplefilter("ignore")
    faulthandler.enable()
    signal.signal(signal.SIGALRM, hang)
    # A size in a broken header asks for memory: it gets none, and the machine's other work goes on.
    resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, 16 * 2**30))
    counts = {kind: Counter() for kind in (*SHARES, "command")}
    faults: list[list[str]] = []
    with tempfile.TemporaryDirectory() as name, patch.object(web, "PATIENCE", 2.0):
        os.chdir(name)
        inputs = prepared(Path(name))
        if options.seed is not None:
            print("read" if inputs.read(options.kind, options.seed) else "refused")
            return
        shares = {options.kind: 1.0} if options.kind else SHARES | {"command": COMMANDS}
        kinds = random.Random(options.first).choices(
            [*shares], [*shares.values()], k=options.inputs
        )
        seeds = dict.fromkeys(counts, options.first)
        # If the process is killed, this says by which input.
        last = os.open("last.txt", os.O_WRONLY | os.O_CREAT)
        print(f"the last input is in {name}/last.txt", flush=True)
        began = time.monotonic()
        for number, kind in enumerate(kinds):
            os.pwrite(last, f"{kind} {seeds[kind]}\n".ljust(40).encode(), 0)
            one(inputs, kind, seeds[kind], counts[kind], faults)
            seeds[kind] += 1
            if number % 1000 == 999:
                print(f"{number + 1} inputs, {time.monotonic() - began:.0f} s", flush=True)
        inputs.close()
        report(counts, faults, options.inputs, time.monotonic() - began)
        os.chdir("/")
    sys.stdout.flush()
    # Threads that wait for no answer any more.
    os._exit(0)


def report(counts: dict[str, Counter], faults: list[list[str]], total: int, seconds: float) -> None:
    """Writes the results file."""
    names = ["read", "one line", "other errors", f"over {SLOW} s", "files, programs"]
    rows = [
        [kind, str(sum(found[name] for name in names[:3]))]
        + [str(found[name]) for name in names]
        + [f"{found['slowest']:.1f}"]
        for kind, found in counts.items()
        if found
    ]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    told = f"\n\n{table(['kind', 'seed', 'fault', 'what'], faults)}" if faults else ""
    write(
        "fuzz",
        f"# Broken inputs\n\n{describe()}\n\n{total} inputs in one process, {seconds:.0f} s, "
        f"{memory:.1f} GiB of memory at most. Whole files of every kind (pictures in every format, "
        "mode and compression that Pillow writes) with bits flipped, words of numbers or texts "
        "written over them, parts cut, doubled, moved, or taken from other files; checkpoints and "
        "adapter caches of the right form with wrong values too; answers of a server on this "
        "machine. Each is read by the package's own function, which gives what it read or one "
        "line; a broken cache is made again. Counted: any other error, inputs that take over "
        f"{SLOW} s, and files that are written elsewhere, programs that are started and other "
        "hosts that are asked. "
        "`python -m benchmarks.fuzz --kind KIND --seed SEED` repeats one.\n\n"
        + table(["kind", "inputs", *names, "slowest, s"], rows)
        + told
        + "\n",
    )


if __name__ == "__main__":
    main()
