import csv
import json
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from PIL import Image

from fuse_lightning.callbacks import PromptTable, PromptWriter
from fuse_lightning.callbacks.writer import csv_row
from fuse_lightning.data import ImageTargets
from fuse_lightning.objectives import Fluency, ImageSimilarity
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.results import Result


def result(name, prompt="a red cube", **losses):
    losses = losses or {"fluency": 1.25, "image_similarity": 0.5}
    return Result(name, prompt, [3, 1, 4], sum(losses.values()), losses, 2, 0, 1.5)


def trainer(rank=0, ranks=1, folder="run"):
    return SimpleNamespace(
        log_dir=folder,
        default_root_dir=".",
        global_rank=rank,
        world_size=ranks,
        is_global_zero=rank == 0,
    )


def read(folder="run", name="prompts"):
    with Path(folder, f"{name}.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    text = Path(folder, f"{name}.jsonl").read_text(encoding="utf-8")
    return table, [json.loads(line) for line in text.splitlines()]


def expect(results, folder="run", name="prompts"):
    table, lines = read(folder, name)
    assert [Result(**line) for line in lines] == results
    assert table == [{key: str(cell) for key, cell in csv_row(r).items()} for r in results]


def test_results_are_added_as_they_come():
    writer, module = PromptWriter(), SimpleNamespace(results=[])
    writer.on_train_start(trainer(), module)
    expect([])
    for name in ("a", "b", "c"):
        module.results.append(result(name))
        writer.on_train_batch_end(trainer(), module)
        writer.on_train_batch_end(trainer(), module)
        expect(module.results)


@pytest.mark.parametrize(
    "prompt", ['with "quotes", commas', "two\nlines", "ünï 🐈", "", "=1+1", "back\\slash"]
)
def test_any_prompt_survives(prompt):
    module = SimpleNamespace(results=[result("a, b", prompt)])
    PromptWriter().on_train_start(trainer(), module)
    expect(module.results)


def test_a_resumed_run_begins_with_the_results_of_its_checkpoint():
    Path("run").mkdir()
    Path("run/prompts.csv").write_text("left over from a run that died\n")
    Path("run/prompts.jsonl").write_text("left over\n")
    writer, module = PromptWriter(), SimpleNamespace(results=[result("a"), result("b")])
    writer.on_train_start(trainer(), module)
    expect(module.results)
    module.results.append(result("c"))
    writer.on_train_batch_end(trainer(), module)
    expect(module.results)


def test_one_writer_serves_two_fits():
    writer, module = PromptWriter(), SimpleNamespace(results=[result("a")])
    writer.on_train_start(trainer(folder="first"), module)
    module.results = [result("b"), result("c")]
    writer.on_train_start(trainer(folder="second"), module)
    expect([result("a")], "first")
    expect(module.results, "second")


def test_every_rank_writes_files_of_its_own():
    for rank in range(2):
        module = SimpleNamespace(results=[result(f"target {rank}")])
        PromptWriter().on_train_start(trainer(rank, 2), module)
    for rank in range(2):
        expect([result(f"target {rank}")], name=f"prompts-rank{rank}")


def test_without_a_logger_the_root_folder_is_used():
    PromptWriter().on_train_start(trainer(folder=None), SimpleNamespace(results=[result("a")]))
    expect([result("a")], ".")


def test_the_table_shows_brackets_as_they_are(capsys):
    module = SimpleNamespace(results=[result("a", "[bold] [/] :cat:")])
    PromptTable().on_fit_end(trainer(), module)
    assert "[bold] [/] :cat:" in capsys.readouterr().out


@pytest.mark.parametrize(("results", "rank"), [([], 0), ([result("a")], 1)])
def test_no_table_without_results_or_on_other_ranks(results, rank, capsys):
    PromptTable().on_fit_end(trainer(rank, 2), SimpleNamespace(results=results))
    assert capsys.readouterr().out == ""


class Watcher(Callback):
    """Reads the files behind the writer, after every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        table, lines = read(trainer.log_dir)
        self.seen.append([line["target"] for line in lines])
        assert [row["target"] for row in table] == self.seen[-1]


def test_a_search_writes_each_target_when_it_finishes():
    for name, color in (("red", "red"), ("blue", "blue"), ("green", "green")):
        Image.new("RGB", (16, 16), color).save(f"{name}.png")
    module = AutoDAN(
        [Fluency("zoo/gpt2", prefix="An image of"), ImageSimilarity("zoo/clip", weight=8)],
        steps=2,
        batch_size=4,
        gradient_samples=1,
    )
    watcher = Watcher()
    fit = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[PromptWriter(), watcher],
        default_root_dir="logs",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    fit.fit(module, datamodule=ImageTargets(["red.png", "blue.png", "green.png"], batch_size=2))
    pair = ["red", "blue"]
    assert watcher.seen == [[], pair, pair, [*pair, "green"]]
    expect(module.results, fit.log_dir)
    for found in module.results:
        assert module.objective.primary.decode([found.ids])[0].strip() == found.prompt
        assert found.loss == pytest.approx(
            found.losses["fluency"] + 8 * found.losses["image_similarity"], rel=1e-5
        )
