"""`seq2seq align`: which word of the source each word of a given translation comes from."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from typing import Any

from seq2seq.cli.files import input_lines, output_stream
from seq2seq.cli.machine import choose_device
from seq2seq.cli.score import force_all, read_pairs
from seq2seq.config import AlignConfig, ConfigError
from seq2seq.inference.alignment import Aligner, Gold, Link, WordAlignment, agreement, read_gold
from seq2seq.inference.forced import Pair
from seq2seq.text.corpus import DataError
from seq2seq.text.words import find_words
from seq2seq.training.checkpoint import load_translator

logger = logging.getLogger(__name__)


def run(config: AlignConfig, choices: dict[str, str]) -> int:
    """Print the alignments, and with gold ones how well they agree."""
    if config.output_format == "json" and config.gold is None:
        raise ConfigError("output_format=json prints the agreement with gold=FILE: give gold, or take jsonl or text")
    translator = load_translator(config.checkpoint, choose_device(config.device))
    aligner = Aligner.of(translator)
    if aligner is None:
        raise ConfigError(
            f"checkpoint={config.checkpoint}: a model with model/attention/placement=none has no attention to align "
            "by. Take a checkpoint with another placement."
        )
    pairs = read_pairs(config.source, config.target, translator)
    gold = None if config.gold is None else read_gold_file(config.gold, config.gold_base, pairs, aligner)
    links: list[Sequence[Link]] = []
    with output_stream(config.output) as output:
        for forced in force_all(translator, pairs, config.batch_size):
            alignment = aligner.forced(forced)
            links.append(alignment.links)
            if config.output_format == "jsonl":
                print(json.dumps(as_json(forced.pair, alignment), ensure_ascii=False), file=output)
            elif config.output_format == "text":
                print(alignment, file=output)
        if gold is not None:
            result = agreement(links, gold)
            if config.output_format == "json":
                print(json.dumps(dataclasses.asdict(result)), file=output)
            else:
                logger.info("%s", result)
    return 0


def as_json(pair: Pair, alignment: WordAlignment) -> dict[str, Any]:
    """A JSONL line; `matrix` has a row for each target word."""
    return {
        "source": pair.source,
        "translation": pair.target,
        "source_words": alignment.source,
        "target_words": alignment.target,
        "alignment": str(alignment),
        "matrix": [[round(weight, 6) for weight in row] for row in alignment.matrix.tolist()],
    }


def read_gold_file(name: str, base: int, pairs: Sequence[Pair], aligner: Aligner) -> list[Gold]:
    """The gold links of each pair. Raises DataError unless they link words that are there."""
    lines = list(input_lines(name))
    if len(lines) != len(pairs):
        number = min(len(lines), len(pairs)) + 1
        what = "the file ends here, but there is a" if len(lines) < len(pairs) else "there is no"
        raise DataError(
            f"{name}:{number}: {what} pair {number} of source and target ({len(lines)} lines of gold, "
            f"{len(pairs)} pairs); a line is needed for each pair, blank where nothing is linked"
        )
    found = []
    for number, (line, pair) in enumerate(zip(lines, pairs, strict=True), 1):
        gold = read_gold(line, base, f"{name}:{number}")
        words = (
            len(find_words(pair.source, aligner.source.language)),
            len(find_words(pair.target, aligner.target.language)),
        )
        for link in sorted(gold.possible):
            if link[0] >= words[0] or link[1] >= words[1]:
                raise DataError(
                    f"{name}:{number}: the link of source word {link[0] + base} and target word {link[1] + base} is "
                    f"out of range: this pair has {words[0]} and {words[1]} words, counted from {base} "
                    f"(gold_base={base})"
                )
        found.append(gold)
    return found
