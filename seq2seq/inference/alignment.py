"""Word alignments from attention, and how well they agree with gold ones.

Row t of an attention is of the step that produces token t, wherever the context enters the decoder.

Shapes: h heads, t target tokens, s source tokens, i source words, j target words.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.errors import DataError
from seq2seq.inference.forced_scores import ScoredPair
from seq2seq.inference.translator import Translation, Translator
from seq2seq.text.word_alignments import Link
from seq2seq.text.words import Words, WordSegmenter


@dataclass(frozen=True)
class WordAlignment:
    """How much each target word attends to each source word."""

    source: list[str]
    target: list[str]
    matrix: NDArray[np.float64]
    """[j i]: summed over a source word's tokens, averaged over a target word's"""
    links: list[Link]
    """The source word of each target word that has one, in the order of the target."""

    def __str__(self) -> str:
        """In Pharaoh's format."""
        return " ".join(f"{i}-{j}" for i, j in self.links)


def align(source: Words, target: Words, attention: Tensor) -> WordAlignment:
    """Attention [h t s], a row and a column for each token -> words.

    What no word owns is EOS: its row is left out, and a word with more than half of its mass on it stays unaligned.
    """
    of_target, of_source = target.membership(), source.membership()
    weights = (attention[0] if len(attention) == 1 else attention.mean(0)).cpu().numpy()  # [t s]
    rows = of_target.T @ weights / np.maximum(of_target.sum(0), 1)[:, None]  # [j s]
    matrix = rows @ of_source  # [j i]
    if not source.words or not target.words:
        return WordAlignment(source.words, target.words, matrix, [])
    eos = rows @ (of_source.sum(1) == 0)  # [j]
    chosen = matrix.argmax(1)  # of equals the first
    aligned = (matrix.max(1) > 0) & (2 * eos <= rows.sum(1))
    links = [(i, j) for j, i in enumerate(chosen.tolist()) if aligned[j]]
    return WordAlignment(source.words, target.words, matrix, links)


@dataclass(frozen=True)
class Aligner:
    """Word alignments of what a model with attention translated or was forced to say."""

    source: WordSegmenter
    target: WordSegmenter

    @classmethod
    def of(cls, translator: Translator) -> "Aligner | None":
        """What reads its attention; None where no model has one."""
        if not translator.attends:
            return None
        source = WordSegmenter(translator.source, translator.source_lang)
        return cls(source, WordSegmenter(translator.target, translator.target_lang))

    def translation(self, translation: Translation) -> WordAlignment:
        """Between the raw source line and the printed translation."""
        protected = self.source.tokenizer.protected(translation.source)
        produced = self.target.produced(translation.text, translation.tokens, protected)
        return self._align(self.source.line(translation.source), produced, translation.attention)

    def forced(self, forced: ScoredPair) -> WordAlignment:
        """Between the raw lines."""
        pair = forced.pair
        protected = self.source.tokenizer.protected(pair.source)
        if pair.tokens is None:
            given = self.target.line(pair.target, protected)
        else:
            given = self.target.produced(pair.target, pair.tokens, protected)
        return self._align(self.source.line(pair.source), given, forced.attention)

    def _align(self, source: Words, target: Words, attention: Tensor | None) -> WordAlignment:
        if attention is None:  # a blank line
            return WordAlignment(source.words, target.words, np.zeros((len(target.words), len(source.words))), [])
        return align(source, target, attention)


@dataclass(frozen=True)
class Gold:
    """The links of a sentence that has been aligned by hand."""

    sure: frozenset[Link]
    possible: frozenset[Link]
    """The sure ones among them."""


def read_gold(line: str, base: int, place: str) -> Gold:
    """Sure links `i-j` and possible links `i?j`, words counted from `base`. Raises DataError naming the place."""
    sure, possible = set(), set()
    for text in line.split():
        parts = re.fullmatch(r"([0-9]{1,9})([-?])([0-9]{1,9})", text)
        if not parts:
            raise DataError(f"{place}: {text[:60]!r} is no link; expected i-j for a sure one or i?j for a possible one")
        link = (int(parts[1]) - base, int(parts[3]) - base)
        if min(link) < 0:
            raise DataError(f"{place}: {text!r}: words are counted from {base} (gold_base={base}); take gold_base=0")
        possible.add(link)
        if parts[2] == "-":
            sure.add(link)
    return Gold(frozenset(sure), frozenset(possible))


@dataclass(frozen=True)
class Agreement:
    """Of the links A with gold ones, sure S and possible P, S among them (Och & Ney 2003)."""

    aer: float
    """1 − (|A∩S| + |A∩P|) / (|A| + |S|)"""
    precision: float
    """|A∩P| / |A|"""
    recall: float
    """|A∩S| / |S|"""
    links: int
    """|A|"""

    def __str__(self) -> str:
        return f"AER {self.aer:.4f}  precision {self.precision:.4f}  recall {self.recall:.4f}  links {self.links}"


def agreement(alignments: Iterable[Sequence[Link]], gold: Iterable[Gold]) -> Agreement:
    """Over all sentences together."""
    links = sure = hit_sure = hit_possible = 0
    for found, truth in zip(alignments, gold, strict=True):
        chosen = set(found)
        links, sure = links + len(chosen), sure + len(truth.sure)
        hit_sure += len(chosen & truth.sure)
        hit_possible += len(chosen & truth.possible)
    aer = 1 - (hit_sure + hit_possible) / (links + sure) if links + sure else 0.0
    return Agreement(aer, hit_possible / links if links else 0.0, hit_sure / sure if sure else 0.0, links)
