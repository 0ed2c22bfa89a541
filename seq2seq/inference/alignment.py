"""Word alignments from attention, and how well they agree with gold alignments.

Row t of an attention belongs to the step that produces token t, wherever the context enters the decoder.

Shapes: h heads, t target tokens, s source tokens, i source words, j target words.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.forced_scores import ScoredPair
from seq2seq.inference.heatmap import Heatmap
from seq2seq.inference.link_rules import ONE_A_WORD, LinkRule
from seq2seq.inference.models import TrainedModels
from seq2seq.inference.pages import in_notebook
from seq2seq.inference.translation import Translation
from seq2seq.inference.weights import Weights
from seq2seq.text.word_alignments import Link
from seq2seq.text.words import Words, WordSegmenter

_TINY = 1e-9
_FAINT = 0.05
"""A source word whose greatest weight is no greater usually has no counterpart"""


@dataclass(frozen=True)
class WordAlignment:
    """How much each target word attends to each source word."""

    source: list[str]
    target: list[str]
    matrix: NDArray[np.float64]
    """[j i]: weights summed over a source word's tokens, averaged over a target word's"""
    links: list[Link]
    """The source word of each aligned target word, in the order of the target"""

    def __str__(self) -> str:
        """The links in Pharaoh's format."""
        return " ".join(f"{i}-{j}" for i, j in self.links)

    def _repr_html_(self) -> str | None:
        """Show the matrix in a notebook."""
        texts = " ".join(self.source), " ".join(self.target)
        return in_notebook(Heatmap(*texts, self.source, self.target, self.matrix[None], [], 0.0))

    def with_several(self, threshold: float = _FAINT) -> "WordAlignment":
        """Link words several times: A_{j,i}² / Σ_j A_{j,i} in place of A_{j,i} chooses each aligned target word's link.

        So target words compete for source words. A source word that none is linked to then gets its best target word,
        if that gives it more weight than the threshold.
        """
        linked = np.zeros(self.matrix.shape, np.bool_)
        if self.matrix.size:
            mutual = self.matrix**2 / np.maximum(self.matrix.sum(0), _TINY)
            aligned = sorted({j for _, j in self.links})
            linked[aligned, mutual.argmax(1)[aligned]] = True
            left = np.flatnonzero(~linked.any(0) & (self.matrix.max(0) > threshold))
            linked[self.matrix.argmax(0)[left], left] = True
        return replace(self, links=[(i, j) for j, i in np.argwhere(linked).tolist()])


def align(source: Words, target: Words, attention: Weights, rule: LinkRule = ONE_A_WORD) -> WordAlignment:
    """Align words by attention [h t s], which has a row and a column for each token.

    No word owns EOS: its row is left out, and a word with more than half of its mass on it stays unaligned. Any other
    target word has a link, or with a threshold those of `with_several`.
    """
    of_target, of_source = target.membership(), source.membership()
    weights = attention[0] if len(attention) == 1 else attention.mean(0)  # [t s]
    weights = weights[np.clip(np.arange(len(weights)) + rule.shift, 0, len(weights) - 1)]
    if rule.pieces == "first":
        of_target = of_target * (of_target.cumsum(0) == 1)
    rows = of_target.T @ weights / np.maximum(of_target.sum(0), 1)[:, None]  # [j s]
    matrix = rows @ of_source  # [j i]
    if not source.words or not target.words:
        return WordAlignment(source.words, target.words, matrix, [])
    eos = rows @ (of_source.sum(1) == 0)  # [j]
    chosen = matrix.argmax(1)  # the first of equals
    aligned = (matrix.max(1) > 0) & (2 * eos <= rows.sum(1))
    links = [(i, j) for j, i in enumerate(chosen.tolist()) if aligned[j]]
    alignment = WordAlignment(source.words, target.words, matrix, links)
    return alignment if rule.threshold is None else alignment.with_several(rule.threshold)


def in_words(heatmap: Heatmap, source: Words, target: Words) -> Heatmap:
    """Merge tokens into words: weights as `align` merges them, log-probabilities summed.

    EOS is no word, so its weight is missing from the rows. Windows are for tokens only, and are dropped.
    """
    weights = np.stack([align(source, target, head[None]).matrix for head in heatmap.weights])
    scores = [0.0] * len(target.words)
    for owners, score in zip(target.owners, heatmap.scores, strict=True):
        if owners:
            scores[owners[0]] += score
    return replace(heatmap, columns=source.words, rows=target.words, weights=weights, scores=scores, windows=None)


def no_attention(
    purpose: str = "", where: str = "", way_out: str = "Use a checkpoint with another placement."
) -> ConfigError:
    """Return the error of a model without attention, which a purpose needs."""
    return ConfigError(f"{where}a model with model/attention/placement=none has no attention{purpose}. {way_out}")


@dataclass(frozen=True)
class Aligner:
    """Aligns the words of what a model with attention translated or scored."""

    source: WordSegmenter
    target: WordSegmenter
    rule: LinkRule = ONE_A_WORD

    @classmethod
    def of(cls, models: TrainedModels, attention: str = "prior") -> "Aligner | None":
        """Make the aligner for these models, which reads `prior` or `posterior`; None if none of them has attention."""
        if not models.attends:
            return None
        sides = WordSegmenter(models.source, models.source_lang), WordSegmenter(models.target, models.target_lang)
        return cls(*sides, models.link_rules.of(attention))

    def align(self, result: Translation) -> WordAlignment:
        """Align the raw source line with the printed translation, or the raw lines of a scored pair."""
        source, target = self.source.line(result.source), self.target_words(result)
        if result.attention is None:  # a blank line
            return WordAlignment(source.words, target.words, np.zeros((len(target.words), len(source.words))), [])
        return align(source, target, result.attention, self.rule)

    def target_words(self, result: Translation) -> Words:
        """Return the words of a target line, which was produced as tokens or given as text."""
        protected = self.source.tokenizer.protected(result.source)
        if isinstance(result, ScoredPair) and not result.as_tokens:
            return self.target.line(result.text, protected)
        return self.target.produced(result.text, result.tokens, protected)


@dataclass(frozen=True)
class Gold:
    """The links of a sentence that was aligned by hand."""

    sure: frozenset[Link]
    possible: frozenset[Link]
    """Includes the sure ones."""


def read_gold(line: str, base: int, place: str) -> Gold:
    """Parse sure links `i-j` and possible links `i?j`, words counted from `base`. Raises DataError naming the place."""
    sure, possible = set(), set()
    for text in line.split():
        parts = re.fullmatch(r"([0-9]{1,9})([-?])([0-9]{1,9})", text)
        if not parts:
            raise DataError(f"{place}: {text[:60]!r} is no link; expected i-j for a sure one or i?j for a possible one")
        link = (int(parts[1]) - base, int(parts[3]) - base)
        if min(link) < 0:
            raise DataError(f"{place}: {text!r}: words are counted from {base} (gold_base={base}); use gold_base=0")
        possible.add(link)
        if parts[2] == "-":
            sure.add(link)
    return Gold(frozenset(sure), frozenset(possible))


@dataclass(frozen=True)
class Agreement:
    """Agreement of links A with gold links: sure ones S, and possible ones P that include S (Och & Ney 2003)."""

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
    """Compare all sentences together."""
    links = sure = hit_sure = hit_possible = 0
    for predicted, truth in zip(alignments, gold, strict=True):
        chosen = set(predicted)
        links, sure = links + len(chosen), sure + len(truth.sure)
        hit_sure += len(chosen & truth.sure)
        hit_possible += len(chosen & truth.possible)
    aer = 1 - (hit_sure + hit_possible) / (links + sure) if links + sure else 0.0
    return Agreement(aer, hit_possible / links if links else 0.0, hit_sure / sure if sure else 0.0, links)
