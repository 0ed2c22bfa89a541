"""The processes that train one model together: a single one, or those that torchrun starts on one or more machines.

Each batch is split into shares (`Batch.split`), and every share draws from a seed of its own, whichever process works
on it. So forked workers (workers.py) and the ranks of torch.distributed make the same update, to rounding.

Gradients are added up by one all-reduce after backward instead of by DistributedDataParallel, which expects one call
of the model's `forward` per update: training.accumulate makes several, and minimum-risk training calls parts of
the model. It also averages over the processes, whereas the gradient of each share is already its part of the mean over
the tokens of the whole batch.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from seq2seq.errors import ConfigError
from seq2seq.text.batches import Batch
from seq2seq.training.loss import Loss

_PATIENCE = timedelta(minutes=10)
"""Time after which a process that does not answer counts as lost. A closed connection is noticed at once."""
_POLL_SECONDS = 0.1
"""Interval at which the other ranks ask whether rank 0 is done."""
_DONE, _FAILED = "done", "failed"

_BY_TORCHRUN = "Start with torchrun, which sets the related variables, or unset WORLD_SIZE."

Result = TypeVar("Result")
ShareWork = Callable[[int], Loss]
"""Works on the share with this number in this process: returns its loss, leaves its gradient in the parameters."""
ShareMessage = Callable[[int], Any]
"""The plain values and arrays that another process needs to work on the share with this number."""


class ProcessLost(RuntimeError):
    """Another process of the training ended or does not answer."""


class ProcessGroup:
    """A single process, and the interface of a group of several.

    All ranks run the training loop and call each method in the same order. Forked workers only serve one rank.
    """

    rank: int = 0
    """Number of this process; rank 0 writes files and logs."""
    ranks: int = 1
    """Number of processes that run the training loop."""

    @property
    def shares(self) -> int:
        """Number of shares a batch is split into, if it has that many pairs."""
        return 1

    def gradient(self, model: nn.Module, shares: Sequence[Batch], work: ShareWork, message: ShareMessage) -> list[Loss]:
        """Work on all shares and leave their gradients where `update` finds them.

        Returns losses that add up to the loss of the batch. Raises ProcessLost if another process failed.
        """
        return [work(number) for number in range(len(shares))]

    def update(self, model: nn.Module, optimizer: torch.optim.Optimizer, limit: float) -> Tensor:
        """Clip the gradient of the batch to this norm and make the optimizer's step, unless the norm is not finite.

        Returns the norm before clipping.
        """
        norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
        if norm.isfinite():
            optimizer.step()
        increment_version(model.parameters())  # fused optimizers leave that out, and copies in int8 go by it
        return norm

    def spread(self, name: str, task: Callable[[Any], list[Result]], items: Sequence[Any]) -> list[Result]:
        """Return what a task makes of each of these plain items. Forked workers share them, and know it by its name."""
        return task(items)

    def broadcast_parameters(self, model: nn.Module) -> None:
        """Copy the weights of rank 0, since a seed may draw other weights on another kind of processor."""

    def all_reduce(self, values: Sequence[float], operation: Literal["SUM", "MAX"]) -> list[float]:
        """Return the sum or the maximum of each value over the ranks."""
        return list(values)

    def all_gather(self, value: Any) -> list[Any]:
        """Return the plain values of all ranks in their order."""
        return [value]

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """Run the block on rank 0 before the other ranks enter it."""
        yield


class DistributedGroup(ProcessGroup):
    """Processes of torch.distributed: each works on one share of every batch and takes the same step."""

    def __init__(self, store: Store, rank: int, ranks: int) -> None:
        self.rank, self.ranks = rank, ranks
        self._store = store
        self._turns = 0

    @property
    def shares(self) -> int:
        return self.ranks

    def gradient(self, model: nn.Module, shares: Sequence[Batch], work: ShareWork, message: ShareMessage) -> list[Loss]:
        # A rank without a share repeats the last one and sends zeros, so that all send as much.
        mine = work(min(self.rank, len(shares) - 1))
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = torch.tensor([parameter.grad is not None for parameter in parameters]).to(mine.total)
        terms = [term.detach().to(mine.total).reshape(1) for term in mine.terms.values()]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), used, *terms])
        if self.rank >= len(shares):
            flat.zero_()
        _or_lost(lambda: dist.all_reduce(flat))
        sizes = [*(gradient.numel() for gradient in gradients), len(used), len(terms)]
        *parts, used, summed = torch.split(flat, sizes)
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
        for parameter, gradient, times in zip(parameters, gradients, used.tolist(), strict=True):
            parameter.grad = gradient if times else None
        return [Loss(dict(zip(mine.terms, summed, strict=True)), sum(share.tokens for share in shares))]

    @torch.no_grad()
    def broadcast_parameters(self, model: nn.Module) -> None:
        _or_lost(lambda: [dist.broadcast(weight, 0) for weight in model.parameters()])

    def all_reduce(self, values: Sequence[float], operation: Literal["SUM", "MAX"]) -> list[float]:
        numbers = torch.tensor(values, dtype=torch.float64)
        _or_lost(lambda: dist.all_reduce(numbers, getattr(dist.ReduceOp, operation)))
        return numbers.tolist()

    def all_gather(self, value: Any) -> list[Any]:
        gathered: list[Any] = [None] * self.ranks
        _or_lost(lambda: dist.all_gather_object(gathered, value))
        return gathered

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """Run the block on rank 0 first; the others poll the store, so there is no time limit."""
        self._turns += 1
        key = f"first-{self._turns}"
        if self.rank:
            while not _or_lost(lambda: self._store.check([key])):
                time.sleep(_POLL_SECONDS)
            if _or_lost(lambda: self._store.get(key)).decode() == _FAILED:
                raise ProcessLost("the first process failed; see its message")
            yield
            return
        try:
            yield
        except BaseException:
            self._store.set(key, _FAILED)
            raise
        self._store.set(key, _DONE)


def world_size() -> int:
    """Number of processes that torchrun's environment names; 1 without it."""
    given = os.environ.get("WORLD_SIZE") or "1"
    if not given.isdecimal():
        raise ConfigError(f"WORLD_SIZE={given}: expected a number of processes. {_BY_TORCHRUN}")
    return int(given)


def device_of_rank(device: torch.device) -> torch.device:
    """Return the GPU that belongs to this process of torchrun. Raises ConfigError if there are too few."""
    if world_size() == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ConfigError(f"device={device.type} and torchrun: several processes train on cuda or cpu. Use device=cpu.")
    number, gpus = int(os.environ.get("LOCAL_RANK") or 0), torch.cuda.device_count()
    if number >= gpus:
        raise ConfigError(
            f"device=cuda: no GPU is left for process {number} of this machine, which has {gpus}. Use "
            f"torchrun --nproc-per-node={gpus}, or device=cpu."
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, over nccl on CUDA and gloo elsewhere; alone without torchrun.

    Raises ProcessLost if the processes do not find each other, and ConfigError for an incomplete environment.
    """
    if world_size() == 1:
        yield ProcessGroup()
        return
    try:
        store, rank, ranks = _or_lost(lambda: next(rendezvous("env://", timeout=_PATIENCE)))
    except ValueError as error:  # a variable that is missing or no number
        reason = str(error).removeprefix("Error initializing torch.distributed using env:// rendezvous: ")
        raise ConfigError(f"WORLD_SIZE={world_size()}: {reason}. {_BY_TORCHRUN}") from error
    fresh = _or_lost(lambda: store_of_this_start(store, rank, ranks))
    with group_of_store(fresh, rank, ranks, device) as group:
        yield group


def store_of_this_start(store: Store, rank: int, ranks: int) -> Store:
    """Return a part of torchrun's store that only the processes of this start know.

    The store survives a restart, and must not lead anybody to what the processes before it left there. Each process
    stores a random name; rank 0 repeats the names it reads until all others have found their own. Raises ProcessLost
    if a process does not come.
    """
    own, end, others = os.urandom(8).hex(), time.monotonic() + _PATIENCE.total_seconds(), range(1, ranks)
    store.set(f"process-{rank}", own)
    while time.monotonic() < end:
        if rank:
            first, *names = store.get("start").decode().split() if store.check(["start"]) else [""]
            if own in names:
                store.set(f"{first}-{rank}", _DONE)
                return PrefixStore(first, store)
        else:
            names = [store.get(f"process-{other}").decode() for other in others if store.check([f"process-{other}"])]
            store.set("start", " ".join([own, *names]))
            if store.check([f"{own}-{other}" for other in others]):
                return PrefixStore(own, store)
        time.sleep(_POLL_SECONDS)
    raise ProcessLost(f"not all of {ranks} processes have come within {_PATIENCE}")


@contextmanager
def group_of_store(store: Store, rank: int, ranks: int, device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that share this store, as the given rank of them."""
    prefixed = PrefixStore("group", store)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    _or_lost(lambda: dist.init_process_group(backend, timeout=_PATIENCE, world_size=ranks, rank=rank, store=prefixed))
    yield DistributedGroup(store, rank, ranks)
    dist.destroy_process_group()  # not after a failure: others may never come to this, so the process just ends


def _or_lost(operation: Callable[[], Result]) -> Result:
    try:
        return operation()
    except RuntimeError as error:  # gloo has no error class of its own; its advice is cut off
        reason = re.sub(r"^\[.*?\] *|\. This is typically.*", "", str(error).partition("\n")[0])
        raise ProcessLost(
            f"another process of this training ended or does not answer; see its message ({reason})"
        ) from error
