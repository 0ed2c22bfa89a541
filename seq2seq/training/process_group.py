"""Data parallelism over processes that torchrun starts, on one machine or several: torch.distributed.

Gradients are added up by one all-reduce of all of them after backward, and not by DistributedDataParallel. That counts
on one call of the model's `forward` an update, whereas here training.accumulate makes several, minimum-risk training
and scheduled sampling use the model's parts, and a CUDA graph replays without any hook; and it takes the mean over the
processes, whereas each share's gradient is already its part of the mean over the tokens of the whole batch.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from seq2seq.errors import ConfigError
from seq2seq.text.batches import Batch
from seq2seq.training.loss import Loss
from seq2seq.training.team import Message, Own, ProcessLost, Team

_PATIENCE = timedelta(minutes=10)
"""After which a process that does not answer is given up. Failures are noticed at once, by the end of a connection."""
_LOOK_EVERY = 0.1
"""Seconds between two looks whether rank 0 is done."""
_DONE, _FAILED = b"done", b"failed"

_BY_TORCHRUN = "Start with torchrun, which sets what belongs to it, or unset WORLD_SIZE."

Result = TypeVar("Result")


def asked_for() -> int:
    """Processes in all that the environment tells of, as torchrun sets it; 1 without."""
    given = os.environ.get("WORLD_SIZE") or "1"
    if not given.isdecimal():
        raise ConfigError(f"WORLD_SIZE={given}: expected a number of processes. {_BY_TORCHRUN}")
    return int(given)


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """The processes that torchrun has started; without it only this one. On CUDA nccl adds up, elsewhere gloo.

    Raises ProcessLost if they don't find each other, and ConfigError where the environment tells only half.
    """
    if asked_for() == 1:
        yield Team()
        return
    try:
        store, rank, ranks = _or_lost(lambda: next(rendezvous("env://", timeout=_PATIENCE)))
    except ValueError as error:  # a variable that is missing or no number
        reason = str(error).removeprefix("Error initializing torch.distributed using env:// rendezvous: ")
        raise ConfigError(f"WORLD_SIZE={asked_for()}: {reason}. {_BY_TORCHRUN}") from error
    fresh = _or_lost(lambda: of_this_start(store, rank, ranks))
    with of_store(fresh, rank, ranks, device) as team:
        yield team


def of_this_start(store: Store, rank: int, ranks: int) -> Store:
    """The part of torchrun's store that only the processes of this start know: the store outlives them, and what
    those before a restart have left there leads to nobody.

    Each process says its name; the first one repeats the names it finds until all have read their own. Raises
    ProcessLost if one does not come.
    """
    own, end = os.urandom(8).hex(), time.monotonic() + _PATIENCE.total_seconds()
    store.set(f"process-{rank}", own)
    others = range(1, ranks)
    while time.monotonic() < end:
        if rank:
            first, *names = store.get("start").decode().split() if store.check(["start"]) else [""]
            if own in names:
                store.set(f"{first}-{rank}", _DONE.decode())
                return PrefixStore(first, store)
        else:
            there = [store.get(f"process-{other}").decode() for other in others if store.check([f"process-{other}"])]
            store.set("start", " ".join([own, *there]))
            if store.check([f"{own}-{other}" for other in others]):
                return PrefixStore(own, store)
        time.sleep(_LOOK_EVERY)
    raise ProcessLost(f"not all of {ranks} processes have come within {_PATIENCE}")


@contextmanager
def of_store(store: Store, rank: int, ranks: int, device: torch.device) -> Iterator["Ranks"]:
    """The processes, each with its rank, that have this store in common."""
    group = PrefixStore("group", store)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    _or_lost(lambda: dist.init_process_group(backend, timeout=_PATIENCE, world_size=ranks, rank=rank, store=group))
    yield Ranks(store, rank, ranks)
    dist.destroy_process_group()  # after a failure others may never come to this: then the process just ends


class Ranks(Team):
    """Processes that each run the whole loop on the same batches, and work on one share of each."""

    def __init__(self, store: Store, rank: int, ranks: int) -> None:
        self.rank, self.ranks = rank, ranks
        self._store = store
        self._firsts = 0

    @property
    def shares(self) -> int:
        return self.ranks

    def gradient(self, model: nn.Module, shares: Sequence[Batch], own: Own, message: Message) -> list[Loss]:
        # One that has no share does the last one's work, for nothing: so it knows which gradients there are.
        mine = own(min(self.rank, len(shares) - 1))
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        reward = None if mine.reward is None else mine.total.new_tensor(mine.reward * mine.tokens)
        terms = [mine.total.detach(), mine.nll, reward, mine.guided]
        flat = torch.cat([*(g.flatten() for g in gradients), *(t.reshape(1) for t in terms if t is not None)])
        if self.rank >= len(shares):
            flat.zero_()
        self._or_lost(lambda: dist.all_reduce(flat))
        *parts, summed = torch.split(flat, [*(g.numel() for g in gradients), sum(t is not None for t in terms)])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
        total, nll, *rest = summed
        tokens = sum(share.tokens for share in shares)
        mean = None if reward is None else float(rest.pop(0)) / tokens
        return [Loss(total, nll, tokens, mean, None if mine.guided is None else rest.pop(0))]

    @torch.no_grad()
    def adopt(self, model: nn.Module) -> None:
        weights: list[Tensor] = list(model.parameters())
        flat = torch.cat([weight.flatten() for weight in weights])
        self._or_lost(lambda: dist.broadcast(flat, 0))
        parts = torch.split(flat, [weight.numel() for weight in weights])
        torch._foreach_copy_(weights, [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)])

    def sums(self, values: Sequence[float]) -> list[float]:
        return self._reduced(values, dist.ReduceOp.SUM)

    def greatest(self, values: Sequence[float]) -> list[float]:
        return self._reduced(values, dist.ReduceOp.MAX)

    def _reduced(self, values: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
        numbers = torch.tensor(values, dtype=torch.float64)
        self._or_lost(lambda: dist.all_reduce(numbers, operation))
        return numbers.tolist()

    def texts(self, text: str) -> list[str]:
        raw = text.encode()
        sizes = [int(size) for size in self._gathered(torch.tensor([len(raw)]))]
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(raw)] = torch.frombuffer(bytearray(raw or b"\0"), dtype=torch.uint8)[: len(raw)]
        found = self._gathered(padded)
        return [bytes(one[:size].tolist()).decode() for one, size in zip(found, sizes, strict=True)]

    def _gathered(self, mine: Tensor) -> list[Tensor]:
        found = [torch.empty_like(mine) for _ in range(self.ranks)]
        self._or_lost(lambda: dist.all_gather(found, mine))
        return found

    @contextmanager
    def first(self) -> Iterator[None]:
        """However long rank 0 takes: the others look again and again, and don't wait in a collective operation."""
        self._firsts += 1
        key = f"first-{self._firsts}"
        if self.rank:
            while not self._or_lost(lambda: self._store.check([key])):
                time.sleep(_LOOK_EVERY)
            if self._or_lost(lambda: self._store.get(key)) == _FAILED:
                raise ProcessLost("the first process failed; see its message")
            yield
            return
        try:
            yield
        except BaseException:
            self._store.set(key, _FAILED.decode())
            raise
        self._store.set(key, _DONE.decode())

    def _or_lost(self, operation: Callable[[], Result]) -> Result:
        return _or_lost(operation)


def _or_lost(operation: Callable[[], Result]) -> Result:
    try:
        return operation()
    except RuntimeError as error:  # gloo has no error of its own
        reason = re.sub(
            r"^\[.*?\] *|\. This is typically.*", "", str(error).partition("\n")[0]
        )  # without gloo's advice
        raise ProcessLost(
            f"another process of this training ended or does not answer; see its message ({reason})"
        ) from error
