"""RUN_DIR/report.html, the exit summary and the callback: what a training tells beside its log."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from support import ranks, trainers

import seq2seq
from seq2seq.cli.main import main
from seq2seq.training.loop import Trainer
from seq2seq.training.process_group import ProcessGroup
from seq2seq.training.run_report import RunReport

OPTIONS = ["training.validate_every=3", "training.log_every=1", "model.dropout=0.2", "training.patience=null"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    trainers.write_corpus(tmp_path)
    return tmp_path


def train(*more: str, run: str = "run") -> None:
    names = ["data.train=train", "data.valid=valid", "data.cache_dir=cache"]
    assert main(["train", *trainers.TINY, *names, *OPTIONS, f"run_dir={run}", *more]) == 0


def rows(run: str = "run") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{run}/metrics.jsonl").read_text().splitlines()]


def page(run: str = "run") -> str:
    return Path(f"{run}/report.html").read_text()


def data(run: str = "run") -> dict[str, Any]:
    """What the script of the page reads."""
    found: dict[str, Any] = json.loads(re.findall(r'id="data">(.*?)</script>', page(run), re.DOTALL)[0])
    return found


def measured(values: dict[str, Any]) -> dict[str, Any]:
    """The data of a page without what differs between two runs."""
    return {**values, "train": {**values["train"], "tokens_per_second": None}}


def test_the_report_of_a_resumed_run_is_that_of_a_whole_one(corpus: Path) -> None:
    train("training.max_updates=6")
    assert data()["attention"]["updates"] == [3, 6]
    assert "finished: training.max_updates=6 is reached" in page()
    train("training.max_updates=12")
    train("training.max_updates=12", run="whole")
    assert data()["attention"]["updates"] == [3, 6, 9, 12]
    assert measured(data()) == measured(data("whole"))
    assert data()["train"]["loss"] == [float(f"{row['nll']:.4g}") for row in rows() if row["event"] == "train"]
    valid = [row for row in rows() if row["event"] == "valid"]
    assert data()["valid"][""]["update"] == [row["update"] for row in valid] == [3, 6, 9, 12]
    codes = data()["attention"]["weights"]
    assert codes[0] != codes[-1]
    samples = json.loads(Path("run/snapshots.json").read_text())["samples"]
    assert len(samples) == 3
    texts = Path("run/validation/000012.txt").read_text().splitlines()
    assert all(translation in texts for _, _, translation in samples)


def test_a_run_of_an_older_version_has_a_report_from_its_resume_on(corpus: Path) -> None:
    train("training.max_updates=6")
    for name in ("report.html", "snapshots.json"):
        Path("run", name).unlink()
    train("training.max_updates=9")
    assert data()["attention"]["updates"] == [9]
    assert data()["valid"][""]["update"] == [3, 6, 9]


def test_a_training_is_the_same_without_it(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ["training.max_updates=9", "model.dropout=0.2", "model/attention/normaliser=gumbel"]
    train(*more)
    with monkeypatch.context() as patched:
        patched.setattr("seq2seq.training.loop.attend", lambda *given: [])
        patched.setattr(RunReport, "write", lambda *given: None)
        train(*more, run="without")
    assert not Path("without/report.html").exists()
    for name in ("last/model.safetensors", "last/state.safetensors", "best/model.safetensors"):
        assert Path("run", name).read_bytes() == Path("without", name).read_bytes()


@pytest.mark.parametrize("more", [["model/attention=none"], ["model=vaswani2017_tiny", "model.hidden_size=12"]])
def test_attention_is_shown_where_there_is_some(corpus: Path, more: list[str]) -> None:
    train("training.max_updates=3", *more)
    assert ('type="range"' in page()) == ("model/attention=none" not in more)
    assert len(data()["attention"]["weights"]) == ("model/attention=none" not in more)


def test_only_the_first_rank_writes_and_calls_back(corpus: Path) -> None:
    seen: list[dict[str, Any]] = []

    def run(trainer: Trainer) -> int:
        trainer.callback = seen.append
        trainer.run()
        return len(seen)  # of a rank's own process

    more = [*OPTIONS, "training.max_updates=3"]
    assert run(ranks.make(corpus, ProcessGroup(), *more, run="alone")) == 4
    seen.clear()
    found = ranks.together(corpus, 2, lambda team: run(ranks.make(corpus, team, *more, run=f"run{team.rank}")))
    assert found == [4, 0]
    assert data("run0")["attention"]["updates"] == [3]
    assert list(Path("run1").iterdir()) == []


def test_the_end_says_what_came_of_it_and_what_to_do_next(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train("training.max_updates=6", run="run 1")
    said = capfd.readouterr().err.splitlines()
    end = said[said.index("done: training.max_updates=6 is reached (6 updates)") + 1 :]
    best = [row for row in rows("run 1") if row["event"] == "valid" and row["best"]][-1]
    assert end[0].startswith(f"best validation: BLEU {best['bleu']:.2f}, chrF {best['chrf']:.2f}, loss ")
    assert end[0].endswith(f"at update {best['update']} (epoch {best['epoch']:.2f})")
    assert re.fullmatch(r"time: \d+ s, [\d,]+ tokens/s without validations", end[1])
    assert end[2:] == ["report: run 1/report.html", "translate with: seq2seq translate 'checkpoint=run 1/best'"]


def test_a_callback_gets_the_lines_of_metrics(corpus: Path) -> None:
    seen: list[dict[str, Any]] = []
    overrides = [*trainers.told(corpus), *OPTIONS, "training.max_updates=4"]
    run_dir = seq2seq.train(*overrides, callback=seen.append, run_dir="run")
    assert seen == rows(str(run_dir))
    assert [row["event"] for row in seen] == ["train", "train", "train", "valid", "train", "valid"]


def test_what_a_callback_raises_ends_the_training(corpus: Path) -> None:
    def full(row: dict[str, Any]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        seq2seq.train(*trainers.told(corpus), *OPTIONS, callback=full, run_dir="run")


def test_a_signal_leaves_the_report_of_the_state_that_is_saved(corpus: Path) -> None:
    def stop(row: dict[str, Any]) -> None:
        if row["update"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        seq2seq.train(*trainers.told(corpus), *OPTIONS, "training.max_updates=9", callback=stop, run_dir="run")
    assert data()["train"]["update"] == [1, 2, 3, 4, 5]
    assert data()["attention"]["updates"] == [3]
    assert "update 5 of at most 9" in page()
