"""`seq2seq shortlist`: adds to a checkpoint the table of likely target pieces for each source piece."""

import logging
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.cli.files import check_output
from seq2seq.cli.reading import layout
from seq2seq.config import Data, ShortlistConfig
from seq2seq.device import choose_device
from seq2seq.errors import DataError
from seq2seq.inference.alignment import no_attention
from seq2seq.inference.shortlist_making import Pair, draw, encode, make_shortlist
from seq2seq.search.shortlist import FILE
from seq2seq.training.held_out import find_texts

logger = logging.getLogger(__name__)


def run(config: ShortlistConfig) -> int:
    """Align pairs, count links, and write the table beside the weights."""
    directory = checkpoint.find_to_extend(Path(config.checkpoint))
    check_output(str(directory / FILE))
    trained = checkpoint.load(directory, choose_device(config.device))
    source, target, data = trained.source, trained.target, trained.data
    if not trained.model.attends:
        raise no_attention(" to align by", f"checkpoint={config.checkpoint}: ")
    name, pairs = _pairs(config, data)
    filled = ((s, t) for s, t in pairs if not (source.is_blank(s) or target.is_blank(t)))
    tokens = encode(source, target, draw(filled, config.max_pairs, config.seed), data.max_length)
    if not tokens[0]:
        raise DataError(f"{name}: no pair of at most data.max_length={data.max_length} pieces to align")
    logger.info("%s: aligning %d pairs", name, len(tokens[0]))
    shortlist = make_shortlist(trained.model, *tokens, config.candidates, config.batch_size)
    shortlist.save(directory)
    logger.info("%s: %d candidates for each source piece", directory / FILE, shortlist.candidates.shape[1])
    return 0


def _pairs(config: ShortlistConfig, data: Data) -> tuple[str, Iterable[Pair]]:
    """Return the name of the text to align, and its pairs. Raises DataError if it is missing."""
    if config.source is not None:
        return config.source, layout(config.checkpoint, config.columns).pairs(config.source, config.target)
    try:
        texts = find_texts(data).train
        return ", ".join(text.name for text in texts), chain.from_iterable(text.pairs() for text in texts)
    except DataError as error:
        message = f"{error}; the checkpoint was trained on it. Give text to align: source=FILE target=FILE"
        raise DataError(message) from error
