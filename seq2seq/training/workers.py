"""Data parallelism over the cores of one machine: forked processes that share the weights.

Small matrix products leave most cores idle when threads divide them, and threads synchronise at every one of them.
Processes that each take a share of the batch synchronise once per update.
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
from seq2seq.training.process_group import ProcessGroup, ProcessLost, ShareMessage, ShareWork

logger = logging.getLogger(__name__)

_LEAST_TOKENS = 256
"""Target tokens of a share below which its products are too small to be worth a process."""

Answer = Callable[[Any], Any]
"""Takes a message, leaves gradients in the model's parameters, returns an answer; messages are plain values."""


def can_fork(device: torch.device) -> bool:
    """Whether processes that train on this device can share batches: a GPU context does not survive a fork."""
    return device.type == "cpu" and sys.platform.startswith("linux")


def default_processes(device: torch.device, batch_tokens: int) -> int:
    """One process per thread that torch would use, with at least `_LEAST_TOKENS` each; 1 where fork is impossible."""
    return max(1, min(torch.get_num_threads(), batch_tokens // _LEAST_TOKENS)) if can_fork(device) else 1


def warn_of_few_cores(processes: int) -> None:
    """Warn if there are more processes than cores available to this one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if processes > cores:
        logger.warning(
            "%d processes share each batch, but there are only %d core(s), so they take turns. "
            "training.processes=%d is faster",
            *(processes, cores, cores),
        )


class Workers(ProcessGroup):
    """Processes forked from this one that share the weights of its model; gradients come back in shared memory."""

    def __init__(self, model: nn.Module, answer: Answer, count: int) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._workers: list[tuple[BaseProcess, Connection, list[Tensor]]] = []
        for parameter, shared in zip(self.parameters, _shared_like(self.parameters), strict=True):
            parameter.data = shared.copy_(parameter.data)
        context = multiprocessing.get_context("fork")  # which inherits the model instead of pickling it
        for _ in range(count):
            ours, theirs = context.Pipe()
            gradients = _shared_like(self.parameters)
            inherited = [ours, *(connection for _, connection, _ in self._workers)]
            process = context.Process(target=self._serve, args=(answer, theirs, gradients, inherited), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours, gradients))

    @property
    def shares(self) -> int:
        return 1 + len(self._workers)

    def gradient(self, model: nn.Module, shares: Sequence[Batch], work: ShareWork, message: ShareMessage) -> list[Loss]:
        workers = self._workers[: len(shares) - 1]
        for number, (process, connection, _) in enumerate(workers, 1):
            try:
                connection.send(message(number))
            except OSError:
                raise _ended(process) from None
        losses = [work(0)]
        for process, connection, gradients in workers:
            try:
                losses.append(Loss.of_arrays(*connection.recv()))
            except (EOFError, OSError):  # OSError if it never read its message
                raise _ended(process) from None
            both = [(p.grad, g) for p, g in zip(self.parameters, gradients, strict=True) if p.grad is not None]
            torch._foreach_add_([ours for ours, _ in both], [theirs for _, theirs in both])
        return losses

    def close(self) -> None:
        """End the processes."""
        for process, connection, _ in self._workers:
            connection.close()
            process.join()
        self._workers.clear()

    def _serve(
        self, answer: Answer, connection: Connection, gradients: Sequence[Tensor], inherited: Sequence[Connection]
    ) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes, but the first one decides
            signal.signal(number, signal.SIG_IGN)
        for other in inherited:  # while open here, they would hide the end of the first process
            other.close()
        while True:
            try:
                reply = answer(connection.recv())
            except EOFError:
                return
            for parameter, shared in zip(self.parameters, gradients, strict=True):
                shared.zero_() if parameter.grad is None else shared.copy_(parameter.grad)
            try:
                connection.send(reply)
            except BrokenPipeError:
                return


@contextmanager
def working(model: nn.Module, answer: Answer, processes: int) -> Iterator[Workers]:
    """Start `processes` - 1 workers beside this process; each process uses one thread until the end of the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logger.info("%d processes share each batch", processes)
    workers = Workers(model, answer, processes - 1)
    try:
        yield workers
    finally:
        workers.close()
        torch.set_num_threads(threads)


def _ended(process: BaseProcess) -> ProcessLost:
    """Explain how a worker ended."""
    process.join()
    killed = process.exitcode == -signal.SIGKILL
    why = "it was killed, as the system does when memory runs out" if killed else "see its message"
    return ProcessLost(f"a process that shares the batches ended (exit code {process.exitcode}); {why}")


def _shared_like(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Allocate tensors of the same shapes in memory that forked processes share."""
    shared = []
    for tensor in tensors:
        memory = mmap.mmap(-1, max(tensor.nbytes, 1))
        shared.append(torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel()).view(tensor.shape))
    return shared
