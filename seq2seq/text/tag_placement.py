"""Tags round the translations of the words that they enclosed.

A translation gets the same elements as its line, each inside the same one; only the order of neighbours may change.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import inf
from typing import NamedTuple
from unicodedata import category

from seq2seq.text.cleaning import Span
from seq2seq.text.markup import Markup
from seq2seq.text.word_alignments import Link

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def place_tags(markup: Markup, source: Sequence[str], text: str, target: Sequence[str], links: Iterable[Link]) -> str:
    """Put a line's elements round the words of its translation, given the words of both sides.

    An element with text stands round the run of words that has most of the words aligned with its own, and least of
    others; punctuation at its edges stays outside if it did in the source. Anything else, also an element none of whose
    words is aligned, stands beside the translation of its neighbour. Characters are escaped.
    """
    images: list[list[int]] = [[] for _ in source]
    for i, j in links:
        images[i].append(j)
    return _Placement(markup, _locate(source, markup.text), text, _locate(target, text), images).write()


def _locate(words: Iterable[str], text: str) -> list[Span]:
    spans, end = list[Span](), 0
    for word in words:
        begin = text.index(word, end)
        end = begin + len(word)
        spans.append((begin, end))
    return spans


class _Place(NamedTuple):
    """Characters of the translation that an element encloses."""

    begin: int
    end: int
    rank: int
    """Order of what begins at the same character: attached to what is before, alone, attached to what follows, text"""


_AFTER, _ALONE, _BEFORE, _ROUND = range(4)


@dataclass(frozen=True)
class _Placement:
    markup: Markup
    source: list[Span]
    text: str
    target: list[Span]
    images: list[list[int]]
    """The target words that each source word is aligned with"""

    def write(self) -> str:
        places = self._places()
        children: list[list[int]] = [[] for _ in places]
        for number in sorted(range(1, len(places)), key=lambda number: (places[number].begin, places[number].rank)):
            children[self.markup.elements[number].parent].append(number)
        pieces: list[str] = []
        stack: list[int | str] = [0]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                pieces.append(item)
            else:
                stack += reversed(self._pieces(item, places, children[item]))
        return "".join(pieces)

    def _pieces(self, number: int, places: Sequence[_Place], children: Sequence[int]) -> list[int | str]:
        """An element's tags, the text between them, and the numbers of its children."""
        begin, end, rank = places[number]
        element = self.markup.elements[number]
        before, after = self._spaces(begin) if rank == _ALONE else ("", "")
        pieces: list[int | str] = [before, element.begin_tag]
        for child in children:
            pieces += [self._escape(begin, places[child].begin), child]
            begin = places[child].end
        return [*pieces, self._escape(begin, end), element.end_tag, after]

    def _escape(self, begin: int, end: int) -> str:
        return escape(_NO_XML.sub("\ufffd", self.text[begin:end]), quote=False)

    def _spaces(self, place: int) -> tuple[str, str]:
        """Complete the white space around a place that has some on one side, or is at an end of the line."""
        before, after = self.text[max(place - 1, 0) : place], self.text[place : place + 1]
        if not self.text or (before and after and before.isspace() == after.isspace()):
            return "", ""
        spaced = " " in self.text or len(self.target) < 2  # some languages have no spaces
        return " " * (after.isspace() or (spaced and not after)), " " * (before.isspace() or (spaced and not before))

    def _places(self) -> list[_Place]:
        elements, runs = self.markup.elements, self._runs()
        nowhere = _Place(0, 0, _ALONE)
        places = [
            self._round(element.span, run) if run else nowhere for element, run in zip(elements, runs, strict=True)
        ]
        places[0] = _Place(0, len(self.text), _ROUND)
        round_words = [number for number in range(1, len(elements)) if runs[number]]
        for number in reversed(round_words):  # an edge word's punctuation can be in an inner element only
            begin, end, _ = places[parent := elements[number].parent]
            places[parent] = _Place(min(begin, places[number].begin), max(end, places[number].end), _ROUND)
        siblings: list[list[_Place]] = [[] for _ in elements]
        for number in round_words:
            siblings[elements[number].parent].append(places[number])
        for number, element in enumerate(elements[1:], 1):
            if not runs[number]:
                wanted, rank = self._beside(*element.span)
                places[number] = _fit(wanted, rank, places[element.parent], siblings[element.parent])
        return places

    # --- elements round words ----------------------------------------------------------------------------------------

    def _runs(self) -> list[range]:
        """The run of target words of each element; those of one element's children are disjoint."""
        linked = {j for words in self.images for j in words}
        runs = [range(len(self.target))]
        taken: list[set[int]] = [set() for _ in self.markup.elements]
        for element in self.markup.elements[1:]:
            own = {j for i in self._enclosed(*element.span) for j in self.images[i]}
            around, others = runs[element.parent], taken[element.parent]
            scores = [-inf if j in others else 1 if j in own else -(j in linked) for j in around]
            run = _best_run(scores if own else [])
            runs.append(around[run.start : run.stop])
            others.update(runs[-1])
        return runs

    def _enclosed(self, begin: int, end: int) -> range:
        """The source words that are at least partly in this span."""
        if not self.markup.text[begin:end].strip():
            return range(0)
        first = bisect_right(self.source, begin, key=lambda word: word[1])
        return range(first, bisect_left(self.source, end, key=lambda word: word[0]))

    def _round(self, span: Span, run: range) -> _Place:
        text = self.markup.text[slice(*span)].strip()
        begin, end = self.target[run[0]][0], self.target[run[-1]][1]
        words = self.text[begin:end]
        left, right = _outside(words[::-1], text[::-1]), _outside(words, text)
        return _Place(begin + left, end - right, _ROUND)

    # --- elements beside words ---------------------------------------------------------------------------------------

    def _beside(self, begin: int, end: int) -> tuple[int, int]:
        """The character at which an element without words of its own stands, and its rank there."""
        text, words = self.markup.text, self.source
        last = bisect_left(words, begin, key=lambda word: word[0]) - 1
        first = bisect_right(words, end, key=lambda word: word[1])
        rank = self._rank(begin, end, last)
        found: list[tuple[int, bool, int, int]] = []  # the nearest neighbour is the first, then the attached one
        if (i := next((i for i in range(last, -1, -1) if self.images[i]), None)) is not None:
            (left, right), attached = self.target[max(self.images[i])], rank == _AFTER and i == last
            right -= _outside(self.text[left:right], text[words[i][0] : begin]) if attached else 0
            found.append((last - i, rank == _BEFORE, right, rank if rank == _ALONE else _AFTER))
        if (i := next((i for i in range(first, len(words)) if self.images[i]), None)) is not None:
            (left, right), attached = self.target[min(self.images[i])], rank == _BEFORE and i == first
            outside = _outside(self.text[left:right][::-1], text[end : words[i][1]][::-1]) if attached else 0
            found.append((i - first, rank == _AFTER, left + outside, rank if rank == _ALONE else _BEFORE))
        return min(found, default=(0, True, len(self.text) * (last >= 0), rank))[2:]

    def _rank(self, begin: int, end: int, last: int) -> int:
        """Whether this span is attached to the word before it, of this number, or to the next one."""
        text = self.markup.text
        if text[begin:end].strip():  # its words have no translation
            return _AFTER
        before, after = text[max(begin - 1, 0) : begin].strip(), text[end : end + 1].strip()
        word = text[self.source[last][0] : begin] if before and last >= 0 else ""
        opening = after and _tail(word) == word
        return _AFTER if before and not opening else _BEFORE if after else _ALONE


def _fit(place: int, rank: int, around: _Place, siblings: Iterable[_Place]) -> _Place:
    """The nearest place inside one element and outside others."""
    if around.begin == around.end:
        return _Place(around.begin, around.end, _BEFORE)
    place = min(max(place, around.begin), around.end)
    for begin, end, _ in siblings:
        if begin < place < end:
            place = end if 2 * place >= begin + end else begin
            break
    return _Place(place, place, rank)


def _best_run(scores: Sequence[float]) -> range:
    """The run with the highest sum, from one score above 0 to another; of equals the first, as long as it can be."""
    best, highest, begin, total = range(0), 0.0, 0, 0.0
    for place, score in enumerate(scores):
        if total < 0 or scores[begin] <= 0:
            begin, total = place, 0.0
        total += score
        if total > highest or (score > 0 and total == highest and begin == best.start):
            best, highest = range(begin, place + 1), total
    return best


def _outside(words: str, enclosed: str) -> int:
    """How many characters at the end of words stay outside an element: punctuation unlike that at its own end."""
    tail, own = _tail(words), set(_tail(enclosed))
    if tail == words or (own and own.isdisjoint(tail)):
        return 0
    stays = len(words) - len(tail) + max((place for place, sign in enumerate(tail, 1) if sign in own), default=0)
    return len(words) - len(words[:stays].rstrip())


def _tail(text: str) -> str:
    """The punctuation at the end of a text."""
    end = len(text)
    while end and category(text[end - 1]).startswith("P"):
        end -= 1
    return text[end:]
