"""Processes that serve together begin again when one dies, until a signal ends them all."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from seq2seq.cli import serve
from seq2seq.cli.main import Stopped


def _signal_in_the_pause(directory: Path) -> None:
    """Exit with the code of a command whose worker ends at once, and which is ended before another one begins."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    time.sleep = lambda seconds: os.kill(os.getpid(), signal.SIGTERM)
    try:
        serve._supervise(1, lambda: (directory / f"worker-{os.getpid()}").touch())
    except Stopped as stopped:
        sys.exit(stopped.exit_code)


def test_no_worker_begins_after_a_signal_in_the_pause(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_signal_in_the_pause, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    assert len(list(tmp_path.glob("worker-*"))) == 1
