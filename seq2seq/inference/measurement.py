"""The health of a model's attention on given translations, from one teacher-forced pass.

Shapes: b batch, h heads, t target, s source.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from seq2seq.attention.attention import Attention, AttentionOutput, Memory
from seq2seq.attention.window import reachable
from seq2seq.inference.health import Health, HealthAccumulator, OutsideWindow
from seq2seq.inference.teacher_forcing import PairBatch, Tokens, forced_batches
from seq2seq.inference.weights import Windows
from seq2seq.inference.windows import batch_windows
from seq2seq.model.translation import TranslationModel

Measured = tuple[Tensor, Windows | None, OutsideWindow | None]
"""A pair's weights [h t s], its windows and what lies outside them"""


def measure_attention(model: TranslationModel, sources: Tokens, targets: Tokens, batch_size: int) -> Health | None:
    """Measure the attention while the model reads these pairs, EOS included; None for a model without attention.

    For local windows, one more product a step gives the energies over the whole source, and so what lies outside.
    """
    if not model.attends:
        return None
    accumulator = HealthAccumulator()
    for _, pairs in forced_batches(model, sources, targets, batch_size, lambda batch: _measure_batch(model, batch)):
        for pair in pairs:
            accumulator.add(*pair)
    return accumulator.health()


def _measure_batch(model: TranslationModel, batch: PairBatch) -> list[Measured]:
    with recording_outside(model.attention if model.has_windows else None) as steps:
        attended = batch.decode(model).attended
    dense = attended.to_dense(batch.source.size(1))
    assert dense is not None
    weights = [of_pair[:, :t, :s] for of_pair, (t, s) in zip(dense.float().cpu(), batch.sizes(), strict=True)]
    if not steps:
        return [(of_pair, None, None) for of_pair in weights]
    shares = torch.cat([step.weight for step in steps], -1)  # [b h t]
    positions = torch.cat([step.positions for step in steps], -1)  # [b t]
    outside = [OutsideWindow(shares[i, :, :t], positions[i, :t]) for i, (t, _) in enumerate(batch.sizes())]
    return list(zip(weights, batch_windows(model, attended, batch), outside, strict=True))


@contextmanager
def recording_outside(local: Attention | None) -> Iterator[list[OutsideWindow]]:
    """Record what lies outside the local windows at each call of a local attention, with a batch dimension in front."""
    steps: list[OutsideWindow] = []

    def record(module: Attention, given: tuple[Any, ...], named: dict[str, Any], attended: AttentionOutput) -> None:
        query, memory, positions = given
        steps.append(_outside(module, query, memory, positions, named.get("coverage")))  # noise is for training

    with nullcontext() if local is None else local.register_forward_hook(record, with_kwargs=True):
        yield steps


def _outside(
    attention: Attention, query: Tensor, memory: Memory, positions: Tensor, coverage: Tensor | None = None
) -> OutsideWindow:
    """Map the arguments of a call of attention to weight [b h t] and positions [b t] outside its windows."""
    extent, size = memory.extent(positions), memory.size
    reach = reachable(extent, attention.score.max_position)  # [b t]
    view = attention.window(query, positions, extent, size)
    energies = attention.score(attention.heads.split_query(query), memory.keys, coverage)  # [b h t s]
    real = torch.arange(size, device=reach.device) < reach[..., None]  # [b t s]
    weights = attention.normaliser(energies.masked_fill(~real[:, None], -math.inf)).weights
    if view.index is not None:
        weights = weights.gather(-1, view.index[:, None].expand(-1, weights.size(1), -1, -1))  # [b h t w]
    inside = (weights * view.visible[:, None]).sum(-1)
    return OutsideWindow(1 - inside, 1 - view.visible.sum(-1) / reach)
