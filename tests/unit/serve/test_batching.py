"""Sentences of several requests share batches, and each request gets its own."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from seq2seq.config import Decoding
from seq2seq.errors import DataError
from seq2seq.inference.translation import Request
from seq2seq.serve.batching import Batcher, Busy

DECODING = Decoding()


class Scripted:
    """A translator that waits until it may go on, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_go = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def check(self, decoding: Decoding) -> None:
        pass

    def check_line(self, line: str, name: str) -> None:
        if line == "long":
            raise DataError("too long")

    def numbers(self, pieces: Sequence[str]) -> list[int]:
        if "zz" in pieces:
            raise DataError("no piece")
        return []

    def translate_group(self, requests: Sequence[Request], decoding: Decoding, *, keep_attention: bool) -> list[Any]:
        self.batches.append([request.line for request in requests])
        self.begun.release()
        assert self.may_go.acquire(timeout=10)
        if any(request.line == "bad" for request in requests):
            raise RuntimeError("broken")
        return [[request.line.upper()] for request in requests]


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def batcher(scripted: Scripted) -> Iterator[Batcher]:
    made: Any = Batcher(scripted, 4, 20)  # type: ignore[arg-type]
    yield made
    scripted.may_go.release(100)
    made.close()


def requests(lines: str) -> list[Request]:
    return [Request(line, number) for number, line in enumerate(lines.split())]


def ask(batcher: Batcher, lines: str, decoding: Decoding = DECODING) -> Any:
    return batcher.submit(requests(lines), decoding, keep_attention=False)


def test_waiting_requests_share_batches_and_take_turns(batcher: Batcher, scripted: Scripted) -> None:
    first = ask(batcher, "x")
    assert scripted.begun.acquire(timeout=10)  # the others come while it is translated
    waiting: list[int] = []
    batcher.watch = waiting.append
    long, short = ask(batcher, "a b c d e"), ask(batcher, "p q")
    assert waiting == [5, 7]
    scripted.may_go.release(3)
    assert first.result(10) == [["X"]]
    assert short.result(10) == [["P"], ["Q"]]
    assert long.result(10) == [["A"], ["B"], ["C"], ["D"], ["E"]]
    assert scripted.batches == [["x"], ["a", "p", "b", "q"], ["c", "d", "e"]]


def test_other_options_are_other_batches_and_none_starves(batcher: Batcher, scripted: Scripted) -> None:
    first = ask(batcher, "x")
    assert scripted.begun.acquire(timeout=10)
    one, other = ask(batcher, "a b c d e f"), ask(batcher, "p", replace(DECODING, beam_size=2))
    scripted.may_go.release(4)
    for future in (first, one, other):
        future.result(10)
    assert scripted.batches == [["x"], ["a", "b", "c", "d"], ["p"], ["e", "f"]]


def test_a_cancelled_request_is_left_out(batcher: Batcher, scripted: Scripted) -> None:
    first = ask(batcher, "x")
    assert scripted.begun.acquire(timeout=10)
    gone, kept = ask(batcher, "a b"), ask(batcher, "p")
    assert gone.cancel()
    scripted.may_go.release(2)
    assert kept.result(10) == [["P"]]
    first.result(10)
    assert scripted.batches == [["x"], ["p"]]


def test_a_cancelled_request_does_not_wait(batcher: Batcher, scripted: Scripted) -> None:
    waiting: list[int] = []
    first = ask(batcher, "x")
    assert scripted.begun.acquire(timeout=10)
    batcher.watch = waiting.append
    assert ask(batcher, "a " * 20).cancel()
    second = ask(batcher, "b " * 20)  # there is room for it at once
    assert second.cancel()
    assert waiting == [20, 20]
    scripted.may_go.release()
    first.result(10)
    batcher.close()
    assert waiting[-1] == 0


def test_a_failed_batch_fails_its_requests_alone(batcher: Batcher, scripted: Scripted) -> None:
    failed = ask(batcher, "bad a b c d e")
    assert scripted.begun.acquire(timeout=10)
    kept = ask(batcher, "p")
    scripted.may_go.release(2)
    with pytest.raises(RuntimeError, match="broken"):
        failed.result(10)
    assert kept.result(10) == [["P"]]
    assert batcher.alive


def test_too_many_are_refused(batcher: Batcher, scripted: Scripted) -> None:
    ask(batcher, "x")
    assert scripted.begun.acquire(timeout=10)
    ask(batcher, "a " * 19)
    with pytest.raises(Busy):
        ask(batcher, "b c")
    ask(batcher, "b")


def test_what_the_model_can_t_read_is_refused_at_once(batcher: Batcher) -> None:
    with pytest.raises(DataError, match="too long"):
        ask(batcher, "a long")
    assert ask(batcher, "").result(0) == []
    with pytest.raises(DataError, match="no piece"):
        batcher.submit([Request("a", pieces=("zz",))], DECODING, keep_attention=False)
    with pytest.raises(DataError, match="21 sentences; at most 20"):
        ask(batcher, "a " * 21)


def test_closing_translates_what_waits(batcher: Batcher, scripted: Scripted) -> None:
    futures = [ask(batcher, "a b"), ask(batcher, "c")]
    scripted.may_go.release(3)
    batcher.close()
    assert [future.result(0) for future in futures] == [[["A"], ["B"]], [["C"]]]
    assert not batcher.alive
    with pytest.raises(Busy):
        ask(batcher, "d")
