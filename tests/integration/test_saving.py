"""What is on the disk after a process was killed, or a disk was full, at any step of a save."""

import errno
import hashlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.checkpoints import checkpoint

from seq2seq.checkpoint import TrainingState, damage, find_state, load, load_state, save
from seq2seq.errors import DataError
from seq2seq.text.storage import previous_name, remove_unfinished, replace_directory

CPU = torch.device("cpu")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")
STEPS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree"}
SAVED = checkpoint({"encoder_layers": 1, "decoder_layers": 1, "bidirectional": False})


def write(path: Path, number: float) -> None:
    """A checkpoint whose weights and state are all this number."""
    with torch.no_grad():
        for weight in SAVED.model.parameters():
            weight.fill_(number)
    save(path, SAVED, "card", TrainingState({"number": number}, {"moment": torch.full((3,), number)}))


def read(path: Path) -> float:
    """The number of what training would go on from, after seeing that it is whole."""
    found = find_state(path)
    assert found is not None
    assert not damage(found)
    state = load_state(found)
    number: float = state.values["number"]
    assert state.tensors["moment"].tolist() == [number] * 3
    assert all((weight == number).all() for weight in load(found, CPU).model.parameters())
    return number


def killed_after(steps: int, work: Callable[[], None]) -> bool:
    """Whether a process that does the work was killed before its end: when so many steps of it were done."""
    child = os.fork()
    if not child:
        count = itertools.count()

        def watch(event: str, arguments: object) -> None:
            if event in STEPS and next(count) == steps:
                os._exit(9)

        try:
            sys.addaudithook(watch)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@LINUX
@pytest.mark.parametrize("saves", [1, 2])
def test_a_kill_at_any_step_leaves_the_state_of_before_or_after(tmp_path: Path, saves: int) -> None:
    """The kill comes with one earlier state there, and with two."""
    begun, run = tmp_path / "begun", tmp_path / "run"
    for number in range(saves):
        write(begun / "last", float(number))
    found = []
    for steps in itertools.count():
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(begun, run)
        killed = killed_after(steps, lambda: write(run / "last", 7.0))
        found.append(read(run / "last"))
        if not killed:
            break
        remove_unfinished(run)
        assert {path.name for path in run.iterdir()} <= {"last", "last.previous"}
        write(run / "last", 8.0)
        assert read(run / "last") == 8.0
    before = float(saves - 1)
    assert found == sorted(found)
    assert set(found) == {before, 7.0}
    assert found.count(before) > 20


@LINUX
def test_a_kill_at_any_step_of_the_best_leaves_one_to_translate_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for steps in itertools.count():
        shutil.rmtree(run, ignore_errors=True)
        save(run / "best", SAVED, "card")
        killed = killed_after(steps, lambda: save(run / "best", SAVED, "card"))
        load(run, CPU)
        if not killed:
            break
    assert steps > 20


def full_after(calls: int, original: Callable[..., object]) -> Callable[..., object]:
    """A function that does what another does so many times, and then finds the disk full once."""
    count = itertools.count()

    def call(*arguments: object, **more: object) -> object:
        if next(count) == calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments, **more)

    return call


@pytest.mark.parametrize(("step", "times"), [("fsync", 9), ("rename", 2), ("open", 9), ("mkdir", 1)])
def test_a_full_disk_at_any_step_leaves_a_state(
    tmp_path: Path, step: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = tmp_path / "run/last"
    write(last, 0.0)
    write(last, 1.0)
    owner = Path if step == "open" else os
    found = []
    for calls in range(times):
        with monkeypatch.context() as patched:
            patched.setattr(owner, step, full_after(calls, getattr(owner, step)))
            with pytest.raises(DataError, match=r"last: can't be written \(No space left on device\)"):
                write(last, 7.0)
        found.append(read(last))
        assert not list(last.parent.glob("*.tmp-*"))
    assert found[:-1] == [1.0] * (times - 1)
    write(last, 8.0)
    assert read(last) == 8.0


def test_a_disk_that_lies_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = tmp_path / "run/last"
    write(last, 1.0)

    def lying(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_file({name: torch.zeros_like(tensor) for name, tensor in tensors.items()}, path)

    monkeypatch.setattr("seq2seq.checkpoint.save_file", lying)
    with pytest.raises(DataError, match=r"last: can't be written \(what was read back of model.safetensors is not"):
        write(last, 7.0)
    assert read(last) == 1.0


def test_nan_is_written_and_read_back_like_any_other_bits(tmp_path: Path) -> None:
    save(tmp_path / "last", SAVED, "card", TrainingState({}, {"a": torch.tensor(torch.nan), "b": torch.zeros(0)}))
    assert load_state(tmp_path / "last").tensors["a"].isnan()


def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    names = [f"last.tmp-{child}", f"last.tmp-{os.getpid()}", "last.tmp-0x1", "last"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    remove_unfinished(tmp_path, idle=3600)
    assert len(list(tmp_path.iterdir())) == 4
    os.utime(tmp_path / names[0], (0, 0))
    remove_unfinished(tmp_path, idle=3600)  # a file in it is new
    assert len(list(tmp_path.iterdir())) == 4
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
    remove_unfinished(tmp_path / "nowhere")


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {
        "truncated": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "missing"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "source.model", "target.model"])
def test_damage_is_named_and_refused(tmp_path: Path, name: str, how: str) -> None:
    save(tmp_path / "best", SAVED, "card")
    file = tmp_path / "best" / name
    file.unlink() if how == "missing" else damaged(file, how)
    expected = rf"best: damaged: {name} .* was edited on purpose, delete the SHA256SUMS beside it"
    if (name, how) == ("model.safetensors", "missing"):
        expected = "no checkpoint here"
    with pytest.raises(DataError, match=expected):
        load(tmp_path / "best", CPU)


@pytest.mark.parametrize("how", ["truncated", "flipped", "missing"])
@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "state.safetensors"])
def test_training_goes_on_from_the_state_before_a_damaged_one(tmp_path: Path, name: str, how: str) -> None:
    last = tmp_path / "last"
    write(last, 0.0)
    write(last, 1.0)
    (last / name).unlink() if how == "missing" else damaged(last / name, how)
    assert find_state(last) == previous_name(last)
    assert read(last) == 0.0
    damaged(previous_name(last) / "state.safetensors", "flipped")
    with pytest.raises(
        DataError, match=rf"last: damaged: {name} .*last.previous: damaged: state.safetensors .*no other"
    ):
        find_state(last)


def test_a_checkpoint_without_sums_is_read_as_ever(tmp_path: Path) -> None:
    write(tmp_path / "last", 1.0)
    (tmp_path / "last/SHA256SUMS").unlink()
    assert read(tmp_path / "last") == 1.0


def test_the_card_may_be_written_on_and_the_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    write(tmp_path / "last", 1.0)
    (tmp_path / "last/README.md").write_text("mine")
    assert read(tmp_path / "last") == 1.0
    lines = (tmp_path / "last/SHA256SUMS").read_text().splitlines()
    listed = {name: value for value, name in (line.split("  ") for line in lines)}
    there = {path.name for path in (tmp_path / "last").iterdir()}
    assert listed.keys() == there - {"README.md", "SHA256SUMS"}
    assert all(
        value == hashlib.sha256((tmp_path / "last" / name).read_bytes()).hexdigest() for name, value in listed.items()
    )


def test_one_that_another_process_made_meanwhile_is_kept_if_asked(tmp_path: Path) -> None:
    final = tmp_path / "entry"
    for keep, left in ((True, "theirs"), (False, "ours")):
        with replace_directory(final, keep=keep) as unfinished:
            (unfinished / "file").write_text("ours")
            final.mkdir(exist_ok=True)
            (final / "file").write_text("theirs")
        assert (final / "file").read_text() == left
        assert [path.name for path in tmp_path.iterdir()] == ["entry"]
