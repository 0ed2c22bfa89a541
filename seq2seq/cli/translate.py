"""`seq2seq translate`: one line in, one line out, always, in order."""

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seq2seq.cli.align import soft_line
from seq2seq.cli.files import check_output, input_groups, input_lines, is_pipe, is_typed, make_directory
from seq2seq.cli.partial import finished_sentences, is_complete, partial_path, partial_stream, whole_lines
from seq2seq.cli.progress import progress
from seq2seq.cli.reading import SOURCE, layout
from seq2seq.cli.score import is_jsonl
from seq2seq.config import TranslateConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.alignment import Aligner, WordAlignment
from seq2seq.inference.loading import load_translator
from seq2seq.inference.sentences import LongSources, SentenceSplitter, join_alignments, join_translations
from seq2seq.inference.translation import CutCount, Request, Translation
from seq2seq.inference.translator import Translator
from seq2seq.text.json_io import parse_json

logger = logging.getLogger(__name__)

Aligned = tuple[Translation, WordAlignment | None]


def run(config: TranslateConfig) -> int:
    """Translate; with n_best > 1 every source line gives that many output lines, best first.

    Files are read through before anything is translated, so that what is wrong in the last line is known at once.
    """
    jobs = plan(config)
    work = Work(config, load_translator(config.checkpoint, config.device))
    totals = [work.count_lines(job) for job in jobs]
    for job, total in zip(jobs, totals, strict=True):
        work.translate(job, total)
    work.cuts.warn(work.translator.limits(config.decoding))
    work.long_sources.warn("" if work.split else " split=sentences translates each sentence of a line on its own.")
    return 0


def plan(config: TranslateConfig) -> list[TranslateConfig]:
    """A configuration with one input and one output for each input.

    Raises ConfigError or DataError where an output can't be written, or would replace an input or another output.
    """
    if config.alignments is not None:
        if os.path.realpath(config.alignments) == os.path.realpath(config.output):
            raise ConfigError(f"alignments={config.alignments} and output={config.output}: take two different files.")
        check_output(config.alignments)
    if isinstance(config.input, str) or config.output == "-":
        check_output(config.output)
        names = [config.input] if isinstance(config.input, str) else config.input
        written = {os.path.realpath(name) for name in (config.output, config.alignments) if name not in (None, "-")}
        for name in (*names, *([config.prefix] if config.prefix else [])):
            if os.path.isfile(name) and os.path.realpath(name) in written:
                raise ConfigError(f"output={config.output}: {name} would be replaced. Give another file.")
        return [dataclasses.replace(config, input=name) for name in names]
    make_directory(Path(config.output))
    inputs: dict[str, str] = {}
    for name in config.input:
        output = str(Path(config.output) / Path(name).name)
        if output in inputs:
            raise ConfigError(f"input=[{inputs[output]},{name}]: both would be written to {output}. Rename one.")
        if os.path.realpath(output) == os.path.realpath(name):
            raise ConfigError(f"output={config.output}: {name} would be replaced. Give another directory.")
        check_output(output)
        inputs[output] = name
    return [dataclasses.replace(config, input=name, output=output) for output, name in inputs.items()]


class Work:
    """What `translate` does with one model."""

    def __init__(self, config: TranslateConfig, translator: Translator) -> None:
        """Raises ConfigError where alignments are asked for that can't be had."""
        self.translator = translator
        self.decoding = config.decoding
        self.aligner = Aligner.of(translator)
        if config.alignments is not None and self.aligner is None:
            raise ConfigError(
                f"alignments={config.alignments} and checkpoint={config.checkpoint}: a model with "
                "model/attention/placement=none has no attention to align by. Leave alignments=null."
            )
        self.align = config.alignments is not None or config.output_format == "jsonl"
        self.split = SentenceSplitter(translator.source_lang) if config.split == "sentences" else None
        self.long_sources = LongSources(translator.lengths.longest_source)
        self.cuts = CutCount()

    def requests(self, job: TranslateConfig) -> Iterator[list[Request]]:
        """The lines of an input in groups, with few lines where each has many sentences."""
        most = self.translator.group_size(job.decoding) if self.split is None else job.decoding.batch_size
        return requests(job, most, self._check)

    def _check(self, line: str, name: str) -> None:
        for sentence in [line] if self.split is None else self.split(line):
            self.translator.check_line(sentence, name)

    def count_lines(self, job: TranslateConfig) -> int | None:
        """Lines of an input, which are looked through; None for a pipe. Raises DataError for what can't be read."""
        if is_pipe(input_name(job)) or (job.prefix is not None and is_pipe(job.prefix)):
            return None
        return sum(len(group) for group in self.requests(job))

    def translate(self, job: TranslateConfig, total: int | None) -> None:
        """Translate an input of so many lines, or with `resume` what is left of it."""
        outputs = [name for name in (job.output, job.alignments) if name is not None]
        done = 0
        if job.resume:
            if is_complete(outputs, total, job.decoding.n_best):
                self._check_sources(job, Path(job.output))
                logger.info("%s: complete, and left as it is", job.output)
                return
            done = self._finished(job, outputs, total)
        try:
            for sentences in self._groups(job, outputs, total, done):
                done += sentences
        except BaseException:
            if done and (partial := partial_path(job.output)) is not None:
                of_all = "" if total is None else f" of {total:,}"
                logger.info(
                    "%s: %s%s lines are translated. Give resume=true to continue from there.",
                    partial,
                    f"{done:,}",
                    of_all,
                )
            raise

    def _groups(self, job: TranslateConfig, outputs: Sequence[str], total: int | None, done: int) -> Iterator[int]:
        """Translate group by group; each gives its number of lines when they are written."""
        with ExitStack() as stack:
            advance = stack.enter_context(progress(total, done, hidden=is_typed(input_name(job))))
            kept = done * job.decoding.n_best
            opened = [stack.enter_context(partial_stream(name, kept)) for name in outputs]
            for group in skip(self.requests(job), done):
                found = list(self._translate(group, advance))
                self.cuts.add(translation for translation, _ in found)
                with tqdm.external_write_mode():  # on the same terminal a bar makes way
                    for of_line in found:
                        for (file, _), line in zip(opened, lines(job, *of_line), strict=True):
                            print(line, file=file)
                    for _, keep in opened:
                        keep()
                yield len(group)

    def _translate(self, group: Sequence[Request], advance: Callable[[int], object]) -> Iterator[Aligned]:
        if self.split is None:
            found = self.translator.translate_group(group, self.decoding, keep_attention=self.align, advance=advance)
            for request, ranked in zip(group, found, strict=True):
                self.long_sources.add(request.number + 1, ranked[:1])
                yield from ((translation, self._alignment(translation)) for translation in ranked)
            return
        sentences = [self.split(request.line) for request in group]
        flat = [Request(part, of.number) for of, parts in zip(group, sentences, strict=True) for part in parts]
        translated = iter(self.translator.translate_group(flat, self.decoding, keep_attention=self.align))
        for request, parts in zip(group, sentences, strict=True):
            bests = [*chain.from_iterable(islice(translated, len(parts)))]
            self.long_sources.add(request.number + 1, bests)
            aligned = [alignment for best in bests if (alignment := self._alignment(best)) is not None]
            joined = join_translations(request.line, bests, self.translator.target_lang)
            yield joined, join_alignments(aligned) if aligned else None
        advance(len(group))

    def _alignment(self, translation: Translation) -> WordAlignment | None:
        return self.aligner.translation(translation) if self.align and self.aligner is not None else None

    def _finished(self, job: TranslateConfig, outputs: Sequence[str], total: int | None) -> int:
        """Lines that are translated. Raises DataError where they are not those of this input."""
        done = finished_sentences(outputs, job.decoding.n_best)
        partial = partial_path(job.output)
        if partial is None or not done:
            return 0
        advice = f"Delete {partial} to begin again, or give the input that it is of."
        if total is not None and done > total:
            raise DataError(f"{partial}: has {done} translated lines, but {job.input} has {total}. {advice}")
        if total is not None:
            self._check_sources(job, partial)
        return done

    def _check_sources(self, job: TranslateConfig, path: Path) -> None:
        """Raises DataError where a file of JSONL, complete or not, has the translations of another input."""
        if job.output_format != "jsonl":
            return
        texts = islice(whole_lines(path, packed=job.output.endswith(".gz")), 0, None, job.decoding.n_best)
        for request, text in zip(chain.from_iterable(self.requests(job)), texts, strict=False):
            if source_of(text) != request.line:
                raise DataError(
                    f"{path}: line {request.number + 1} of {job.input} has another source. Delete {path} to begin "
                    "again, or give the input that it is of."
                )


def source_of(line: str) -> str | None:
    """The source of a JSONL line; None if it is not one."""
    try:
        found: str = parse_json(line)["source"]
        return found
    except (ValueError, KeyError, TypeError):
        return None


def skip(groups: Iterator[list[Request]], done: int) -> Iterator[list[Request]]:
    """Without the first lines."""
    for group in groups:
        if left := [request for request in group if request.number >= done]:
            yield left


def lines(job: TranslateConfig, translation: Translation, alignment: WordAlignment | None) -> Iterator[str]:
    """What a translation is in the output, and in the file of alignments if there is one."""
    if job.output_format == "jsonl":
        yield json.dumps(as_json(translation, alignment), ensure_ascii=False)
    else:
        yield translation.text
    if job.alignments is not None and alignment is not None:
        soft = job.alignments.removesuffix(".gz").endswith(".jsonl")
        yield soft_line(translation.source, translation.text, alignment, translation) if soft else str(alignment)


def requests(
    config: TranslateConfig, most: int, check: Callable[[str, str], None] = lambda line, name: None
) -> Iterator[list[Request]]:
    """The lines of an input in groups, each with the prefix of the same number.

    Raises DataError unless both are as many, and for a line that can't be read or that `check` refuses; on a pipe that
    is told, and the line is taken for a blank one.
    """
    name = input_name(config)
    if config.prefix is not None and config.prefix == name:
        raise ConfigError(f"prefix={config.prefix} and input={name}: take two different files.")
    prefixes: Iterator[str | None] = repeat("") if config.prefix is None else chain(input_lines(config.prefix), [None])
    number = 0
    read = partial(layout(config.checkpoint, config.columns).lines, side=SOURCE)
    for group in input_groups(name, most, read):
        if not number and is_jsonl([line for line in group if isinstance(line, str)]):
            raise DataError(
                f"{name}: JSON lines, as translate output_format=jsonl writes them, and not text. Give their "
                "`source` alone, a sentence on each line."
            )
        found = []
        for line in group:
            if (prefix := next(prefixes)) is None:
                raise DataError(
                    f"{config.prefix}: {number} lines, but {name} has more; expected a line for each, "
                    "blank where a translation may begin as it will"
                )
            found.append(Request(_readable(line, name, number + 1, check), number, prefix))
            number += 1
        yield found
    if config.prefix is not None and next(prefixes) is not None:
        raise DataError(f"{config.prefix}: more lines than the {number} of {name}; expected one for each")


def _readable(line: str | DataError, name: str, number: int, check: Callable[[str, str], None]) -> str:
    try:
        if isinstance(line, DataError):
            raise line
        check(line, f"{'stdin' if name == '-' else name}:{number}")
    except DataError as error:
        if not is_pipe(name):
            raise
        logger.warning("%s; answered by a blank line", error)
        return ""
    return line


def input_name(config: TranslateConfig) -> str:
    """The only input."""
    assert isinstance(config.input, str)
    return config.input


def as_json(translation: Translation, alignment: WordAlignment | None) -> dict[str, Any]:
    """A JSONL line; `alignment` is null where the model has no attention, and `sentences` is there for joined ones."""
    return {
        "source": translation.source,
        "translation": translation.text,
        "score": translation.score,
        "rank": translation.rank,
        "tokens": translation.tokens,
        "token_scores": translation.token_scores,
        "shortlist": translation.shortlist,
        "alignment": alignment and str(alignment),
        **({} if translation.sentences == 1 else {"sentences": translation.sentences}),
    }
