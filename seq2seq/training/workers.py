"""Data parallelism over the cores of one machine: forked processes that share the weights.

Small matrix products leave most cores idle when threads divide them, and threads synchronise at every one of them.
Processes that each take a share of the batch synchronise once per update.
"""

import inspect
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
from torch.autograd.graph import increment_version

from seq2seq.text.batches import Batch
from seq2seq.training.loss import Loss
from seq2seq.training.process_group import ProcessGroup, ProcessLost, ShareMessage, ShareWork

logger = logging.getLogger(__name__)

_LEAST_TOKENS = 256
"""Target tokens of a share below which its products are too small to be worth a process."""

_SHARE, _SUM, _STEP = "share", "sum", "step"
"""Kinds of messages to a worker."""

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
    """Processes forked from this one that share the weights of its model, and the work of each update.

    Each process owns some of the parameters, about as many numbers as every other: there, it adds up the gradients of
    all shares, in the order of the shares, and makes the optimizer's step. Weights, the optimizer's moments and the
    gradients for other owners are in memory that all processes share.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, answer: Answer, count: int) -> None:
        self._optimizer = optimizer
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for parameter in self._parameters:
            parameter.data = _shared(parameter.data)
            state = optimizer.state[parameter] or _first_state(optimizer, parameter)
            optimizer.state[parameter] = {
                name: _shared(value) if isinstance(value, Tensor) else value for name, value in state.items()
            }
        self._owners = owners_of([parameter.numel() for parameter in self._parameters], count + 1)
        self._gradients = [
            [None if owner == process else _shared(torch.zeros_like(parameter)) for parameter, owner in self._owned()]
            for process in range(count + 1)
        ]
        """By process and parameter; None for its own, which nobody else reads."""
        self._norms = _shared(torch.zeros(len(self._parameters), dtype=self._parameters[0].dtype))
        self._active = 1
        """Number of processes that had a share of the last batch."""
        self._workers: list[tuple[BaseProcess, Connection]] = []
        context = multiprocessing.get_context("fork")  # which inherits the model instead of pickling it
        for number in range(1, count + 1):
            ours, theirs = context.Pipe()
            inherited = [ours, *(connection for _, connection in self._workers)]
            process = context.Process(target=self._serve, args=(number, answer, theirs, inherited), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, ours))

    @property
    def shares(self) -> int:
        return 1 + len(self._workers)

    def gradient(self, model: nn.Module, shares: Sequence[Batch], work: ShareWork, message: ShareMessage) -> list[Loss]:
        self._active = len(shares)
        workers = self._workers[: len(shares) - 1]
        self._send(workers, [(_SHARE, message(number)) for number in range(1, len(shares))])
        losses = [work(0)]
        self._publish(0)
        return [*losses, *(Loss.of_arrays(*arrays) for arrays in self._receive(workers))]

    def update(self, model: nn.Module, optimizer: torch.optim.Optimizer, limit: float) -> Tensor:
        used = [parameter.grad is not None for parameter in self._parameters]
        self._send(self._workers, [(_SUM, (self._active, used))] * len(self._workers))
        self._sum(0, self._active, used)
        self._receive(self._workers)
        norm = torch.linalg.vector_norm(self._norms[torch.tensor(used)])
        step = limit, norm, [group["lr"] for group in optimizer.param_groups]
        self._send(self._workers, [(_STEP, step)] * len(self._workers))
        self._step(*step)
        self._receive(self._workers)
        increment_version(self._parameters)  # which others have changed; copies in int8 go by it
        return norm

    def close(self) -> None:
        """End the processes."""
        for process, connection in self._workers:
            connection.close()
            process.join()
        self._workers.clear()

    # --- this process, to the others ---------------------------------------------------------------------------------

    def _send(self, workers: Sequence[tuple[BaseProcess, Connection]], messages: Sequence[Any]) -> None:
        for (process, connection), message in zip(workers, messages, strict=True):
            try:
                connection.send(message)
            except OSError:
                raise _ended(process) from None

    def _receive(self, workers: Sequence[tuple[BaseProcess, Connection]]) -> list[Any]:
        answers = []
        for process, connection in workers:
            try:
                answers.append(connection.recv())
            except (EOFError, OSError):  # OSError if it never read its message
                raise _ended(process) from None
        return answers

    # --- every process -----------------------------------------------------------------------------------------------

    def _owned(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Yield each parameter with the number of its owner."""
        return zip(self._parameters, self._owners, strict=True)

    def _publish(self, process: int) -> None:
        """Show the owners this process's gradients of their parameters."""
        for (parameter, _), shared in zip(self._owned(), self._gradients[process], strict=True):
            if shared is not None:
                shared.zero_() if parameter.grad is None else shared.copy_(parameter.grad)

    @torch.no_grad()
    def _sum(self, process: int, active: int, used: Sequence[bool]) -> None:
        """Leave the sums of the gradients in this process's own parameters, and their norms where all can read them."""
        sums: dict[int, Tensor] = {}
        for number, (parameter, owner) in enumerate(self._owned()):
            if owner == process and used[number]:
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                shown = [gradients[number] for gradients in self._gradients[:active]]
                sums[number], *others = [own if gradient is None else gradient for gradient in shown]
                for other in others:
                    sums[number] += other
            parameter.grad = sums.get(number)
        if sums:
            self._norms[list(sums)] = torch.stack(torch._foreach_norm(list(sums.values())))

    def _step(self, limit: float, norm: Tensor, rates: Sequence[float]) -> None:
        """Make the optimizer's step of this process's own parameters, unless the norm of all is not finite."""
        if not norm.isfinite():
            return
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        nn.utils.clip_grads_with_norm_(self._parameters, limit, norm)
        self._optimizer.step()

    def _serve(self, number: int, answer: Answer, connection: Connection, inherited: Sequence[Connection]) -> None:
        for received in (signal.SIGINT, signal.SIGTERM):  # sent to all processes, but the first one decides
            signal.signal(received, signal.SIG_IGN)
        for other in inherited:  # while open here, they would hide the end of the first process
            other.close()
        while True:
            try:
                kind, message = connection.recv()
            except EOFError:
                return
            reply = None
            if kind == _SHARE:
                reply = answer(message)
                self._publish(number)
            elif kind == _SUM:
                self._sum(number, *message)
            else:
                self._step(*message)
            try:
                connection.send(reply)
            except BrokenPipeError:
                return


@contextmanager
def working(model: nn.Module, optimizer: torch.optim.Optimizer, answer: Answer, processes: int) -> Iterator[Workers]:
    """Start `processes` - 1 workers beside this process; each process uses one thread until the end of the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logger.info("%d processes share each batch", processes)
    workers = Workers(model, optimizer, answer, processes - 1)
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


def owners_of(sizes: Sequence[int], processes: int) -> list[int]:
    """Return a process for each parameter, so that all have about as many numbers to work on."""
    loads, owners = [0] * processes, [0] * len(sizes)
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        owners[number] = loads.index(min(loads))
        loads[owners[number]] += sizes[number]
    return owners


def _first_state(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Any]:
    """Return what the optimizer keeps for a parameter before its first step."""
    probe = nn.Parameter(torch.zeros(1, dtype=parameter.dtype))
    kind = type(optimizer)
    known = inspect.signature(kind).parameters
    other = kind([probe], **{key: value for key, value in optimizer.defaults.items() if key in known})
    probe.grad = torch.zeros_like(probe)
    other.step()
    kept = other.state[probe]
    return {
        name: torch.zeros_like(parameter if value.shape == probe.shape else value)
        if isinstance(value, Tensor)
        else value
        for name, value in kept.items()
    }


def _shared(tensor: Tensor) -> Tensor:
    """Copy a tensor into memory that forked processes share."""
    memory = mmap.mmap(-1, max(tensor.nbytes, 1))
    return torch.frombuffer(memory, dtype=tensor.dtype, count=tensor.numel()).view(tensor.shape).copy_(tensor)
