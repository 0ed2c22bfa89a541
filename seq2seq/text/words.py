"""What a word of raw text is, and which tokens make it up.

A word's tokens are found by the characters they stand for, so words are those of the raw text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.tokenizer import UNK, Span, Tokenizer

_UNSPACED = ("zh", "ja")
"""Languages whose words are characters here."""


def base_language(code: str) -> str:
    """`zh` of zh, zh-TW or zh_Hant."""
    return code.lower().replace("_", "-").split("-")[0]


def find_words(text: str, language: str) -> list[Span]:
    """The words of a text: what stands between white space, or in Chinese and Japanese each character."""
    pattern = r"\S" if base_language(language) in _UNSPACED else r"\S+"
    return [match.span() for match in re.finditer(pattern, text)]


@dataclass(frozen=True)
class Words:
    """The words of a line, and which of them each token is a part of."""

    words: list[str]
    owners: list[range]
    """The words each token stands in: mostly one, of EOS none."""

    def membership(self) -> NDArray[np.float64]:
        """[tokens words]: 1 where a token is a part of a word."""
        size = len(self.words)
        member = np.zeros(len(self.owners) * size)
        member[[token * size + word for token, owners in enumerate(self.owners) for word in owners]] = 1
        return member.reshape(len(self.owners), size)


def assign(tokens: Iterable[Span | None], words: Sequence[Span]) -> list[range]:
    """The words that each token stands in; a token of white space, or of a part of a character, in the next word.

    Both in the order of the text.
    """
    owners = []
    first, last = 0, len(words) - 1
    for span in tokens:
        if span is None or not words:
            owners.append(range(0))
            continue
        begin, end = span
        while first < last and words[first][1] <= begin:  # behind the last word is the last word's
            first += 1
        after = first + 1
        while after <= last and words[after][0] < end:
            after += 1
        owners.append(range(first, after))
    return owners


@dataclass(frozen=True)
class WordReader:
    """One side: its sub-words and its language."""

    tokenizer: Tokenizer
    language: str

    def line(self, text: str) -> Words:
        """Of raw text and the tokens that `encode` makes of it, EOS last."""
        return self._words(text, [*self.tokenizer.encode_spans(text), None])

    def produced(self, text: str, tokens: Sequence[str]) -> Words:
        """Of tokens by name, and the text that they decode to, unknown words replaced or not."""
        decoded, spans = self.tokenizer.decode_spans(tokens)
        if decoded != text:
            unknown = self.tokenizer.pieces([UNK])[0]
            spans = _replaced(text, decoded, spans, [token == unknown for token in tokens]) or spans
        return self._words(text, spans)

    def _words(self, text: str, tokens: Sequence[Span | None]) -> Words:
        words = find_words(text, self.language)
        return Words([text[begin:end] for begin, end in words], assign(tokens, words))


def _replaced(
    text: str, decoded: str, spans: Sequence[Span | None], unknown: Sequence[bool]
) -> list[Span | None] | None:
    """Where the tokens stand once others have been put for unknown ones; None if the text is not made that way.

    Known tokens are found as they are; of what lies between them each unknown one has a word, the last one the rest.
    """
    found: list[Span | None] = [None] * len(spans)
    waiting: list[int] = []
    position = 0

    def share(end: int) -> None:
        begins = [position + begin for begin, _ in find_words(text[position:end], "")][: len(waiting)]
        for place, begin, after in zip(waiting, begins, [*begins[1:], end], strict=False):
            found[place] = (begin, after)
        waiting.clear()

    for place, span in enumerate(spans):
        if span is None:
            continue
        if unknown[place]:
            waiting.append(place)
            continue
        known = decoded[slice(*span)]
        words = find_words(text[position:], "") if waiting else []
        if len(words) < len(waiting):
            return None
        begin = text.find(known, position + words[len(waiting) - 1][1] if waiting else position)
        if begin < 0 or (begin > position and not waiting):
            return None
        share(begin)
        position = begin + len(known)
        found[place] = (begin, position)
    share(len(text))
    return found
