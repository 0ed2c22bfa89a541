"""Requests to a translator, and its translations."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from seq2seq.inference.heatmap import Heatmap
from seq2seq.inference.pages import in_notebook
from seq2seq.inference.weights import Weights, Windows
from seq2seq.search.protocol import MARGIN, Limits
from seq2seq.text.cleaning import is_blank
from seq2seq.text.context import Past
from seq2seq.text.markup import Markup

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """A line to translate."""

    line: str
    number: int = 0
    """Its place among all lines, from 0: what is sampled depends on it."""
    prefix: str = ""
    """Text that the translation has to begin with"""
    context: tuple[str, ...] = ()
    """The sentences before it in its document, in the order of the text"""
    markup: Markup | None = None
    """The tags that stood in the line, for its translation"""
    pieces: tuple[str, ...] = ()
    """Target pieces that follow the prefix"""


def in_documents(lines: Iterable[str], size: int, begins: Iterable[bool] | None = None) -> Iterator[Request]:
    """Number lines, each with so many sentences before it; `begins` tells which begin a document, or blank ones do."""
    past, starts = Past(size), None if begins is None else iter(begins)
    for number, line in enumerate(lines):
        start = is_blank(line) if starts is None else next(starts)
        yield Request(line, number, context=past.before(line, begins=start))


def choose_contexts(contexts: Sequence[tuple[str, ...]], choice: str, seed: int = 1) -> list[tuple[str, ...]]:
    """The `own` sentences before each line, `none`, or `shuffled`: those of another line that has as many.

    A line that is the only one with as many keeps its own.
    """
    if choice == "none":
        return [()] * len(contexts)
    chosen, random = list(contexts), Random(seed)
    groups: dict[int, list[int]] = {}
    for place, context in enumerate(contexts):
        groups.setdefault(len(context), []).append(place)
    for places in groups.values() if choice == "shuffled" else ():
        order = random.sample(places, len(places))
        for place, other in zip(order, [*order[1:], order[0]], strict=True):
            chosen[place] = contexts[other]
    return chosen


@dataclass(frozen=True, eq=False)
class Translation:
    """A sentence, its translation, and how the model came to it."""

    source: str
    text: str
    """The tokens as text, with source words in place of unknown ones where that was asked for"""
    score: float
    """Natural-log probability of the tokens, including `</s>` when it was produced; no penalty"""
    rank: float
    """What search sorted by: see Ranking"""
    source_tokens: list[str]
    tokens: list[str]
    token_scores: list[float]
    """Natural-log probability of each token"""
    attention: Weights | None
    """[h t s]; None for a blank line, for a model without attention, or if it was not kept"""
    shortlist: int | None = None
    """decoding.shortlist: probabilities are normalised over these candidates; None: over the whole vocabulary"""
    cut: bool = False
    """Whether a length limit ended it, so that `</s>` is missing"""
    sentences: int = 1
    """How many sentences were translated separately and joined"""
    context: tuple[str, ...] = ()
    """The sentences before it that were given, in the order of the text"""
    alternatives: "list[Translation]" = field(default_factory=list)
    """The next best translations, best first, where `n_best` asked Translator.translate for several"""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r}, score={self.score:.2f})"

    def _repr_html_(self) -> str | None:
        """Show the attention in a notebook, as `plot` draws it."""
        return in_notebook(self.heatmap())

    def heatmap(self, windows: Windows | None = None) -> Heatmap | None:
        """Return the attention as a heat map; None where there is none."""
        if self.attention is None:
            return None
        names, scores = (self.source_tokens, self.tokens), (self.token_scores, self.score)
        return Heatmap(self.source, self.text, *names, self.attention, *scores, windows)

    def __iter__(self) -> "Iterator[Translation]":
        """Yield this translation and its alternatives, best first."""
        yield self
        yield from self.alternatives


@dataclass
class CutCount:
    """How many translations a length limit cut off, of how many."""

    cut: float = 0
    total: float = 0

    def add(self, translations: Iterable[Translation]) -> None:
        """Count these translations as well."""
        for translation in translations:
            self.cut += translation.cut
            self.total += 1

    def warn(self, limits: Limits) -> None:
        """Log the count, unless it is 0 or every translation has to be as long as its limit."""
        if self.cut and limits.min_length_ratio < limits.max_length:
            logger.warning(
                "%d of %s translations were cut off at their length limit (%g x the source's tokens + %d, at most %d). "
                "If the model does not just repeat itself, raise decoding.max_length_ratio or decoding.max_length",
                self.cut,
                f"{self.total:,.0f}",
                limits.max_length_ratio,
                MARGIN,
                limits.max_length,
            )
