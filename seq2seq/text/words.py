"""The words of raw text, and which tokens make up each of them.

A word's tokens are found by the characters they stand for, so words are those of the raw text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import regex
from numpy.typing import NDArray

from seq2seq.text.cleaning import Span
from seq2seq.text.languages import is_unspaced
from seq2seq.text.tokenizer import UNK, Tokenizer

_SPACED = re.compile(r"\S+")
_CHARACTERS = regex.compile(r"(?![\s\p{Cf}])\X\p{M}*")


def find_words(text: str, language: str) -> list[Span]:
    """The words of a text: what stands between white space.

    In a language written without spaces each character is a word, together with its marks.
    """
    matches = _CHARACTERS.finditer(text) if is_unspaced(language) else _SPACED.finditer(text)
    return [match.span() for match in matches]


@dataclass(frozen=True)
class Words:
    """The words of a line, and which of them each token is a part of."""

    words: list[str]
    owners: list[range]
    """The words that each token stands in: mostly one, none for EOS."""

    def membership(self) -> NDArray[np.float64]:
        """[tokens words]: 1 where a token is a part of a word."""
        member = np.zeros((len(self.owners), len(self.words)))
        for row, owners in zip(member, self.owners, strict=True):
            row[owners.start : owners.stop] = 1
        return member


def assign(tokens: Iterable[Span | None], words: Sequence[Span]) -> list[range]:
    """The words that each token stands in. White space and parts of characters belong to the next word.

    Tokens and words are in the order of the text.
    """
    owners = []
    first, last = 0, len(words) - 1
    for span in tokens:
        if span is None or not words:
            owners.append(range(0))
            continue
        begin, end = span
        while first < last and words[first][1] <= begin:  # a token after the last word belongs to it
            first += 1
        after = first + 1
        while after <= last and words[after][0] < end:
            after += 1
        owners.append(range(first, after))
    return owners


@dataclass(frozen=True)
class WordSegmenter:
    """Finds the words of one side, by its sub-words and its language."""

    tokenizer: Tokenizer
    language: str

    def line(self, text: str, protected: Sequence[str] | None = None) -> Words:
        """The words of raw text, for the tokens that `encode` makes of it, EOS last."""
        return self._words(text, [*self.tokenizer.encode_spans(text, protected), None])

    def produced(self, text: str, tokens: Sequence[str], protected: Sequence[str] = ()) -> Words:
        """The words of the text that these tokens, given by name, decode to, with unknown words replaced or not."""
        decoded, spans = self.tokenizer.decode_spans(tokens, protected)
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
    """The spans of the tokens in a text that has other words for unknown ones; None for any other text.

    Runs of known tokens stand in it as they are. Between them each unknown token has a word, the last one the rest.
    """
    moved: list[Span | None] = [None] * len(spans)
    tokens = [(token, span) for token, span in enumerate(spans) if span is not None]
    runs = [(is_unknown, list(run)) for is_unknown, run in groupby(tokens, key=lambda token: unknown[token[0]])]
    literals = ["" if is_unknown else decoded[run[0][1][0] : run[-1][1][1]] for is_unknown, run in runs] + [""]
    position = 0
    for number, (is_unknown, run) in enumerate(runs):
        if not is_unknown:
            if not text.startswith(literals[number], position):
                return None
            shift = position - run[0][1][0]
            for token, (begin, end) in run:
                moved[token] = (begin + shift, end + shift)
            position += len(literals[number])
            continue
        words = [(position + begin, position + end) for begin, end in find_words(text[position:], "")]
        if len(words) < len(run):
            return None
        following, least = literals[number + 1], words[len(run) - 1][1]
        # The last known run stands at the end of the text; the others at the first place that fits.
        end = len(text) - len(following) if number + 2 >= len(runs) else text.find(following, least)
        if end < least or not text.startswith(following, end):
            return None
        begins = [begin for begin, _ in words[: len(run)]]
        for (token, _), begin, after in zip(run, begins, [*begins[1:], end], strict=True):
            moved[token] = (begin, after)
        position = end
    return moved
