"""`seq2seq plot`: what the attention did with each sentence."""

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from seq2seq.cli.files import check_directory, make_directory, output_file, output_stream
from seq2seq.cli.reading import SOURCE, layout
from seq2seq.cli.score import force_all, read_pairs
from seq2seq.config import PlotConfig
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.heatmap import Heatmap, in_words, of_translation
from seq2seq.inference.loading import load_translator
from seq2seq.inference.pages import write_heatmaps
from seq2seq.inference.translator import Translator
from seq2seq.inference.windows import token_windows
from seq2seq.text.words import Words
from seq2seq.version import install_command

logger = logging.getLogger(__name__)

Numbered = tuple[int, Heatmap]
"""The number of a line, from 1, and its heat map."""

_NAMED = 10
"""So many characters without a font are named."""


def run(config: PlotConfig) -> int:
    """Draw the attention matrix of each line, numbered as the lines; blank lines are passed over."""
    if config.output_format in ("png", "svg", "pdf"):
        _check_pictures(config)
    _check_output(config)
    translator = load_translator(config.checkpoint, config.device)
    aligner = Aligner.of(translator)
    if aligner is None:
        raise ConfigError(
            f"checkpoint={config.checkpoint}: a model with model/attention/placement=none has no attention to draw. "
            "Take a checkpoint with another placement."
        )
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
    """Of every line that has something to show."""
    if config.target is None:
        found = _translated(config, translator, aligner)
    else:
        found = _given(config, config.target, translator, aligner)
    if config.units == "words":
        merged = ((number, in_words(heatmap, aligner.source.line(heatmap.source), t)) for number, heatmap, t in found)
        yield from ((number, heatmap) for number, heatmap in merged if heatmap.rows and heatmap.columns)
        return
    decoding = config.decoding
    while group := [(number, heatmap) for number, heatmap, _ in islice(found, decoding.batch_size)]:
        sources, rows = [heatmap.source for _, heatmap in group], [heatmap.rows for _, heatmap in group]
        windows = token_windows(translator, sources, rows, decoding.precision, decoding.batch_size)
        for (number, heatmap), of_heatmap in zip(group, windows, strict=True):
            yield number, dataclasses.replace(heatmap, windows=of_heatmap)


def _translated(config: PlotConfig, translator: Translator, aligner: Aligner) -> Iterator[tuple[int, Heatmap, Words]]:
    """What the model makes of each line, and the words of it."""
    sources = layout(config.checkpoint, config.columns).lines(config.input, SOURCE)
    for number, (best, *_) in enumerate(translator.translate_lines(sources, config.decoding), 1):
        if heatmap := of_translation(best):
            yield number, heatmap, aligner.target_words(best.source, best.text, best.tokens)


def _given(
    config: PlotConfig, target: str, translator: Translator, aligner: Aligner
) -> Iterator[tuple[int, Heatmap, Words]]:
    """What the model makes of each pair, and the words of its target."""
    pairs = read_pairs(config.input, target, translator, layout(config.checkpoint, config.columns))
    decoding = config.decoding
    scored = force_all(translator, pairs, decoding.batch_size, decoding.precision, decoding.shortlist)
    for number, forced in enumerate(scored, 1):
        pair = forced.pair
        if forced.attention is None:
            continue
        sides = (pair.source, pair.target, forced.source_tokens, forced.tokens)
        heatmap = Heatmap(*sides, forced.attention, forced.token_scores, forced.score)
        yield number, heatmap, aligner.target_words(pair.source, pair.target, pair.tokens)


def _page_name(config: PlotConfig) -> str:
    name = config.output
    return name if name == "-" or name.endswith(".html") else str(Path(name) / "index.html")


def _write_page(config: PlotConfig, translator: Translator, heatmaps: Iterable[Numbered]) -> None:
    name = _page_name(config)
    make_directory(Path(name).parent)
    checkpoints = [config.checkpoint] if isinstance(config.checkpoint, str) else config.checkpoint
    with output_stream(name) as file:
        languages = (translator.source_lang, translator.target_lang)
        write_heatmaps(file, f"Attention of {', '.join(checkpoints)}", languages, heatmaps)
    if name != "-":
        print(name)


def _check_output(config: PlotConfig) -> None:
    """Raises DataError where what is drawn can't be written."""
    if config.output_format == "html":
        check_directory(str(Path(_page_name(config)).parent))
    elif config.output_format != "text":
        check_directory(config.output)


def _check_pictures(config: PlotConfig) -> None:
    if config.output == "-":
        raise ConfigError("output=-: pictures are files of their own. Give a directory, output=pictures.")
    try:
        import seq2seq.inference.picture  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"output_format={config.output_format}: pictures need matplotlib. Take output_format=html or text, or "
            f"install it: {install_command('plots')}"
        ) from error


def _write_pictures(config: PlotConfig, translator: Translator, heatmaps: Iterable[Numbered]) -> None:
    from seq2seq.inference.picture import Painter

    painter = Painter(translator.source_lang, translator.target_lang)
    directory = Path(config.output)
    make_directory(directory)
    for number, heatmap in heatmaps:
        path = directory / f"{number:04}.{config.output_format}"
        with output_file(str(path)) as unfinished:
            unfinished.write_bytes(painter.draw(heatmap, config.output_format))
        print(path)
    if painter.missing and config.output_format != "svg":
        missing = sorted(painter.missing)
        logger.warning(
            "%d characters have no font here and became boxes: %s%s. Install a font that has them, for Chinese, "
            "Japanese and Korean: %s; output_format=svg and html leave fonts to whoever looks at them.",
            len(missing),
            " ".join(missing[:_NAMED]),
            " ..." if len(missing) > _NAMED else "",
            install_command("plots-cjk"),
        )
