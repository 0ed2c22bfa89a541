"""`seq2seq align`: aligns the words of given translations with the words of their sources."""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from seq2seq.checkpoint import find_to_extend
from seq2seq.cli.files import check_output, output_stream, progress
from seq2seq.cli.reading import find_aligner, layout, read_gold_file, read_pairs, score_all
from seq2seq.cli.rows import alignment_row
from seq2seq.config import AlignConfig, several
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import Aligner, WordAlignment, agreement
from seq2seq.inference.forced_scores import ScoredPair, SentencePair
from seq2seq.inference.link_rules import LinkRules
from seq2seq.inference.loading import load_translator
from seq2seq.inference.symmetrisation import METHODS, both_directions, tune
from seq2seq.inference.translator import Translator
from seq2seq.text.languages import base_language
from seq2seq.text.word_alignments import Link

logger = logging.getLogger(__name__)

_TUNED = 2000
"""Pairs from which it is chosen how links are read: enough, and their attention fits into memory"""


def run(config: AlignConfig) -> int:
    """Print the alignments, and their agreement with gold ones."""
    if config.output_format == "json" and config.gold is None:
        raise ConfigError("output_format=json prints the agreement with gold=FILE: give gold, or use jsonl or text")
    check_output(config.output, [config.source, config.target, config.gold])
    for names in (config.checkpoint, config.reverse) if config.tune else ():
        find_to_extend(Path(several(names)[0]))
    translator = load_translator(config.checkpoint, config.device)
    reverse = None if config.reverse is None else load_reverse(config, translator)
    pairs = read_pairs(config.source, config.target, translator, layout(config.checkpoint, config.columns))
    languages = (translator.source_lang, translator.target_lang)
    gold = None if config.gold is None else read_gold_file(config.gold, config.gold_base, pairs, languages)
    links: list[Sequence[Link]] = []
    with output_stream(config.output) as output, progress(len(pairs)) as advance:
        for scored, alignment in align(config, translator, reverse, pairs, advance):
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


def load_reverse(config: AlignConfig, forward: Translator) -> Translator:
    """Load the model of the other direction. Raises ConfigError if it is none, or reads the sentences before."""
    assert config.reverse is not None
    reverse = load_translator(config.reverse, config.device)
    found = (reverse.source_lang, reverse.target_lang)
    if [*map(base_language, found)] != [base_language(forward.target_lang), base_language(forward.source_lang)]:
        raise ConfigError(
            f"reverse={config.reverse}: translates {found[0]} to {found[1]}, but {config.checkpoint} "
            f"{forward.source_lang} to {forward.target_lang}. Expected a model of the other direction."
        )
    if reverse.context:
        raise ConfigError(
            f"reverse={config.reverse}: reads {reverse.context} sentences before (data.context), and targets come "
            "without them. Use a sentence-level model."
        )
    return reverse


def align(
    config: AlignConfig,
    translator: Translator,
    reverse: Translator | None,
    pairs: Sequence[SentencePair],
    advance: Callable[[int], object],
) -> Iterator[tuple[ScoredPair, WordAlignment]]:
    """Yield each pair with its alignment, by one direction or both; `advance` is called with numbers of pairs read."""
    given = config.batch_size, config.precision
    purpose = "to align by", config.layer, config.attention
    aligner = find_aligner(translator, config.checkpoint, *purpose)
    forward = score_all(translator, pairs, *given, attention=config.attention, advance=advance)
    if reverse is None or config.reverse is None:
        yield from ((scored, aligner.align(scored)) for scored in forward)
        return
    other = find_aligner(reverse, config.reverse, *purpose)
    swapped = [SentencePair(pair.target, pair.source) for pair in pairs]
    backward = score_all(reverse, swapped, *given, attention=config.attention)
    both: Iterator[tuple[ScoredPair, ScoredPair]] = zip(forward, backward, strict=True)
    if config.tune and (first := list(islice(both, _TUNED))):
        aligner, other = tuned(config, (aligner, other), first)
        both = chain(first, both)
    for scored, back in both:
        yield scored, both_directions(aligner.align(scored), other.align(back), METHODS[config.symmetrise])


def tuned(
    config: AlignConfig, aligners: tuple[Aligner, Aligner], pairs: Sequence[tuple[ScoredPair, ScoredPair]]
) -> list[Aligner]:
    """Tune the aligners of both directions on these pairs, and keep their rules in the checkpoints."""
    found = tune(aligners, *zip(*pairs, strict=True))
    for names, rule in zip((config.checkpoint, config.reverse), found.rules, strict=True):
        directory = find_to_extend(Path(several(names)[0]))
        logger.info("%s: %s", directory, rule)
        replace(LinkRules.load(directory), **{config.attention: rule}).save(directory)
    logger.info("the two directions agree on %.1f %% of their links", 100 * found.agreement)
    return [replace(aligner, rule=rule) for aligner, rule in zip(aligners, found.rules, strict=True)]
