"""Matrix products: which ones a model makes, how many operations they are, and how fast the machine does them.

A product of [m k] and [k n] is 2·m·k·n operations. Nothing else is counted: what is not a product is little arithmetic,
however long it takes. Training is three times the forward products: those for the gradients of both factors are as
large.

Shapes: b products in one call, m rows, k inner, n columns.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seq2seq.benchmark.machine import now
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch, make_batch, pad
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.tokenizer import BOS, PAD

Shape = tuple[int, int, int, int]
"""b, m, k, n"""

TRAINING = 3
"""Products of training for each forward one."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Precisions whose products are measured."""

_SENTENCES = 16
"""From which operations are counted."""
_LEAST_SHARE = 0.01
"""Of all operations: products with less are not measured."""
_LEAST_SECONDS = 0.02

# The function -> the place of its first factor among the arguments.
_COUNTED = {
    torch.ops.aten.mm: 0,
    torch.ops.aten.mv: 0,
    torch.ops.aten.bmm: 0,
    torch.ops.aten.addmm: 1,
    torch.ops.aten.addmv: 1,
    torch.ops.aten.baddbmm: 1,
}


@dataclass(frozen=True)
class Product:
    """Products of one shape."""

    shape: Shape
    times: int

    @property
    def operations(self) -> int:
        b, m, k, n = self.shape
        return 2 * b * m * k * n * self.times


def countable(model: TranslationModel) -> TranslationModel:
    """A copy in float64 on the CPU: there every fused layer is made of single products."""
    return copy.deepcopy(model).cpu().double().eval()


@contextmanager
def _recorded(found: "Counter[Shape]") -> Iterator[None]:
    """Counts the products that are made within it."""

    def counter(first: int) -> Callable[..., int]:
        def count(*shapes: Any, **ignored: Any) -> int:
            *b, m, k = shapes[first]
            n = shapes[first + 1][-1] if len(shapes[first + 1]) > 1 else 1
            found[(b[0] if b else 1, m, k, n)] += 1
            return 0

        return count

    mapping = {function: counter(first) for function, first in _COUNTED.items()}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=mapping):
        yield


def _largest_first(found: "Counter[Shape]") -> list[Product]:
    return sorted((Product(*item) for item in found.items()), key=lambda product: -product.operations)


def forward_products(model: TranslationModel, batch: Batch) -> list[Product]:
    """All that the forward pass of a `countable` model makes, the vocabulary's for real positions, largest first."""
    found: Counter[Shape] = Counter()
    batch = batch.to(torch.device("cpu"))
    with _recorded(found):
        features = model(batch.source, batch.source_lengths, batch.inputs).features
        F.linear(features[batch.targets != PAD], model.output.weight, model.output.bias)
    return _largest_first(found)


def search_products(model: TranslationModel, source: Sequence[int], rows: int) -> tuple[list[Product], list[Product]]:
    """What a `countable` model makes for encoding a source, and for one step of so many hypotheses."""
    encoding: Counter[Shape] = Counter()
    stepping: Counter[Shape] = Counter()
    tokens, lengths = pad([source])
    with _recorded(encoding):
        memory, state = model.encode(tokens, lengths)
    same = torch.zeros(rows, dtype=torch.long)
    memory, state = memory.select(same), state.select(same)
    with _recorded(stepping):
        model.step(torch.full((rows,), BOS), memory, state)
    return _largest_first(encoding), _largest_first(stepping)


def forward_operations(model: TranslationModel, corpus: EncodedCorpus) -> float:
    """Operations of a `countable` model a target token (EOS counted), without padding; sentences of all lengths."""
    by_length = corpus.target.lengths.argsort(kind="stable")
    step = max(len(by_length) // _SENTENCES, 1)
    rows = by_length[step // 2 :: step][:_SENTENCES]
    batches = [make_batch(corpus, [int(row)]) for row in rows]
    operations = sum(product.operations for batch in batches for product in forward_products(model, batch))
    return operations / sum(batch.tokens for batch in batches)


def by_a_matrix(products: Sequence[Product]) -> list[Product]:
    """Those of many rows with one matrix that are more than a hundredth of the operations."""
    single = [product for product in products if product.shape[0] == 1 and product.shape[3] > 1]
    least = _LEAST_SHARE * sum(product.operations for product in products)
    return [product for product in single if product.operations >= least]


@torch.no_grad()
def product_rate(products: Sequence[Product], dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of these products `by_a_matrix`, each shape weighted by its operations."""
    seconds = sum(product.times * _seconds(product.shape, dtype, device) for product in products)
    return sum(product.operations for product in products) / seconds


def _seconds(shape: Shape, dtype: torch.dtype, device: torch.device) -> float:
    """Of one product x Wᵀ, as a layer makes it."""
    _, m, k, n = shape
    x, weight = (torch.randn(size, device=device).to(dtype) for size in ((m, k), (n, k)))
    _repeat(x, weight, 1, device)
    times = max(1, int(_LEAST_SECONDS / max(_repeat(x, weight, 1, device), 1e-9)))
    return _repeat(x, weight, times, device) / times


def _repeat(x: Tensor, weight: Tensor, times: int, device: torch.device) -> float:
    start = now(device)
    for _ in range(times):
        F.linear(x, weight)
    return now(device) - start
