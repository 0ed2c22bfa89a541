"""`seq2seq evaluate`: translates a test set with a checkpoint and scores the translations."""

import importlib.util
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import TextIO

from seq2seq.cli.files import check_directory, check_output, make_directory, output_stream, progress
from seq2seq.cli.reading import RowLayout, check_context, layout
from seq2seq.cli.references import read_test_set
from seq2seq.cli.rows import result_row
from seq2seq.config import EvaluateConfig, several, to_plain
from seq2seq.inference import metrics
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.context_view import view_context
from seq2seq.inference.heatmap import Heatmap
from seq2seq.inference.loading import load_translator
from seq2seq.inference.metrics import LengthBin, Reference, Scores
from seq2seq.inference.pages import write_heatmaps
from seq2seq.inference.report import HEATMAPS, Report, draw_lengths, page
from seq2seq.inference.sentences import LongSources
from seq2seq.inference.translation import Request, Translation, choose_contexts, in_documents
from seq2seq.inference.translator import Translator
from seq2seq.text.moses import MosesTokens
from seq2seq.text.words import find_words
from seq2seq.version import __version__, install_command

logger = logging.getLogger(__name__)

_PLOT = "bleu_by_length.svg"


def run(config: EvaluateConfig) -> int:
    """Print BLEU, chrF and TER with signatures, and BLEU by source length; with `report` write a report as well."""
    check_output(config.output, [config.source, *several(config.reference)])
    if config.report is not None:
        check_directory(config.report)
    columns = layout(config.checkpoint, config.columns)
    sources, references = read_test_set(config.source, config.reference, columns)
    translator = load_translator(config.checkpoint, config.device)
    config = replace(config, decoding=translator.settled(config.decoding))
    requests = _requests(config, translator, sources, columns)
    tokenizer = config.bleu_tokenizer or metrics.bleu_tokenizer(translator.target_lang)
    metrics.check_tokenizer(tokenizer)
    moses = MosesTokens(translator.target_lang) if config.also == "tok_lc" else None
    with progress(len(sources)) as advance:
        translations = translate(config, translator, requests, advance)
        if config.report is not None:
            conditions = {key: getattr(config, key) for key in ("checkpoint", "source", "reference", "context")}
            conditions |= {"decoding": to_plain(config.decoding), "version": __version__}
            report = Report(conditions, translator, config.decoding, tokenizer, moses)
            write_report(config.report, report, translations, references)
            scores, lengths = report.scores, report.lengths
        else:
            hypotheses = [best.text for best in translations]
            scores = metrics.score(hypotheses, references, tokenizer, moses=moses)
            counts = [len(find_words(source, translator.source_lang)) for source in sources]
            lengths = metrics.bleu_by_length(counts, hypotheses, references, tokenizer)
    with output_stream(config.output) as output:
        show(scores, lengths, config.output_format, output)
    return 0


def _requests(
    config: EvaluateConfig, translator: Translator, sources: Sequence[str], columns: RowLayout
) -> list[Request]:
    """Return the sources with the context that was asked for. Raises ConfigError if the model reads none."""
    check_context(config.context, translator, config.checkpoint)
    corpus = config.reference in (None, config.source)
    begins = columns.beginnings(config.source, corpus=corpus) if translator.context else None
    requests = list(in_documents(sources, translator.context, begins))
    contexts = choose_contexts([request.context for request in requests], config.context)
    return [replace(request, context=context) for request, context in zip(requests, contexts, strict=True)]


def translate(
    config: EvaluateConfig, translator: Translator, requests: Sequence[Request], advance: Callable[[int], object]
) -> Iterator[Translation]:
    """Yield the best translation of each source; at the end, log which sources are longer than any in training."""
    long_sources = LongSources(translator.lengths.longest_source)
    keep_attention = config.report is not None
    ranked = translator.translate_requests(requests, config.decoding, keep_attention=keep_attention, advance=advance)
    for number, (best, *_) in enumerate(ranked, 1):
        long_sources.add(number, [best])
        yield best
    long_sources.warn()


def show(scores: Scores, lengths: Sequence[LengthBin], output_format: str, output: TextIO) -> None:
    """Print scores as text, or as one JSON object."""
    if output_format == "json":
        print(json.dumps({**scores.as_dict(), "bleu_by_length": [bin.as_dict() for bin in lengths]}), file=output)
        return
    print(scores, file=output)
    print("\nsource words  sentences   BLEU", file=output)
    for bin in lengths:
        print(f"{bin.words:>12}  {bin.sentences:9}  {bin.bleu:5.2f}", file=output)


def _worst(report: Report) -> Iterator[tuple[int, Heatmap]]:
    """Yield the numbers and the heat maps of the worst sentences: their attention, and what they saw of the context."""
    translations, decoding = [each.translation for each in report.worst], report.decoding
    contexts = view_context(report.translator, translations, decoding.precision, decoding.batch_size)
    for each, context in zip(report.worst, contexts, strict=True):
        maps = each.translation.heatmap(each.windows), None if context is None else context.heatmap()
        yield from ((each.number, heatmap) for heatmap in maps if heatmap is not None)


def write_report(
    name: str, report: Report, translations: Iterator[Translation], references: Sequence[Reference]
) -> None:
    """Write report.html, report.json, translations.txt and .jsonl (as `translate` does), a plot, and heat maps.

    All files appear together when the last one is complete. Until then, an earlier report stays; other files in the
    directory are kept. Raises ConfigError or DataError, before translating, if the report can't be written.
    """
    directory = make_directory(name)
    translator = report.translator
    plots = importlib.util.find_spec("matplotlib") is not None
    if not plots:
        logger.info("the report lacks %s: pictures need matplotlib. Install it: %s", _PLOT, install_command("plots"))
    files = ["report.html", "report.json", "translations.txt", "translations.jsonl"]
    files += [_PLOT] * plots + [HEATMAPS] * translator.attends
    with ExitStack() as stack:
        streams = {file: stack.enter_context(output_stream(str(directory / file))) for file in files}
        aligner = Aligner.of(translator)
        remaining = iter(references)
        while group := list(islice(translations, translator.group_size(report.decoding))):
            alignments = [aligner.align(translation) if aligner else None for translation in group]
            report.read(group, list(islice(remaining, len(group))), alignments)
            for translation, alignment in zip(group, alignments, strict=True):
                print(result_row(translation, alignment), file=streams["translations.jsonl"])
                print(translation.text, file=streams["translations.txt"])
        plot = draw_lengths(report.lengths) if plots else None
        if plot is not None:
            streams[_PLOT].write(plot)
        if translator.attends:
            write_heatmaps(streams[HEATMAPS], "Worst sentences", report.languages, _worst(report))
        streams["report.html"].write(page(report, plot))
        json.dump(report.as_dict(), streams["report.json"], ensure_ascii=False, indent=2)
    for file in {_PLOT, HEATMAPS} - set(files):  # left by an earlier report
        (directory / file).unlink(missing_ok=True)
    logger.info("the report is in %s", directory / "report.html")
