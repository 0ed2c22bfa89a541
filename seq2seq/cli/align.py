"""`seq2seq align`: which word of the source each word of a given translation comes from."""

import dataclasses
import json
import logging
from collections.abc import Sequence

from seq2seq.cli.files import check_output, input_lines, output_stream
from seq2seq.cli.progress import progress
from seq2seq.cli.reading import layout
from seq2seq.cli.score import force_all, read_pairs
from seq2seq.config import AlignConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.alignment import Aligner, Gold, WordAlignment, agreement, read_gold
from seq2seq.inference.forced_scores import ScoredPair, SentencePair
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translation import Translation
from seq2seq.text.word_alignments import Link
from seq2seq.text.words import find_words

logger = logging.getLogger(__name__)


def run(config: AlignConfig) -> int:
    """Print the alignments, and with gold ones how well they agree."""
    if config.output_format == "json" and config.gold is None:
        raise ConfigError("output_format=json prints the agreement with gold=FILE: give gold, or take jsonl or text")
    check_output(config.output)
    translator = load_translator(config.checkpoint, config.device)
    aligner = Aligner.of(translator)
    if aligner is None:
        raise ConfigError(
            f"checkpoint={config.checkpoint}: a model with model/attention/placement=none has no attention to align "
            "by. Take a checkpoint with another placement."
        )
    pairs = read_pairs(config.source, config.target, translator, layout(config.checkpoint, config.columns))
    gold = (
        None
        if config.gold is None
        else read_gold_file(config.gold, config.gold_base, pairs, (translator.source_lang, translator.target_lang))
    )
    links: list[Sequence[Link]] = []
    with output_stream(config.output) as output, progress(len(pairs)) as advance:
        for forced in force_all(translator, pairs, config.batch_size, config.precision, advance=advance):
            alignment = aligner.scored(forced)
            links.append(alignment.links)
            if config.output_format == "jsonl":
                print(soft_line(forced.pair.source, forced.pair.target, alignment, forced), file=output)
            elif config.output_format == "text":
                print(alignment, file=output)
        if gold is not None:
            result = agreement(links, gold)
            if config.output_format == "json":
                print(json.dumps(dataclasses.asdict(result)), file=output)
            else:
                logger.info("%s", result)
    return 0


def soft_line(source: str, target: str, alignment: WordAlignment, said: ScoredPair | Translation) -> str:
    """A JSONL line: `matrix` has a row for each target word, `attention` (the mean over heads) one for each token."""
    attention = [] if said.attention is None else said.attention.mean(0).tolist()
    values = {
        "source": source,
        "translation": target,
        "source_words": alignment.source,
        "target_words": alignment.target,
        "alignment": str(alignment),
        "matrix": _rounded(alignment.matrix.tolist()),
        "source_tokens": said.source_tokens,
        "tokens": said.tokens,
        "attention": _rounded(attention),
    }
    return json.dumps(values, ensure_ascii=False)


def _rounded(matrix: list[list[float]]) -> list[list[float]]:
    return [[round(weight, 6) for weight in row] for row in matrix]


def read_gold_file(name: str, base: int, pairs: Sequence[SentencePair], languages: tuple[str, str]) -> list[Gold]:
    """The gold links of each pair of these languages. Raises DataError unless they link words that are there."""
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
        words = (len(find_words(pair.source, languages[0])), len(find_words(pair.target, languages[1])))
        for link in sorted(gold.possible):
            if link[0] >= words[0] or link[1] >= words[1]:
                raise DataError(
                    f"{name}:{number}: the link of source word {link[0] + base} and target word {link[1] + base} is "
                    f"out of range: this pair has {words[0]} and {words[1]} words, counted from {base} "
                    f"(gold_base={base})"
                )
        found.append(gold)
    return found
