"""Time to quality."""

from pathlib import Path

import pytest

from seq2seq.benchmark.quality import QualityClock


def test_each_goal_is_noted_once_when_it_is_first_reached(tmp_path: Path) -> None:
    clock = QualityClock("bleu", [36.0, 34.0, 50.0], tmp_path)
    for update, bleu in ((10, 20.0), (20, 35.0), (30, 33.0), (40, 36.0), (50, 40.0)):
        clock.note({"event": "train", "update": update, "tokens": 100})
        clock.note({"event": "valid", "update": update, "bleu": bleu})
    low, high, never = clock.rows()
    assert (low["goal"], low["updates"], low["tokens"], low["score"]) == (34.0, 20, 200, 35.0)
    assert (high["goal"], high["updates"], high["tokens"], high["score"]) == (36.0, 40, 400, 36.0)
    assert 0 < low["minutes"] < high["minutes"] < 1
    assert low["kilojoules"] is None
    assert never == {"metric": "bleu", "goal": 50.0}


def test_energy_is_added_up_over_packages_and_full_counters(tmp_path: Path) -> None:
    def count(*values: int) -> None:
        for number, value in enumerate(values):
            package = tmp_path / f"intel-rapl:{number}"
            package.mkdir(exist_ok=True)
            (package / "energy_uj").write_text(f"{value}\n")
            (package / "max_energy_range_uj").write_text("1000000000\n")

    count(900_000_000, 0)
    clock = QualityClock("bleu", [1.0], tmp_path)
    count(100_000_000, 50_000_000)  # the first one was full in between
    clock.note({"event": "train", "update": 1, "tokens": 1})
    count(300_000_000, 100_000_000)
    clock.note({"event": "valid", "update": 1, "bleu": 2.0})
    (row,) = clock.rows()
    assert row["kilojoules"] == pytest.approx(0.5)
