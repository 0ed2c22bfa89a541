"""Lexical shortlists: the part of the target vocabulary that a source makes likely (Jean 2015, section 3.3).

A sentence's candidates are the special pieces, the most frequent target pieces, and the target pieces most often
aligned to each of its source pieces. Only the candidates of a batch are projected to. Each sentence's probabilities are
normalised over its own candidates, so they do not depend on its neighbours.

Shapes: b sentences, s source, t target, l links, n candidates of a piece, u candidates of a batch, v source vocabulary.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from seq2seq.errors import ConfigError, DataError
from seq2seq.model.translation import TranslationModel
from seq2seq.search.protocol import Floats, Integers
from seq2seq.text.batches import pad
from seq2seq.text.storage import replace_file, within
from seq2seq.text.tokenizer import BOS, EOS, PAD, UNK

FILE = "shortlist.safetensors"
"""File name in a checkpoint's directory."""
_LEAST_WEIGHT = 0.02
"""Weights below this link nothing: each pair has many, and they are noise."""
_MOST_LINKS = 1 << 24
"""Pairs of pieces that are counted at a time; of more, the rarer half is forgotten."""


@dataclass(frozen=True)
class Selection:
    """The tokens a batch may use."""

    tokens: Integers
    """[u]: ascending, the special pieces first."""
    absent: Tensor | None
    """[b u]: True where a sentence may not use a token; None: each may use all."""


@dataclass(frozen=True)
class Shortlist:
    """The candidates of every source piece."""

    candidates: NDArray[np.int32]
    """[v n]: the target pieces aligned to each source piece, most often first, filled up with EOS."""
    frequent: NDArray[np.int32]
    """[n]: the most frequent target pieces, most frequent first."""

    def select(
        self, sources: Sequence[Sequence[int]], prefixes: Sequence[Sequence[int]], most: int, vocab_size: int
    ) -> Selection:
        """Select the `most` best candidates of each kind, and the tokens that each sentence has to begin with.

        Raises ConfigError if the shortlist has fewer.
        """
        if most > self.candidates.shape[1]:
            raise ConfigError(
                f"decoding.shortlist={most}: the checkpoint's shortlist has {self.candidates.shape[1]} candidates for "
                f"each piece. Take as many or fewer, or make another with seq2seq shortlist candidates={most}."
            )
        own = np.zeros((len(sources), vocab_size), np.bool_)
        own[:, [PAD, UNK, BOS, EOS]] = True
        own[:, self.frequent[:most]] = True
        for row, source, prefix in zip(own, sources, prefixes, strict=True):
            row[self.candidates[source, :most]] = True
            row[list(prefix)] = True
        tokens = np.flatnonzero(own.any(0))
        absent = ~own[:, tokens]
        return Selection(tokens, torch.from_numpy(absent) if absent.any() else None)

    def save(self, directory: Path) -> None:
        """Write it into a checkpoint. Raises DataError if it can't be written."""
        tensors = {"candidates": torch.from_numpy(self.candidates), "frequent": torch.from_numpy(self.frequent)}
        try:
            with replace_file(directory / FILE) as unfinished:
                save_file(tensors, unfinished)
        except OSError as error:
            raise DataError(f"{directory / FILE}: can't be written ({error.strerror})") from error

    @classmethod
    def load(cls, directory: Path, source_size: int, target_size: int) -> "Shortlist | None":
        """Load the shortlist of a checkpoint with vocabularies of these sizes; None if it has none.

        Raises DataError for one that does not fit.
        """
        path = within(directory, FILE)
        if not os.path.isfile(path):
            return None
        try:
            tensors = load_file(path)
            tables = tensors["candidates"], tensors["frequent"]
        except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
            raise DataError(f"{path}: not a readable shortlist ({error})") from error
        shapes = [list(tensor.shape) for tensor in tables]
        most = shapes[0][1:]
        if (
            any(tensor.dtype != torch.int32 for tensor in tables)
            or len(most) != 1
            or shapes != [[source_size, *most], most]
        ):
            raise DataError(
                f"{path}: tables of {shapes[0]} and {shapes[1]}, expected whole numbers for each of the {source_size} "
                "source pieces of this checkpoint. Make it again with seq2seq shortlist."
            )
        candidates, frequent = (tensor.numpy() for tensor in tables)
        pieces = np.concatenate([candidates.ravel(), frequent.ravel()])
        if not len(pieces) or pieces.min() < 0 or pieces.max() >= target_size:
            raise DataError(
                f"{path}: for target pieces up to {pieces.max() if len(pieces) else 'none'}, but this checkpoint has "
                f"{target_size}. Make it again with seq2seq shortlist."
            )
        return cls(candidates, frequent)


def learn(
    model: TranslationModel,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    candidates: int,
    batch_size: int,
) -> Shortlist:
    """From pairs in tokens, EOS included, by the model's own attention; it has to have one."""
    source_size, target_size = model.source_embedding.num_embeddings, len(model.output.bias)
    candidates = min(candidates, target_size)
    links = _Links()
    frequency = np.zeros(target_size, np.int64)
    for of_source, of_target, weights in _aligned(model, sources, targets, batch_size):
        links.add(of_source * target_size + of_target, weights)
    for tokens in targets:
        np.add.at(frequency, tokens, 1)
    numbers, sums = links.merged()
    order = np.lexsort((-sums, numbers // target_size))  # the links of each source piece together, best first
    source, target = np.divmod(numbers[order], target_size)
    rank = np.arange(len(order)) - np.searchsorted(source, source)
    best = rank < candidates
    table = np.full((source_size, candidates), EOS, np.int32)
    table[source[best], rank[best]] = target[best]
    return Shortlist(table, np.argsort(-frequency, kind="stable")[:candidates].astype(np.int32))


@torch.inference_mode()
def _aligned(
    model: TranslationModel, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], batch_size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """A few links at a time: source pieces, target pieces, and how much these attend to those, each [l]."""
    device = model.output.bias.device
    order = sorted(range(len(targets)), key=lambda row: (len(targets[row]), len(sources[row])))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        source, lengths = pad([sources[row] for row in rows])
        target, _ = pad([targets[row] for row in rows])
        inputs, _ = pad([[BOS, *targets[row][:-1]] for row in rows])
        weights = model(source.to(device), lengths.to(device), inputs.to(device)).attended.to_dense(source.size(1))
        seen = weights.float().mean(1).cpu() * (target != PAD)[..., None]  # [b t s]
        b, t, s = torch.nonzero(seen >= _LEAST_WEIGHT, as_tuple=True)
        yield source[b, s], target[b, t], seen[b, t, s]


@dataclass
class _Links:
    """Weights summed for each pair of pieces, which has a number. Memory is bounded, whatever the vocabularies."""

    _numbers: list[Tensor] = field(default_factory=list)
    _weights: list[Tensor] = field(default_factory=list)

    def add(self, numbers: Tensor, weights: Tensor) -> None:
        """Links [l]."""
        self._numbers.append(numbers)
        self._weights.append(weights)
        if sum(map(len, self._numbers)) > _MOST_LINKS:
            self._merge()

    def merged(self) -> tuple[Integers, Floats]:
        """Numbers, ascending, and their sums."""
        self._merge()
        return self._numbers[0].numpy(), self._weights[0].numpy()

    def _merge(self) -> None:
        numbers, place = torch.unique(torch.cat(self._numbers), return_inverse=True)
        sums = torch.zeros(len(numbers)).index_add_(0, place, torch.cat(self._weights))
        if len(numbers) > _MOST_LINKS // 2:
            kept = sums.topk(_MOST_LINKS // 2).indices.sort().values
            numbers, sums = numbers[kept], sums[kept]
        self._numbers, self._weights = [numbers], [sums]
