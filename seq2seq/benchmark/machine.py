"""The machine under test: its description, clock and cores, and its rates of matrix products and copies.

A product of [m k] and [k n] counts as 2·m·k·n operations. Nothing else is counted: the rest is little arithmetic,
however long it takes. Training takes three times the forward products, since the gradient of each factor is another
product of the same size.
"""

import copy
import math
import os
import platform
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq.device import hardware, using_threads
from seq2seq.errors import ConfigError
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch, make_batch, pad
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.tokenizer import BOS, PAD
from seq2seq.version import __version__

TRAINING = 3
"""Products of training for each forward product."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Precisions whose product rates are measured."""

_COPIED_BYTES = 1 << 27
"""Size of a copy: larger than any cache."""
_SAMPLED_SENTENCES = 16
"""Sentences from which operations are counted."""
_MIN_SHARE = 0.01
"""Smallest share of all operations at which a product is worth measuring."""
_MIN_SECONDS = 0.02
"""Shortest measurement of one product."""
_ATEN = torch.ops.aten
_PRODUCTS = {_ATEN.mm: 0, _ATEN.mv: 0, _ATEN.bmm: 0, _ATEN.addmm: 1, _ATEN.addmv: 1, _ATEN.baddbmm: 1}
"""Counted operation -> index of its first factor among the arguments."""
_ATTENTIONS = {
    _ATEN._scaled_dot_product_flash_attention_for_cpu,
    _ATEN._scaled_dot_product_flash_attention,
    _ATEN._scaled_dot_product_efficient_attention,
    _ATEN._scaled_dot_product_cudnn_attention,
    _ATEN._scaled_dot_product_fused_attention_overrideable,
}
"""Operations of queries, keys and values that make two products for each head."""


def describe(device: torch.device, threads: int, cores: list[int] | None, fp32: str) -> dict[str, Any]:
    """Everything needed to repeat a measurement; `fp32` names the kind of fp32 products in training."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": hardware(torch.device("cpu"))["processor"],
        "cores_there": os.cpu_count(),
        "cores_used": cores,
        "threads": threads,
        "fp32_products_of_training": fp32,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "seq2seq": __version__,
        "date": date.today().isoformat(),
    }


@contextmanager
def restrict(threads: int, cores: list[int] | None) -> Iterator[None]:
    """Limit this process and its children to a number of threads and to these cores (None: any core)."""
    cores_before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cores is not None:
        if cores_before is None:
            raise ConfigError(f"cpu={cores}: this system cannot pin a process to cores. Leave cpu=null.")
        try:
            os.sched_setaffinity(0, cores)
        except (OSError, ValueError, OverflowError) as error:
            raise ConfigError(f"cpu={cores}: no such cores. Choose from {cores_before}.") from error
    try:
        with using_threads(threads):
            yield
    finally:
        if cores_before is not None:
            os.sched_setaffinity(0, cores_before)


# --- time ------------------------------------------------------------------------------------------------------------


def now(device: torch.device) -> float:
    """Time in seconds, once the device has finished all pending work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


class Stopwatch:
    """A clock that starts when it is made."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start, self._computed = now(device), time.process_time()

    def read(self) -> tuple[float, float]:
        """Seconds so far, and the share of its threads' time in which this process computed."""
        seconds = now(self._device) - self._start
        computed = time.process_time() - self._computed
        return seconds, computed / seconds / torch.get_num_threads()


def copy_rate(device: torch.device) -> float:
    """Bytes read plus bytes written per second by copies too large for a cache: median of 5."""
    source = torch.ones(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    taken = []
    for _ in range(5):
        start = now(device)
        target.copy_(source)
        taken.append(now(device) - start)
    return 2 * _COPIED_BYTES / statistics.median(taken)


# --- matrix products -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """Matrix products of one shape."""

    shape: tuple[int, int, int, int]
    """Products in one call, rows m, inner size k, columns n."""
    times: int

    @property
    def operations(self) -> int:
        b, m, k, n = self.shape
        return 2 * b * m * k * n * self.times


class _ProductCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the matrix products made while it is active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shapes: Counter[tuple[int, int, int, int]] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operation = function.overloadpacket
        first = _PRODUCTS.get(operation)
        if first is not None:
            *batch, m, k = args[first].shape
            _, *columns = args[first + 1].shape[-2:]
            self._shapes[math.prod(batch), m, k, columns[0] if columns else 1] += 1
        elif operation in _ATTENTIONS:  # a mask saves none of the products
            *batch, t, k = args[0].shape
            s, v = args[2].shape[-2:]
            self._shapes[math.prod(batch), t, k, s] += 1
            self._shapes[math.prod(batch), t, s, v] += 1
        return function(*args, **(kwargs or {}))

    def products(self) -> list[Product]:
        """The products counted so far, largest first."""
        return sorted((Product(*item) for item in self._shapes.items()), key=lambda product: -product.operations)


def countable(model: TranslationModel) -> TranslationModel:
    """A copy in float64 on the CPU, where every fused layer consists of single products."""
    return copy.deepcopy(model).cpu().double().eval()


@torch.no_grad()
def forward_products(model: TranslationModel, batch: Batch) -> list[Product]:
    """Products of a `countable` model's forward pass, largest first; logits are only for real positions."""
    batch = batch.to(torch.device("cpu"))
    with _ProductCounter() as counter:
        features = model(batch.source, batch.source_lengths, batch.inputs).features
        F.linear(features[batch.targets != PAD], model.output.weight, model.output.bias)
    return counter.products()


@torch.no_grad()
def search_products(model: TranslationModel, source: Sequence[int], rows: int) -> tuple[list[Product], list[Product]]:
    """Products that a `countable` model makes to encode a source, and for one step of this many hypotheses."""
    tokens, lengths = pad([source])
    with _ProductCounter() as encoding:
        memory, state = model.encode(tokens, lengths)
    same = torch.zeros(rows, dtype=torch.long)
    memory, state = memory.select(same), state.select(same)
    with _ProductCounter() as step:
        model.step(torch.full((rows,), BOS), memory, state)
    return encoding.products(), step.products()


def forward_operations(model: TranslationModel, corpus: EncodedCorpus) -> float:
    """A `countable` model's operations per target token (with EOS, without padding), over sentences of all lengths."""
    by_length = corpus.target.lengths.argsort(kind="stable")
    stride = max(len(by_length) // _SAMPLED_SENTENCES, 1)
    rows = by_length[stride // 2 :: stride][:_SAMPLED_SENTENCES]
    batches = [make_batch(corpus, [int(row)]) for row in rows]
    operations = sum(product.operations for batch in batches for product in forward_products(model, batch))
    return operations / sum(batch.tokens for batch in batches)


def dominant(products: Sequence[Product]) -> list[Product]:
    """Products of many rows with one matrix that make up at least a hundredth of all operations."""
    least = _MIN_SHARE * sum(product.operations for product in products)
    single = [product for product in products if product.shape[0] == 1 and product.shape[3] > 1]
    return [product for product in single if product.operations >= least]


def product_rate(products: Sequence[Product], dtype: torch.dtype, device: torch.device, copies: int = 1) -> float:
    """Operations per second of `dominant` products, each shape weighted by its operations.

    Several copies run at once, one thread each, as processes that share a batch do; their rates are added up.
    """
    if copies == 1:
        return _product_rate(products, dtype, device)

    def one(start: threading.Barrier) -> float:
        torch.set_num_threads(1)  # of this thread
        start.wait()
        return _product_rate(products, dtype, device)

    with ThreadPoolExecutor(copies) as pool:
        return sum(pool.map(one, [threading.Barrier(copies)] * copies))


@torch.no_grad()
def _product_rate(products: Sequence[Product], dtype: torch.dtype, device: torch.device) -> float:
    seconds = sum(product.times * _seconds(product.shape, dtype, device) for product in products)
    return sum(product.operations for product in products) / seconds


def _seconds(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> float:
    """Time of one product x Wᵀ, as a layer computes it."""
    _, m, k, n = shape
    x, weight = (torch.randn(size, device=device).to(dtype) for size in ((m, k), (n, k)))
    _repeat(x, weight, 1, device)
    times = max(1, int(_MIN_SECONDS / max(_repeat(x, weight, 1, device), 1e-9)))
    return _repeat(x, weight, times, device) / times


def _repeat(x: Tensor, weight: Tensor, times: int, device: torch.device) -> float:
    start = now(device)
    for _ in range(times):
        F.linear(x, weight)
    return now(device) - start
