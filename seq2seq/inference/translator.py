"""Raw text in, translations out."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq.attention.attention import Attention
from seq2seq.config import Decoding, parse, to_plain
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.out_of_memory import in_halves_that_fit
from seq2seq.inference.unknown import read_dictionary, replace_unknown
from seq2seq.model.quantised import QuantisedModels
from seq2seq.model.translation import TranslationModel
from seq2seq.search.beam import beam
from seq2seq.search.ensemble import Ensemble, Member
from seq2seq.search.greedy import Sampling, greedy, sample
from seq2seq.search.lengths import Lengths
from seq2seq.search.protocol import MARGIN, Hypothesis, Limits, Ranking, Stepper
from seq2seq.search.shortlist import FILE as SHORTLIST
from seq2seq.search.shortlist import Selection, Shortlist
from seq2seq.search.stepper import ModelStepper
from seq2seq.text.corpus import in_groups
from seq2seq.text.tokenizer import EOS, UNK, Tokenizer
from seq2seq.text.words import WordSegmenter

logger = logging.getLogger(__name__)

_SORTED_BATCHES = 16
"""So many batches of sentences are sorted by length together."""
MOST_PIECES = 1 << 14
"""Of a line: what is made of it in memory grows with them, attention with the square of them."""
USUAL_LENGTH = 64
"""Source tokens of a sentence up to which a batch has its full number of them."""


@dataclass(frozen=True)
class Translation:
    """A sentence, its translation, and how the model came to it."""

    source: str
    text: str
    """Of the tokens, with source words in place of unknown ones where that was asked for."""
    score: float
    """Natural-log probability of the tokens, `</s>` included when it was produced; no penalty."""
    rank: float
    """What search sorted by: see Ranking."""
    source_tokens: list[str]
    tokens: list[str]
    token_scores: list[float]
    attention: Tensor | None
    """[h t s]: a row of weights over the source tokens for each token; None without attention, or if not kept."""
    shortlist: int | None = None
    """decoding.shortlist: probabilities are normalised over these candidates; None: over the whole vocabulary."""
    cut: bool = False
    """Whether a length limit ended it, so that `</s>` is missing."""
    sentences: int = 1
    """Sentences that were translated one by one and joined."""


@dataclass
class CutCount:
    """How many translations a length limit cut off, of how many."""

    cut: float = 0
    total: float = 0

    def add(self, translations: Iterable[Translation]) -> None:
        """Count these too."""
        for translation in translations:
            self.cut += translation.cut
            self.total += 1

    def warn(self, limits: Limits) -> None:
        """Log the count, unless it is 0."""
        if self.cut:
            logger.warning(
                "%d of %s translations were cut off at their length limit (%g x the source's tokens + %d, at most %d). "
                "If the model does not just repeat itself, raise decoding.max_length_ratio or decoding.max_length",
                self.cut,
                f"{self.total:,.0f}",
                limits.max_length_ratio,
                MARGIN,
                limits.max_length,
            )


@dataclass(frozen=True)
class Request:
    """A line to translate."""

    line: str
    number: int = 0
    """Of the line among all: what is sampled depends on it."""
    prefix: str = ""
    """What its translation has to begin with."""


@dataclass(frozen=True)
class EnsembleMember:
    """A trained model, the tokenizer of its source side, and its shortlist, if it has one."""

    model: TranslationModel
    tokenizer: Tokenizer
    shortlist: Shortlist | None = None
    lengths: Lengths = field(default_factory=Lengths)
    """Lengths of the pairs it was trained on."""

    @property
    def attends(self) -> bool:
        """It has an attention."""
        return isinstance(self.model.decoder.attention, Attention)


class Translator:
    """One trained model, or several with one target vocabulary that translate as one (an ensemble)."""

    def __init__(
        self, readers: Sequence[EnsembleMember], target: Tokenizer, device: torch.device, languages: tuple[str, str]
    ) -> None:
        """`languages` are those of source and target."""
        for reader in readers:
            reader.model.to(device).eval()
        self.readers = readers
        self._conversions = [QuantisedModels(reader.model) for reader in readers]
        self.target = target
        self._forbidden = target.forbidden()
        self._checked: Decoding | None = None
        self.device = device
        self.source_lang, self.target_lang = languages
        first = next((reader for reader in readers if reader.attends), readers[0])
        self.attends = first.attends
        """Some of the models has an attention."""
        self.source = first.tokenizer
        """Whose pieces the attention is over."""
        self.lengths = first.lengths
        """Lengths of the training pairs in those pieces."""

    def aligned(self, reader: EnsembleMember) -> bool:
        """Its attention, if it has one, is over the pieces of `source`."""
        return reader.tokenizer.fingerprint == self.source.fingerprint

    @property
    def model(self) -> TranslationModel:
        """The only model. Raises ValueError for an ensemble."""
        (reader,) = self.readers
        return reader.model

    def models(self, precision: str) -> list[TranslationModel]:
        """Of each reader, with products in this precision. Raises ConfigError for int8 on another device than a CPU."""
        return [conversions.at(precision) for conversions in self._conversions]

    def translate(
        self,
        lines: Iterable[str],
        decoding: Decoding | None = None,
        *,
        keep_attention: bool = True,
        advance: Callable[[int], object] = lambda lines: None,
    ) -> Iterator[list[Translation]]:
        """For each line, in order, its n best translations, best first. A blank line gives an empty one.

        Lines are taken in groups of a few batches. Without `keep_attention` the translations come without it, sooner.
        `advance` is told how many more lines are done, batch by batch. Translations that were cut off at their length
        limit are counted, and reported at the end.
        """
        if isinstance(lines, str):
            raise TypeError("lines: expected several sentences, got one text; give [text]")
        options = decoding or Decoding()
        self.check(options)
        requests = (Request(line, number) for number, line in enumerate(lines))
        cuts = CutCount()
        for group in in_groups(requests, self.group_size(options), lambda request: len(request.line)):
            found = self.translate_group(group, options, keep_attention=keep_attention, advance=advance)
            cuts.add(chain.from_iterable(found))
            yield from found
        cuts.warn(self.limits(options))

    def limits(self, decoding: Decoding) -> Limits:
        """Limits of a search; those that `decoding` leaves open follow the training pairs."""
        return self.lengths.limits(
            self._forbidden,
            decoding.max_length,
            decoding.max_length_ratio,
            decoding.min_length_ratio,
            decoding.no_repeat_ngram,
        )

    @staticmethod
    def group_size(decoding: Decoding) -> int:
        """How many lines are best translated together: sorted by length they fill whole batches."""
        return decoding.batch_size * _SORTED_BATCHES

    def translate_group(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        *,
        keep_attention: bool = True,
        advance: Callable[[int], object] = lambda lines: None,
    ) -> list[list[Translation]]:
        """The n best translations of each line, searched for in batches of similar length.

        Raises ConfigError for options that `check` refuses or a shortlist where there is none, DataError for a line of
        more than MOST_PIECES.
        """
        self.check(decoding)
        dictionary = _dictionary(decoding)
        lines = [request.line for request in requests]
        protected = [self.source.protected(line) for line in lines]
        readings = [reader.tokenizer.encode(lines, protected) for reader in self.readers]
        encoded = next(r for r, reader in zip(readings, self.readers, strict=True) if self.aligned(reader))
        begins = self.target.encode([request.prefix for request in requests], protected)
        prefixes = [tokens[:-1] for tokens in begins]
        for row, tokens in enumerate(zip(*readings, prefixes, strict=True)):
            check_length(max(map(len, tokens)), f"line {requests[row].number + 1}")
        self._warn_of_reach(readings)
        keep_attention |= bool(decoding.coverage_penalty) or decoding.replace_unknown
        models = self.models(decoding.precision)
        filled = [i for i, line in enumerate(lines) if not self.source.is_blank(line)]
        filled.sort(key=lambda i: len(encoded[i]))
        found: list[list[Translation]] = [[_blank(line, decoding)] * decoding.n_best for line in lines]

        def search(rows: Sequence[int]) -> list[list[Hypothesis]]:
            begun = [prefixes[row] for row in rows]
            of_rows = [[reading[row] for row in rows] for reading in readings]
            return self._search(
                self._stepper(models, of_rows, begun, decoding.shortlist, keep_attention),
                [encoded[row] for row in rows],
                begun,
                [(decoding.seed, requests[row].number) for row in rows],
                decoding,
            )

        for rows in _batches(filled, [len(tokens) for tokens in encoded], decoding.batch_size):
            for row, ranked in zip(rows, in_halves_that_fit(search, rows), strict=True):
                found[row] = [
                    replace(
                        self._translation(lines[row], encoded[row], hypothesis, dictionary),
                        shortlist=decoding.shortlist,
                    )
                    for hypothesis in ranked
                ]
            advance(len(rows))
        advance(len(lines) - len(filled))
        self._tell_missing(requests, protected, found)
        return found

    def check_line(self, line: str, name: str) -> None:
        """Raises DataError for a line of more than MOST_PIECES, which `translate_group` would refuse with its group."""
        if len(line.encode()) + 2 > MOST_PIECES:  # no tokenizer makes more pieces than bytes, a space before and EOS
            check_length(max(len(reader.tokenizer.encode([line])[0]) for reader in self.readers), name)

    @staticmethod
    def _tell_missing(
        requests: Sequence[Request], protected: Sequence[Sequence[str]], found: Sequence[Sequence[Translation]]
    ) -> None:
        """Log how much that is protected is in no translation of its line."""
        missing = [
            (request.number, text)
            for request, texts, ranked in zip(requests, protected, found, strict=True)
            for text in texts
            if text not in ranked[0].text
        ]
        if missing:
            number, text = missing[0]
            total = sum(map(len, protected))
            logger.warning(
                "%d of %d protected texts are not in the translation, the first in line %d: %.60s",
                len(missing), total, number + 1, text,
            )  # fmt: skip

    def check(self, decoding: Decoding) -> None:
        """Raises ConfigError for options out of bounds, or that ask these models for what they lack."""
        if decoding != self._checked:  # a sentence at a time would be a hundredth slower
            parse("decoding", to_plain(decoding))
            self._checked = replace(decoding)
        if decoding.coverage_penalty and not self.attends:
            raise ConfigError(
                f"decoding.coverage_penalty={decoding.coverage_penalty}: a model with model/attention/placement=none "
                "has no attention that could cover the source. Take decoding.coverage_penalty=0."
            )
        if not decoding.replace_unknown:
            return
        if not self.attends:
            raise ConfigError(
                "decoding.replace_unknown=true: a model with model/attention/placement=none has no attention that "
                "could point at the source word. Take decoding.replace_unknown=false."
            )
        if not self.target.whole_words:
            raise ConfigError(
                "decoding.replace_unknown=true: this model's vocabulary is of sub-words, which spell what they do not "
                "know. It is for models with data.tokenizer=word; take decoding.replace_unknown=false."
            )

    def _stepper(
        self,
        models: Sequence[TranslationModel],
        readings: Sequence[Sequence[Sequence[int]]],
        prefixes: Sequence[Sequence[int]],
        candidates: int | None,
        keep_attention: bool,
    ) -> Stepper[Any]:
        """For this batch."""
        selection = self.select(readings[0], prefixes, candidates)
        steppers = [ModelStepper(model, self.device, selection, keep_attention=keep_attention) for model in models]
        if len(steppers) == 1:
            return steppers[0]
        return Ensemble(
            [Member(s, r, self.aligned(reader)) for s, r, reader in zip(steppers, readings, self.readers, strict=True)]
        )

    def select(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], candidates: int | None
    ) -> Selection | None:
        """What the first model's shortlist, which counts for an ensemble, leaves of the vocabulary for these sources in
        its pieces, and the target tokens that each has anyway; None where all is left.

        Raises ConfigError where there is no shortlist.
        """
        if candidates is None:
            return None
        shortlist = self.readers[0].shortlist
        if shortlist is None:
            raise ConfigError(
                f"decoding.shortlist={candidates}: the checkpoint has no {SHORTLIST}. Make it with seq2seq "
                f"shortlist checkpoint=DIR candidates={candidates}, or take decoding.shortlist=null."
            )
        return shortlist.select(sources, targets, candidates, len(self.target))

    def _search(
        self,
        model: Stepper[Any],
        sources: Sequence[Sequence[int]],
        prefixes: Sequence[Sequence[int]],
        seeds: Sequence[Sequence[int]],
        options: Decoding,
    ) -> list[list[Hypothesis]]:
        limits = self.limits(options)
        ranking = Ranking(options.length_normalisation, options.length_penalty, options.coverage_penalty)
        if options.search == "sample":
            sampling = Sampling(options.temperature, options.top_k, options.top_p)
            return sample(model, sources, limits, ranking, sampling, options.n_best, seeds, prefixes)
        if options.beam_size == 1:
            return greedy(model, sources, limits, ranking, prefixes)
        return beam(model, sources, limits, ranking, options.beam_size, options.n_best, prefixes)

    def _warn_of_reach(self, readings: Sequence[Sequence[Sequence[int]]]) -> None:
        for reader, sources in zip(self.readers, readings, strict=True):
            attention = reader.model.decoder.attention
            reach = attention.score.reach if isinstance(attention, Attention) else None
            longer = 0 if reach is None else sum(len(source) > reach for source in sources)
            if longer:
                logger.info("%d sources are longer than the %s positions that `location` can attend", longer, reach)

    def _translation(
        self, line: str, source: list[int], hypothesis: Hypothesis, dictionary: Mapping[str, str] | None
    ) -> Translation:
        text = self.target.decode(hypothesis.tokens, self.source.protected(line))
        if dictionary is not None and hypothesis.attention is not None and UNK in hypothesis.tokens:
            words = WordSegmenter(self.source, self.source_lang), WordSegmenter(self.target, self.target_lang)
            text = replace_unknown(*words, dictionary, line, hypothesis.tokens, hypothesis.attention)
        return Translation(
            line,
            text,
            hypothesis.score,
            hypothesis.rank,
            self.source.pieces(source),
            self.target.pieces(hypothesis.tokens),
            hypothesis.token_scores,
            hypothesis.attention,
            cut=hypothesis.tokens[-1] != EOS,
        )


def check_length(pieces: int, name: str) -> None:
    """Raises DataError for a line of more than MOST_PIECES."""
    if pieces > MOST_PIECES:
        raise DataError(
            f"{name}: {pieces:,} pieces, at most {MOST_PIECES:,} can be read; expected a sentence on each line"
        )


def _batches(rows: Sequence[int], lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Rows of ascending length in batches; of very long sentences fewer go together."""
    batch: list[int] = []
    for row in rows:
        if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[row] > batch_size * USUAL_LENGTH):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _dictionary(decoding: Decoding) -> Mapping[str, str] | None:
    """For unknown words; None where they stay."""
    if not decoding.replace_unknown:
        return None
    return {} if decoding.dictionary is None else read_dictionary(Path(decoding.dictionary))


def _blank(line: str, decoding: Decoding) -> Translation:
    return Translation(line, "", 0.0, 0.0, [], [], [], None, decoding.shortlist)
