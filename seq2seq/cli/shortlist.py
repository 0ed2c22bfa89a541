"""`seq2seq shortlist`: which target pieces go with each source piece, into the checkpoint."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from seq2seq.cli.machine import choose_device
from seq2seq.config import ConfigError, Data, NoAttention, ShortlistConfig, several
from seq2seq.inference.shortlist import FILE, learn
from seq2seq.text.corpus import DataError, ParallelText, find_file
from seq2seq.text.protection import common
from seq2seq.training import checkpoint

logger = logging.getLogger(__name__)

Pair = tuple[str, str]


def run(config: ShortlistConfig, choices: dict[str, str]) -> int:
    """Align, count, and write the table beside the weights."""
    directory = checkpoint.find(Path(config.checkpoint))
    of = checkpoint.load(directory, choose_device(config.device))
    if isinstance(of.options.attention.placement, NoAttention):
        raise ConfigError(
            f"checkpoint={config.checkpoint}: a model with model/attention/placement=none has no attention to align "
            "by. Take a checkpoint with another placement."
        )
    texts = _texts(config, of.data)
    name = ", ".join(text.name for text in texts)
    every = (pair for text in texts for pair in text.pairs())
    filled = ((s, t) for s, t in every if not (of.source.is_blank(s) or of.target.is_blank(t)))
    pairs = draw(filled, config.max_pairs, config.seed)
    shared = [common(of.source.protected(s), of.target.protected(t)) for s, t in pairs]
    sources, targets = of.source.encode([s for s, _ in pairs], shared), of.target.encode([t for _, t in pairs], shared)
    encoded = zip(sources, targets, strict=True)
    short = [pair for pair in encoded if max(map(len, pair)) <= of.data.max_length]
    if not short:
        raise DataError(f"{name}: no pair of at most data.max_length={of.data.max_length} pieces to align")
    logger.info("%s: aligning %d pairs", name, len(short))
    sources, targets = [source for source, _ in short], [target for _, target in short]
    found = learn(of.model.eval(), sources, targets, config.candidates, config.batch_size)
    found.save(directory)
    logger.info("%s: %d candidates for each source piece", directory / FILE, found.candidates.shape[1])
    return 0


def _texts(config: ShortlistConfig, data: Data) -> list[ParallelText]:
    """What is to be aligned. Raises DataError where it is not there."""
    if config.source is not None and config.target is not None:
        return [ParallelText(config.source, (find_file(config.source), find_file(config.target)))]
    try:
        return [ParallelText.find(name, data.source_lang, data.target_lang) for name in several(data.train)]
    except DataError as error:
        message = f"{error}; the checkpoint was trained on it. Give text to align: source=FILE target=FILE"
        raise DataError(message) from error


def draw(pairs: Iterable[Pair], most: int | None, seed: int) -> Sequence[Pair]:
    """So many of the pairs, each as likely as any other (Vitter 1985, algorithm R); None: all."""
    generator = np.random.default_rng(seed)
    drawn: list[Pair] = []
    for number, pair in enumerate(pairs):
        if most is None or number < most:
            drawn.append(pair)
        elif (place := int(generator.integers(number + 1))) < most:
            drawn[place] = pair
    return drawn
