"""A few lines, some of them strange, and tokenizers learned from them."""

from typing import Any

from seq2seq.text.tokenizer import Tokenizer
from support.sentences import PAIRS

LINES = [
    "the old dog sees a sleeping housecat",
    "housecats and housedogs sleep in the house",
    "a lower house is lower than the lowest houses",
    "sleepers see the sleeping sleepers",
]
STRANGE = [
    f"{text} the sleeping housecat"
    for text in ("  two  spaces\tand ", "猫 ▁ a 🐈", "\u2028\x85", "<s> <0x0A> <unk>", "ﬁ Å ⅷ ½")
]


def tokenizer(kind: str, **options: Any) -> Tokenizer:
    size = 55 if options.get("byte_fallback") is False else 55 + 256
    given = {"byte_fallback": None, "character_coverage": 1.0, "normalization": "identity", "vocab_size": size}
    return Tokenizer.train([*LINES, *(side for pair in PAIRS for side in pair)], kind=kind, **{**given, **options})
