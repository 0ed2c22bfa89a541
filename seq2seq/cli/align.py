"""`seq2seq align`: aligns the words of given translations with the words of their sources."""

import dataclasses
import json
import logging
from collections.abc import Sequence

from seq2seq.cli.files import check_output, output_stream, progress
from seq2seq.cli.reading import find_aligner, layout, read_gold_file, read_pairs, score_all
from seq2seq.cli.rows import alignment_row
from seq2seq.config import AlignConfig
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import agreement
from seq2seq.inference.loading import load_translator
from seq2seq.text.word_alignments import Link

logger = logging.getLogger(__name__)


def run(config: AlignConfig) -> int:
    """Print the alignments, and their agreement with gold ones."""
    if config.output_format == "json" and config.gold is None:
        raise ConfigError("output_format=json prints the agreement with gold=FILE: give gold, or use jsonl or text")
    check_output(config.output)
    translator = load_translator(config.checkpoint, config.device)
    aligner = find_aligner(translator, config.checkpoint, "to align by", config.layer)
    pairs = read_pairs(config.source, config.target, translator, layout(config.checkpoint, config.columns))
    languages = (translator.source_lang, translator.target_lang)
    gold = None if config.gold is None else read_gold_file(config.gold, config.gold_base, pairs, languages)
    links: list[Sequence[Link]] = []
    with output_stream(config.output) as output, progress(len(pairs)) as advance:
        for scored in score_all(
            translator, pairs, config.batch_size, config.precision, attention=config.attention, advance=advance
        ):
            alignment = aligner.align(scored)
            links.append(alignment.links)
            if config.output_format == "jsonl":
                print(alignment_row(scored, alignment), file=output)
            elif config.output_format == "text":
                print(alignment, file=output)
        if gold is not None:
            result = agreement(links, gold)
            if config.output_format == "json":
                print(json.dumps(dataclasses.asdict(result)), file=output)
            else:
                logger.info("%s", result)
    return 0
