"""Data parallelism over the cores of one machine: forked processes that share the weights.

Small matrix products leave most cores idle when threads divide them, and threads synchronise at every one of them.
Processes that each take a share of the batch synchronise once per update.
"""

import inspect
import itertools
import logging
import math
import mmap
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from seq2seq.device import using_threads
from seq2seq.text.batches import Batch
from seq2seq.training.loss import Loss
from seq2seq.training.process_group import ProcessGroup, ProcessLost, Result, ShareMessage, ShareWork

logger = logging.getLogger(__name__)

_LEAST_TOKENS = 256
"""Target tokens of a share below which its products are too small to be worth a process."""

_ALIGNMENT = 64
"""Bytes: a line of a cache."""
_SHARE, _SUM, _STEP, _TASK = "share", "sum", "step", "task"
"""Kinds of messages to a worker."""

Answer = Callable[[Any], Any]
"""Takes a message, leaves gradients in the model's parameters, returns an answer; messages are plain values."""
Tasks = Mapping[str, Callable[[Any], Any]]
"""What else workers can do with the weights: takes plain items, returns a plain result for each."""


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

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, answer: Answer, count: int, tasks: Tasks | None = None
    ) -> None:
        self._optimizer, self._tasks = optimizer, tasks or {}
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        for parameter, shared in zip(self._parameters, _shared([p.data for p in self._parameters]), strict=True):
            parameter.data = shared
        _share_state(optimizer, self._parameters)
        self._owners = owners_of([parameter.numel() for parameter in self._parameters], count + 1)
        self._gradients: list[dict[int, Tensor]] = []
        """Gradients that each process shows the owners, by the number of the parameter."""
        for showing in range(count + 1):
            others = [number for number, owner in enumerate(self._owners) if owner != showing]
            self._gradients.append(dict(zip(others, _shared([self._parameters[n].data for n in others]), strict=True)))
        (self._norms,) = _shared([torch.zeros(len(self._parameters), dtype=self._parameters[0].dtype)])
        self._active = 1
        """Number of processes that had a share of the last batch."""
        self._used: list[bool] = []
        """Whether a parameter has a gradient in any share of the last batch."""
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
        losses, used = [work(0)], [self._publish(0)]
        for arrays, of_worker in self._receive(workers):
            losses.append(Loss.of_arrays(*arrays))
            used.append(of_worker)
        self._used = [any(shares) for shares in zip(*used, strict=True)]
        return losses

    def update(self, model: nn.Module, optimizer: torch.optim.Optimizer, limit: float) -> Tensor:
        self._send(self._workers, [(_SUM, (self._active, self._used))] * len(self._workers))
        self._sum(0, self._active, self._used)
        self._receive(self._workers)
        norm = torch.linalg.vector_norm(self._norms[torch.tensor(self._used)])
        step = limit, float(norm), [group["lr"] for group in optimizer.param_groups]
        self._send(self._workers, [(_STEP, step)] * len(self._workers))
        self._step(*step)
        self._receive(self._workers)
        return norm

    def spread(self, name: str, task: Callable[[Any], list[Result]], items: Sequence[Any]) -> list[Result]:
        own, *others = [items[share :: self.shares] for share in range(self.shares)]
        self._send(self._workers, [(_TASK, (name, part)) for part in others])
        made: dict[int, Result] = {}
        for share, results in enumerate([task(own), *self._receive(self._workers)]):
            made.update(zip(range(share, len(items), self.shares), results, strict=True))
        return [made[place] for place in range(len(items))]

    def kill(self) -> None:
        """Let the processes leave their work as it is."""
        for process, _ in self._workers:
            process.kill()

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

    def _publish(self, process: int) -> list[bool]:
        """Show the owners this process's gradients of their parameters; return which parameters have one."""
        for number, shared in self._gradients[process].items():
            gradient = self._parameters[number].grad
            shared.zero_() if gradient is None else shared.copy_(gradient)
        return [parameter.grad is not None for parameter in self._parameters]

    @torch.no_grad()
    def _sum(self, process: int, active: int, used: Sequence[bool]) -> None:
        """Leave the sums of the gradients in this process's own parameters, and their norms where all can read them."""
        sums: dict[int, Tensor] = {}
        for number, (parameter, owner) in enumerate(zip(self._parameters, self._owners, strict=True)):
            if owner == process and used[number]:
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                sums[number], *others = [shown.get(number, own) for shown in self._gradients[:active]]
                for other in others:
                    sums[number] += other
            parameter.grad = sums.get(number)
        if sums:
            self._norms[list(sums)] = torch.stack(torch._foreach_norm(list(sums.values())))

    def _step(self, limit: float, norm: float, rates: Sequence[float]) -> None:
        """Make the optimizer's step of this process's own parameters, unless the norm of all is not finite."""
        increment_version(self._parameters)  # which others change; copies in int8 go by it
        if not math.isfinite(norm):
            return
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        nn.utils.clip_grads_with_norm_(self._parameters, limit, self._norms.new_tensor(norm))
        self._optimizer.step()

    def _serve(self, number: int, answer: Answer, connection: Connection, inherited: Sequence[Connection]) -> None:
        for received in (signal.SIGINT, signal.SIGTERM):  # sent to all processes, but the first one decides
            signal.signal(received, signal.SIG_IGN)
        for other in inherited:  # while open here, they would hide the end of the first process
            other.close()
        while True:
            try:
                kind, message = connection.recv()
            except (EOFError, ConnectionResetError):
                return
            reply = None
            if kind == _SHARE:
                reply = answer(message), self._publish(number)
            elif kind == _SUM:
                self._sum(number, *message)
            elif kind == _STEP:
                self._step(*message)
            else:
                name, items = message
                reply = self._tasks[name](items)
            try:
                connection.send(reply)
            except (BrokenPipeError, ConnectionResetError):
                return


@contextmanager
def working(
    model: nn.Module, optimizer: torch.optim.Optimizer, answer: Answer, processes: int, tasks: Tasks | None = None
) -> Iterator[Workers]:
    """Start `processes` - 1 workers beside this process; each process uses one thread until the end of the block."""
    logger.info("%d processes share each batch", processes)
    with using_threads(1):
        workers = Workers(model, optimizer, answer, processes - 1, tasks)
        try:
            yield workers
        except BaseException:  # also a repeated signal, which is to stop at once
            workers.kill()
            raise
        finally:
            workers.close()


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


def _share_state(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    """Move what the optimizer keeps of each parameter into memory that forked processes share."""
    states = [optimizer.state[parameter] or _first_state(optimizer, parameter) for parameter in parameters]
    places = [(n, name) for n, state in enumerate(states) for name, value in state.items() if isinstance(value, Tensor)]
    for (number, name), shared in zip(places, _shared([states[n][name] for n, name in places]), strict=True):
        states[number][name] = shared
    optimizer.state.update(zip(parameters, states, strict=True))


def _first_state(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Any]:
    """Return what the optimizer keeps of a parameter before its first step."""
    probe = nn.Parameter(torch.zeros(1, dtype=parameter.dtype))
    kind = type(optimizer)
    known = inspect.signature(kind).parameters
    other = kind([probe], **{key: value for key, value in optimizer.defaults.items() if key in known})
    probe.grad = torch.zeros_like(probe)
    other.step()
    return {
        name: torch.zeros_like(parameter if value.shape == probe.shape else value)
        if isinstance(value, Tensor)
        else value
        for name, value in other.state[probe].items()
    }


def _shared(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors into a block of memory that forked processes share."""
    sizes = (-(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT for tensor in tensors)
    *starts, end = itertools.accumulate(sizes, initial=0)
    block = mmap.mmap(-1, max(end, 1))
    return [
        torch.frombuffer(block, dtype=tensor.dtype, count=tensor.numel(), offset=start).view(tensor.shape).copy_(tensor)
        for tensor, start in zip(tensors, starts, strict=True)
    ]
