"""scripts/bible_tokens.py on two made-up verses."""

import runpy
from pathlib import Path

import pytest
from support import ROOT


def test_links_between_tokens_are_scored_as_links_between_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str | Path) -> str:
        monkeypatch.setattr("sys.argv", ["bible_tokens.py", *map(str, words)])
        runpy.run_path(str(ROOT / "scripts/bible_tokens.py"), run_name="__main__")
        return capsys.readouterr().out

    bible, tokens = tmp_path / "bible", tmp_path / "tokens"
    bible.mkdir()
    for part, greek, english in (
        ("train", "θεὸς", "God"),
        ("valid", "λόγος", "Word"),
        ("test", "Παῦλος δοῦλος", "Paul, a"),
    ):
        (bible / f"{part}.grc").write_text(f"{greek}\n")
        (bible / f"{part}.en").write_text(f"{english}\n")
    (bible / "test.align").write_text("0-0 1-1\n")
    run("make", bible, tokens)
    assert (tokens / "all.en").read_text() == "god\npaul , a\n"
    assert (tokens / "all.grc").read_text() == "θεὸς\nπαῦλος δοῦλος\n"
    (tmp_path / "links").write_text("0-0\n0-0 0-1 1-2\n")  # the comma is a part of the first word
    assert "AER 0.0000" in run("score", bible, tmp_path / "links")
    (tmp_path / "wrong").write_text("0-0\n0-2\n")
    assert "AER 1.0000" in run("score", bible, tmp_path / "wrong")
