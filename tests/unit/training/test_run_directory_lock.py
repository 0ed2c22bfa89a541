"""One process at a time in a run directory, and a dead one blocks nobody."""

import multiprocessing
import os
import shutil
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from seq2seq.errors import ConfigError
from seq2seq.training.run_directory import RunLock

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")
FORK = multiprocessing.get_context("fork")


def take(run_dir: Path) -> None:
    with RunLock(run_dir).held():
        pass


def hold(run_dir: Path, connection: Connection) -> None:
    """Have the lock, and a process of one's own that does not end by itself."""
    with RunLock(run_dir).held():
        child = os.fork()
        if child:
            connection.send(child)
        signal.pause()


def test_the_second_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with RunLock(tmp_path).held():
        for _ in range(2):  # an attempt has not let it go
            with pytest.raises(ConfigError, match=rf"another process is training in it \(process {os.getpid()}\)"):
                take(tmp_path)
    take(tmp_path)


def test_a_process_that_was_killed_does_not_block_nor_do_its_own(tmp_path: Path) -> None:
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    child = ours.recv()
    try:
        with pytest.raises(ConfigError, match=f"process {process.pid}"):
            take(tmp_path)
        process.kill()
        process.join()
        os.kill(child, 0)  # lives
        take(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_process_that_ends_lets_nothing_go(tmp_path: Path) -> None:
    with RunLock(tmp_path).held():
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        with pytest.raises(ConfigError):
            take(tmp_path)


def test_a_directory_that_was_removed_and_made_again_is_another_ones(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    lock, other = RunLock(run_dir), RunLock(run_dir)
    with lock.held():
        assert not lock.run_dir_was_replaced()
        shutil.rmtree(run_dir)
        assert not lock.run_dir_was_replaced()  # nobody has it
        run_dir.mkdir()
        with other.held():
            assert lock.run_dir_was_replaced()
            assert not other.run_dir_was_replaced()
