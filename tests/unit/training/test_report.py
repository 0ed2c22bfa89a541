"""Samples stay readable in narrow terminals, and in wide characters."""

import logging
import math
import os
import re
from types import SimpleNamespace

import pytest
import torch

from seq2seq.inference.heatmap import fold, text_heatmap, text_width
from seq2seq.inference.translation import Translation
from seq2seq.training.report import ValidationReport, show_samples

LONG = "the old farmer bought two books in the town"


def sample(source: str, text: str) -> Translation:
    pieces, words = source.split() or list(source), text.split() or list(text)
    weights = torch.eye(len(words), len(pieces))[None].numpy()
    return Translation(source, text, -1.0, -1.0, pieces, words, [-0.1] * len(words), weights)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("a short one", 20, ["a short one"]),
        ("two words here", 9, ["two words", "here"]),
        ("exactly", 7, ["exactly"]),
        ("unbreakable x", 5, ["unbreakable", "x"]),
        ("", 5, [""]),
        ("我们昨天买了书。", 8, ["我们昨天", "买了书。"]),
        ("買book了吗", 6, ["買book", "了吗"]),
        ("e\u0301e\u0301 x", 2, ["e\u0301e\u0301", "x"]),
        ("red \x1b[31mtext", 80, ["red ·[31mtext"]),  # a terminal would act on it
    ],
)
def test_lines_fit(text: str, width: int, lines: list[str]) -> None:
    assert fold(text, width) == lines


@pytest.mark.parametrize("width", [20, 30, 47])
def test_nothing_is_lost(width: int) -> None:
    for text in (LONG, "我们昨天在城里买了两本书。" * 3, f"{LONG} 我们昨天 {LONG}"):
        lines = fold(text, width)
        assert max(map(text_width, lines)) <= width
        assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)


def test_heat_maps_come_in_parts() -> None:
    translation = sample(" ".join("abcdefghijklmnopqrst"), "x y")
    assert text_heatmap(translation.heatmap(), 80) == text_heatmap(translation.heatmap())
    parts = text_heatmap(translation.heatmap(), 24).split("\n")
    assert max(map(len, parts)) <= 24
    assert [line.split() for line in parts[::3]] == [list("abcdefghij"), list("klmnopqrst")]
    assert parts[1] == "x |██                  |"


def test_samples_are_logged_within_the_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((40, 24)))
    with caplog.at_level(logging.INFO):
        show_samples([(sample("我们昨天在城里买了两本书我们买了书。", LONG), LONG)])
    texts, picture = caplog.messages
    assert max(text_width(line) for message in (texts, picture) for line in message.split("\n")) <= 40
    assert texts.split("\n") == [
        "source:      我们昨天在城里买了两本书我",
        "             们买了书。",
        "reference:   the old farmer bought two",
        "             books in the town",
        "translation: the old farmer bought two",
        "             books in the town",
    ]


def test_log_files_have_a_line_for_each(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def no_terminal(number: int) -> os.terminal_size:
        raise OSError

    monkeypatch.setattr(os, "get_terminal_size", no_terminal)
    with caplog.at_level(logging.INFO):
        show_samples([(sample(LONG * 5, LONG), "")])
    assert caplog.messages[0].split("\n") == [f"source:      {LONG * 5}", "reference:", f"translation: {LONG}"]


def test_a_held_out_set_whose_loss_is_not_finite_has_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    written: list[tuple[str, dict[str, float]]] = []
    display = SimpleNamespace(
        write=lambda kind, update, values: written.append((kind, values)), board=lambda *given: None
    )
    scores = {"loss": 2.0, "perplexity": 7.39, "bleu": 30.0, "chrf": 50.0}
    report = ValidationReport(5, 0.5, 1, scores, True)
    with caplog.at_level(logging.INFO):
        report.show(display, [], ("en", "de"), None, {"other": {"loss": math.nan}})  # type: ignore[arg-type]
    assert caplog.messages == [
        "update 5, epoch 0.50: valid loss 2.000, perplexity 7.39, BLEU 30.00, chrF 50.00 (best)",
        "other loss nan",
    ]
    assert [kind for kind, _ in written] == ["valid", "valid/other"]
