"""The benchmark of one card: its trial on a processor."""

import re

import pytest

from benchmarks import machine
from benchmarks.gpu.__main__ import CLASSIFICATION, DECODING, STEPS, main
from benchmarks.gpu.card import Card
from benchmarks.gpu.parts import QUICK
from benchmarks.gpu.timing import Timed


def rows(text, head):
    """Rows of the table with this head, each by column; a second one of a name counts apart."""
    names = [f"{name} {place}" for place, name in enumerate(head)]
    block = text.split("| " + " | ".join(head) + " |\n")[1].split("\n\n")[0]
    return [
        dict(zip(names, line.strip("| ").split(" | "), strict=False))
        for line in block.splitlines()[1:]
    ]


@pytest.mark.slow
def test_a_trial_on_a_processor_measures_every_part_and_writes_nothing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("benchmarks.gpu.__main__.hush", lambda: None)
    main(["--device", "cpu", "--quick"])
    text = capsys.readouterr().out
    assert "need a card" in text
    assert not (tmp_path / "results").exists()
    steps, labels, texts = (rows(text, head) for head in (STEPS, CLASSIFICATION, DECODING))
    assert [row["models 1"] for row in steps] == ["float32"] * len(QUICK.cases) + [
        "bfloat16"
    ] * len(QUICK.cases)
    for found in (labels, texts):
        assert [row["models 0"] for row in found] == ["float32", "bfloat16"]
    for row in (*steps, *labels, *texts):
        for name, value in row.items():
            if "share" in name:
                assert 0 < float(value.rstrip("%")) < 100
            elif re.search(", s |seconds", name):
                assert float(value) >= 0
            elif "a second" in name:
                assert float(value) >= 1
    # Weights of 8 bits of mantissa change a loss little.
    agreement = text.split("## The same losses")[1].split("## ")[0]
    gaps = re.findall(r"\| bfloat16 \| (\S+) \|", agreement)
    assert len(gaps) == len(QUICK.cases)
    assert all(0 < float(gap) < 0.05 for gap in gaps)


def test_a_card_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="--device cuda:3: there is no such device; give --device"):
        Card("cuda:3")


def test_the_share_is_that_of_the_rate_of_products():
    assert Timed(seconds=2.0, flops=3e9, peak="").share(rate=6e9) == "25.0%"
