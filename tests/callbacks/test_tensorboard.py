"""What TensorBoard shows of a search."""

from pathlib import Path

import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fuse_lightning.cli.main import main
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.results.result import read_results
from tests.factories.configs import short_search
from tests.near import SINGLE, near

CONFIGS = Path(__file__).parents[2] / "configs"


def test_tensorboard_shows_the_losses_of_every_term_and_the_options_with_the_final_ones(
    double, monkeypatch
):
    monkeypatch.setattr("sys.argv", ["fuse"])
    scenes(Path("scenes"), 2, 5)
    logger = {
        "class_path": "TensorBoardLogger",
        "init_args": {"save_dir": "logs", "name": "search"},
    }
    config = short_search("scenes", 6, {"logger": logger}, batch_size=4)
    config["data"]["init_args"]["batch_size"] = 2
    Path("run.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "run.yaml"])
    (folder,) = Path("logs/search").iterdir()
    results = read_results(folder / "prompts.jsonl")
    events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    points = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    for name in ("fluency", "image_similarity"):
        last = points[f"train/{name}"][-1].value
        mean = sum(row.losses[name] for row in results) / len(results)
        assert last == near(mean, size=1)
        assert points[f"final/{name}"][-1].value == near(mean, size=1)
    total = sum(row.loss for row in results) / len(results)
    best = [point.value for point in points["train/best"]]
    assert best == sorted(best, reverse=True)
    assert best[-1] == near(total, size=1)
    assert points["final/best"][-1].value == near(total, size=1)
    for name in ("evaluations", "tokens", "flops"):
        used = sum(getattr(row, name) for row in results) / len(results)
        # A row holds whole tokens, a target's share of a step may be a half.
        for tag in ("used", "final"):
            assert points[f"{tag}/{name}"][-1].value == near(used, size=0.5 / SINGLE)
    assert all(point.value > 0 for point in points["train/candidates_per_second"])
    plugins = (
        events.summary_metadata[tag].plugin_data.content
        for tag in events.summary_metadata
        if "hparams" in tag
    )
    told = b"".join(plugins)
    for words in (b"AutoDAN", b"GreedySearch", b"image_similarity/weight", b"zoo/clip"):
        assert words in told


def test_chains_at_first_and_of_the_best_prompt_and_both_shares_are_shown(monkeypatch):
    monkeypatch.setattr("sys.argv", ["fuse"])
    config = yaml.safe_load((CONFIGS / "greater.yaml").read_text())
    config["model"]["init_args"] |= {"steps": 3, "examples_per_step": 6}
    config["data"]["init_args"] |= {"train": 12, "select": 8, "test": 0}
    Path("run.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "run.yaml"])
    (folder,) = Path("logs/search").iterdir()
    (row, *_) = read_results(folder / "prompts.jsonl")
    events = EventAccumulator(str(folder), {"scalars": 0, "tensors": 0}).Reload()
    points = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
    # The term's judge is the chain.
    assert points["select/parse"] == points["select/accuracy"]
    assert 0 <= points["select/read"] <= 1
    assert points["train/prompt_tokens"] == len(row.ids)
    tag = "chains/zoo/sums/text_summary"
    text = events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
    assert text.count("right answer: ") == 4
    assert text.count(config["model"]["init_args"]["initial_prompt"]) == 4
    assert text.count("behind the extractor: ") == 8
    assert row.prompt in text
