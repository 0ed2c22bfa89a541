"""What may be different when a run goes on: where its files lie, its processes, and what is changed on purpose."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support import trainers
from support.sentences import PAIRS, write_pairs

from seq2seq.cli.main import main

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")
STILL = ["model.dropout=0", "training.optimizer=sgd", "training.validate_every=100", "training.log_every=1"]


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    trainers.write_corpus(tmp_path)
    return tmp_path


def train(*more: str, text: str = "") -> int:
    files = [f"data.train={text}train", f"data.valid={text}valid", "data.cache_dir=cache"]
    return main(["train", *trainers.TINY, *files, *more])


def rates(run: str) -> list[float]:
    events = [json.loads(line) for line in Path(f"{run}/metrics.jsonl").read_text().splitlines()]
    return [event["learning_rate"] for event in events if event["event"] == "train"]


def same(one: str, other: str) -> bool:
    found, expected = trainers.weights(f"{one}/last"), trainers.weights(f"{other}/last")
    return all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_same_text_may_lie_elsewhere_and_another_one_is_refused(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("run_dir=whole", "training.max_updates=6") == 0
    assert train("run_dir=parts", "training.max_updates=2") == 0
    (corpus / "copy").mkdir()
    (corpus / "elsewhere").mkdir()
    for name in ("train.en", "train.de", "valid.en", "valid.de"):
        shutil.move(name, f"copy/{name}")
    assert train("run_dir=parts", "training.max_updates=4", text="copy/") == 0
    assert "parts: continues with data.train: was 'train', now 'copy/train'" in capfd.readouterr().err
    monkeypatch.chdir("elsewhere")
    assert train(f"run_dir={corpus}/parts", "training.max_updates=6", text=f"{corpus}/copy/") == 0
    monkeypatch.chdir(corpus)
    assert same("parts", "whole")
    kept = Path("parts/config.json").read_text()
    write_pairs("train", PAIRS)
    write_pairs("valid", PAIRS[::5])
    for more in ([], ["check=true"]):
        capfd.readouterr()
        assert train("run_dir=parts", "training.max_updates=8", *more) == 2
        assert "run_dir=parts: the corpus has changed since this run began (data.train)" in capfd.readouterr().err
        assert Path("parts/config.json").read_text() == kept


@LINUX
@pytest.mark.parametrize(("first", "second"), [("training.processes=2", "training.processes=1"),
                                               ("training.processes=1", "training.processes=2")])  # fmt: skip
def test_another_number_of_processes_goes_on_to_rounding(
    first: str, second: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("run_dir=whole", *STILL, first, "training.max_updates=4") == 0
    assert train("run_dir=parts", *STILL, first, "training.max_updates=2") == 0
    capfd.readouterr()
    assert train("run_dir=parts", *STILL, second, "training.max_updates=4") == 0
    assert (
        f"the run was saved by {first[-1]} processes and continues with {second[-1]}: only rounding"
        in capfd.readouterr().err
    )
    whole = trainers.weights("whole/last")
    for name, tensor in trainers.weights("parts/last").items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-4, atol=1e-6)
    assert train("run_dir=parts", *STILL, second, "training.max_updates=5") == 0
    assert "the run was saved by" not in capfd.readouterr().err


def test_a_rate_that_is_changed_on_purpose_is_told_and_recorded(capfd: pytest.CaptureFixture[str]) -> None:
    plateau = ["training.learning_rate=1e-12", "training.validate_every=1", "training.plateau_patience=0"]
    patience = ["training.patience=3", "training.log_every=1", "run_dir=run"]
    assert train(*plateau, *patience) == 0
    stopped = json.loads(Path("run/last/state.json").read_text())
    update = stopped["position"]["update"]
    assert stopped["schedule"][0] < 1
    assert stopped["position"]["without_progress"] == 3
    changed = [*plateau, *patience, "training.learning_rate=2e-12", f"training.max_updates={update + 1}"]
    assert train(*changed) == 2
    assert "training.learning_rate: was 1e-12, now 2e-12" in (said := capfd.readouterr().err)
    assert "listed in change=[...], training.learning_rate," in said
    assert train(*changed, "change=[training.learning_rate]") == 0
    said = capfd.readouterr().err
    assert "run: continues with training.learning_rate: was 1e-12, now 2e-12" in said
    assert "change: was" not in said
    assert rates("run")[update:] == [2e-12]
    record = f"learning_rate 1e-12 until update {update}, then 2e-12"
    assert train(*changed, f"training.max_updates={update + 2}") == 0  # from now on it is the run's own
    assert rates("run")[update:] == [2e-12, pytest.approx(1e-12)]  # of plateaus it hears as before
    assert f"| changed | {record} |" in Path("run/last/README.md").read_text()
    assert json.loads(Path("run/last/config.json").read_text())["origin"]["training"]["changed"] == record
    assert json.loads(Path("run/config.json").read_text())["change"] == []


def test_a_change_holds_though_the_process_ends_before_it_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = [*STILL, "training.learning_rate=0.5", "training.max_updates=4", "change=[training.learning_rate]"]
    for run in ("whole", "killed"):
        assert train(f"run_dir={run}", *STILL, "training.max_updates=2") == 0
    assert train("run_dir=whole", *changed) == 0

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("seq2seq.training.loop.Trainer.step", killed)
        assert train("run_dir=killed", *changed) == 130
    assert train("run_dir=killed", *changed[:-1]) == 0
    assert same("killed", "whole")
    both = [json.loads(Path(f"{run}/last/config.json").read_text())["origin"] for run in ("killed", "whole")]
    assert both[0] == both[1]
