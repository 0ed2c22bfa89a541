"""What a training tells while it goes on."""

import json
import re
from pathlib import Path

import pytest
from sentences import PAIRS, write_pairs
from trainers import SMALL

from seq2seq.cli.main import main

TINY = [*SMALL, "data.train=train", "data.valid=train", "training.processes=1", "run_dir=run"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)
    return tmp_path


def train(capfd: pytest.CaptureFixture[str], *more: str) -> str:
    """What is logged."""
    assert main(["train", *TINY, *more]) == 0
    return capfd.readouterr().err


def test_parameters_and_the_time_that_is_left(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = train(capfd, "training.max_updates=12", "training.log_every=2")
    counts = re.search(r"([\d,]+) parameters on cpu: embeddings ([\d,]+), .*attention ([\d,]+), .*output", said)
    assert counts is not None
    total, embeddings, attention = (int(count.replace(",", "")) for count in counts.groups())
    assert 0 < attention < embeddings < total
    estimates = re.findall(r"an epoch of (\d+) updates takes about .*, the (\d+) updates that are left \d+ s\b", said)
    assert len(estimates) == 1
    assert int(estimates[0][1]) == 2


def valid_lines() -> list[dict[str, float]]:
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == "valid"]


def test_the_attention_of_every_validation(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = train(capfd, "model/attention=luong2015_local_m", "model.attention.window.half_width=1",
                 "training.max_updates=4", "training.validate_every=1")  # fmt: skip
    lines = valid_lines()
    assert len(lines) == 4
    for line in lines:
        assert 0 < line["attention_relative_entropy"] <= 1
        assert 0 < line["attention_covered"] <= 1
        assert 0 < line["attention_outside"] < 1
        assert line["attention_outside_evenly"] < 1
    assert re.search(
        r"attention: relative entropy [01]\.\d+, covered \d+% of the source, outside the window \d+%", said
    )
    # Four updates leave it uniform; two of the validations are late enough to say so.
    warnings = re.findall(r"attention, at validation (\d): .*almost uniform.*training\.learning_rate", said)
    assert warnings == ["3", "4"]


def test_a_model_without_attention_has_no_health(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = train(capfd, "model/attention=none", "training.max_updates=1")
    assert "attention:" not in said
    assert not any(name.startswith("attention") for name in valid_lines()[-1])
