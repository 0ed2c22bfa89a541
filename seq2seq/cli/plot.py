"""`seq2seq plot`: draws the attention of each sentence."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from seq2seq.cli.files import check_directory, make_directory, output_file, output_stream
from seq2seq.cli.reading import SOURCE, find_aligner, layout, read_pairs, score_all
from seq2seq.config import PlotConfig, several
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.forced_scores import Result
from seq2seq.inference.heatmap import Heatmap, in_words, of_translation
from seq2seq.inference.loading import load_translator
from seq2seq.inference.pages import write_heatmaps
from seq2seq.inference.translator import Translator
from seq2seq.inference.windows import token_windows
from seq2seq.text.words import Words
from seq2seq.version import install_command

logger = logging.getLogger(__name__)

Numbered = tuple[int, Heatmap]
"""The number of a line, from 1, and its heat map"""
_NAMED = 10
"""Maximum number of characters without a font that are named."""


def run(config: PlotConfig) -> int:
    """Draw the attention matrix of each line, numbered like the lines; skip blank lines."""
    _check_output(config)
    translator = load_translator(config.checkpoint, config.device)
    aligner = find_aligner(translator, config.checkpoint, "to draw", config.layer)
    heatmaps = _heatmaps(config, translator, aligner)
    if config.output_format == "text":
        for _, heatmap in heatmaps:
            print(f"{heatmap.source}\n{heatmap.target}\n{heatmap}\n")
    elif config.output_format == "html":
        _write_page(config, translator, heatmaps)
    else:
        _write_pictures(config, translator, heatmaps)
    return 0


def _heatmaps(config: PlotConfig, translator: Translator, aligner: Aligner) -> Iterator[Numbered]:
    """Yield the heat map of every non-blank line, by words, or by pieces with their windows."""
    drawn, decoding = _drawn(config, translator, aligner), config.decoding
    if config.units == "words":
        words = ((number, in_words(heatmap, aligner.source.line(heatmap.source), t)) for number, heatmap, t in drawn)
        yield from ((number, heatmap) for number, heatmap in words if heatmap.rows and heatmap.columns)
        return
    while group := [(number, heatmap) for number, heatmap, _ in islice(drawn, decoding.batch_size)]:
        sources, rows = [heatmap.source for _, heatmap in group], [heatmap.rows for _, heatmap in group]
        windows = token_windows(translator, sources, rows, decoding.precision, decoding.batch_size)
        for (number, heatmap), seen in zip(group, windows, strict=True):
            yield number, dataclasses.replace(heatmap, windows=seen)


def _drawn(config: PlotConfig, translator: Translator, aligner: Aligner) -> Iterator[tuple[int, Heatmap, Words]]:
    """Yield the number, the heat map and the target words of every line with attention."""
    columns, decoding = layout(config.checkpoint, config.columns), config.decoding
    results: Iterator[Result]
    if config.target is None:
        results = (best for best, *_ in translator.translate_lines(columns.lines(config.input, SOURCE), decoding))
    else:
        pairs = read_pairs(config.input, config.target, translator, columns)
        results = score_all(translator, pairs, decoding.batch_size, decoding.precision, decoding.shortlist)
    for number, result in enumerate(results, 1):
        if (heatmap := of_translation(result)) is not None:
            heatmap = heatmap.mean_over_heads() if config.heads == "mean" else heatmap
            yield number, heatmap, aligner.target_words(result)


def _page(output: str) -> str:
    return output if output == "-" or output.endswith(".html") else str(Path(output) / "index.html")


def _check_output(config: PlotConfig) -> None:
    """Raise DataError if the output can't be written, ConfigError if it can't be drawn."""
    if config.output_format == "html":
        check_directory(str(Path(_page(config.output)).parent))
    elif config.output_format != "text":
        if config.output == "-":
            raise ConfigError("output=-: pictures are separate files. Give a directory, output=pictures.")
        try:
            import seq2seq.inference.picture  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"output_format={config.output_format}: pictures need matplotlib. Use output_format=html or text, or "
                f"install it: {install_command('plots')}"
            ) from error
        check_directory(config.output)


def _write_page(config: PlotConfig, translator: Translator, heatmaps: Iterable[Numbered]) -> None:
    name = _page(config.output)
    make_directory(Path(name).parent)
    with output_stream(name) as file:
        layer = "" if config.layer is None else f", layer {config.layer}"
        title = f"Attention of {', '.join(several(config.checkpoint))}{layer}"
        write_heatmaps(file, title, (translator.source_lang, translator.target_lang), heatmaps)
    if name != "-":
        print(name)


def _write_pictures(config: PlotConfig, translator: Translator, heatmaps: Iterable[Numbered]) -> None:
    from seq2seq.inference.picture import Painter

    painter = Painter(translator.source_lang, translator.target_lang)
    directory = make_directory(config.output)
    for number, heatmap in heatmaps:
        path = directory / f"{number:04}.{config.output_format}"
        with output_file(str(path)) as unfinished:
            unfinished.write_bytes(painter.draw(heatmap, config.output_format))
        print(path)
    if painter.missing and config.output_format != "svg":
        missing = sorted(painter.missing)
        logger.warning(
            "%d characters have no font here and became boxes: %s%s. Install a font that has them, for Chinese, "
            "Japanese and Korean: %s; output_format=svg and html leave fonts to the viewer.",
            len(missing),
            " ".join(missing[:_NAMED]),
            " ..." if len(missing) > _NAMED else "",
            install_command("plots-cjk"),
        )
