"""Standard input that arrives in pieces."""

import os
import threading

from seq2seq.cli.files import arriving_lines


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
