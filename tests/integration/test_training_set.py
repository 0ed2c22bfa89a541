"""What is trained on, from end to end: several corpora, filters, several validation sets."""

import json
from pathlib import Path

import pytest
import torch
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL, weights

from seq2seq.cli.main import main

TINY = [
    *SMALL, "data.valid=valid", "model.embedding_size=8", "model.hidden_size=8", "training.processes=1",
    "decoding.max_length=4",
]  # fmt: skip
PARTS = {"one": PAIRS[:15], "two": PAIRS[15:], "valid": PAIRS[::5], "other": PAIRS[1::6]}


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, pairs in PARTS.items():
        write_pairs(name, pairs)
    return tmp_path


def train(*more: str) -> int:
    return main(["train", *TINY, *more])


def same(one: str, other: str) -> bool:
    found, expected = weights(one), weights(other)
    return all(torch.equal(found[name], expected[name]) for name in expected)


def state(run: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(Path(f"{run}/last/state.json").read_text())
    return found


def test_weights_are_copies_and_a_stopped_run_ends_the_same(corpora: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mixed = ["data.train=[one,two]", "data.weights=[1,2]"]
    assert train("run_dir=mixed", *mixed, "training.max_epochs=2") == 0
    said = capfd.readouterr().err
    assert "one: 15 pairs" in said
    assert "two: 12 pairs" in said
    assert "2 corpora: an epoch has 39 pairs" in said
    assert set(state("mixed")["hashes"]) == {"train[0]", "train[1]", "valid"}
    assert "on `one` and `two`" in Path("mixed/best/README.md").read_text()
    assert train("run_dir=parts", *mixed, "training.max_epochs=2", "training.max_updates=7") == 0
    assert train("run_dir=parts", *mixed, "training.max_epochs=2") == 0
    assert same("parts/last", "mixed/last")
    assert train("run_dir=parts", "data.train=[one,two]", "data.weights=[2,1]") == 2
    assert "data.weights: was [1, 2], now [2, 1]" in capfd.readouterr().err
    assert main(["shortlist", "checkpoint=mixed", "device=cpu"]) == 0
    assert "one, two: aligning 27 pairs" in capfd.readouterr().err


def test_a_list_of_one_is_that_corpus(corpora: Path) -> None:
    assert train("run_dir=plain", "data.train=one", "training.max_updates=4") == 0
    entries = sorted(path.name for path in Path("runs/cache").iterdir())
    assert train("run_dir=listed", "data.train=[one]", "training.max_updates=4") == 0
    assert sorted(path.name for path in Path("runs/cache").iterdir()) == entries
    assert same("plain/last", "listed/last")
    assert state("plain")["hashes"] == state("listed")["hashes"]


def test_each_corpus_has_its_own_alignments(corpora: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        Path(f"{name}.align").write_text("0-0\n" * len(PARTS[name]))
    guided = ["data.train=[one,two]", "training.guided_alignment=0.5"]
    assert train("run_dir=run", *guided, "data.alignments=[one.align,two.align]", "training.max_updates=10") == 0
    assert capfd.readouterr().err.count("% of the target pieces are linked") == 2
    assert '"guided_alignment"' in Path("run/metrics.jsonl").read_text()
    assert set(state("run")["hashes"]) == {"train[0]", "train[1]", "valid", "alignments[0]", "alignments[1]"}
    assert train("run_dir=new", *guided, "data.alignments=[two.align,one.align]") == 2
    assert "two.align:13: the file ends here, but one has a pair 13" in capfd.readouterr().err


def test_what_is_left_out_is_told_by_reason(corpora: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_pairs("dirty", [*PARTS["one"], ("copy", "copy"), *PARTS["one"][:3], ("a " * 30, "b"), ("", "x")])
    filters = ["data.max_length_ratio=4", "data.drop_identical=true", "data.drop_duplicates=true"]
    assert train("check=true", "data.train=dirty", *filters) == 0
    said = capfd.readouterr().err
    assert (
        "dirty: 15 pairs, dropped 1 with an empty side, 1 with the same text on both sides, 3 that occurred earlier, "
        "1 with a side over data.max_length_ratio=4.0 times the other\n" in said
    )
    assert train("check=true", "data.train=dirty") == 0
    assert "dirty: 20 pairs, dropped 1 with an empty side\n" in capfd.readouterr().err
    assert train("check=true", "data.train=one") == 0
    assert "one: 15 pairs, none dropped\n" in capfd.readouterr().err


def test_the_first_validation_set_decides_and_all_are_told_of(corpora: Path, capfd: pytest.CaptureFixture[str]) -> None:
    length = ["data.train=one", "training.max_updates=20", "training.validate_every=5"]
    assert train("run_dir=alone", *length) == 0
    capfd.readouterr()
    assert train("run_dir=both", *length, "data.valid=[valid,other]") == 0
    said = capfd.readouterr().err
    assert said.count("\nother loss ") == said.count(": valid loss ") == 4
    assert same("both/best", "alone/best")
    assert same("both/last", "alone/last")
    assert set(state("both")["hashes"]) == {"train", "valid[0]", "valid[1]"}
    alone, both = ([json.loads(line) for line in Path(f"{run}/metrics.jsonl").read_text().splitlines()]
                   for run in ("alone", "both"))  # fmt: skip
    assert [e for e in both if e["event"] == "valid"] == [e for e in alone if e["event"] == "valid"]
    further = [event for event in both if event["event"] == "valid/other"]
    assert [event["update"] for event in further] == [5, 10, 15, 20]
    assert set(further[-1]) == {"event", "update", "loss", "perplexity", "bleu", "chrf", "epoch"}
    assert train("run_dir=swapped", *length, "data.valid=[other,valid]") == 0
    last = [json.loads(line) for line in Path("swapped/metrics.jsonl").read_text().splitlines()][-2]
    assert last["event"] == "valid"
    assert {key: last[key] for key in further[-1] if key != "event"} == pytest.approx(
        {key: value for key, value in further[-1].items() if key != "event"}
    )
    assert train("run_dir=double", *length, "data.valid=[other,other]") == 2
    assert train("run_dir=double", *length, "data.valid=[other,nowhere]") == 2
    said = capfd.readouterr().err
    assert "data.valid=['other', 'other']: expected a held-out set, or several, [a,b], each once." in said
    assert "nowhere.en: no such file" in said
