"""Data parallelism over the cores of one machine: processes that share the weights.

Small products leave most cores idle when threads divide them, and threads wait for each other at every one. Processes
that each take a share of the batch wait once an update.
"""

import logging
import mmap
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.text.batches import Batch
from seq2seq.training.loss import Loss
from seq2seq.training.team import Message, Own, ProcessLost, Team

logger = logging.getLogger(__name__)

_LEAST_TOKENS = 256
"""Target tokens of a share below which its products are too small to be worth a process."""

Work = Callable[[Any], Any]
"""Takes a message, leaves gradients in the model's parameters, gives an answer; both are plain values and arrays."""


def can_fork(device: torch.device) -> bool:
    """Whether processes that train on this device can share batches: a GPU's context does not outlive a fork."""
    return device.type == "cpu" and sys.platform.startswith("linux")


def default_processes(device: torch.device, batch_tokens: int) -> int:
    """As many as torch would have threads, as long as there is work enough; one where they can't be forked."""
    if not can_fork(device):
        return 1
    return max(1, min(torch.get_num_threads(), batch_tokens // _LEAST_TOKENS))


def warn_of_few_cores(processes: int) -> None:
    """Say so where this process may not use as many cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if processes > cores:
        logger.warning(
            "%d processes share each batch, on %d core(s): they take turns. training.processes=%d is faster",
            processes,
            cores,
            cores,
        )


class Workers(Team):
    """Processes forked from this one, each with the same model, whose weights are in common."""

    def __init__(self, model: nn.Module, work: Work, count: int) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._workers: list[tuple[BaseProcess, Connection, list[Tensor]]] = []
        if not count:
            return
        for parameter, shared in zip(self.parameters, _shared_like(self.parameters), strict=True):
            parameter.data = shared.copy_(parameter.data)
        context = multiprocessing.get_context("fork")  # what is inherited need not be sent
        for _ in range(count):
            ours, theirs = context.Pipe()
            gradients = _shared_like(self.parameters)
            inherited = [ours, *(connection for _, connection, _ in self._workers)]
            process = context.Process(target=self._serve, args=(work, theirs, gradients, inherited), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours, gradients))

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def shares(self) -> int:
        return 1 + len(self)

    def gradient(self, model: nn.Module, shares: Sequence[Batch], own: Own, message: Message) -> list[Loss]:
        self.start([message(number) for number in range(1, len(shares))])
        return [own(0), *(Loss.of_numbers(*numbers) for numbers in self.collect(len(shares) - 1))]

    def start(self, messages: Sequence[Any]) -> None:
        """Give one message to each of the first workers. Raises ProcessLost if one has ended."""
        for (process, connection, _), message in zip(self._workers, messages, strict=False):
            try:
                connection.send(message)
            except OSError:
                raise _ended(process) from None

    def collect(self, count: int) -> list[Any]:
        """The answers of the first `count` workers; their gradients are added to those of this process.

        Raises ProcessLost if a worker failed.
        """
        answers = []
        for process, connection, gradients in self._workers[:count]:
            try:
                answer = connection.recv()
            except (EOFError, OSError):  # the second if it never read its message
                raise _ended(process) from None
            answers.append(answer)
            both = [(p.grad, g) for p, g in zip(self.parameters, gradients, strict=True) if p.grad is not None]
            torch._foreach_add_([ours for ours, _ in both], [theirs for _, theirs in both])
        return answers

    def close(self) -> None:
        """End the processes."""
        for process, connection, _ in self._workers:
            connection.close()
            process.join()
        self._workers.clear()

    def _serve(
        self, work: Work, connection: Connection, gradients: Sequence[Tensor], inherited: Sequence[Connection]
    ) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # they come to all; the first process says when to stop
            signal.signal(number, signal.SIG_IGN)
        for other in inherited:  # else nobody would notice that the first process is gone
            other.close()
        while True:
            try:
                message = connection.recv()
            except EOFError:
                return
            answer = work(message)
            for parameter, shared in zip(self.parameters, gradients, strict=True):
                shared.zero_() if parameter.grad is None else shared.copy_(parameter.grad)
            try:
                connection.send(answer)
            except BrokenPipeError:
                return


@contextmanager
def working(model: nn.Module, work: Work, processes: int) -> Iterator[Workers]:
    """Workers for `processes` processes in all, this one included; each of them then uses one thread."""
    threads = torch.get_num_threads()
    if processes > 1:
        torch.set_num_threads(1)
        logger.info("%d processes share each batch", processes)
    workers = Workers(model, work, processes - 1)
    try:
        yield workers
    finally:
        workers.close()
        torch.set_num_threads(threads)


def _ended(process: BaseProcess) -> ProcessLost:
    """What a worker that is gone leaves to say."""
    process.join()
    killed = process.exitcode == -signal.SIGKILL
    why = "killed, as the system does where memory runs out" if killed else "see its message"
    return ProcessLost(f"a process that shares the batches ended (exit code {process.exitcode}); {why}")


def _shared_like(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Memory of these shapes that forked processes have in common."""
    shared = []
    for tensor in tensors:
        memory = mmap.mmap(-1, max(tensor.nbytes, 1))
        shared.append(torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel()).view(tensor.shape))
    return shared
