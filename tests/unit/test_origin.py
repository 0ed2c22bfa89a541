"""Where a checkpoint comes from."""

import shutil
import subprocess
from pathlib import Path

import pytest

from seq2seq.config import parse
from seq2seq.training.card import model_card
from seq2seq.training.origin import checkout_commit, origin, versions
from seq2seq.version import __version__

CONFIG = parse(
    "train",
    {
        "data": {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"},
        "model": {"attention": {"placement": {"name": "none"}}, "bridge": {"name": "last"}},
        "training": {"learning_rate": 0.0123},
        "seed": 77,
    },
)


def git(directory: Path, *arguments: str) -> str:
    said = subprocess.run(
        ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return said.stdout.strip()


def test_what_is_no_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout_commit(tmp_path) is None
    (tmp_path / ".git").write_text("gitdir: nowhere")  # git itself fails
    assert checkout_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")  # or is not there
    assert checkout_commit(tmp_path) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_checkout_tells_its_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "One")
    git(tmp_path, "tag", "-m", "a tag", "v1")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert checkout_commit(tmp_path) == commit
    (tmp_path / "inside").mkdir()
    assert checkout_commit(tmp_path / "inside") is None  # another project's checkout may lie around an installed one
    (tmp_path / "file").write_text("2")
    assert checkout_commit(tmp_path) == f"{commit}-dirty"


def test_the_card_tells_what_it_takes() -> None:
    made = origin(CONFIG, {"train": "abc123"})
    assert made["versions"]["seq2seq"] == __version__
    assert {"python", "torch", "sentencepiece", "sacrebleu"} <= versions().keys()
    card = model_card(CONFIG, 5, 1, {"bleu": 1.5}, made)
    for text in (
        "seed 77",
        "| train | abc123 |",
        "| learning_rate | 0.0123 |",
        "| bleu | 1.500 |",
        "5 updates, 1 whole",
    ):
        assert text in card
    for name, value in versions().items():
        assert f"| {name} | {value} |" in card
