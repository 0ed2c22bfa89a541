"""What a word of raw text is, and which tokens make it up.

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
    """The words of a text: what stands between white space, or where a language is written without it each character,
    with the marks that belong to it.
    """
    matches = _CHARACTERS.finditer(text) if is_unspaced(language) else _SPACED.finditer(text)
    return [match.span() for match in matches]


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
class WordSegmenter:
    """One side: its sub-words and its language."""

    tokenizer: Tokenizer
    language: str

    def line(self, text: str, protected: Sequence[str] | None = None) -> Words:
        """Of raw text and the tokens that `encode` makes of it, EOS last."""
        return self._words(text, [*self.tokenizer.encode_spans(text, protected), None])

    def produced(self, text: str, tokens: Sequence[str], protected: Sequence[str] = ()) -> Words:
        """Of tokens by name, and the text that they decode to, unknown words replaced or not."""
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
    """Where the tokens stand once others have been put for unknown ones; None if the text is not made that way.

    Runs of known tokens are found as they are; of what lies between each unknown one has a word, the last the rest.
    """
    found: list[Span | None] = [None] * len(spans)
    places = [(place, span) for place, span in enumerate(spans) if span is not None]
    runs = [(of, list(group)) for of, group in groupby(places, key=lambda place: unknown[place[0]])]
    literals = ["" if of else decoded[run[0][1][0] : run[-1][1][1]] for of, run in runs] + [""]
    position = 0
    for number, (is_unknown, run) in enumerate(runs):
        if not is_unknown:
            if not text.startswith(literals[number], position):
                return None
            shift = position - run[0][1][0]
            for place, (begin, end) in run:
                found[place] = (begin + shift, end + shift)
            position += len(literals[number])
            continue
        words = [(position + begin, position + end) for begin, end in find_words(text[position:], "")]
        if len(words) < len(run):
            return None
        following, least = literals[number + 1], words[len(run) - 1][1]
        # What is known at the end stands at the end; elsewhere the first place will do.
        end = len(text) - len(following) if number + 2 >= len(runs) else text.find(following, least)
        if end < least or not text.startswith(following, end):
            return None
        begins = [begin for begin, _ in words[: len(run)]]
        for (place, _), begin, after in zip(run, begins, [*begins[1:], end], strict=True):
            found[place] = (begin, after)
        position = end
    return found
