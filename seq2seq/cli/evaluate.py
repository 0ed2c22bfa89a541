"""`seq2seq evaluate`: translate a test set with a checkpoint and score it."""

import importlib.util
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TextIO

from seq2seq.cli.bleu import read_references
from seq2seq.cli.files import check_directory, check_output, make_directory, output_stream
from seq2seq.cli.progress import progress
from seq2seq.cli.reading import SOURCE, layout
from seq2seq.cli.translate import as_json
from seq2seq.config import EvaluateConfig, to_plain
from seq2seq.inference import metrics
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.loading import load_translator
from seq2seq.inference.metrics import LengthBin, Reference, Scores
from seq2seq.inference.pages import write_heatmaps
from seq2seq.inference.report import HEATMAPS, Collector, Report, draw_lengths, page
from seq2seq.inference.sentences import LongSources
from seq2seq.inference.translation import Translation
from seq2seq.inference.translator import Translator
from seq2seq.text.words import find_words
from seq2seq.version import __version__, install_command

logger = logging.getLogger(__name__)

_PLOT = "bleu_by_length.svg"


def run(config: EvaluateConfig) -> int:
    """Print BLEU, chrF and TER with signatures, and BLEU by source length; with `report` write all about it."""
    check_output(config.output)
    if config.report is not None:
        check_directory(config.report)
    sources, references = read_test_set(config)
    translator = load_translator(config.checkpoint, config.device)
    tokenizer = config.bleu_tokenizer or metrics.bleu_tokenizer(translator.target_lang)
    metrics.check_tokenizer(tokenizer)
    with progress(len(sources)) as advance:
        translations = translate(config, translator, sources, advance)
        if config.report is not None:
            report = write_report(config, config.report, translator, tokenizer, translations, references)
            scores, lengths = report.scores, report.lengths
        else:
            hypotheses = [best.text for best in translations]
            scores = metrics.score(hypotheses, references, tokenizer)
            counts = [len(find_words(source, translator.source_lang)) for source in sources]
            lengths = metrics.bleu_by_length(counts, hypotheses, references, tokenizer)
    with output_stream(config.output) as output:
        show(scores, lengths, config.output_format, output)
    return 0


def read_test_set(config: EvaluateConfig) -> tuple[Sequence[str], Sequence[Reference]]:
    """Sources and their references. Raises DataError where they are not as many."""
    columns = layout(config.checkpoint, config.columns)
    if config.reference is None or config.reference == config.source:
        return columns.test_set(config.source, config.reference)
    (sources,), references = read_references([config.source], config.reference, columns, SOURCE)
    return sources, references


def translate(
    config: EvaluateConfig, translator: Translator, sources: Sequence[str], advance: Callable[[int], object]
) -> Iterator[Translation]:
    """The best translation of each source."""
    long_sources = LongSources(translator.lengths.longest_source)
    keep_attention = config.report is not None
    found = translator.translate_lines(sources, config.decoding, keep_attention=keep_attention, advance=advance)
    for number, (best, *_) in enumerate(found, 1):
        long_sources.add(number, [best])
        yield best
    long_sources.warn()


def show(scores: Scores, lengths: Sequence[LengthBin], output_format: str, output: TextIO) -> None:
    """As text, or as one JSON object."""
    if output_format == "json":
        print(json.dumps({**scores.as_dict(), "bleu_by_length": [of.as_dict() for of in lengths]}), file=output)
        return
    print(scores, file=output)
    print("\nsource words  sentences   BLEU", file=output)
    for of in lengths:
        print(f"{of.words:>12}  {of.sentences:9}  {of.bleu:5.2f}", file=output)


def write_report(
    config: EvaluateConfig,
    name: str,
    translator: Translator,
    tokenizer: str,
    translations: Iterator[Translation],
    references: Sequence[Reference],
) -> Report:
    """report.html, report.json, translations.txt and .jsonl (as `translate` writes them), a plot, and heat maps.

    All of them are there when the last one is complete, and until then those of an earlier report; other files in the
    directory stay. Raises ConfigError or DataError where it can't be, before anything is translated.
    """
    directory = Path(name)
    make_directory(directory)
    plots = importlib.util.find_spec("matplotlib") is not None
    if not plots:
        logger.info(
            "the report will be without %s: pictures need matplotlib. Install it: %s", _PLOT, install_command("plots")
        )
    files = ["report.html", "report.json", "translations.txt", "translations.jsonl"]
    files += [_PLOT] * plots + [HEATMAPS] * translator.attends
    conditions = {
        "checkpoint": config.checkpoint,
        "source": config.source,
        "reference": config.reference,
        "decoding": to_plain(config.decoding),
        "version": __version__,
    }
    with ExitStack() as stack:
        streams = {file: stack.enter_context(output_stream(str(directory / file))) for file in files}
        collector = Collector(translator, config.decoding, tokenizer)
        aligner = Aligner.of(translator)
        remaining = iter(references)
        while group := list(islice(translations, translator.group_size(config.decoding))):
            collector.read(group, list(islice(remaining, len(group))))
            for translation in group:
                alignment = None if aligner is None else aligner.translation(translation)
                record = json.dumps(as_json(translation, alignment), ensure_ascii=False)
                print(record, file=streams["translations.jsonl"])
                print(translation.text, file=streams["translations.txt"])
        report = collector.report(conditions)
        plot = draw_lengths(report.lengths) if plots else None
        if plot is not None:
            streams[_PLOT].write(plot)
        if translator.attends:
            maps = ((sentence.number, sentence.heatmap()) for sentence, _ in report.worst)
            drawn = [(number, heatmap) for number, heatmap in maps if heatmap is not None]
            write_heatmaps(streams[HEATMAPS], "Worst sentences", report.languages, drawn)
        streams["report.html"].write(page(report, plot))
        json.dump(report.as_dict(), streams["report.json"], ensure_ascii=False, indent=2)
    for file in {_PLOT, HEATMAPS} - set(files):  # of an earlier report
        (directory / file).unlink(missing_ok=True)
    logger.info("the report is in %s", directory / "report.html")
    return report
