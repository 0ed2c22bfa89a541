"""The speed of training, its memory, and where its time goes."""

import os
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from seq2seq.benchmark.machine import Stopwatch, Took
from seq2seq.config import TrainConfig
from seq2seq.device import fp32_products, peak_mb
from seq2seq.training.corpora import PreparedData
from seq2seq.training.setup import make_trainer

_WARM_UP = 3
"""Updates, beside the work on the largest batch."""
_PROFILED = 3
_MEMORY = 20
"""Updates after which memory has stopped to grow."""


@dataclass(frozen=True)
class Slice:
    """A few seconds of training."""

    updates: int
    sentences: int
    tokens: int
    """Real target tokens, EOS counted and padding not."""
    took: Took


class Run:
    """A training that is measured slice by slice: what `train` does for its updates, without saving or validating.

    Use it with `with`: its processes live as long.
    """

    def __init__(self, config: TrainConfig, data: PreparedData, device: torch.device, fp32: str) -> None:
        """`fp32` names the products of a training in fp32 (`training.precision`)."""
        self.trainer = make_trainer(config, data, Path(), device)
        self.device = device
        self._products = fp32 if config.training.precision == "fp32" else "highest"
        self._batches = self.trainer.batches()
        self._sharing = ExitStack()

    def __enter__(self) -> Self:
        """Begin, and warm up."""
        with fp32_products(self._products):
            self._sharing.enter_context(self.trainer.gradient.sharing())
            self.trainer.try_largest_batch()
        self.go(_WARM_UP)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sharing.close()

    def go(self, updates: int, seconds: float = 0.0) -> Slice:
        """Train for so many updates, and on until so many seconds are over."""
        done = sentences = tokens = 0
        with fp32_products(self._products):
            watch = Stopwatch(self.device)
            end = time.perf_counter() + seconds  # looked at without waiting for the device
            while done < updates or time.perf_counter() < end:
                batch = next(self._batches)
                loss, _ = self.trainer.step(batch)
                done, sentences, tokens = done + 1, sentences + len(batch.source), tokens + loss.tokens
            return Slice(done, sentences, tokens, watch.read())

    def profile(self) -> dict[str, float]:
        """Shares of the time of a few updates by kind of work, largest first; watching takes time of its own."""
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it writes of its own doings on stderr
        activities = [ProfilerActivity.CPU]
        if self.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities, acc_events=True) as watched:
            seconds = self.go(_PROFILED).took.seconds
        spent: Counter[str] = Counter()
        for event in watched.events() or ():
            if event.device_type.name == "CPU":  # what a device did is told again by the call that asked for it
                on_cpu = self.device.type == "cpu"
                micros = event.self_cpu_time_total if on_cpu else event.self_device_time_total
                spent[_kind(event)] += micros / 1e6
        spent["outside of operations"] = max(seconds - sum(spent.values()), 0)  # type: ignore[assignment]
        total = sum(spent.values())
        return {kind: share / total for kind, share in spent.most_common()}


def peak_memory(config: TrainConfig, data: PreparedData, device: torch.device, fp32: str) -> float | None:
    """MiB at most of this process in its life (of CUDA's own memory there): with the largest batch, some updates and
    the loss of the validation set."""
    with Run(config, data, device, fp32) as run:
        run.go(_MEMORY)
        run.trainer.validation.loss(run.trainer.translator, run.trainer.group)
        return peak_mb(device)


_PRODUCTS = ("mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_", "mv", "addmv", "addmv_", "dot", "addbmm")
_KINDS = {
    "matrix products": (*_PRODUCTS, "mkldnn_rnn_layer", "mkldnn_rnn_layer_backward", "_cudnn_rnn", "mkldnn_linear"),
    "non-linearities": ("tanh", "tanh_", "tanh_backward", "sigmoid", "sigmoid_", "sigmoid_backward", "_softmax",
                        "_softmax_backward_data", "exp", "exp_"),
    "copies and casts": ("copy_", "_to_copy", "clone", "cat", "index", "index_select", "gather", "scatter_add",
                         "index_put_", "_index_put_impl_", "fill_", "zero_"),
    "dropout": ("random_", "ge", "bernoulli_", "native_dropout", "native_dropout_backward"),
}  # fmt: skip
_OPTIMIZER = ("_foreach_norm", "_foreach_mul_", "_fused_adam_", "_fused_adamw_", "_fused_sgd_")


def _kind(event: FunctionEvent) -> str:
    """What a profiled call is part of."""
    above: FunctionEvent | None = event
    name = event.name.removeprefix("aten::")
    if name in _KINDS["matrix products"]:
        return "matrix products"
    while above is not None:
        if "CrossEntropy" in above.name:
            return "loss"
        if above.name.startswith("Optimizer.") or above.name.removeprefix("aten::") in _OPTIMIZER:
            return "optimizer"
        if above.name == "aten::dropout":
            return "dropout"
        above = above.cpu_parent
    return next((kind for kind, names in _KINDS.items() if name in names), "everything else")
