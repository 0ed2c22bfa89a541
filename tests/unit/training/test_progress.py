"""The progress bar: on terminals of every width, and how much of the training is left."""

import io
import json
import logging
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from seq2seq.training.progress import Pace, Progress

VALUES = {"loss": 3.2145, "tokens_per_second": 12345.6, "epoch": 0.5, "learning_rate": 1e-3, "gradient_norm": 0.75}


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2


class Steady:
    """A pace of two seconds for each update."""

    updates, validations = 100, 1

    def updated(self) -> None:
        pass

    def seconds(self, updates: float, validations: float) -> float:
        return 2 * updates


def start(path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, **options: Any) -> Progress:
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((columns, 0 if columns == 0 else 24)))
    more = {"epoch": 10, "validate_every": 10, "tensorboard": False, **options}
    progress = Progress(path, 1000, torch.device("cpu"), **more)
    progress._pace = Steady()  # type: ignore[assignment]
    return progress


def drawn(progress: Progress) -> str:
    """The bar as it is now."""
    return str(progress._bar)


@pytest.mark.parametrize(
    ("columns", "shown", "hidden"),
    [
        (20, ["0%", "0/1000"], ["loss"]),
        (30, ["loss 3.215"], ["left"]),
        (40, ["loss 3.215"], ["tokens/s"]),
        (80, ["loss 3.215", "30 min left", "12,346 tokens/s"], ["gradient"]),
        (0, ["loss 3.215", "30 min left", "12,346 tokens/s"], ["gradient"]),  # it doesn't tell
        (200, ["30 min left", "tokens/s", "epoch 0.50", "learning rate 1.00e-03", "gradient norm 0.75"], []),
    ],
)
def test_the_most_important_values_are_shown_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, shown: list[str], hidden: list[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with closing(start(tmp_path, monkeypatch, columns)) as progress:
        progress.show(100, VALUES, float("inf"))
        progress._bar.refresh()
        line = terminal.getvalue().split("\r")[-1]
    assert len(line) < (columns or 80)
    assert all(text in line for text in shown), line
    assert not any(text in line for text in hidden), line
    assert not line.rstrip().endswith(",")


def test_time_may_end_it_before_the_updates_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with closing(start(tmp_path, monkeypatch, 80)) as progress, caplog.at_level(logging.INFO):
        progress.show(100, VALUES, 600)
        assert "10 min left" in drawn(progress)
        assert progress._bar.total == 100 + 300  # two seconds each
        progress.show(100, VALUES, 1e6)
        assert "30 min left" in drawn(progress)
        assert progress._bar.total == 1000
        progress.show(100, VALUES, -1)
        assert "0 s left" in drawn(progress)
    assert caplog.messages == ["estimated time: 20 s per epoch (10 updates), 10 min to the end (training.max_hours)"]


def test_without_a_terminal_there_is_a_line_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with closing(start(tmp_path, monkeypatch, 80)) as progress, caplog.at_level(logging.INFO):
        progress.show(100, VALUES, float("inf"))
        progress._shown -= 60
        progress.show(110, VALUES, float("inf"))
    assert caplog.messages == [
        "estimated time: 20 s per epoch (10 updates), 30 min to the end (900 updates)",
        "update 110 of 1000: loss 3.215, 30 min left, 12,346 tokens/s, epoch 0.50, learning rate 1.00e-03, "
        "gradient norm 0.75",
    ]


def test_a_notebook_has_a_bar_although_it_is_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shell(config: dict[str, object]) -> mock.Mock:
        return mock.Mock(get_ipython=lambda: mock.Mock(config=config))

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for module, hidden in ((None, True), (shell({}), True), (shell({"IPKernelApp": {}}), False)):
        monkeypatch.setitem(sys.modules, "IPython", module)
        with closing(start(tmp_path, monkeypatch, 30)) as progress:
            progress.show(100, VALUES, float("inf"))
            assert progress._bar.disable == hidden
            assert ("30 min left, 12,346 tokens/s" in drawn(progress)) == (not hidden)


def test_each_line_of_metrics_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    with closing(start(tmp_path, monkeypatch, 80, on_row=seen.append)) as progress:
        progress.write("train", 3, {"loss": 2.5, "gradient_norm": float("inf")})
    assert seen == [{"event": "train", "update": 3, "loss": 2.5, "gradient_norm": None}]
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == seen


def test_tokens_before_a_validation_count_and_its_time_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with closing(Progress(tmp_path, 1000, torch.device("cpu"), epoch=10, validate_every=10)) as display:
        display._pace = Pace(lambda: now[0])
        for step in range(4):
            now[0] += 2
            display.advance(100)
            if step == 2:
                now[0] += 50
                display.pause()
        speed = display.speed()
    assert speed["tokens"] == 400
    assert speed["tokens_per_second"] == 50
