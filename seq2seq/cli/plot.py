"""`seq2seq plot`: draws the attention of each sentence."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from seq2seq.cli.files import check_directory, check_output, make_directory, output_file, output_stream
from seq2seq.cli.reading import SOURCE, find_aligner, layout, read_pairs, score_all
from seq2seq.config import Decoding, PlotConfig, several
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import Aligner, in_words
from seq2seq.inference.context_view import view_context
from seq2seq.inference.forced_scores import with_posterior
from seq2seq.inference.heatmap import Heatmap
from seq2seq.inference.loading import load_translator
from seq2seq.inference.pages import write_heatmaps
from seq2seq.inference.translation import Translation, in_documents
from seq2seq.inference.translator import Translator
from seq2seq.inference.windows import token_windows
from seq2seq.version import install_command

logger = logging.getLogger(__name__)

Numbered = tuple[int, Heatmap]
"""The number of a line, from 1, and a heat map of it"""
_NAMED = 10
"""Maximum number of characters without a font that are named."""


def run(config: PlotConfig) -> int:
    """Draw the attention matrix of each line, numbered like the lines; skip blank lines."""
    output = config.output or ("-" if config.output_format == "text" else "attention")
    if config.output_format == "html" and output != "-" and not output.endswith(".html"):
        output = str(Path(output) / "index.html")
    _check_output(config, output)
    translator = load_translator(config.checkpoint, config.device)
    config = replace(config, decoding=translator.settled(config.decoding))
    aligner = find_aligner(translator, config.checkpoint, "to draw", config.layer)
    heatmaps = _heatmaps(config, translator, aligner)
    if config.output_format == "text":
        with output_stream(output) as file:
            for _, heatmap in heatmaps:
                print(f"{heatmap.source}\n{heatmap.target}\n{heatmap}\n", file=file)
    elif config.output_format == "html":
        _write_page(config, output, translator, heatmaps)
    else:
        _write_pictures(output, config.output_format, translator, heatmaps)
    return 0


def _heatmaps(config: PlotConfig, translator: Translator, aligner: Aligner) -> Iterator[Numbered]:
    """Yield the heat map of every non-blank line, by words, or by pieces with windows, and that of its context."""
    decoding, in_pieces = config.decoding, config.units == "pieces"
    numbered = ((number, result) for number, result in _results(config, translator) if result.attention is not None)
    while group := list(islice(numbered, decoding.batch_size)):
        results, options = [result for _, result in group], (decoding.precision, decoding.batch_size)
        windows = token_windows(translator, results, *options) if in_pieces else [None] * len(group)
        contexts = view_context(translator, results, *options)
        for (number, result), seen, context in zip(group, windows, contexts, strict=True):
            heatmap = result.heatmap(seen)
            assert heatmap is not None
            heatmap = heatmap.mean_over_heads() if config.heads == "mean" else heatmap
            if not in_pieces:
                heatmap = in_words(heatmap, aligner.source.line(result.source), aligner.target_words(result))
            if heatmap.rows and heatmap.columns:
                yield number, heatmap
            if context is not None:
                yield number, context.heatmap()


def _results(config: PlotConfig, translator: Translator) -> Iterator[tuple[int, Translation]]:
    """Yield the number and the translation or scored pair of every line."""
    columns, decoding = layout(config.checkpoint, config.columns), config.decoding
    results: Iterator[Translation]
    if config.target is None:
        begins = columns.beginnings(config.input) if translator.context else None
        requests = in_documents(columns.lines(config.input, SOURCE), translator.context, begins)
        bests = (best for best, *_ in translator.translate_requests(requests, decoding))
        results = bests if config.attention == "prior" else _in_posterior(translator, bests, decoding)
    else:
        pairs = read_pairs(config.input, config.target, translator, columns)
        options = decoding.batch_size, decoding.precision, decoding.shortlist, config.attention
        results = score_all(translator, pairs, *options)
    return enumerate(results, 1)


def _in_posterior(translator: Translator, bests: Iterator[Translation], decoding: Decoding) -> Iterator[Translation]:
    """Give translations their posterior attention, batch by batch."""
    while group := list(islice(bests, decoding.batch_size)):
        yield from with_posterior(translator, group, decoding.batch_size, decoding.precision)


def _check_output(config: PlotConfig, output: str) -> None:
    """Raise DataError if the output can't be written, ConfigError if it can't be drawn."""
    directory = Path(output).parent
    if config.output_format == "html":
        check_directory(str(directory))
    if config.output_format in ("html", "text"):
        if config.output_format == "text" or directory.exists():
            check_output(output, [config.input, config.target])
        return
    if output == "-":
        raise ConfigError("output=-: pictures are separate files. Give a directory, output=pictures.")
    try:
        import seq2seq.inference.picture  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"output_format={config.output_format}: pictures need matplotlib. Use output_format=html or text, or "
            f"install it: {install_command('plots')}"
        ) from error
    check_directory(output)


def _write_page(config: PlotConfig, output: str, translator: Translator, heatmaps: Iterable[Numbered]) -> None:
    make_directory(Path(output).parent)
    with output_stream(output) as file:
        layer = "" if config.layer is None else f", layer {config.layer}"
        title = f"Attention of {', '.join(several(config.checkpoint))}{layer}"
        write_heatmaps(file, title, (translator.source_lang, translator.target_lang), heatmaps)
    if output != "-":
        print(output)


def _write_pictures(output: str, kind: str, translator: Translator, heatmaps: Iterable[Numbered]) -> None:
    from seq2seq.inference.picture import Painter

    painter = Painter(translator.source_lang, translator.target_lang)
    directory = make_directory(output)
    for number, heatmap in heatmaps:
        name = f"{number:04}-{heatmap.part}" if heatmap.part else f"{number:04}"
        path = directory / f"{name}.{kind}"
        with output_file(str(path)) as unfinished:
            unfinished.write_bytes(painter.draw(heatmap, kind))
        print(path)
    if painter.missing and kind != "svg":
        missing = sorted(painter.missing)
        logger.warning(
            "%d characters have no font here and became boxes: %s%s. Install a font that has them, for Chinese, "
            "Japanese and Korean: %s; output_format=svg and html leave fonts to the viewer.",
            len(missing),
            " ".join(missing[:_NAMED]),
            " ..." if len(missing) > _NAMED else "",
            install_command("plots-cjk"),
        )
