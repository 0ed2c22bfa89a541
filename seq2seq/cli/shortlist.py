"""`seq2seq shortlist`: which target pieces go with each source piece, into the checkpoint."""

import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from seq2seq import checkpoint
from seq2seq.cli.files import check_output
from seq2seq.cli.reading import layout
from seq2seq.config import Data, ShortlistConfig
from seq2seq.device import choose_device
from seq2seq.errors import ConfigError, DataError
from seq2seq.search.shortlist import FILE, learn
from seq2seq.text.protection import common
from seq2seq.training.held_out import find_texts

logger = logging.getLogger(__name__)

Pair = tuple[str, str]


def run(config: ShortlistConfig) -> int:
    """Align, count, and write the table beside the weights."""
    directory = checkpoint.find(Path(config.checkpoint))
    check_output(str(directory / FILE))
    of = checkpoint.load(directory, choose_device(config.device))
    if not of.model.attends:
        raise ConfigError(
            f"checkpoint={config.checkpoint}: a model with model/attention/placement=none has no attention to align "
            "by. Take a checkpoint with another placement."
        )
    name, pairs_of = _pairs(config, of.data)
    filled = ((s, t) for s, t in pairs_of if not (of.source.is_blank(s) or of.target.is_blank(t)))
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


def _pairs(config: ShortlistConfig, data: Data) -> tuple[str, Iterable[Pair]]:
    """What is to be aligned, and its name. Raises DataError where it is not there."""
    if config.source is not None:
        return config.source, layout(config.checkpoint, config.columns).pairs(config.source, config.target)
    try:
        texts = find_texts(data).train
        return ", ".join(text.name for text in texts), chain.from_iterable(text.pairs() for text in texts)
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
