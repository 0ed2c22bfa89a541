"""`seq2seq translate`: one line in, one line out, always, in order."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, repeat
from typing import Any

from seq2seq.cli.align import soft_line
from seq2seq.cli.files import input_groups, input_lines, output_stream
from seq2seq.cli.score import is_jsonl
from seq2seq.config import ConfigError, TranslateConfig
from seq2seq.inference.alignment import Aligner, WordAlignment
from seq2seq.inference.translator import CutCount, Request, Translation
from seq2seq.text.corpus import DataError
from seq2seq.training.checkpoint import load_translator


def run(config: TranslateConfig, choices: dict[str, str]) -> int:
    """Translate; with n_best > 1 every source line gives that many output lines, best first."""
    translator = load_translator(config.checkpoint, config.device)
    aligner = Aligner.of(translator)
    refuse_alignments(config, aligner)
    in_file = soft if (config.alignments or "").endswith(".jsonl") else hard
    alignments_stream = nullcontext() if config.alignments is None else output_stream(config.alignments)
    wanted = config.alignments is not None or config.output_format == "jsonl"
    cuts = CutCount()
    with output_stream(config.output) as output, alignments_stream as alignments:
        for group in requests(config, translator.group_size(config.decoding)):
            found = translator.translate_group(group, config.decoding, keep_attention=wanted)
            cuts.add(chain.from_iterable(found))
            for translation in chain.from_iterable(found):
                alignment = aligner.translation(translation) if wanted and aligner is not None else None
                if config.output_format == "jsonl":
                    print(json.dumps(as_json(translation, alignment), ensure_ascii=False), file=output)
                else:
                    print(translation.text, file=output)
                if alignments is not None and alignment is not None:
                    print(in_file(translation, alignment), file=alignments)
            output.flush()
    cuts.warn(translator.limits(config.decoding))
    return 0


def hard(translation: Translation, alignment: WordAlignment) -> str:
    """A line in Pharaoh's format."""
    return str(alignment)


def soft(translation: Translation, alignment: WordAlignment) -> str:
    """A JSONL line with the matrices."""
    return soft_line(translation.source, translation.text, alignment, translation)


def requests(config: TranslateConfig, most: int) -> Iterator[list[Request]]:
    """The lines in groups, each with the prefix of the same number. Raises DataError unless both are as many."""
    if config.prefix is not None and config.prefix == config.input:
        raise ConfigError(f"prefix={config.prefix} and input={config.input}: take two different files.")
    prefixes: Iterator[str | None] = repeat("") if config.prefix is None else chain(input_lines(config.prefix), [None])
    number = 0
    for group in input_groups(config.input, most):
        if not number and is_jsonl(group):
            raise DataError(
                f"{config.input}: JSON lines, as translate output_format=jsonl writes them, and not text. Give their "
                "`source` alone, a sentence on each line."
            )
        found = []
        for line in group:
            if (prefix := next(prefixes)) is None:
                raise DataError(
                    f"{config.prefix}: {number} lines, but {config.input} has more; expected a line for each, "
                    "blank where a translation may begin as it will"
                )
            found.append(Request(line, number, prefix))
            number += 1
        yield found
    if config.prefix is not None and next(prefixes) is not None:
        raise DataError(f"{config.prefix}: more lines than the {number} of {config.input}; expected one for each")


def refuse_alignments(config: TranslateConfig, aligner: Aligner | None) -> None:
    """Raises ConfigError where alignments are asked for that can't be had."""
    if config.alignments is None:
        return
    if aligner is None:
        raise ConfigError(
            f"alignments={config.alignments} and checkpoint={config.checkpoint}: a model with "
            "model/attention/placement=none has no attention to align by. Leave alignments=null."
        )
    if config.alignments == config.output:
        raise ConfigError(f"alignments={config.alignments} and output={config.output}: take two different files.")


def as_json(translation: Translation, alignment: WordAlignment | None) -> dict[str, Any]:
    """A JSONL line; `alignment` is null where the model has no attention."""
    return {
        "source": translation.source,
        "translation": translation.text,
        "score": translation.score,
        "rank": translation.rank,
        "tokens": translation.tokens,
        "token_scores": translation.token_scores,
        "shortlist": translation.shortlist,
        "alignment": alignment and str(alignment),
    }
