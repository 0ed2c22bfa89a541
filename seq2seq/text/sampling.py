"""Sub-word regularisation: each time a sentence comes it is cut into other pieces.

`unigram` draws from the segmentations' probabilities (Kudo 2018), `bpe` leaves out merges (BPE-dropout, Provilkov
2020). The text is what the stored pieces spell, so that nothing else has to be kept of a corpus.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.batches import Batch, pad_pairs
from seq2seq.text.cache import EncodedCorpus, Rows
from seq2seq.text.tokenizer import UNK, Tokenizer

Row = Sequence[int] | NDArray[np.uint32]


@dataclass(frozen=True)
class SubwordSampling:
    """How much is drawn, and what with."""

    source: Tokenizer
    target: Tokenizer
    amount: float
    """α of `unigram`: P(x)^α; p of `bpe`: how often a merge is left out"""
    nbest: int | None
    """`unigram` draws from so many segmentations, the most probable ones; None: from all"""
    max_length: int
    """Pieces of a sentence at most, EOS included"""

    def batch(self, corpus: EncodedCorpus, rows: Sequence[int] | NDArray[np.int64], seed: Sequence[int]) -> Batch:
        """The pairs of these rows, cut anew; the same for the same seed."""
        source, target = np.random.SeedSequence(list(seed)).generate_state(2).tolist()
        return pad_pairs(
            self._cut(self.source, corpus.source, rows, source), self._cut(self.target, corpus.target, rows, target)
        )

    def _cut(self, tokenizer: Tokenizer, side: Rows, rows: Sequence[int] | NDArray[np.int64], seed: int) -> list[Row]:
        """A sentence stays as it is stored where the new pieces would be too many, or not spell the same text."""
        stored = [side[int(row)].tolist() for row in rows]
        texts = tokenizer.decode_lines(stored)
        drawn = tokenizer.sample(stored, self.amount, self.nbest, seed)
        spelt = tokenizer.decode_lines(drawn)
        return [
            new if len(new) <= self.max_length and again == text and UNK not in old else old
            for old, new, text, again in zip(stored, drawn, texts, spelt, strict=True)
        ]
