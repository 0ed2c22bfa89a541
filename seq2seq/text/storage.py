"""Directories and files that appear complete or not at all."""

import hashlib
import json
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seq2seq.errors import DataError
from seq2seq.text.json_io import Kind, read_json, typed


@contextmanager
def writing(path: object, hint: str = "") -> Iterator[None]:
    """Turn an OSError inside the block into a DataError that names what can't be written."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror or error}){hint}") from error


@contextmanager
def replace_directory(final: Path, *, keep: bool = False, keep_previous: bool = False) -> Iterator[Path]:
    """A directory to write into, which gets its name only when it is complete and on the disk.

    Until then an existing directory of that name stays as it is. It is called `previous_name(final)` for the moment
    between two renames, and with `keep_previous` until it is replaced in turn. With `keep`, a directory that another
    process has made in the meantime is kept: its name tells its content, and others may be reading it.
    """
    unfinished = final.with_name(f"{final.name}.tmp-{platform.node()}-{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with writing(final):
            unfinished.mkdir(parents=True)
            yield unfinished
            for path in (*unfinished.iterdir(), unfinished):
                _flush(path)
            if not (keep and final.is_dir()):
                previous = previous_name(final)
                if final.exists():
                    shutil.rmtree(previous, ignore_errors=True)
                    final.rename(previous)
                unfinished.rename(final)
                _flush(final.parent)
                if not keep_previous:
                    shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def previous_name(final: Path) -> Path:
    """The name of a directory while another takes its place; a crash in that moment leaves it there."""
    return final.parent / f"{final.name}.previous"


def within(directory: Path, name: str) -> Path:
    """The path of a file or directory inside another.

    Raises DataError for a link that leads out of it: a packed directory from elsewhere must not make us read or write
    anything else. In a snapshot of huggingface_hub's cache, links may lead to the cache's blobs.
    """
    path, top = directory / name, os.path.realpath(directory)
    target = os.path.realpath(path)
    if not any(os.path.commonpath([place, target]) == place for place in (top, *_blobs(Path(top)))):
        raise DataError(f"{path}: a link that leads out of {directory}. Replace it by a copy of what it leads to.")
    return path


def _blobs(directory: Path) -> list[str]:
    """The directories that the links of a snapshot lead to: blobs of its repository, and blobs that repositories share.

    Empty for any other directory. The names are not resolved, so a `blobs` that is itself a link leads nowhere.
    """
    repository = directory.parent.parent
    if directory.parent.name != "snapshots" or not repository.name.startswith("models--"):
        return []
    return [str(repository / "blobs"), str(repository.parent / "blobs")]


@contextmanager
def replace_file(final: Path) -> Iterator[Path]:
    """A path to write a file to, which gets its name only when it is complete and on the disk.

    Raises OSError if the file can't be written.
    """
    unfinished = unfinished_path(final)
    unfinished.unlink(missing_ok=True)  # writing would follow a link to elsewhere
    try:
        unfinished.touch(exist_ok=False)
        mode = unfinished.stat().st_mode
        yield unfinished
        unfinished.chmod(mode)  # a library may have created it again, for its owner alone
        rename_file(unfinished, final)
    finally:
        with suppress(OSError):  # it would hide an earlier error
            unfinished.unlink(missing_ok=True)


def unfinished_path(final: Path) -> Path:
    """The path of a file while it is written: a hidden one, which no file of the user has."""
    return final.with_name(f".{final.name}.tmp")


def rename_file(unfinished: Path, final: Path) -> None:
    """Flush a complete file to the disk and rename it, keeping mode and owner of the file that it replaces."""
    _flush(unfinished)
    if final.exists():
        previous = final.stat()
        with suppress(PermissionError):  # only root may give files away
            os.chown(unfinished, previous.st_uid, previous.st_gid)
        unfinished.chmod(stat.S_IMODE(previous.st_mode))
    unfinished.replace(final)
    _flush(final.parent)


def file_name(label: str) -> str:
    """A label as part of a file's name; a hash distinguishes labels that had to be changed."""
    plain = re.sub(r"[^A-Za-z0-9_+=,.-]+", "_", label)[:60].lstrip(".-")
    return plain if plain == label else f"{plain}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def remove_unfinished(directory: Path, idle: float = 0.0) -> None:
    """Delete the directories that `replace_directory` left here when its process was killed.

    Keeps those written to in the last `idle` seconds: in a directory shared between machines, a process that does not
    run on this one may still run on another.
    """
    for path in directory.glob("*.tmp-*"):
        number = path.name.rpartition("-")[2]
        if number.isdecimal() and not _is_running(int(number)) and time.time() - _written(path) >= idle:
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        pass
    return True


def _written(directory: Path) -> float:
    """When the directory or a file in it was last written to, in seconds since 1970."""
    try:
        return max(path.stat().st_mtime for path in (directory, *directory.iterdir()))
    except OSError:  # it is being removed
        return time.time()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_values(directory: Path, name: str, values: Any) -> None:
    """Write a dataclass as JSON into a checkpoint. Raises DataError if it can't be written."""
    path = directory / name
    with writing(path), replace_file(path) as unfinished:
        unfinished.write_text(f"{json.dumps(asdict(values))}\n", encoding="utf-8")


def read_values(kind: type[Kind], directory: Path, name: str, way_out: str) -> Kind | None:
    """Read a dataclass that `write_values` wrote; None without such a file. Raises DataError for anything else."""
    path = within(directory, name)
    if not os.path.isfile(path):
        return None
    try:
        return typed(kind, read_json(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable ({error}). {way_out}") from error
