"""Attention through time: few validations stay, evenly spaced, and a damaged file costs nothing but itself."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from support import trainers

from seq2seq.errors import DataError
from seq2seq.inference.forced_scores import SentencePair, score_pairs
from seq2seq.training.snapshots import Attended, Snapshots, attend, read_snapshots, write_snapshots


def attended(sentences: int = 3, size: int = 40) -> list[Attended]:
    pieces = [f"▁{place}" for place in range(size)]
    return [(pieces, pieces, np.eye(size)) for _ in range(sentences)]


def filled(updates: range) -> Snapshots:
    snapshots = Snapshots()
    for update in updates:
        snapshots.add(update, update / 8, attended(2, 3))
    return snapshots


@pytest.mark.parametrize("validations", [39, 40, 41, 77, 500])
def test_the_first_and_the_last_stay_and_others_evenly(validations: int) -> None:
    snapshots = filled(range(100, 100 * validations + 1, 100))
    updates = snapshots.updates
    assert len(updates) == min(validations, 40) == len(snapshots.weights)
    assert (updates[0], updates[-1]) == (100, 100 * validations)
    assert snapshots.epochs == [update / 8 for update in updates]
    gaps = np.diff(updates)
    assert gaps.min() > 0
    assert gaps.max() <= 2 * max(100 * validations / 40, 100)


def test_the_file_is_bounded(tmp_path: Path) -> None:
    snapshots = Snapshots()
    for update in range(60):
        snapshots.add(update, 0.5, attended())
    write_snapshots(tmp_path, snapshots)
    assert (tmp_path / "snapshots.json").stat().st_size < 400_000
    assert read_snapshots(tmp_path) == snapshots


def test_a_resumed_run_repeats_what_came_after_its_state() -> None:
    snapshots = filled(range(10, 60, 10))
    snapshots.forget(30)
    assert snapshots.updates == [10, 20, 30]
    snapshots.add(30, 1.0, attended(2, 3))
    assert (snapshots.updates, snapshots.epochs) == ([10, 20, 30], [10 / 8, 20 / 8, 1.0])
    snapshots.check()


def test_other_sentences_start_anew() -> None:
    snapshots = filled(range(10, 60, 10))
    snapshots.add(60, 1.0, attended(3, 5))
    assert snapshots.updates == [60]
    assert [len(columns) for columns in snapshots.columns] == [5, 5, 5]
    snapshots.check()


@pytest.mark.parametrize(
    "change",
    [
        {"updates": [1, 2]},
        {"epochs": []},
        {"epochs": [float("nan")]},
        {"weights": [["AA"]]},
        {"weights": ["AA"]},
        {"columns": [["a"]]},
        {"samples": [["source", "reference"]]},
        {"updates": ["1"]},
        {"more": 1},
    ],
)
def test_a_damaged_file_is_named_and_left(
    tmp_path: Path, change: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = filled(range(1, 2))
    (tmp_path / "snapshots.json").write_text(json.dumps({**vars(snapshots), **change}))
    with caplog.at_level(logging.WARNING):
        assert read_snapshots(tmp_path) == Snapshots()
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}/snapshots.json: can't be read (")


def test_a_run_without_a_file_has_none_yet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_snapshots(tmp_path) == Snapshots()
    assert not caplog.messages


def test_a_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/snapshots.json").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match="a link that leads out of"):
        read_snapshots(tmp_path / "run")


def test_the_attention_is_that_of_forced_references(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, "model.attention.heads=2", "model.dropout=0.5")
    validation, translator = trainer.validation, trainer.translator
    trainer.model.train()
    before = torch.get_rng_state()
    found = attend(translator, validation.corpus)
    assert torch.get_rng_state().equal(before)
    rows = [0, len(validation.requests) // 3, 2 * (len(validation.requests) // 3)]
    pairs = [SentencePair(validation.requests[row].line, validation.references[row]) for row in rows]
    assert len(found) == 3
    for (columns, names, weights), expected in zip(found, score_pairs(translator, pairs), strict=True):
        assert (columns, names) == (expected.source_tokens, expected.tokens)
        assert expected.attention is not None
        np.testing.assert_allclose(weights, expected.attention.mean(0), rtol=1e-5)


def test_long_sentences_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainers.make(tmp_path)
    lengths = trainer.validation.corpus.source.lengths
    monkeypatch.setattr("seq2seq.training.snapshots._LONGEST", int(np.median(lengths)))
    found = attend(trainer.translator, trainer.validation.corpus)
    assert 0 < len(found) <= 3
    assert all(len(columns) <= np.median(lengths) for columns, _, _ in found)
    monkeypatch.setattr("seq2seq.training.snapshots._LONGEST", 1)
    assert attend(trainer.translator, trainer.validation.corpus) == []


def test_a_model_without_attention_has_no_snapshots(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, "model/attention/placement=none")
    snapshots = Snapshots()
    snapshots.add(1, 0.5, attend(trainer.translator, trainer.validation.corpus))
    assert snapshots == Snapshots()
