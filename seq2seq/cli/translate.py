"""`seq2seq translate`: one line in, one line out, always, in order."""

import json
from contextlib import nullcontext
from itertools import chain
from typing import Any

from seq2seq.cli.files import input_groups, output_stream
from seq2seq.cli.machine import choose_device
from seq2seq.config import ConfigError, TranslateConfig
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.translator import Translation
from seq2seq.training.checkpoint import load_translator


def run(config: TranslateConfig, choices: dict[str, str]) -> int:
    """Translate; with n_best > 1 every source line gives that many output lines, best first."""
    translator = load_translator(config.checkpoint, choose_device(config.device))
    aligner = Aligner.of(translator)
    refuse_alignments(config, aligner)
    alignments_stream = nullcontext() if config.alignments is None else output_stream(config.alignments)
    with output_stream(config.output) as output, alignments_stream as alignments:
        for group in input_groups(config.input, translator.group_size(config.decoding)):
            for translation in chain.from_iterable(translator.translate_group(group, config.decoding)):
                if config.output_format == "jsonl":
                    print(json.dumps(as_json(translation, aligner), ensure_ascii=False), file=output)
                else:
                    print(translation.text, file=output)
                if alignments is not None and aligner is not None:
                    print(aligner.translation(translation), file=alignments)
            output.flush()
    return 0


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


def as_json(translation: Translation, aligner: Aligner | None) -> dict[str, Any]:
    """A JSONL line; `alignment` is null where the model has no attention."""
    return {
        "source": translation.source,
        "translation": translation.text,
        "score": translation.score,
        "rank": translation.rank,
        "tokens": translation.tokens,
        "token_scores": translation.token_scores,
        "alignment": aligner and str(aligner.translation(translation)),
    }
