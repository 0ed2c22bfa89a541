"""What may happen to a training has an outcome that is told, and never costs what was saved."""

import errno
import functools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import forked, trainers

from seq2seq.checkpoint import damage, load_state
from seq2seq.cli.main import main
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training.gradient import GradientStep
from seq2seq.training.progress import Progress, effort

COMMAND = [
    "train", *trainers.TINY, "data.train=train", "data.valid=valid", "data.cache_dir=cache", "training.save_every=1",
    "training.validate_every=4", "training.log_every=1", "run_dir=run",
]  # fmt: skip
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's directories and limits")


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainers.write_corpus(tmp_path)


def train(*more: str) -> int:
    return main([*COMMAND, *more])


def process(*more: str) -> subprocess.CompletedProcess[str]:
    """`train` in a process of its own."""
    command = [sys.executable, "-m", "seq2seq", *COMMAND, *more]
    return subprocess.run(command, env=trainers.ENVIRONMENT, capture_output=True, text=True, timeout=200)


def saved() -> int:
    """The update of the last state, which is whole."""
    assert not damage(Path("run/last"))
    update: int = load_state(Path("run/last")).values["position"]["update"]
    return update


def ends_like_a_whole_one(run: str = "run") -> bool:
    assert train("run_dir=whole", "training.max_updates=7") == 0
    found, whole = trainers.weights(f"{run}/last"), trainers.weights("whole/last")
    return all(tensor.equal(found[name]) for name, tensor in whole.items())


def at_update(number: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something when so many updates of a process are done."""
    advance, count = Progress.advance, iter(range(1, 1000))

    def then(progress: Progress, tokens: int) -> None:
        advance(progress, tokens)
        if next(count) == number:
            act()

    monkeypatch.setattr(Progress, "advance", then)


def test_a_full_disk_ends_it_with_the_last_state_whole(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    original, full = os.fsync, []

    def fsync(descriptor: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        at_update(3, lambda: full.append(True), patched)
        assert train("training.max_updates=7") == 2
    assert "can't be written (No space left on device)" in (said := capfd.readouterr().err)
    assert "Traceback" not in said
    assert saved() == 2
    assert not list(Path("run").glob("*.tmp-*"))
    assert train("training.max_updates=7") == 0
    assert ends_like_a_whole_one()


@LINUX
@pytest.mark.parametrize(("bytes_", "name"), [(60_000, "last"), (10_000, "metrics.jsonl")])
def test_a_file_that_can_not_grow_ends_it_with_a_message(bytes_: int, name: str) -> None:
    """The system's own error, in the tensors and in the metrics."""
    assert train("training.max_updates=1", "training.validate_every=1000") == 0
    before = Path("run/last/state.safetensors").read_bytes()
    more = ["training.max_updates=100"]
    if name == "metrics.jsonl":
        more += ["training.save_every=1000"]
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (bytes_, bytes_))
    ended = forked.start([*COMMAND, "training.validate_every=1000", *more], Path("log"), limit)
    ended.join(200)
    said = Path("log").read_text()
    assert ended.exitcode == 2, said
    assert f"run/{name}: can't be written (" in said
    assert "Traceback" not in said
    assert saved() == 1
    assert Path("run/last/state.safetensors").read_bytes() == before


@LINUX
def test_a_directory_that_can_not_be_written_is_named_before_training(capfd: pytest.CaptureFixture[str]) -> None:
    for where in ("/sys/run", "train.en/run"):  # nobody can, not even root
        assert train(f"run_dir={where}") == 2
        assert f"run_dir={where}: can't be written (" in (said := capfd.readouterr().err)
        assert "Traceback" not in said
    assert train("data.cache_dir=/sys/cache") == 2
    assert "can't be written (" in capfd.readouterr().err


def test_a_directory_that_goes_away_is_made_again_with_the_state(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        at_update(6, lambda: shutil.rmtree("run"), patched)
        assert train("training.max_updates=7") == 2
    assert "run_dir=run: was removed during the run. It was created again with the state after update 6" in (
        said := capfd.readouterr().err
    )
    assert "Traceback" not in said
    assert saved() == 6
    assert train("training.max_updates=7") == 0
    assert Path("run/best/model.safetensors").is_file()
    assert ends_like_a_whole_one()


def test_a_directory_that_another_run_has_by_now_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def again() -> None:
        shutil.rmtree("run")
        Path("run").mkdir()
        Path("run/.lock").touch()

    at_update(3, again, monkeypatch)
    assert train("training.max_updates=7") == 2
    assert "now belongs to another process" in capfd.readouterr().err
    assert [path.name for path in Path("run").iterdir()] == [".lock"]


def test_two_trainings_in_one_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second stops, and the first does not notice."""
    seconds: list[subprocess.CompletedProcess[str]] = []
    with monkeypatch.context() as patched:
        at_update(3, lambda: seconds.append(process("training.max_updates=7")), patched)
        assert train("training.max_updates=7") == 0
    assert seconds[0].returncode == 2
    assert f"run_dir=run: another process is training in it (process {os.getpid()})" in seconds[0].stderr
    assert "Traceback" not in seconds[0].stderr
    assert ends_like_a_whole_one()


def test_a_half_written_line_of_metrics_is_written_anew() -> None:
    assert train("training.max_updates=3") == 0
    path = Path("run/metrics.jsonl")
    with path.open("a") as file:
        file.write('{"event": "train", "upd')
    assert effort(Path("run")).updates == 3
    assert train("training.max_updates=7") == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["update"] for line in lines if line["event"] == "train"] == [1, 2, 3, 4, 5, 6, 7]


def test_metrics_that_a_crash_of_the_machine_cut_short_stay_lines() -> None:
    assert train("training.max_updates=3") == 0
    path = Path("run/metrics.jsonl")
    os.truncate(path, path.stat().st_size - 5)
    assert train("training.max_updates=7") == 0
    for line in path.read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize("name", ["state.safetensors", "model.safetensors", "state.json"])
def test_a_damaged_state_is_named_and_training_goes_on_from_the_one_before(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("training.max_updates=7") == 0
    file = Path("run/last") / name
    file.write_bytes(file.read_bytes()[:-7])
    capfd.readouterr()
    if name == "model.safetensors":
        assert main(["translate", "checkpoint=run/last", "input=valid.en"]) == 2
        assert "run/last: damaged: model.safetensors (" in capfd.readouterr().err
    assert train("training.max_updates=7") == 0
    said = capfd.readouterr().err
    assert said.count(f"run/last: damaged: {name} (") == said.count("damaged: ") == 1
    assert "resuming from update" in said
    assert saved() == 7
    assert (Path("run/last.damaged") / name).is_file()
    assert ends_like_a_whole_one()


def test_two_damaged_states_end_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert train("training.max_updates=2") == 0
    for state in ("last", "last.previous"):
        os.truncate(f"run/{state}/state.safetensors", 100)
    before = sorted(Path("run").rglob("*"))
    assert train("training.max_updates=7") == 2
    assert "There is no other state" in capfd.readouterr().err
    assert sorted(Path("run").rglob("*")) == before


def test_what_a_killed_process_was_writing_is_removed() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    for directory in (f"run/best-000009.tmp-{child}", f"cache/tokens-1.tmp-{child}"):
        Path(directory).mkdir(parents=True)
        os.utime(directory, (0, 0))
    assert train("training.max_updates=1") == 0
    assert not [path for where in ("run", "cache") for path in Path(where).glob("*.tmp-*")]


def test_a_run_goes_on_with_its_own_sub_words_when_the_cache_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train("training.max_updates=3") == 0
    shutil.rmtree("cache")
    with monkeypatch.context() as patched:
        patched.setattr(Tokenizer, "train", lambda *lines, **options: pytest.fail("others are learned"))
        assert train("training.max_updates=7") == 0
    assert ends_like_a_whole_one()


@LINUX
@pytest.mark.parametrize("at_work", [True, False])
def test_a_process_that_is_killed_ends_it_with_a_message(
    at_work: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """While it works on its share, and while it waits for the next one."""
    own, others = os.getpid(), set(multiprocessing.active_children())  # other tests' pools may still end
    of_share = GradientStep._share

    def killed(gradient: GradientStep, work: Any, *share: Any) -> Any:
        if work.update == 3 and not work.dry_run and os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        return of_share(gradient, work, *share)

    def kill_the_worker() -> None:
        (worker,) = set(multiprocessing.active_children()) - others
        worker.kill()
        worker.join()

    with monkeypatch.context() as patched:
        if at_work:
            patched.setattr(GradientStep, "_share", killed)
        else:
            at_update(2, kill_the_worker, patched)
        assert train("training.max_updates=7", "training.processes=2") == 1
    said = capfd.readouterr().err
    assert "run: a process that shares the batches ended (exit code -9); it was killed, as the system does" in said
    assert "run the same command again to resume from the last saved state" in said
    assert "Traceback" not in said
    assert saved() == 2
    assert train("training.max_updates=7", "training.processes=2") == 0


def test_a_second_signal_stops_at_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def twice() -> None:  # sent from outside, two at once may arrive as one
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched, ExitStack() as stack:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
        stack.callback(signal.signal, signal.SIGINT, before)
        at_update(3, twice, patched)
        assert train("training.max_updates=7") == 130
    assert "stopped at once without saving" in capfd.readouterr().err
    assert saved() == 2
    assert main(["translate", "checkpoint=run"]) == 2
    assert "run: no checkpoint here (" in (said := capfd.readouterr().err)
    assert "Use run/last: it is one" in said
    assert train("training.max_updates=7") == 0
    assert ends_like_a_whole_one()


def test_what_changed_is_told_whether_it_may_or_not(capfd: pytest.CaptureFixture[str]) -> None:
    assert train("training.max_updates=2") == 0
    capfd.readouterr()
    assert train("training.max_updates=3", "training.log_every=2") == 0
    said = capfd.readouterr().err
    assert "run: continues with training.log_every: was 1, now 2" in said
    assert "run: continues with training.max_updates: was 2, now 3" in said
    assert train("training.max_updates=4", "model.dropout=0.5", "training.batch_tokens=70") == 2
    said = capfd.readouterr().err
    assert "model.dropout: was 0.2, now 0.5" in said
    assert "training.batch_tokens: was 64, now 70" in said
    assert "max_updates: was" not in said
    assert "These may change: run_dir, device, check, training.max_updates, " in said
