"""Downloads from a server of our own: whole, in parts, cut off, changed, and from a mirror."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from seq2seq.corpora import table
from seq2seq.corpora.catalogue import Download
from seq2seq.corpora.download import HASHES, Unreachable, fetch
from seq2seq.errors import DataError

CONTENT = bytes(range(256)) * 1000


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every address; `cut` and `ranges` tell how badly."""

    content = CONTENT
    cut: int | None = None
    """Bytes of a response after which the connection closes"""
    ranges = True
    asked: list[str | None]
    """The ranges that were asked for"""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content, asked = self.server.content, self.headers["Range"]
        self.server.asked.append(asked)
        if self.path == "/missing":
            self.send_error(404)
            return
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if first >= len(content):
            self.send_error(416)
            return
        body = content[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def file(server: Server, name: str = "corpus.gz", sha256: str | None = None) -> Download:
    return Download(f"http://127.0.0.1:{server.server_port}/{name}", sha256=sha256)


def get(file: Download, directory: Path, mirror: Path | None = None) -> Path:
    return fetch(file, directory, mirror, lambda total, done: nullcontext(lambda new: None))


def test_a_file_arrives_whole_and_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    wanted = file(server, sha256=hashlib.sha256(CONTENT).hexdigest())
    for _ in range(2):
        assert get(wanted, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None]
    assert sorted(path.name for path in tmp_path.iterdir()) == [HASHES, "corpus.gz"]
    assert (tmp_path / HASHES).read_text() == f"{wanted.sha256}  corpus.gz\n"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.cut, server.ranges = 100_000, ranges
    with pytest.raises(DataError, match=r"broke after 100,000 of 256,000 bytes\. Run the command again"):
        get(file(server), tmp_path)
    assert not (tmp_path / "corpus.gz").exists()
    server.cut = None
    assert get(file(server), tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_part_longer_than_the_file_is_downloaded_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.gz.part").write_bytes(CONTENT + b"more")
    assert get(file(server), tmp_path).read_bytes() == CONTENT


def test_a_part_of_another_file_is_found_out_and_not_used_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.gz.part").write_bytes(b"other")
    wanted = file(server, sha256=hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(DataError, match="but that of the known file is"):
        get(wanted, tmp_path)
    assert (tmp_path / "corpus.gz.rejected").exists()
    assert get(wanted, tmp_path).read_bytes() == CONTENT


def test_the_first_download_is_kept_to(server: Server, tmp_path: Path) -> None:
    path = get(file(server), tmp_path)
    path.unlink()
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DataError, match=r"first download, recorded in .*SHA256SUMS"):
        get(file(server), tmp_path)
    assert not path.exists()


@pytest.mark.parametrize("damaged", [-8, 1000], ids=["checksum", "middle"])
def test_a_damaged_archive_is_rejected(server: Server, tmp_path: Path, damaged: int) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as opened:
        entry = tarfile.TarInfo("text")
        entry.size = len(CONTENT)
        opened.addfile(entry, io.BytesIO(CONTENT))
    content = bytearray(archive.getvalue())
    content[damaged] ^= 255
    server.content = bytes(content)
    wanted = replace(file(server, "text.tgz"), convert=lambda path, directory: tarfile.open(path).close())
    with pytest.raises(DataError, match=r"not the archive .* now text\.tgz\.rejected"):
        get(wanted, tmp_path)


def test_what_is_no_archive_is_rejected_and_not_kept_to(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>Please log in.</html>"
    wanted = replace(file(server, "pairs.zip"), convert=table.member("pairs.tsv"))
    with pytest.raises(DataError, match=r"not the archive .* now pairs\.zip\.rejected"):
        get(wanted, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.zip.rejected"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("pairs.tsv", "Go.\tVe.\n")
    server.content = archive.getvalue()
    get(wanted, tmp_path)
    assert (tmp_path / "pairs.tsv").read_text() == "Go.\tVe.\n"


def test_a_file_that_was_changed_on_the_disk_is_noticed(server: Server, tmp_path: Path) -> None:
    get(file(server), tmp_path).write_bytes(b"changed")
    with pytest.raises(DataError, match="first download"):
        get(file(server), tmp_path)


def test_what_cant_be_reached_says_why(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="404"):
        get(file(server, "missing"), tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(Unreachable, match="refused"):
        get(file(server), tmp_path)


def test_a_disk_that_can_not_be_written_is_told_as_such(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.gz.part").mkdir()
    with pytest.raises(DataError, match=r"corpus\.gz\.part: can't be written") as found:
        get(file(server), tmp_path)
    assert not isinstance(found.value, Unreachable)


def test_a_mirror_is_asked_alone_and_checked_too(server: Server, tmp_path: Path) -> None:
    mirror, corpus = tmp_path / "mirror", tmp_path / "corpus"
    for directory in (mirror, corpus):
        directory.mkdir()
    wanted = file(server, sha256=hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(Unreachable, match=r"has no corpus\.gz"):
        get(wanted, corpus, mirror)
    (mirror / "corpus.gz").write_bytes(b"tampered")
    with pytest.raises(DataError, match="known file"):
        get(wanted, corpus, mirror)
    (mirror / "corpus.gz").write_bytes(CONTENT)
    assert get(wanted, corpus, mirror).read_bytes() == CONTENT
    assert server.asked == []
