"""The teacher-forced pass: a model reads given pairs, in batches that fit into memory.

Shapes: b batch, t target, s source.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from seq2seq.inference.out_of_memory import batches_that_fit, in_halves_that_fit
from seq2seq.model.protocol import Decoded
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import pad
from seq2seq.text.context import Context, gather
from seq2seq.text.tokenizer import BOS

Result = TypeVar("Result")

Tokens = Sequence[Sequence[int]]
"""Token numbers of several sentences"""

USUAL_SIZE = 512 * 512
"""Attention weights of a pair up to which a batch has its full number of pairs"""


@dataclass(frozen=True)
class PairBatch:
    """Pairs that are read together."""

    rows: Sequence[int]
    """Their places among all pairs"""
    source: Tensor
    """[b s]"""
    source_lengths: Tensor
    """[b]"""
    inputs: Tensor
    """[b t]: BOS, then the target without its last token"""
    target: Tensor
    """[b t]"""
    target_lengths: Tensor
    """[b]"""
    context: Context | None

    def to(self, device: torch.device) -> "PairBatch":
        """Move what a model reads to a device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if hasattr(value, "to")}
        return replace(self, **moved)

    def decode(self, model: TranslationModel) -> Decoded:
        """Run the model on the batch."""
        batch = self.to(model.output.bias.device)
        decoded: Decoded = model(batch.source, batch.source_lengths, batch.inputs, context=batch.context)
        return decoded

    def sizes(self) -> list[tuple[int, int]]:
        """Target and source length of each pair."""
        return list(zip(self.target_lengths.tolist(), self.source_lengths.tolist(), strict=True))


def forced_batches(
    model: TranslationModel,
    sources: Tokens,
    targets: Tokens,
    batch_size: int,
    read: Callable[[PairBatch], list[Result]],
    usual_size: int = USUAL_SIZE,
) -> Iterator[tuple[list[int], list[Result]]]:
    """Yield the rows of each batch with what `read` returns for it. Sources include EOS; targets need not.

    Batches hold pairs of similar length, and fewer of those with more attention weights than `usual_size`. `read` gets
    one that does not fit into memory in parts, whose results are joined.
    """
    model.eval()

    def work(rows: Sequence[int]) -> list[Result]:
        chosen = [targets[row] for row in rows]
        read_sources = [sources[row] for row in rows]
        inputs, _ = pad([[BOS, *tokens[:-1]] for tokens in chosen])
        with torch.inference_mode():
            return read(PairBatch(rows, *pad(read_sources), inputs, *pad(chosen), gather(read_sources, pad)))

    def size(rows: Sequence[int]) -> float:
        return len(rows) * len(targets[rows[-1]]) * max(len(sources[row]) for row in rows) / usual_size

    order = sorted(range(len(targets)), key=lambda row: (len(targets[row]), len(sources[row])))
    for rows in batches_that_fit(order, batch_size, size):
        yield rows, in_halves_that_fit(work, rows)


def force_pairs(
    model: TranslationModel,
    sources: Tokens,
    targets: Tokens,
    batch_size: int,
    read: Callable[[PairBatch], list[Result]],
    usual_size: int = USUAL_SIZE,
) -> list[Result]:
    """Return what `read` gives for each pair, in the order of the pairs."""
    results: dict[int, Result] = {}
    for rows, of_batch in forced_batches(model, sources, targets, batch_size, read, usual_size):
        results.update(zip(rows, of_batch, strict=True))
    return [results[row] for row in range(len(targets))]
