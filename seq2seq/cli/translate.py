"""`seq2seq translate`: writes one line for each line read, in order."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from seq2seq.cli.files import (
    check_output,
    finished_sentences,
    input_groups,
    input_lines,
    is_pipe,
    is_typed,
    make_directory,
    partial_path,
    progress,
    resumable_stream,
    whole_lines,
)
from seq2seq.cli.reading import SOURCE, is_jsonl, layout, read_record
from seq2seq.cli.rows import alignment_row, result_row
from seq2seq.config import TranslateConfig, several
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.alignment import Aligner, WordAlignment, no_attention
from seq2seq.inference.context_view import ContextView, view_context
from seq2seq.inference.forced_scores import with_posterior
from seq2seq.inference.loading import load_translator
from seq2seq.inference.sentences import LongSources, SentenceSplitter, join_alignments, join_translations
from seq2seq.inference.translation import CutCount, Request, Translation
from seq2seq.inference.translator import Translator
from seq2seq.text.cleaning import is_blank
from seq2seq.text.context import Past
from seq2seq.text.markup import Markup
from seq2seq.text.tag_placement import place_tags

logger = logging.getLogger(__name__)


class Job(NamedTuple):
    """An input and its outputs."""

    input: str
    output: str


def run(config: TranslateConfig) -> int:
    """Translate; with n_best > 1 every source line gives that many output lines, best first.

    Files are read completely before anything is translated, so an error in the last line is reported at once.
    """
    jobs = plan(config)
    translator = load_translator(config.checkpoint, config.device)
    work = Work(replace(config, decoding=translator.settled(config.decoding)), translator)
    totals = [work.count_lines(job.input) for job in jobs]
    for job, total in zip(jobs, totals, strict=True):
        work.translate(job, total)
    work.cuts.warn(work.translator.limits(config.decoding))
    work.long_sources.warn("" if work.split else " split=sentences translates each sentence of a line on its own.")
    return 0


def plan(config: TranslateConfig) -> list[Job]:
    """Pair each input with its output.

    Raises ConfigError or DataError if an output can't be written, or would replace an input or another output.
    """
    names = several(config.input)
    read = [*names, *several(config.prefix)]
    if config.alignments is not None:
        if os.path.realpath(config.alignments) == os.path.realpath(config.output):
            raise ConfigError(f"alignments={config.alignments} and output={config.output}: take two different files.")
        check_output(config.alignments, read, "alignments")
    if isinstance(config.input, str) or config.output == "-":
        check_output(config.output, read)
        return [Job(name, config.output) for name in names]
    inputs: dict[str, str] = {}
    for name in names:
        output = str(Path(config.output) / Path(name).name)
        if output in inputs:
            raise ConfigError(f"input=[{inputs[output]},{name}]: both would be written to {output}. Rename one.")
        inputs[output] = name
    make_directory(config.output)
    for output, name in inputs.items():
        check_output(output, [name, *several(config.prefix)])
    return [Job(name, output) for output, name in inputs.items()]


class Work:
    """Translates inputs with one model."""

    def __init__(self, config: TranslateConfig, translator: Translator) -> None:
        """Raises ConfigError for alignments or tags with a model without attention."""
        self.config = config
        self.translator = translator
        aligner = Aligner.of(translator, config.alignment_attention)
        if config.alignments is not None and aligner is None:
            where = f"alignments={config.alignments} and checkpoint={config.checkpoint}: "
            raise no_attention(" to align by", where, "Leave alignments=null.")
        if config.format != "text" and aligner is None:
            where = f"format={config.format} and checkpoint={config.checkpoint}: "
            raise no_attention(" to place tags by", where, "Use format=text and no tags.")
        wanted = config.alignments is not None or config.output_format == "jsonl" or config.format != "text"
        self.aligner = aligner if wanted else None
        self.split = SentenceSplitter(translator.source_lang) if config.split == "sentences" else None
        self.long_sources = LongSources(translator.lengths.longest_source)
        self.cuts = CutCount()

    def requests(self, name: str) -> Iterator[list[Request]]:
        """Yield the lines of an input in groups, of few lines if each has many sentences."""
        decoding = self.config.decoding
        size = self.translator.group_size(decoding) if self.split is None else decoding.batch_size
        return requests(self.config, name, size, self._check, self.translator.context, self.split)

    def _check(self, line: str, place: str) -> None:
        for sentence in [line] if self.split is None else self.split(line):
            self.translator.check_line(sentence, place)

    def count_lines(self, name: str) -> int | None:
        """Check and count the lines of an input; None for a pipe. Raises DataError for what can't be read."""
        if is_pipe(name) or (self.config.prefix is not None and is_pipe(self.config.prefix)):
            return None
        return sum(len(group) for group in self.requests(name))

    def translate(self, job: Job, total: int | None) -> None:
        """Translate an input of so many lines, or with `resume` what is left of it."""
        outputs = [job.output, *several(self.config.alignments)]
        done = 0
        if self.config.resume:
            path, done = finished_sentences(outputs, total, self.config.decoding.n_best)
            if path is not None and done and total is not None:
                self._check_sources(job, path, done, total)
            if path == Path(job.output):
                logger.info("%s: already complete", job.output)
                return
        try:
            for sentences in self._translate_groups(job, outputs, total, done):
                done += sentences
        except BaseException:
            if done and (partial := partial_path(job.output)) is not None:
                of_all = "" if total is None else f" of {total:,}"
                logger.info("%s: %s%s lines are translated. Use resume=true to continue.", partial, f"{done:,}", of_all)
            raise

    def _translate_groups(self, job: Job, outputs: Sequence[str], total: int | None, done: int) -> Iterator[int]:
        """Translate group by group; yield the number of lines of each when they are written."""
        with ExitStack() as stack:
            advance = stack.enter_context(progress(total, done, hidden=is_typed(job.input)))
            kept = done * self.config.decoding.n_best
            opened = [stack.enter_context(resumable_stream(name, kept)) for name in outputs]
            for group in self.requests(job.input):
                if not (left := [request for request in group if request.number >= done]):
                    continue
                results = list(self._translate(left, advance))
                translations = [translation for _, translation, _ in results]
                self.cuts.add(translations)
                contexts = self._contexts(translations)
                with tqdm.external_write_mode():  # a bar on the same terminal makes way
                    for result, context in zip(results, contexts, strict=True):
                        for (file, _), row in zip(opened, self._rows(*result, context), strict=True):
                            print(row, file=file)
                    for _, keep in opened:
                        keep()
                yield len(left)

    def _translate(
        self, group: Sequence[Request], advance: Callable[[int], object]
    ) -> Iterator[tuple[Request, Translation, WordAlignment | None]]:
        if self.split is None:
            for request, ranked in zip(group, self._found(group, advance), strict=True):
                self.long_sources.add(request.number + 1, ranked[:1])
                yield from ((request, each, self._align(each)) for each in ranked)
            return
        sentences = [self.split(request.line) for request in group]
        flat = [
            Request(part, line.number, context=(*line.context, *parts[:place]))
            for line, parts in zip(group, sentences, strict=True)
            for place, part in enumerate(parts)
        ]
        translated = chain.from_iterable(self._found(flat))
        for request, parts in zip(group, sentences, strict=True):
            bests = list(islice(translated, len(parts)))
            self.long_sources.add(request.number + 1, bests)
            alignments = [alignment for best in bests if (alignment := self._align(best)) is not None]
            joined = join_translations(request.line, bests, self.translator.target_lang)
            yield request, joined, join_alignments(alignments) if alignments else None
        advance(len(group))

    def _found(
        self, requests: Sequence[Request], advance: Callable[[int], object] = lambda sentences: None
    ) -> list[list[Translation]]:
        """Translate; give the translations the attention that they are to be aligned by."""
        decoding, attention = self.config.decoding, self.config.alignment_attention
        keep = self.aligner is not None and attention == "prior"
        found = self.translator.translate_group(requests, decoding, keep_attention=keep, advance=advance)
        if self.aligner is None or keep:
            return found
        flat = list(chain.from_iterable(found))
        known = iter(with_posterior(self.translator, flat, decoding.batch_size, decoding.precision))
        return [list(islice(known, len(ranked))) for ranked in found]

    def _align(self, translation: Translation) -> WordAlignment | None:
        return None if self.aligner is None else self.aligner.align(translation)

    def _contexts(self, translations: Sequence[Translation]) -> list[ContextView | None]:
        if self.config.output_format != "jsonl":
            return [None] * len(translations)
        decoding = self.config.decoding
        return view_context(self.translator, translations, decoding.precision, decoding.batch_size)

    def _rows(
        self, request: Request, translation: Translation, alignment: WordAlignment | None, context: ContextView | None
    ) -> Iterator[str]:
        """Yield the rows of a translation for the output, and for the file of alignments if there is one."""
        config, marked = self.config, None
        if request.markup is not None and alignment is not None:
            words = alignment.source, translation.text, alignment.target
            links = alignment.with_several().links  # so that few words between tags have none
            marked = (request.markup.line, place_tags(request.markup, *words, links))
        if config.output_format == "jsonl":
            yield result_row(translation, alignment, context, marked)
        else:
            yield translation.text if marked is None else marked[1]
        if config.alignments is not None and alignment is not None:
            soft = config.alignments.removesuffix(".gz").endswith(".jsonl")
            yield alignment_row(translation, alignment) if soft else str(alignment)

    def _check_sources(self, job: Job, path: Path, done: int, total: int) -> None:
        """Raise DataError if a file, complete or not, holds translations of another input."""
        advice = f"Delete {path} to start over, or give the input that it belongs to."
        if done > total:
            raise DataError(f"{path}: has {done} translated lines, but {job.input} has {total}. {advice}")
        if self.config.output_format != "jsonl":
            return
        rows = islice(whole_lines(path, packed=job.output.endswith(".gz")), 0, None, self.config.decoding.n_best)
        for request, row in zip(chain.from_iterable(self.requests(job.input)), rows, strict=False):
            line = request.line if request.markup is None else request.markup.line
            if (record := read_record(row)) is None:
                raise DataError(f"{path}: has no rows of output_format=jsonl. {advice}")
            if record["source"] != line:
                raise DataError(f"{path}: line {request.number + 1} of {job.input} has another source. {advice}")


def requests(
    config: TranslateConfig,
    name: str,
    size: int,
    check: Callable[[str, str], None] = lambda line, place: None,
    context: int = 0,
    split: Callable[[str], Sequence[str]] | None = None,
) -> Iterator[list[Request]]:
    """Yield the lines of an input in groups, each line with the prefix of the same number and the sentences before it.

    A blank line begins a document. `context` is the number of sentences before; `split` cuts lines into sentences.

    Raises DataError if their numbers differ, and for a line that can't be read or that `check` refuses; a line of a
    pipe is logged and taken for a blank one instead.
    """
    if config.prefix is not None and config.prefix == name:
        raise ConfigError(f"prefix={config.prefix} and input={name}: take two different files.")
    prefixes: Iterator[str | None] = repeat("") if config.prefix is None else chain(input_lines(config.prefix), [None])
    columns = layout(config.checkpoint, config.columns)
    past, begins = Past(context), columns.beginnings(name) if context else None
    number = 0
    for group in input_groups(name, size, lambda file: columns.lines(file, SOURCE)):
        if not number and is_jsonl([line for line in group if isinstance(line, str)]):
            raise DataError(
                f"{name}: JSON lines, as translate output_format=jsonl writes them, and not text. Give their "
                "`source` alone, a sentence on each line."
            )
        read = []
        for line in group:
            if (prefix := next(prefixes)) is None:
                raise DataError(
                    f"{config.prefix}: {number} lines, but {name} has more; expected a line for each, "
                    "blank where the beginning is free"
                )
            text, markup = _readable(line, name, number + 1, check, config.format)
            first, *more = [text] if split is None or not context else split(text)
            new = is_blank(text) if begins is None else next(begins)
            read.append(Request(text, number, prefix, past.before(first, begins=new), markup))
            for sentence in more:
                past.before(sentence)
            number += 1
        yield read
    if config.prefix is not None and next(prefixes) is not None:
        raise DataError(f"{config.prefix}: more lines than the {number} of {name}; expected one for each")


def _readable(
    line: str | DataError, name: str, number: int, check: Callable[[str, str], None], form: str
) -> tuple[str, Markup | None]:
    """The text of a line in this format, and its tags unless it is plain text."""
    place = f"{'stdin' if name == '-' else name}:{number}"
    try:
        if isinstance(line, DataError):
            raise line
        markup = None if form == "text" else Markup.read(line, form, place)
        text = line if markup is None else markup.plain
        check(text, place)
    except DataError as error:
        if not is_pipe(name):
            raise
        logger.warning("%s; writing a blank line for it", error)
        return "", None
    return text, markup
