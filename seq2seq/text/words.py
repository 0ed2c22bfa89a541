"""What a word of raw text is, for alignments and for counting."""

import re

from seq2seq.text.tokenizer import Span

_UNSPACED = ("zh", "ja")
"""Languages whose words are characters here."""


def base_language(code: str) -> str:
    """`zh` of zh, zh-TW or zh_Hant."""
    return code.lower().replace("_", "-").split("-")[0]


def find_words(text: str, language: str) -> list[Span]:
    """The words of a text: what stands between white space, or in Chinese and Japanese each character."""
    pattern = r"\S" if base_language(language) in _UNSPACED else r"\S+"
    return [match.span() for match in re.finditer(pattern, text)]
