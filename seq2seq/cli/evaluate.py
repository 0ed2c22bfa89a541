"""`seq2seq evaluate`: translate a test set with a checkpoint and score it."""

import json

from seq2seq.cli.bleu import same_length
from seq2seq.cli.files import input_lines, output_stream
from seq2seq.cli.machine import choose_device
from seq2seq.config import EvaluateConfig
from seq2seq.inference import metrics
from seq2seq.text.words import find_words
from seq2seq.training.checkpoint import load_translator


def run(config: EvaluateConfig, choices: dict[str, str]) -> int:
    """Print BLEU, chrF and TER with signatures, and BLEU by source length."""
    sources, references = list(input_lines(config.source)), list(input_lines(config.reference))
    same_length(config.source, sources, config.reference, references)
    translator = load_translator(config.checkpoint, choose_device(config.device))
    tokenizer = config.bleu_tokenizer or metrics.bleu_tokenizer(translator.target_lang)
    metrics.check_tokenizer(tokenizer)
    hypotheses = [best.text for best, *_ in translator.translate(sources, config.decoding)]
    scores = metrics.score(hypotheses, references, tokenizer)
    counts = [len(find_words(source, translator.source_lang)) for source in sources]
    lengths = metrics.bleu_by_length(counts, hypotheses, references, tokenizer)
    with output_stream(config.output) as output:
        if config.output_format == "json":
            table = [{"words": words, "sentences": count, "bleu": bleu} for words, count, bleu in lengths]
            print(json.dumps({**scores.as_dict(), "bleu_by_length": table}), file=output)
        else:
            print(scores, file=output)
            print("\nsource words  sentences   BLEU", file=output)
            for words, count, bleu in lengths:
                print(f"{words:>12}  {count:9}  {bleu:5.2f}", file=output)
    return 0
