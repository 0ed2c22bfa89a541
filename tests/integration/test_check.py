"""What is seen before a training begins, and with check=true alone."""

import importlib.util
import json
import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from support import trainers

from seq2seq.cli.main import main
from seq2seq.training.setup import space_needed

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")
EITHER = pytest.mark.parametrize("more", [["check=true"], ["training.max_updates=1"]], ids=["check", "train"])


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainers.write_corpus(tmp_path)


def train(*more: str) -> int:
    files = ["data.train=train", "data.valid=valid", "data.cache_dir=cache", "run_dir=run"]
    return main(["train", *trainers.TINY, *files, *more])


@EITHER
def test_tensorboard_has_to_be_there(
    more: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(*more, "training.tensorboard=true") == 2
    assert "training.tensorboard=true: TensorBoard is missing." in capfd.readouterr().err
    assert not Path("run").exists()


def test_pictures_that_will_be_missing_are_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    find = importlib.util.find_spec
    without = lambda name: None if name == "matplotlib" else find(name)  # noqa: E731
    monkeypatch.setattr("seq2seq.training.progress.find_spec", without)
    assert train("check=true", "training.tensorboard=true") == 0
    assert capfd.readouterr().err.count("no pictures of attention without matplotlib") == 1
    assert train("check=true") == 0
    assert "matplotlib" not in capfd.readouterr().err


@LINUX
@EITHER
def test_more_processes_than_cores_are_told(
    more: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert train(*more, "training.processes=3") == 0
    told = (
        "3 processes share each batch, but there are only 2 core(s), so they take turns. training.processes=2 is faster"
    )
    assert capfd.readouterr().err.count(told) == 1
    assert train(*more, "training.processes=2") == 0
    assert "they take turns" not in capfd.readouterr().err


@LINUX
def test_a_run_of_more_processes_than_cores_goes_on_with_them_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    assert train("training.processes=2", "training.max_updates=1") == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    capfd.readouterr()
    assert train("training.processes=null", "training.max_updates=2") == 0
    assert "2 processes share each batch, but there are only 1 core(s)" in capfd.readouterr().err
    assert json.loads(Path("run/last/state.json").read_text())["processes"] == 2


@EITHER
def test_the_disk_has_to_have_room(
    more: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "total used free")(10, 0, 100_000))
    assert train(*more) == 2
    assert "run_dir=run: its checkpoints take up to 0." in (said := capfd.readouterr().err)
    assert "and 0.1 MB are free on this disk. Make room, use a run_dir on another disk, or keep fewer" in said
    assert not Path("run").exists()


@LINUX
@EITHER
def test_the_run_directory_has_to_be_one_that_can_be_written(
    more: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(*more, "run_dir=/sys/run") == 2
    assert "run_dir=/sys/run: can't be written (" in (said := capfd.readouterr().err)
    assert "train: " not in said  # before anything is read


@EITHER
def test_what_it_begins_with_has_to_be_readable(more: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert train(*more, "training.start_from=nowhere") == 2
    assert "nowhere: no checkpoint here" in capfd.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["training.optimizer=sgd"],
        ["training.optimizer=adadelta"],
        ["training.keep_best=2", "training.keep_last=3", "model.tied_embeddings=all"],
        ["training.freeze=[encoder]"],
    ],
)
def test_the_space_that_is_reckoned_with_is_what_checkpoints_take(options: list[str], tmp_path: Path) -> None:
    """At its most, which is while a state is written beside all others: one more of each kind than stay."""
    options = [*options, "training.validate_every=1", "training.patience=null", "training.max_updates=5"]
    trainer = trainers.make(tmp_path, *[word.replace("[encoder]", '["encoder"]') for word in options])
    expected = space_needed(trainer)
    trainer.run()

    def size(*names: str) -> int:
        files = [file for name in names for path in trainer.run_dir.glob(name) for file in path.glob("*.safetensors")]
        return sum(file.stat().st_size for file in files)

    being_written = size("last") + sum(size("best") for names in ("best-*", "last-*") if size(names))
    taken = size("*") + being_written
    assert taken == pytest.approx(expected, rel=0.25)  # headers of files count for something in so small a model
