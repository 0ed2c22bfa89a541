"""Standard input that arrives in pieces, and outputs that are no files."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import seq2seq
from seq2seq.cli.files import arriving_lines, output_stream
from seq2seq.text.corpus import DataError


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


POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and devices with names")


@POSIX
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
