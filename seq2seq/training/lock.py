"""One process at a time in a run directory."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seq2seq.errors import ConfigError
from seq2seq.text.storage import within

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

_held: set[int] = set()
"""Descriptors of the locks that this process has."""


def _let_go() -> None:
    """In a forked process: else it would keep the lock when the one that has it is killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked(run_dir: Path) -> Iterator[Callable[[], bool]]:
    """Within it no other process can have the directory. Gives what tells whether another one has it all the same:
    because it was removed, and made anew.

    The lock is the operating system's, on RUN_DIR/.lock, and ends with the process however that ends. Raises
    ConfigError if another process has it, OSError where there can be no such file.
    """
    path = within(run_dir, ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        _take(descriptor, run_dir)
        yield lambda: path.exists() and not os.path.samestat(os.fstat(descriptor), path.stat())
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _take(descriptor: int, run_dir: Path) -> None:
    if sys.platform == "win32":  # it has no such locks
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        raise ConfigError(
            f"run_dir={run_dir}: another process trains in it{holder and f' (process {holder})'}. Wait until it has "
            "ended, or take another run_dir."
        ) from None
    except OSError as error:
        logger.warning("%s can't be locked (%s): see that no other process trains in it", run_dir, error.strerror)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
