"""`seq2seq symmetrise`: combines the word alignments of two directions."""

import logging
from collections.abc import Iterator

from seq2seq.cli.files import check_output, input_lines, output_stream
from seq2seq.config import SymmetriseConfig
from seq2seq.errors import DataError
from seq2seq.inference.alignment import agreement, read_gold
from seq2seq.inference.symmetrisation import METHODS, order
from seq2seq.text.parallel import zip_lines
from seq2seq.text.word_alignments import Link, read_links

logger = logging.getLogger(__name__)


def run(config: SymmetriseConfig) -> int:
    """Print the combined alignments, and their agreement with gold ones."""
    if config.forward == config.reverse == "-":
        raise DataError("both directions are stdin (-); give a file for one")
    check_output(config.output, [config.forward, config.reverse, config.gold])
    found, golds = list(combined(config)), []
    if config.gold is not None:
        names = (config.gold, config.forward)
        lines = [line for line, _ in zip_lines(names, (input_lines(config.gold), map(str, found)))]
        golds = [read_gold(line, config.gold_base, f"{config.gold}:{n}") for n, line in enumerate(lines, 1)]
    with output_stream(config.output) as output:
        for links in found:
            print(" ".join(f"{i}-{j}" for i, j in links), file=output)
    if config.gold is not None:
        logger.info("%s", agreement(found, golds))
    return 0


def combined(config: SymmetriseConfig) -> Iterator[list[Link]]:
    """Yield the combined links of each pair. Raises DataError for files that differ in length."""
    names, sides = (config.forward, config.reverse), (input_lines(config.forward), input_lines(config.reverse))
    for number, lines in enumerate(zip_lines(names, sides), 1):
        forward, reverse = (read_links(line, f"{name}:{number}") for name, line in zip(names, lines, strict=True))
        yield order(METHODS[config.method](forward, [(i, j) for j, i in reverse] if config.reversed else reverse))
