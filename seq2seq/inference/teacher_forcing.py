"""The teacher-forced pass: a model reads given pairs, in batches that fit into memory.

Shapes: b batch, t target, s source, n tokens, r features.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from seq2seq.attention.score import full_precision
from seq2seq.device import fastest_fp32_products, fp32_products
from seq2seq.inference.out_of_memory import batches_that_fit, in_halves_that_fit
from seq2seq.model.protocol import Decoded
from seq2seq.model.translation import Output, TranslationModel
from seq2seq.search.shortlist import Selection
from seq2seq.text.batches import Batch, pad_pairs

Result = TypeVar("Result")

Tokens = Sequence[Sequence[int]]
"""Token numbers of several sentences"""

_ROWS = 512
"""Tokens whose vocabulary is projected at a time"""
USUAL_SIZE = 512 * 512
"""Attention weights of a pair up to which a batch has its full number of pairs"""


@dataclass(frozen=True, kw_only=True)
class PairBatch(Batch):
    """Pairs that are read together.

    A target need not end with EOS and may contain PAD: `target_lengths` tells where it ends.
    """

    rows: Sequence[int]
    """Their places among all pairs"""
    target_lengths: Tensor
    """[b]"""

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
    products = fastest_fp32_products(model.output.bias.device)

    def work(rows: Sequence[int]) -> list[Result]:
        chosen = [targets[row] for row in rows]
        read_sources = [sources[row] for row in rows]
        lengths = torch.tensor([len(tokens) for tokens in chosen])
        with torch.inference_mode(), fp32_products(products):
            return read(PairBatch(**vars(pad_pairs(read_sources, chosen)), rows=rows, target_lengths=lengths))

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


def log_probs(
    output: Output,
    features: Tensor,
    tokens: Tensor,
    sentences: Tensor | None = None,
    selection: Selection | None = None,
) -> Tensor:
    """Map features [n r] and tokens [n] to log-probabilities [n], a few rows of logits at a time.

    `sentences` [n] is the row of each token. With a selection, they are normalised over what that sentence may consist
    of.
    """
    project: Callable[[Tensor], Tensor] = output.logits
    if selection is not None:
        allowed = torch.from_numpy(selection.tokens)
        project, tokens = output.restricted_to(allowed.to(features.device)), torch.searchsorted(allowed, tokens)
    parts = []
    for first in range(0, max(len(tokens), 1), _ROWS):
        rows = slice(first, first + _ROWS)
        logits = full_precision(project(features[rows]))
        if selection is not None and selection.absent is not None:
            assert sentences is not None
            logits = logits.masked_fill(selection.absent[sentences[rows]].to(logits.device), -torch.inf)
        parts.append(logits.log_softmax(-1).gather(1, tokens[rows, None].to(logits.device)).squeeze(1))
    return torch.cat(parts)
