"""Lexical shortlists: the part of the target vocabulary that a source makes likely (Jean 2015, section 3.3).

A sentence's candidates are the special pieces, the most frequent target pieces, and the target pieces most often
aligned to each of its source pieces. Only the candidates of a batch are projected to. Each sentence's probabilities are
normalised over its own candidates, so they do not depend on its neighbours.

Shapes: b sentences, n candidates of a piece, u candidates of a batch, v source vocabulary.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from seq2seq.errors import ConfigError, DataError
from seq2seq.search.protocol import Integers
from seq2seq.text.storage import replace_file, within, writing
from seq2seq.text.tokenizer import BOS, EOS, PAD, UNK

FILE = "shortlist.safetensors"
"""File name in a checkpoint's directory."""


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
                f"each piece. Use as many or fewer, or make another with seq2seq shortlist candidates={most}."
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
        path = directory / FILE
        with writing(path), replace_file(path) as unfinished:
            save_file(tensors, unfinished)

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
