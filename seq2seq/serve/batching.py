"""Sentences of concurrent requests, translated together.

A translation does not depend on the others in its batch, so sharing batches changes nothing but the speed.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from seq2seq.config import Decoding
from seq2seq.errors import DataError
from seq2seq.inference.translation import Request, Translation
from seq2seq.inference.translator import Translator

logger = logging.getLogger(__name__)

Ranked = list[Translation]
"""The n best translations of a sentence"""


class Busy(Exception):
    """More sentences wait than may."""


@dataclass
class _Job:
    requests: Sequence[Request]
    decoding: Decoding
    keep_attention: bool
    future: "Future[list[Ranked]]" = field(default_factory=Future)
    results: list[Ranked | None] = field(default_factory=list)
    begun: int = 0
    """Sentences that are in a batch or done"""

    @property
    def kind(self) -> tuple[Decoding, bool]:
        """What the jobs of a batch have in common."""
        return self.decoding, self.keep_attention


class Batcher:
    """A thread that translates waiting sentences in batches. Jobs with the same options take turns, so none starves."""

    def __init__(self, translator: Translator, batch_size: int, most_waiting: int) -> None:
        self._translator = translator
        self._batch_size = batch_size
        self._most_waiting = most_waiting
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.watch: Callable[[int], object] = lambda waiting: None
        """Called with the number of sentences that wait, when it changes"""
        self._thread = threading.Thread(target=self._work, name="translate", daemon=True)
        self._thread.start()

    def _waiting(self) -> int:
        return sum(len(job.requests) - job.begun for job in self._jobs if not job.future.cancelled())

    def submit(
        self, requests: Sequence[Request], decoding: Decoding, *, keep_attention: bool
    ) -> "Future[list[Ranked]]":
        """Translate these sentences; the future's result has the n best translations of each, in order.

        A cancelled future's sentences are left out of later batches. Raises Busy if too many wait, and ConfigError or
        DataError for options and sentences that the model can't serve.
        """
        self._translator.check(decoding)
        if len(requests) > self._most_waiting:
            raise DataError(f"the text has {len(requests):,} sentences; at most {self._most_waiting:,} may wait")
        for request in requests:
            self._translator.check_line(request.line, "the text")
            self._translator.numbers(request.pieces)
        job = _Job(requests, decoding, keep_attention, results=[None] * len(requests))
        if not requests:
            job.future.set_result([])
            return job.future
        with self._changed:
            if self._closed or self._waiting() + len(requests) > self._most_waiting:
                raise Busy
            self._jobs.append(job)
            self.watch(self._waiting())
            self._changed.notify()
        return job.future

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Translate what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            job, _ = batch[0]
            try:
                requests = [job.requests[place] for job, place in batch]
                found = self._translator.translate_group(requests, job.decoding, keep_attention=job.keep_attention)
            except Exception as error:
                logger.exception("a batch failed")
                for job, _ in batch:
                    _set(job.future, error)
                with self._changed:
                    self._jobs = deque(job for job in self._jobs if not job.future.done())
                    self.watch(self._waiting())
                continue
            for (job, place), ranked in zip(batch, found, strict=True):
                job.results[place] = ranked
            for job in {id(job): job for job, _ in batch}.values():
                results = [ranked for ranked in job.results if ranked is not None]
                if len(results) == len(job.results):
                    _set(job.future, results)

    def _next(self) -> list[tuple[_Job, int]]:
        """Wait for sentences; take one of each job of the first one's kind in turn. Empty when closed and done."""
        with self._changed:
            while True:
                self._jobs = deque(job for job in self._jobs if not job.future.cancelled())
                if self._jobs:
                    break
                self.watch(0)  # those that were left may have been cancelled
                if self._closed:
                    return []
                self._changed.wait()
            kind, batch = self._jobs[0].kind, list[tuple[_Job, int]]()
            others = deque(job for job in self._jobs if job.kind != kind)
            same = deque(job for job in self._jobs if job.kind == kind)
            while same and len(batch) < self._batch_size:
                job = same.popleft()
                batch.append((job, job.begun))
                job.begun += 1
                if job.begun < len(job.requests):
                    same.append(job)
            self._jobs = others + same
            self.watch(self._waiting())
            return batch


def _set(future: "Future[list[Ranked]]", value: list[Ranked] | Exception) -> None:
    """Set the result, unless the job was cancelled or has one."""
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
