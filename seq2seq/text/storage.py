"""Directories and files that appear whole or not at all."""

import hashlib
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seq2seq.errors import DataError


@contextmanager
def replace_directory(final: Path, *, keep: bool = False, keep_previous: bool = False) -> Iterator[Path]:
    """A directory to write into, which gets its name only when it is complete and on the disk.

    One that is there already is replaced then, and until then stays as it is. For the moment between two renames it
    is called `previous_name(final)`, and with `keep_previous` until the next one comes. With `keep` one that another
    process has made in the meantime is kept: its name says what is in it, and others may be reading it.
    """
    unfinished = final.with_name(f"{final.name}.tmp-{platform.node()}-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        for path in unfinished.iterdir():
            _flush(path)
        _flush(unfinished)
        if not (keep and final.is_dir()):
            _take_name(unfinished, final, keep_previous)
    except OSError as error:
        raise DataError(f"{final}: can't be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _take_name(unfinished: Path, final: Path, keep_previous: bool) -> None:
    previous = previous_name(final)
    if final.exists():
        shutil.rmtree(previous, ignore_errors=True)
        final.rename(previous)
    unfinished.rename(final)
    _flush(final.parent)
    if not keep_previous:
        shutil.rmtree(previous, ignore_errors=True)


def previous_name(final: Path) -> Path:
    """What a directory is called while another takes its name; a crash in that moment leaves it there."""
    return final.parent / f"{final.name}.previous"


def within(directory: Path, name: str) -> Path:
    """The file or directory of this name. Raises DataError where it is a link that leads out of the directory: what
    others have packed together must not make us read, or write, anything else.
    """
    path, top = directory / name, os.path.realpath(directory)
    if os.path.commonpath([top, os.path.realpath(path)]) != top:
        raise DataError(f"{path}: a link that leads out of {directory}. Put in its place a copy of what it leads to.")
    return path


@contextmanager
def replace_file(final: Path) -> Iterator[Path]:
    """A path to write a file to, which gets its name only when it is complete and on the disk.

    Raises OSError where it can't be written.
    """
    unfinished = final.with_name(f"{final.name}.tmp")
    unfinished.unlink(missing_ok=True)  # a link there would lead what is written elsewhere
    try:
        unfinished.touch(exist_ok=False)
        mode = unfinished.stat().st_mode
        yield unfinished
        unfinished.chmod(mode)  # a library may have made it anew, for its owner alone
        rename_file(unfinished, final)
    finally:
        with suppress(OSError):  # it would hide what went wrong before
            unfinished.unlink(missing_ok=True)


def rename_file(unfinished: Path, final: Path) -> None:
    """Flush a complete file to the disk and give it this name, with mode and owner of the file that had it before."""
    _flush(unfinished)
    if final.exists():
        previous = final.stat()
        with suppress(PermissionError):  # only root gives files away
            os.chown(unfinished, previous.st_uid, previous.st_gid)
        unfinished.chmod(stat.S_IMODE(previous.st_mode))
    unfinished.replace(final)
    _flush(final.parent)


def file_name(label: str) -> str:
    """A label as part of a file's name; one that does not fit is told from others by a hash."""
    plain = re.sub(r"[^A-Za-z0-9_+=,.-]+", "_", label)[:60].lstrip(".-")
    return plain if plain == label else f"{plain}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def remove_unfinished(directory: Path, idle: float = 0.0) -> None:
    """Delete the directories that `replace_directory` was writing here when its process was killed.

    Only those that nothing was written to for `idle` seconds: where a directory is shared between machines, a process
    that this one does not have may well live on another.
    """
    for path in directory.glob("*.tmp-*"):
        number = path.name.rpartition("-")[2]
        if number.isdecimal() and not _is_running(int(number)) and time.time() - _written(path) >= idle:
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere to ask is to kill
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def _written(directory: Path) -> float:
    """When it or a file in it was last written to, in seconds since 1970."""
    try:
        return max(path.stat().st_mtime for path in (directory, *directory.iterdir()))
    except OSError:  # it goes away
        return time.time()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
