"""scripts/align.sh aligns a text with nothing but this text, and goes on where it stopped."""

import subprocess
from pathlib import Path

import pytest
from support import ROOT

from seq2seq.inference.alignment import agreement, read_gold
from seq2seq.text.word_alignments import read_links

PAIRS = 500


def align(*words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", ROOT / "scripts/align.sh", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_without_a_text_it_tells_how_it_is_used() -> None:
    result = align("text", "en")
    assert result.returncode == 2
    assert "bash scripts/align.sh TEXT SOURCE TARGET OUTPUT [SETTINGS]" in result.stderr
    assert not result.stdout


@pytest.mark.slow
def test_a_text_is_aligned_better_than_by_the_diagonal(tmp_path: Path) -> None:
    for side in ("en", "de"):
        lines = (ROOT / f"data/embedded/train.{side}").read_text().splitlines()[:2000]
        lines += (ROOT / f"data/embedded/test.{side}").read_text().splitlines()
        (tmp_path / f"text.{side}").write_text("".join(f"{line}\n" for line in lines))
    command = (tmp_path / "text", "en", "de", tmp_path / "out", "training.max_epochs=12", "device=cpu")
    result = align(*command)
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "out/links.align").read_text().splitlines()
    assert len(lines) == 2000 + PAIRS
    golds = [read_gold(line, 0, "gold") for line in (ROOT / "data/embedded/test.align").read_text().splitlines()]
    found = [sorted(read_links(line, "links")) for line in lines[-PAIRS:]]
    assert agreement(found, golds).aer < 0.3
    (tmp_path / "out/links.align").unlink()
    again = align(*command)
    assert again.returncode == 0
    assert (tmp_path / "out/links.align").read_text().splitlines() == lines
