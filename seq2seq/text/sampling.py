"""Sub-word regularisation: a sentence is cut into other pieces each time it occurs.

`unigram` draws segmentations by their probabilities (Kudo 2018), `bpe` leaves out merges (BPE-dropout, Provilkov 2020).
The stored pieces spell the text, so nothing else of a corpus has to be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.batches import Batch, pad_pairs
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.context import InContext, Row
from seq2seq.text.stored_rows import Rows
from seq2seq.text.tokenizer import UNK, Tokenizer


@dataclass(frozen=True)
class SubwordSampling:
    """Draws the pieces of both sides anew."""

    source: Tokenizer
    target: Tokenizer
    amount: float
    """unigram: α in P(x)^α; bpe: the probability that a merge is left out"""
    nbest: int | None
    """Most probable segmentations that unigram draws from; None for all"""
    max_length: int
    """Pieces of a sentence, at most, EOS included"""

    def batch(self, corpus: EncodedCorpus, rows: Sequence[int] | NDArray[np.int64], seed: Sequence[int]) -> Batch:
        """The batch of these rows, cut anew; the same for the same seed."""
        source, target = np.random.SeedSequence(list(seed)).generate_state(2).tolist()
        sources = self._cut(self.source, corpus.source, rows, source)
        known = [InContext(row, stored.before) for row, stored in zip(sources, corpus.sources(rows), strict=True)]
        return pad_pairs(known, self._cut(self.target, corpus.target, rows, target))

    def _cut(self, tokenizer: Tokenizer, side: Rows, rows: Sequence[int] | NDArray[np.int64], seed: int) -> list[Row]:
        """Cut sentences anew; one whose new pieces are too many or spell another text stays as it is stored."""
        stored = [side[int(row)].tolist() for row in rows]
        texts = tokenizer.decode_lines(stored)
        drawn = tokenizer.sample(stored, self.amount, self.nbest, seed)
        spelt = tokenizer.decode_lines(drawn)
        return [
            new if len(new) <= self.max_length and again == text and UNK not in old else old
            for old, new, text, again in zip(stored, drawn, texts, spelt, strict=True)
        ]
