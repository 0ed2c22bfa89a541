"""Where a checkpoint comes from."""

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from seq2seq.checkpoint import with_home, without_home
from seq2seq.config import parse
from seq2seq.training.model_card import average_card, checkout_commit, model_card, origin, shared_name, versions
from seq2seq.version import __version__

CONFIG = parse(
    "train",
    {
        "data": {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"},
        "model": {"attention": {"placement": {"name": "none"}}, "bridge": {"name": "last"}},
        "training": {"learning_rate": 0.0123, "max_updates": 5, "max_epochs": None, "patience": None, "freeze": []},
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
    card = model_card(CONFIG, 5, 1.25, {"bleu": 1.5}, made)
    for text in (
        "seed 77",
        "| train | abc123 |",
        "| learning_rate | 0.0123 |",
        "| BLEU | 1.50 |",
        "5 updates (1.25 epochs)",
    ):
        assert text in card
    assert not re.search("None|null|\\[]", card)
    for name, value in versions().items():
        assert f"| {name} | {value} |" in card


def test_the_card_tells_what_the_model_is() -> None:
    parts = {"score": {"name": "dot"}, "window": {"name": "global"}, "normaliser": {"name": "softmax"}}
    own = {**parts, "score": {"name": "cosine"}, "heads": 2}
    sides = {"encoder": {"name": "transformer", "attention": own}, "decoder": {"name": "convolutional"}}
    positions = {"positions": {"name": "sinusoidal"}, "bridge": {"name": "mean"}}

    start, end = "A Transformer encoder with a convolutional decoder", "window `global`, normaliser `softmax`"

    def first_line(placement: dict[str, Any]) -> str:
        model = parse("model", {**sides, **positions, "attention": {**parts, "placement": placement}})
        config = dataclasses.replace(CONFIG, model=model)
        _, _, line, *_ = model_card(config, 5, 1.25, {}, origin(config, {})).split("\n")
        assert f"\n{start} whose weights are" in average_card(model, CONFIG.data, ["a"])
        return line

    own_part = f"self-attention of the encoder: score `cosine`, {end}."
    to_source = f"with attention: score `dot`, {end}, placement `between`"
    assert first_line({"name": "between"}) == f"{start} {to_source}; {own_part}"
    in_context = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, context=3))
    told = "It reads each sentence with the 3 sentences before it"
    assert told in model_card(in_context, 5, 1.25, {}, origin(CONFIG, {}))
    assert told in average_card(CONFIG.model, in_context.data, ["a"])
    without = first_line({"name": "none", "feed_source": True})
    assert without == f"{start} without attention to the source; {own_part}"


@pytest.mark.parametrize(
    ("path", "shared"),
    [
        ("data/train", "data/train"),
        ("../train", "train"),
        ("../../corpora/train", "corpora/train"),
        ("/home/alice/work/data/train", "data/train"),
        ("/home/alice/corpora/x/train", "x/train"),
        ("/home/alice/train", "train"),
        ("~/corpora/train", "corpora/train"),
        ("/data/corpora/x/train", "x/train"),
    ],
)
def test_a_card_names_no_home_directory(path: str, shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    for directory in ("/home/alice/work", "/home/alice/work/data", "/"):
        monkeypatch.setattr(os, "getcwd", lambda directory=directory: directory)
        monkeypatch.setattr(os, "getcwdb", lambda directory=directory: directory.encode())
        assert "alice" not in shared_name(path)
        if directory == "/home/alice/work":
            assert shared_name(path) == shared


def test_the_paths_of_a_checkpoint_name_no_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    values = {"data": {"train": ["/home/alice/a", "b"], "valid": "/home/alicea/b"}, "n": [1, None, "/home/alice/c"]}
    given_away = without_home(values)
    assert given_away == {"data": {"train": ["~/a", "b"], "valid": "/home/alicea/b"}, "n": [1, None, "~/c"]}
    assert with_home(given_away) == values
    patterns = {"protect": ["~/[a-z]+", "/home/alice/.*"]}
    assert without_home(patterns) == with_home(patterns) == patterns
    monkeypatch.setenv("HOME", "/home/bob")
    assert with_home(given_away)["data"]["train"][0] == "/home/bob/a"
