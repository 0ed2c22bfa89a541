"""The best checkpoints of a run, and the mean of several."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import trainers
from support.trainers import weights

from seq2seq.cli.main import main
from seq2seq.config import Data, parse
from seq2seq.inference.metrics import can_rise, score
from seq2seq.training.checkpoints import CheckpointKeeper, directories, keep_only, ranked
from seq2seq.training.model_card import average_card
from seq2seq.training.validation import Validation


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The losses of the validations to come."""
    to_come: list[float] = []

    def run(self: Validation, translator: Any, team: Any, *more: Any) -> tuple[dict[str, float], list[Any]]:
        return {"loss": to_come.pop(0), "perplexity": 1.0, "bleu": 0.0, "chrf": 0.0}, []

    monkeypatch.setattr(Validation, "run", run)
    return to_come


def kept(run_dir: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run_dir / "last/state.json").read_text())["position"]["kept"]
    assert sorted(path.name for path in directories(run_dir, "best")) == sorted(found)
    return found


def test_the_best_few_are_kept_over_a_resume(tmp_path: Path, scores: list[float]) -> None:
    options = ["training.keep_best=2", "training.metric=loss", "training.validate_every=1", "training.patience=null"]
    run_dir = tmp_path / "run"
    scores += [5, 4, 6, 4, 3]
    trainers.make(tmp_path, *options, "training.max_updates=3").run()
    assert kept(run_dir) == {"best-000002": 4, "best-000001": 5}
    second = weights(run_dir / "best-000002")
    trainers.make(tmp_path, *options, "training.max_updates=4").run()
    assert list(kept(run_dir)) == ["best-000002", "best-000004"]  # of equal ones the first comes first
    trainers.make(tmp_path, *options, "training.max_updates=5").run()
    assert kept(run_dir) == {"best-000005": 3, "best-000002": 4}
    assert all(tensor.equal(second[name]) for name, tensor in weights(run_dir / "best-000002").items())
    best = weights(run_dir / "best")
    assert all(tensor.equal(best[name]) for name, tensor in weights(run_dir / "best-000005").items())


def test_fewer_are_kept_when_fewer_are_asked_for(tmp_path: Path, scores: list[float]) -> None:
    options = ["training.metric=loss", "training.validate_every=1", "training.patience=null"]
    scores += [5, 4, 3, 6, 7]
    for most, updates, names in ((3, 3, ["000003", "000002", "000001"]), (2, 4, ["000003", "000002"]), (1, 5, [])):
        trainers.make(tmp_path, *options, f"training.keep_best={most}", f"training.max_updates={updates}").run()
        assert list(kept(tmp_path / "run")) == [f"best-{name}" for name in names]
    assert (tmp_path / "run/best/model.safetensors").is_file()


def test_one_is_kept_by_default(tmp_path: Path, scores: list[float]) -> None:
    scores += [5, 4]
    trainers.make(tmp_path, "training.validate_every=1", "training.max_updates=2").run()
    assert kept(tmp_path / "run") == {}


def test_a_run_that_keeps_one_deletes_no_other(tmp_path: Path, scores: list[float]) -> None:
    """Such as a copy that somebody has put there."""
    scores += [5, 4]
    copies = [tmp_path / f"run/{kind}-000001" for kind in ("best", "last")]
    for copy in copies:
        copy.mkdir(parents=True)
    trainers.make(tmp_path, "training.validate_every=1", "training.max_updates=2").run()
    assert all(copy.is_dir() for copy in copies)


def test_the_last_few_are_kept_over_a_resume(tmp_path: Path, scores: list[float]) -> None:
    options = ["training.keep_last=2", "training.validate_every=1", "training.patience=null"]
    run_dir = tmp_path / "run"
    scores += [5, 6, 7, 8]
    for updates, kept_now in ((1, [1]), (3, [2, 3]), (4, [3, 4])):
        trainers.make(tmp_path, *options, f"training.max_updates={updates}").run()
        assert [path.name for path in directories(run_dir, "last")] == [f"last-00000{update}" for update in kept_now]
        newest, last = (weights(run_dir / name) for name in (f"last-00000{updates}", "last"))
        assert all(tensor.equal(last[name]) for name, tensor in newest.items())
    assert not directories(run_dir, "best")
    scores += [9]
    trainers.make(tmp_path, *options, "training.keep_last=1", "training.max_updates=5").run()
    assert not directories(run_dir, "last")


def test_what_a_crashed_run_kept_later_does_not_count(tmp_path: Path, scores: list[float]) -> None:
    (tmp_path / "run/last-000009").mkdir(parents=True)
    scores += [5, 6, 7]
    trainers.make(
        tmp_path,
        "training.keep_last=2",
        "training.validate_every=1",
        "training.max_updates=3",
        "training.patience=null",
    ).run()
    assert [path.name for path in directories(tmp_path / "run", "last")] == ["last-000002", "last-000003"]


def test_a_checkpoint_has_the_scores_of_its_own_weights(
    tmp_path: Path, scores: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, int, bool]] = []
    write = CheckpointKeeper.write

    def note(self: CheckpointKeeper, name: str, update: int, epochs: float, scores: Any, *more: Any) -> None:
        written.append((name, update, bool(scores)))
        write(self, name, update, epochs, scores, *more)

    monkeypatch.setattr(CheckpointKeeper, "write", note)
    scores += [5, 6]
    trainers.make(tmp_path, "training.validate_every=2", "training.save_every=1", "training.max_updates=4").run()
    assert written == [("last", 1, False), ("best", 2, True), ("last", 2, True), ("last", 3, False), ("last", 4, True)]


@pytest.mark.parametrize("beam_size", [1, 2])
def test_a_loss_that_is_no_number_comes_alone(tmp_path: Path, beam_size: int) -> None:
    trainer = trainers.make(tmp_path, f"decoding.beam_size={beam_size}")
    torch.nn.init.constant_(trainer.model.output.bias, torch.nan)
    found, samples = trainer.validation.run(trainer.translator, trainer.group, tmp_path / "translations")
    assert math.isnan(found.pop("loss"))
    assert not found
    assert not samples


def test_they_are_ranked_by_the_metric() -> None:
    given = {"a": 1.0, "b": 3.0, "c": 2.0, "d": 3.0}
    assert list(ranked(given, 3, "bleu", {})) == ["b", "d", "c"]
    assert list(ranked(given, 3, "loss", given)) == ["a", "c", "b"]


def test_equal_metrics_are_ranked_by_the_loss_and_what_has_none_comes_last() -> None:
    given = {"old": 3.0, "a": 3.0, "b": 3.0, "c": 2.0, "d": 3.0}
    assert list(ranked(given, 5, "bleu", {"a": 1.5, "b": 1.0, "c": 0.1, "d": 1.5})) == ["b", "a", "d", "old", "c"]


def test_the_loss_decides_where_the_metric_does_not_move(tmp_path: Path, scores: list[float]) -> None:
    """Over a resume too, and from a state of an older version, which has no loss of the best."""
    options = ["training.keep_best=2", "training.validate_every=1", "training.patience=null"]
    last = tmp_path / "run/last"
    scores += [5, 4, 4.5, 4, 3, 6, 2]

    def trained(updates: int) -> list[str]:
        trainers.make(tmp_path, *options, f"training.max_updates={updates}").run()
        events = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
        newest = [event["update"] for event in events if event["event"] == "valid" and event["best"]][-1]
        best, same = weights(tmp_path / "run/best"), weights(tmp_path / f"run/best-{newest:06d}")
        assert all(tensor.equal(same[name]) for name, tensor in best.items())
        return list(kept(tmp_path / "run"))

    assert trained(3) == ["best-000002", "best-000003"]
    assert trained(4) == ["best-000002", "best-000004"]
    assert trained(5) == ["best-000005", "best-000002"]
    state = json.loads((last / "state.json").read_text())
    assert state["position"].pop("losses") == {"best": 3, "best-000005": 3, "best-000002": 4}
    (last / "state.json").write_text(json.dumps(state))
    (last / "SHA256SUMS").unlink()
    assert trained(7) == ["best-000007", "best-000006"]


@pytest.mark.parametrize(
    ("metric", "references", "tokenizer", "can"),
    [
        ("bleu", ["one two three", "four five"], "13a", False),
        ("bleu", ["one two three", "four five six."], "13a", True),  # the full stop is a token
        ("bleu", ["abcd"], "char", True),
        ("bleu", [], "13a", False),
        ("chrf", ["one"], "13a", True),
        ("loss", ["one"], "13a", True),
    ],
)
def test_a_metric_that_stays_at_zero_is_known(metric: str, references: list[str], tokenizer: str, can: bool) -> None:
    assert can_rise(metric, references, tokenizer) == can
    if references and metric == "bleu":
        assert (score(references, references, tokenizer).bleu > 0) == can


def test_a_metric_that_stays_at_zero_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainers.make(tmp_path)
    assert "no reference of data.valid" not in caplog.text
    (tmp_path / "two").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainers, "PAIRS", [(source, target.partition(" ")[0]) for source, target in trainers.PAIRS])
        trainers.make(tmp_path / "two", "data.vocab_size=320")
    assert "training.metric=bleu: no reference of data.valid has four tokens (13a)" in caplog.text
    assert "Use training.metric=chrf or training.metric=loss" in caplog.text


def test_nothing_else_is_deleted(tmp_path: Path) -> None:
    for name in ("best", "best-000001", "best-1000000", "best-mine", "best-12", "last"):
        (tmp_path / name).mkdir()
    assert [path.name for path in directories(tmp_path, "best")] == ["best-000001", "best-1000000"]
    keep_only(tmp_path, "best", ["best-1000000"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "best-1000000", "best-12", "best-mine", "last"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run directories: `run` with three checkpoints, `other` with another model, `lower` with another tokenizer, `back`
    that reads backwards."""
    directory = tmp_path_factory.mktemp("runs")
    options = ["training.keep_best=3", "training.keep_last=2", "training.validate_every=1"]
    trainers.make(directory, *options, "training.max_updates=3").run()
    changes = {
        "other": "model.hidden_size=14",
        "lower": "data.normalization=nfkc_cf",
        "back": "data.reverse_source=true",
    }
    for run, change in changes.items():
        trainers.make(directory, change, "training.max_updates=1", run=run).run()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        yield directory


def test_an_average_is_the_mean_of_the_weights(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["average", "run_dir=run", "output=mean"]) == 0
    names = [f"run/best-00000{update}" for update in (1, 2, 3)]
    assert f"mean: averaged from {', '.join(names)}" in capfd.readouterr().err
    parts = [weights(runs / name) for name in names]
    found = weights(runs / "mean")
    assert found.keys() == parts[0].keys()
    for name, tensor in found.items():
        expected = sum(part[name].double() for part in parts) / 3
        assert torch.equal(tensor, expected.float()), name  # type: ignore[union-attr]
        assert not torch.equal(parts[0][name], parts[2][name])
    card = (runs / "mean/README.md").read_text()
    assert all(f"- `{name}`" in card for name in names)
    given = ["input=valid.en", "output=out.txt", "decoding.max_length=3"]
    assert main(["translate", "checkpoint=mean", *given]) == 0


def test_the_last_ones_are_averaged_where_they_are_chosen(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["average", "run_dir=run", "choose=last", "output=end"]) == 0
    assert "end: averaged from run/last-000002, run/last-000003" in capfd.readouterr().err
    second, third = (weights(runs / f"run/last-00000{update}") for update in (2, 3))
    for name, tensor in weights(runs / "end").items():
        assert torch.equal(tensor, ((second[name].double() + third[name].double()) / 2).float()), name


def test_the_card_names_all_corpora() -> None:
    data = Data(train=["a", "b"], valid="v", source_lang="en", target_lang="de")
    model = parse("model", {"attention": {"placement": {"name": "none"}}, "bridge": {"name": "last"}})
    assert "They were trained on `a` and `b`; their own cards" in average_card(model, data, ["one", "other"])


def test_one_checkpoint_twice_is_itself(runs: Path) -> None:
    assert main(["average", "checkpoint=[run/last,run/last]", "output=same"]) == 0
    last = weights(runs / "run/last")
    assert all(tensor.equal(last[name]) for name, tensor in weights(runs / "same").items())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["checkpoint=[run,other]"], "checkpoint=[run,other]: their models differ. From the first to the second:\n"
         "  model.hidden_size: was 12, now 14\n"),
        (["checkpoint=[run,run,lower]"], "checkpoint=[run,lower]: their models differ. From the first to the second:\n"
         "  source.model: another tokenizer\n  target.model: another tokenizer\n"),
        (["checkpoint=[run,back]"], "second:\n  data.reverse_source: was False, now True\n"),
        (["checkpoint=[run]"], "checkpoint=[run]: expected two checkpoints or more"),
        (["checkpoint=[run]", "run_dir=run"], "checkpoint=[run] and run_dir=run: give one of them"),
        ([], "checkpoint=[]: expected two checkpoints or more"),
        (["checkpoint=[run,run]", "choose=last"], "choose=last without run_dir"),
        (["run_dir=other"], "run_dir=other: has 0 checkpoints best-UPDATE"),
        (["run_dir=other", "choose=last"], "0 checkpoints last-UPDATE; expected at least two. Train with "
         "training.keep_last=5"),
        (["checkpoint=[run,nowhere]"], "nowhere: no checkpoint here"),
    ],
)  # fmt: skip
def test_what_cannot_be_averaged_is_named(
    runs: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["average", *arguments, "output=new"]) == 2
    assert complaint in capfd.readouterr().err
    assert not (runs / "new").exists()


def test_nothing_is_overwritten(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["average", "run_dir=run", "output=run"]) == 2
    assert "output=run: already exists" in capfd.readouterr().err


def test_a_change_of_a_setting_that_had_another_name_is_recorded(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, "training.schedule=halving", "training.halving_start_epoch=4")
    trainer._record_changes({"training": {"halve_after": 8.0}})
    changed = trainer.keeper.checkpoint.origin["training"]["changed"]
    assert changed == "halving_start_epoch 8.0 until update 0, then 4.0"
