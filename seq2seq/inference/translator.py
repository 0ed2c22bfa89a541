"""Raw text in, translations out."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, overload

from seq2seq.config import Decoding, parse, to_plain
from seq2seq.device import fastest_fp32_products, fp32_products, warn_of_slow_int8
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.alignment import Aligner, WordAlignment, no_attention
from seq2seq.inference.forced_scores import ScoredPair, pairs_in_documents, score_pairs
from seq2seq.inference.models import MOST_PIECES, TrainedModels, check_length
from seq2seq.inference.out_of_memory import batches_that_fit, in_halves_that_fit
from seq2seq.inference.teacher_forcing import Tokens
from seq2seq.inference.translation import CutCount, Request, Translation, in_documents
from seq2seq.inference.unknown import read_dictionary, replace_unknown
from seq2seq.search.beam import beam
from seq2seq.search.ensemble import Ensemble, Member
from seq2seq.search.greedy import Sampling, greedy, sample
from seq2seq.search.protocol import Hypothesis, Limits, Ranking, Stepper
from seq2seq.search.shortlist import Selection
from seq2seq.search.stepper import ModelStepper
from seq2seq.text.corpus import in_groups
from seq2seq.text.tokenizer import EOS, UNK
from seq2seq.text.words import WordSegmenter

logger = logging.getLogger(__name__)

Lines = Iterable[str]

_SORTED_BATCHES = 16
"""Batches of sentences that are sorted by length together"""
USUAL_LENGTH = 64
"""Source tokens of a sentence up to which a batch has its full number of sentences"""


class Translator(TrainedModels):
    """Translates, scores and aligns text with one trained model or an ensemble."""

    _checked: Decoding | None = None
    """The last options that were found right"""

    @cached_property
    def _forbidden(self) -> Sequence[int]:
        """Tokens that no translation may have."""
        return self.target.forbidden()

    # --- for Python code: a string in, one result out; several strings in, a list out --------------------------------

    @overload
    def translate(self, lines: str, decoding: Decoding | None = None, **options: Any) -> Translation: ...
    @overload
    def translate(self, lines: Lines, decoding: Decoding | None = None, **options: Any) -> list[Translation]: ...
    def translate(
        self, lines: str | Lines, decoding: Decoding | None = None, **options: Any
    ) -> Translation | list[Translation]:
        """Translate a sentence or several; a blank one gives an empty translation.

        For a context-aware model, several are a document, and a blank one begins another.
        `options` replace fields of `decoding`: `beam_size=10`. With `n_best`, the others are the best one's
        `alternatives`. Raises ConfigError for options that are wrong or that the model can't serve.
        """
        if options:
            decoding = parse("decoding", {**to_plain(decoding or Decoding()), **options})
        texts = [lines] if isinstance(lines, str) else lines
        ranked = self.translate_lines(texts, decoding)
        best = [replace(first, alternatives=others) if others else first for first, *others in ranked]
        return best[0] if isinstance(lines, str) else best

    @overload
    def score(self, sources: str, targets: str, **options: Any) -> ScoredPair: ...
    @overload
    def score(self, sources: Lines, targets: Lines, **options: Any) -> list[ScoredPair]: ...
    def score(self, sources: str | Lines, targets: str | Lines, **options: Any) -> ScoredPair | list[ScoredPair]:
        """Compute how probable the model finds these translations; options are those of `score_pairs`.

        Raises DataError unless there are as many sources as targets.
        """
        if isinstance(sources, str) and isinstance(targets, str):
            return self.score([sources], [targets], **options)[0]
        if isinstance(sources, str) or isinstance(targets, str):  # which would be a list of characters
            raise DataError("sources and targets: one is a string; expected two strings, or two lists")
        sources, targets = list(sources), list(targets)
        if len(sources) != len(targets):
            raise DataError(f"{len(sources)} sources and {len(targets)} targets; expected as many of each")
        return score_pairs(self, list(pairs_in_documents(zip(sources, targets, strict=True), self.context)), **options)

    @overload
    def align(self, sources: str, targets: str, **options: Any) -> WordAlignment: ...
    @overload
    def align(self, sources: Lines, targets: Lines, **options: Any) -> list[WordAlignment]: ...
    def align(self, sources: str | Lines, targets: str | Lines, **options: Any) -> WordAlignment | list[WordAlignment]:
        """Align the words of these translations with those of their sources; options are those of `score_pairs`.

        Raises ConfigError for a model without attention, DataError unless there are as many sources as targets.
        """
        aligner = Aligner.of(self, options.get("attention", "prior"))
        if aligner is None:
            raise no_attention(" to align by")
        if isinstance(sources, str) and isinstance(targets, str):
            return aligner.align(self.score(sources, targets, **options))
        return [aligner.align(pair) for pair in self.score(sources, targets, **options)]

    # --- for commands and training -----------------------------------------------------------------------------------

    def translate_lines(
        self, lines: Iterable[str], decoding: Decoding | None = None, *, keep_attention: bool = True
    ) -> Iterator[list[Translation]]:
        """Yield the n best translations of each line, in order and best first; see `translate_requests`.

        A blank line begins a document.
        """
        return self.translate_requests(in_documents(lines, self.context), decoding, keep_attention=keep_attention)

    def translate_requests(
        self,
        requests: Iterable[Request],
        decoding: Decoding | None = None,
        *,
        keep_attention: bool = True,
        advance: Callable[[int], object] = lambda lines: None,
    ) -> Iterator[list[Translation]]:
        """Yield the n best translations of each line, in order and best first.

        Lines are read in groups of a few batches. Without `keep_attention`, search is faster. `advance` is called with
        the number of lines each batch finishes. At the end, the number of translations that were cut off is logged.
        """
        options = self.settled(decoding or Decoding())
        self.check(options)
        cuts = CutCount()
        for group in in_groups(requests, self.group_size(options), lambda request: len(request.line)):
            results = self.translate_group(group, options, keep_attention=keep_attention, advance=advance)
            cuts.add(chain.from_iterable(results))
            yield from results
        cuts.warn(self.limits(options))

    def settled(self, decoding: Decoding) -> Decoding:
        """Replace `precision=auto` by what it means for these models; exported graphs were not measured: fp32."""
        if decoding.precision == "int8" and decoding.engine == "torch":
            warn_of_slow_int8()
        if decoding.precision != "auto":
            return decoding
        return replace(decoding, precision="fp32" if decoding.engine == "onnx" else self.automatic_precision)

    def limits(self, decoding: Decoding) -> Limits:
        """Return the limits of a search; those that `decoding` leaves open follow the training pairs."""
        ratios = decoding.max_length_ratio, decoding.min_length_ratio
        return self.lengths.limits(self._forbidden, decoding.max_length, *ratios, decoding.no_repeat_ngram)

    @staticmethod
    def group_size(decoding: Decoding) -> int:
        """Return how many lines are best translated together: sorted by length, they fill whole batches."""
        return decoding.batch_size * _SORTED_BATCHES

    def translate_group(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        *,
        keep_attention: bool = True,
        advance: Callable[[int], object] = lambda lines: None,
    ) -> list[list[Translation]]:
        """Return the n best translations of each line; batches hold lines of similar length.

        Raises ConfigError for options that `check` refuses or a missing shortlist, DataError for a line of more than
        MOST_PIECES.
        """
        self.check(decoding)
        lines = [request.line for request in requests]
        protected = [self.source.protected(line) for line in lines]
        readings = self.read(lines, [request.context for request in requests], protected)
        encoded = self.of_source(readings)
        prefixes = [tokens[:-1] for tokens in self.target.encode([request.prefix for request in requests], protected)]
        for begun, request in zip(prefixes, requests, strict=True):
            begun += self.numbers(request.pieces)
        for request, *tokens in zip(requests, *readings, prefixes, strict=True):
            check_length(max(map(len, tokens)), f"line {request.number + 1}")
        self._report_unreachable(readings)
        keep_attention |= bool(decoding.coverage_penalty) or decoding.replace_unknown

        def search(rows: Sequence[int]) -> list[list[Hypothesis]]:
            read = [[reading[row] for row in rows] for reading in readings]
            begun = [prefixes[row] for row in rows]
            seeds = [(decoding.seed, requests[row].number) for row in rows]
            return self._search(read, [encoded[row] for row in rows], begun, seeds, decoding, keep_attention)

        dictionary: Mapping[str, str] | None = None
        if decoding.replace_unknown:
            dictionary = {} if decoding.dictionary is None else read_dictionary(Path(decoding.dictionary))
        blank = [Translation(line, "", 0.0, 0.0, [], [], [], None, decoding.shortlist) for line in lines]
        results = [[translation] * decoding.n_best for translation in blank]
        filled = [row for row, line in enumerate(lines) if not self.source.is_blank(line)]
        filled.sort(key=lambda row: len(encoded[row]))

        def size(rows: Sequence[int]) -> float:
            return len(rows) * len(encoded[rows[-1]]) / USUAL_LENGTH

        for rows in batches_that_fit(filled, decoding.batch_size, size):
            for row, ranked in zip(rows, in_halves_that_fit(search, rows), strict=True):
                results[row] = [
                    self._translation(requests[row], encoded[row], hypothesis, decoding.shortlist, dictionary)
                    for hypothesis in ranked
                ]
            advance(len(rows))
        advance(len(lines) - len(filled))
        _report_missing(requests, protected, results)
        return results

    def check_line(self, line: str, name: str) -> None:
        """Raises DataError for a line that `translate_group` would refuse, with its whole group, for its length."""
        if len(line.encode()) + 2 > MOST_PIECES:  # no tokenizer makes more pieces than bytes, a space before and EOS
            check_length(max(len(member.tokenizer.encode([line])[0]) for member in self.members), name)

    def check(self, decoding: Decoding) -> None:
        """Raises ConfigError for options that are out of bounds or that need what these models lack."""
        if decoding != self._checked:  # a sentence at a time would be a hundredth slower
            parse("decoding", to_plain(decoding))
            self._checked = replace(decoding)
        needing_attention = (
            ("coverage_penalty", decoding.coverage_penalty, "cover the source", 0),
            ("replace_unknown", decoding.replace_unknown, "point at the source word", "false"),
        )
        for key, value, purpose, off in needing_attention:
            if value and not self.attends:
                raise ConfigError(
                    f"decoding.{key}={str(value).lower()}: a model with model/attention/placement=none has no "
                    f"attention that could {purpose}. Use decoding.{key}={off}."
                )
        if decoding.replace_unknown and not self.target.whole_words:
            raise ConfigError(
                "decoding.replace_unknown=true: this model's vocabulary is of sub-words, which spell what they do not "
                "know. It is for models with data.tokenizer=word; use decoding.replace_unknown=false."
            )

    def _search(
        self,
        readings: Sequence[Tokens],
        sources: Tokens,
        prefixes: Tokens,
        seeds: Tokens,
        options: Decoding,
        keep_attention: bool,
    ) -> list[list[Hypothesis]]:
        """Search for translations of a batch, whose sources are also read in each member's pieces."""
        selection = self.select(readings[0], prefixes, options.shortlist)
        steppers = self._steppers(options, selection, keep_attention)
        model = self.combined(steppers, readings)
        limits = self.limits(options)
        ranking = Ranking(options.length_normalisation, options.length_penalty, options.coverage_penalty)
        with fp32_products(self.fp32_setting(options)):
            if options.search == "sample":
                sampling = Sampling(options.temperature, options.top_k, options.top_p)
                return sample(model, sources, limits, ranking, sampling, options.n_best, seeds, prefixes)
            if options.beam_size == 1:
                return greedy(model, sources, limits, ranking, prefixes)
            return beam(model, sources, limits, ranking, options.beam_size, options.n_best, prefixes)

    def fp32_setting(self, options: Decoding) -> str:
        """The setting of `fp32_products`: the default for single rows, and for what other precisions leave in fp32."""
        single = options.batch_size * options.beam_size == 1
        return "highest" if single or options.precision != "fp32" else self._fastest_products

    @cached_property
    def _fastest_products(self) -> str:
        return fastest_fp32_products(self.device)

    def combined(self, steppers: Sequence[Stepper[Any]], readings: Sequence[Tokens]) -> Stepper[Any]:
        """Return the stepper of a single model, or an ensemble whose members read the sources in their own pieces."""
        counted = map(self.shares_source, self.members)
        members = [Member(*member) for member in zip(steppers, readings, counted, strict=True)]
        return steppers[0] if len(steppers) == 1 else Ensemble(members)

    def _steppers(self, options: Decoding, selection: Selection | None, keep_attention: bool) -> list[Stepper[Any]]:
        if options.engine == "onnx":
            graphs = self.graphs(options.precision)
            if selection is None:
                return [*graphs]
            outputs = [member.model.output for member in self.members]
            return [graph.restricted_to(selection, output) for graph, output in zip(graphs, outputs, strict=True)]
        models = self.models(options.precision)
        return [ModelStepper(model, self.device, selection, keep_attention=keep_attention) for model in models]

    def _report_unreachable(self, readings: Sequence[Sequence[Sequence[int]]]) -> None:
        """Log how many sources have positions that a model can't reach or tell apart."""
        for member, sources in zip(self.members, readings, strict=True):
            model = member.model
            limits = {"`location` can attend": model.max_position, "have a learned vector": model.learned_positions}
            for what, limit in limits.items():
                longer = 0 if limit is None else sum(len(source) > limit for source in sources)
                if longer:
                    logger.info("%d sources are longer than the %s positions that %s", longer, limit, what)

    def _translation(
        self,
        request: Request,
        source: list[int],
        hypothesis: Hypothesis,
        shortlist: int | None,
        dictionary: Mapping[str, str] | None,
    ) -> Translation:
        line = request.line
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
            None if hypothesis.attention is None else hypothesis.attention.float().cpu().numpy(),
            shortlist,
            cut=hypothesis.tokens[-1] != EOS,
            context=request.context,
        )


def _report_missing(
    requests: Sequence[Request], protected: Sequence[Sequence[str]], results: Sequence[Sequence[Translation]]
) -> None:
    """Log how many protected texts are missing from the translation of their line."""
    missing = [
        (request.number, text)
        for request, texts, ranked in zip(requests, protected, results, strict=True)
        for text in texts
        if text not in ranked[0].text
    ]
    if missing:
        number, text = missing[0]
        logger.warning(
            "%d of %d protected texts are not in the translation, the first in line %d: %.60s",
            len(missing),
            sum(map(len, protected)),
            number + 1,
            text,
        )
