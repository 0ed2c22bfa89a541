"""Standard input that arrives in pieces, and outputs that are no files."""

import gzip
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import seq2seq
from seq2seq.cli.files import arriving_lines, check_directory, check_output, output_stream
from seq2seq.errors import DataError
from seq2seq.text.corpus import MOST_BYTES


def test_lines_come_whole_whatever_the_pieces() -> None:
    reader, writer = os.pipe()
    text = "one\ntwo\u2028x\n\nlast".encode()
    feed = threading.Thread(
        target=lambda: [os.write(writer, text[i : i + 1]) for i in range(len(text))] + [os.close(writer)]
    )
    feed.start()
    groups = list(arriving_lines(reader, 3))
    feed.join()
    os.close(reader)
    assert [line for group in groups for line in group] == [b"one\n", "two\u2028x\n".encode(), b"\n", b"last"]
    assert max(map(len, groups)) <= 3


def test_what_has_come_is_given_while_the_pipe_stays_open() -> None:
    reader, writer = os.pipe()
    lines = arriving_lines(reader, 10)
    for word in (b"a\n", b"b\nc\n"):
        os.write(writer, word)
        assert b"".join(next(lines)) == word
    os.close(writer)
    assert list(lines) == []
    os.close(reader)


def test_groups_are_no_larger_than_asked_for() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x\n" * 25)
    os.close(writer)
    assert [len(group) for group in arriving_lines(reader, 10)] == [10, 10, 5]
    os.close(reader)


def test_an_empty_input_gives_nothing() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    assert list(arriving_lines(reader, 10)) == []
    os.close(reader)


def test_a_pipe_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    with output_stream(str(pipe)) as file:
        file.write("said\n")
    reader.join(10)
    assert found == ["said\n"]
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
    with pytest.raises(DataError, match="can't be written"), output_stream(str(tmp_path)):
        pass


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="Linux's full device")
def test_a_full_standard_output_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    with (
        pytest.raises(DataError, match=r"full: can't be written \(No space left"),
        output_stream(f"{tmp_path}/full") as to,
    ):
        to.write("said\n")
    program = "from seq2seq.cli.files import output_stream\nwith output_stream('-') as to: to.write('said')"
    environment = {**os.environ, "PYTHONPATH": str(Path(seq2seq.__file__).parent.parent)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1  # of the exception, which main turns into a message
    assert done.stderr.splitlines()[-1].endswith("DataError: stdout: can't be written (No space left on device)")


def write(name: Path | str, text: str = "said\n") -> None:
    with output_stream(str(name)) as file:
        file.write(text)


def test_a_name_in_gz_is_compressed_and_the_same_text_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.gz", "b.txt.gz"):
        write(tmp_path / name, "gesagt ü\n" * 1000)
    content = (tmp_path / "a.gz").read_bytes()
    assert gzip.decompress(content).decode() == "gesagt ü\n" * 1000
    assert content == (tmp_path / "b.txt.gz").read_bytes()


def test_a_link_is_followed_and_a_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there/real", tmp_path / "link"
    link.symlink_to("there/real")
    write(link)
    assert link.is_symlink()
    assert real.read_text() == "said\n"
    plain = tmp_path / "plain"
    plain.open("w").close()
    assert real.stat().st_mode == plain.stat().st_mode
    real.chmod(0o640)
    write(link, "again\n")
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("again\n", 0o640)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "plain", "real", "there"]


def test_nothing_is_left_of_an_output_that_fails(tmp_path: Path) -> None:
    (tmp_path / "before").write_text("before\n")
    with pytest.raises(TypeError), output_stream(str(tmp_path / "before")) as file:
        print("half", file=file, end=0)  # type: ignore[arg-type]
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("before", "before\n")]


@pytest.mark.parametrize("name", ["file/x", "n" * 300, "none/x", "."])
def test_an_output_that_can_not_be_is_told_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for check in (check_output, write):
        with pytest.raises(DataError, match=r"can't be written|expected a file"):
            check(str(tmp_path / name))
    if name != "none/x" and name != ".":
        with pytest.raises(DataError, match=r"can't be written|can't be made"):
            check_directory(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_line_that_is_too_long_costs_only_itself() -> None:
    reader, writer = os.pipe()
    text = b"one\n" + b"a" * (3 * MOST_BYTES) + b"\ntwo\n" + b"b" * (MOST_BYTES + 5)

    def write_text() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(text)

    feed = threading.Thread(target=write_text)
    feed.start()
    lines = [line for group in arriving_lines(reader, 2) for line in group]
    feed.join()
    os.close(reader)
    assert [line[:3].decode() for line in lines] == ["one", "aaa", "two", "bbb"]
    assert [len(line) > MOST_BYTES for line in lines] == [False, True, False, True]
    assert max(map(len, lines)) < MOST_BYTES + (1 << 17)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="Linux's full device")
def test_what_is_printed_to_a_full_device_is_told_too() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(seq2seq.__file__).parent.parent)}
    environment.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-m", "seq2seq", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "stdout: can't be written (No space left on device)\n")


def test_a_directory_may_have_the_name_of_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").mkdir()
    check_output("-")
