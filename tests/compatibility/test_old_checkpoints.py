"""Checkpoints that earlier versions wrote are read for ever, and translate as they did."""

from pathlib import Path

import pytest

import seq2seq

FORMATS = sorted(path for path in Path(__file__).parent.iterdir() if (path / "config.json").is_file())


def test_there_is_one_of_each_format() -> None:
    assert [path.name for path in FORMATS] == ["format1", "format2"]


@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.name)
def test_it_translates_as_it_did(path: Path) -> None:
    best = seq2seq.load(path).translate("my friend hears the old house .")
    assert best.text == "mein Freund hört das alte Haus ."
    assert best.score == pytest.approx(-2.332209, rel=1e-4)
