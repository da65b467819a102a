"""``--resume`` as it stands for a run's own configuration; whole runs are in tests/runs."""

import json
from pathlib import Path

import pytest
import yaml

from fuse_lightning.cli.resume import expand
from tests.factories.configs import short_search


@pytest.mark.parametrize("logger", [["csv"], [None], {"init_args": 3}, {"init_args": None}])
def test_a_logger_that_is_none_is_left_to_lightning(logger):
    Path("run").mkdir()
    config = short_search("scenes", 6, {"logger": logger})
    Path("run/config.yaml").write_text(yaml.safe_dump(config))
    given = expand(["fit", "--resume", "run"])
    assert f"--trainer.logger={json.dumps(logger)}" in given


@pytest.mark.parametrize(
    "logger", ["&a [*a]", "{init_args: {version: 2026-01-01}}", "[" * 3000, "{: ]"]
)
def test_a_logger_that_makes_no_sense_is_left_to_lightning(logger):
    Path("run").mkdir()
    Path("run/config.yaml").write_text(f"trainer:\n  logger: {logger}\n")
    assert expand(["fit", "--resume", "run"])[1:3] == [
        "--config",
        str(Path("run").resolve() / "config.yaml"),
    ]
