"""Batches of the training corpus, in a new order every epoch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.batches import Batch, make_batch, plan_batches
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.sampling import SubwordSampling

Rows = NDArray[np.int64]


@dataclass
class TrainingBatches:
    """A corpus and its division into batches."""

    corpus: EncodedCorpus
    seed: int
    batch_tokens: int
    batch_sentences: int | None = None
    sampling: SubwordSampling | None = None
    """Segments every batch anew; None: the corpus' own pieces each time."""

    @cached_property
    def per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return len(self.plan(None))

    def plan(self, epoch: int | None) -> list[Rows]:
        """Return the rows of each batch of an epoch; None: those of an epoch that is not shuffled."""
        seed = None if epoch is None else (self.seed, epoch)
        return plan_batches(self.corpus, self.batch_tokens, seed, self.batch_sentences)

    def batch(self, rows: Rows, epoch: int, number: int) -> Batch:
        """Make a batch of these rows, the one with this number (from 1) of its epoch."""
        if self.sampling is None:
            return make_batch(self.corpus, rows)
        return self.sampling.batch(self.corpus, rows, (self.seed, epoch, number))

    def largest(self) -> list[Batch]:
        """Make the batches with the most padded tokens, and with the most pairs of a source and a target position."""
        source, target = self.corpus.source.lengths, self.corpus.target.lengths
        plan = self.plan(None)
        sizes = [(len(rows), int(source[rows].max()), int(target[rows].max())) for rows in plan]
        tokens = [rows * (s + t) for rows, s, t in sizes]
        pairs = [rows * s * t for rows, s, t in sizes]
        return [make_batch(self.corpus, plan[n]) for n in {tokens.index(max(tokens)), pairs.index(max(pairs))}]
