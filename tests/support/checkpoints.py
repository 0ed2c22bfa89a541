"""Small checkpoints to save and load."""

from seq2seq import build
from seq2seq.checkpoint import Checkpoint
from seq2seq.config import parse
from seq2seq.text.tokenizer import Tokenizer
from support import FORMAT_1
from support.variants import DEFAULT, fill, model_options

TOKENIZER = Tokenizer.load(FORMAT_1 / "source.model")
DATA = parse("data", {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"})


def checkpoint(change: dict[str, object]) -> Checkpoint:
    options = model_options({**DEFAULT, **change})
    model = fill(build.translation_model(options, len(TOKENIZER), len(TOKENIZER))).eval()
    return Checkpoint(model, options, DATA, TOKENIZER, TOKENIZER)
