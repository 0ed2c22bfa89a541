"""`seq2seq bleu`: score translations against a reference."""

import json
from collections.abc import Sequence

from seq2seq.cli.files import input_lines, output_stream
from seq2seq.config import BleuConfig
from seq2seq.inference import metrics
from seq2seq.text.corpus import DataError


def run(config: BleuConfig, choices: dict[str, str]) -> int:
    """Print BLEU, chrF and TER with signatures."""
    hypotheses, references = list(input_lines(config.hypothesis)), list(input_lines(config.reference))
    same_length(config.hypothesis, hypotheses, config.reference, references)
    tokenizer = config.bleu_tokenizer or metrics.bleu_tokenizer(config.target_lang)
    metrics.check_tokenizer(tokenizer)
    scores = metrics.score(hypotheses, references, tokenizer)
    with output_stream(config.output) as output:
        print(json.dumps(scores.as_dict()) if config.output_format == "json" else scores, file=output)
    return 0


def same_length(left: str, left_lines: Sequence[str], right: str, right_lines: Sequence[str]) -> None:
    """Raises DataError unless both have as many lines, and any."""
    if left == right == "-":
        raise DataError("both inputs are stdin (-); give a file for one")
    if len(left_lines) != len(right_lines):
        raise DataError(f"{left} has {len(left_lines)} lines and {right} has {len(right_lines)}; expected as many")
    if not left_lines:
        raise DataError(f"{left}: no lines to score")
