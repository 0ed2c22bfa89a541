"""`seq2seq translate`: one line in, one line out, always, in order."""

import json
from itertools import chain
from typing import Any

from seq2seq.cli.files import input_groups, output_stream
from seq2seq.cli.machine import choose_device
from seq2seq.config import TranslateConfig
from seq2seq.inference.translator import Translation
from seq2seq.training.checkpoint import load_translator


def run(config: TranslateConfig, choices: dict[str, str]) -> int:
    """Translate; with n_best > 1 every source line gives that many output lines, best first."""
    translator = load_translator(config.checkpoint, choose_device(config.device))
    with output_stream(config.output) as output:
        for group in input_groups(config.input, translator.group_size(config.decoding)):
            for translation in chain.from_iterable(translator.translate_group(group, config.decoding)):
                if config.output_format == "jsonl":
                    print(json.dumps(as_json(translation), ensure_ascii=False), file=output)
                else:
                    print(translation.text, file=output)
            output.flush()
    return 0


def as_json(translation: Translation) -> dict[str, Any]:
    """A JSONL line."""
    return {
        "source": translation.source,
        "translation": translation.text,
        "score": translation.score,
        "rank": translation.rank,
        "tokens": translation.tokens,
        "token_scores": translation.token_scores,
    }
