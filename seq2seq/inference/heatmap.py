"""A sentence's attention, ready to be drawn: here for the terminal, elsewhere as pictures and pages.

Shapes: h heads, t rows, s columns.
"""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from seq2seq.inference.weights import Weights, Windows

_SHADES = " ░▒▓█"
_MIN_COLUMNS = 8
"""Columns of a part of a heat map, however narrow the terminal is"""
_USUAL_COLUMNS = 80
_LEFT_TO_RIGHT = "\u200e"
_JOINERS = "\u200c\u200d"
"""Invisible, but Persian and the scripts of India need them."""


@dataclass(frozen=True)
class Heatmap:
    """How much each target token attends to each source token, or the same for words."""

    source: str
    target: str
    columns: list[str]
    """Names of the source's pieces"""
    rows: list[str]
    """Names of the target's pieces"""
    weights: Weights
    """[h t s]"""
    scores: list[float]
    """Natural-log probability of each row; empty where rows are not words of a translation"""
    score: float
    """Log-probability of the whole"""
    windows: Windows | None = None
    """What each row could see; None: all columns, or unknown"""
    part: str = ""
    """What is drawn: `context`, or else the attention to the source"""

    def mean_over_heads(self) -> "Heatmap":
        """The same with a single matrix."""
        return replace(self, weights=self.weights.mean(0, keepdims=True))

    def __str__(self) -> str:
        """A row for each target token and a column for each source token; darker means more weight (mean over heads).

        Brackets join the pieces of a word.
        """
        return self.draw(shade)

    def draw(self, cell: Callable[[float], str]) -> str:
        """Draw the same with other cells: `cell` gives the two characters of a weight."""
        sources, targets = [label(token) for token in self.columns], [label(token) for token in self.rows]
        margin = max(map(text_width, targets), default=0)
        height = max(map(len, sources), default=0)
        lines = []
        for letters in zip(*(source.rjust(height) for source in sources), strict=True):  # they read downwards
            lines.append(" " * (margin + 2) + "".join(map(_head, letters)))
        if words := word_spans(self.columns):
            lines.append(" " * (margin + 2) + _brackets(words))
        sides = dict.fromkeys(range(len(targets)), " ")
        for first, last in word_spans(self.rows):
            sides |= {first: "┌", **dict.fromkeys(range(first + 1, last), "│"), last: "└"}
        for target, side, row in zip(targets, sides.values(), self.weights.mean(0).tolist(), strict=True):
            lines.append(" " * (margin - text_width(target)) + target + side + "|" + "".join(map(cell, row)) + "|")
        return "\n".join(line.rstrip() for line in lines)


def shade(weight: float) -> str:
    """Draw a weight as two characters that are darker the greater it is."""
    return _SHADES[min(int(weight * len(_SHADES)), len(_SHADES) - 1)] * 2


def _head(letter: str) -> str:
    """Fill a letter above a column to two characters; a mark keeps those written from the right in their places."""
    mark = _LEFT_TO_RIGHT if unicodedata.bidirectional(letter) in ("R", "AL") else ""
    return letter + mark + " " * (2 - text_width(letter))


def _brackets(spans: Sequence[tuple[int, int]]) -> str:
    """Draw the line below the columns of these words, each two characters wide."""
    line = ""
    for first, last in spans:
        line = line.ljust(2 * first) + "└" + "─" * (2 * (last - first) - 1) + "┘"
    return line


def text_heatmap(heatmap: Heatmap | None, width: int | None = None, cell: Callable[[float], str] = shade) -> str:
    """Draw a heat map for a terminal of `width` columns, in parts below each other if it is narrow."""
    if heatmap is None:
        return "(no attention)"
    if cell is shade and heatmap.weights.size and heatmap.weights.mean(0).max() < 1 / len(_SHADES):
        return f"(attention is spread out: no weight reaches {1 / len(_SHADES):.0%})"
    margin = max((text_width(label(token)) for token in heatmap.rows), default=0) + len(" ||")
    most = max(len(heatmap.columns), 1) if width is None else max((width - margin) // 2, _MIN_COLUMNS)
    parts = [
        replace(
            heatmap, columns=heatmap.columns[first : first + most], weights=heatmap.weights[..., first:][..., :most]
        )
        for first in range(0, max(len(heatmap.columns), 1), most)
    ]
    return "\n".join(part.draw(cell) for part in parts)


def terminal_width(file: TextIO | None = None) -> int | None:
    """Return the width of the terminal that a file, or else the log, is; 80 if it is unknown; None for no terminal."""
    try:
        return os.get_terminal_size((file or sys.stderr).fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return None


def fold(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` terminal columns, at spaces and between wide characters.

    A longer word gets a line of its own.
    """
    lines = [""]
    for unit in _units(printable(text)):
        if lines[-1] and text_width(lines[-1] + unit.rstrip()) > width:
            lines.append("")
        lines[-1] += unit
    return [line.rstrip() for line in lines]


def _units(text: str) -> Iterator[str]:
    """Split a text into what stays on one line: wide characters, and words with the space behind them."""
    unit = ""
    for character in text:
        if unit and (unit[-1] == " " or ("W" in (_breadth(unit[-1]), _breadth(character)) and text_width(character))):
            yield unit
            unit = ""
        unit += character
    if unit:
        yield unit


def word_spans(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first and last place of each word of several pieces.

    There are none without sentencepiece's marks, or in writing without spaces.
    """
    marked = [token.startswith("▁") for token in tokens]
    if not any(marked):
        return []
    of_word = [_is_of_word(token) for token in tokens]
    starts = [n for n in range(len(tokens)) if n == 0 or marked[n] or not (of_word[n - 1] and of_word[n])]
    spans = zip(starts, [*starts[1:], len(tokens)], strict=True)
    return [(first, end - 1) for first, end in spans if end - first > 1]


def _is_of_word(token: str) -> bool:
    """Whether a piece is part of a word, which punctuation is not."""
    if token.startswith("<") and token.endswith(">"):
        return token.startswith("<0x")  # one byte of a character
    return any(c.isalnum() for c in token) and all(_breadth(c) == "N" for c in token)


def label(token: str) -> str:
    """Make a token printable, without sentencepiece's mark for a space."""
    return printable(token).replace("▁", " ").strip() or "·"


def printable(text: str) -> str:
    """Replace what is neither visible nor a joiner by a dot, so that a terminal acts on nothing."""
    return "".join(c if c.isprintable() or c in _JOINERS else "·" for c in text)


def text_width(text: str) -> int:
    """Count terminal columns: East Asian characters take two, combining marks and joiners none."""
    return sum(0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if _breadth(c) == "W" else 1 for c in text)


def _breadth(character: str) -> str:
    """Return W for a character that takes two columns, else N."""
    return "W" if unicodedata.east_asian_width(character) in "WF" else "N"
