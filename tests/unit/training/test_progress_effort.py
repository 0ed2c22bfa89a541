"""What training took: its speed and its memory."""

import json
import sys
from pathlib import Path

import pytest
import torch

from seq2seq.device import peak_mb, reset_peak
from seq2seq.training.progress import Effort, effort


def written(directory: Path, lines: list[dict[str, object]]) -> Effort:
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return effort(directory)


def line(update: int, **values: object) -> dict[str, object]:
    return {"event": "train", "update": update, **values}


def test_the_speed_is_all_tokens_over_all_time(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        [
            line(10, tokens=1000, tokens_per_second=100.0, peak_memory_mb=5.0),
            line(20, tokens=3000, tokens_per_second=1000.0, peak_memory_mb=7.0),
            {"event": "valid", "update": 20, "bleu": 3.0},
            line(30, tokens=0, tokens_per_second=0.0, peak_memory_mb=6.0),
        ],
    )
    assert found == Effort(30, pytest.approx(4000 / 13), 7.0)


def test_older_runs_have_a_speed_and_no_memory(tmp_path: Path) -> None:
    found = written(tmp_path, [line(10, tokens_per_second=100.0), line(20, tokens_per_second=300.0)])
    assert found == Effort(20, pytest.approx(150.0), None)
    assert effort(tmp_path / "nowhere") == Effort(0, None, None)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process reset its peak")
def test_a_peak_does_not_see_what_was_freed_before() -> None:
    device = torch.device("cpu")
    reset_peak(device)
    start = peak_mb(device)
    block = torch.ones(64 << 20, dtype=torch.uint8)
    large = peak_mb(device)
    assert large > start + 50
    del block
    assert peak_mb(device) > start + 50
    reset_peak(device)
    assert peak_mb(device) < large - 50
