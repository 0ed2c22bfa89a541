"""White space and format characters in their usual form, so that what nobody sees changes no translation.

A replacement is a piece of a line and the text that takes its place; replacements are in the order of the line.
"""

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import regex

Span = tuple[int, int]
"""Characters [begin, end) of a text."""


class Replacement(NamedTuple):
    """Characters [begin, end) of a line, and the text in their place."""

    begin: int
    end: int
    text: str


_CLASSES = {
    "space": r"[[\p{Z}\p{Cc}]--[\x20]]",
    "format": r"[\p{Cf}]",
    "visible": r"[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800\uFFF9-\uFFFB]",
    "text": r"[^\s\p{C}]",
    "over_numbers": r"[\p{Prepended_Concatenation_Mark}]",
    "joining": r"[[\p{L}\p{M}]--[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]]",
    "picture": r"[\p{Extended_Pictographic}]",
    "pictured": r"[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F]",
    "unspaced": r"[\p{Line_Break=Complex_Context}\p{Tibetan}\p{Javanese}\p{Balinese}]",
    "mongolian": r"[\p{Mongolian}]",
}
"""Sets of characters in the syntax of `regex`."""
_NEEDED = (
    "{over_numbers}",
    "(?<={joining})\u200d",
    "(?<={joining})\u200c(?={joining})",
    "(?<={pictured})\u200d(?={picture})",
    "\U0001f3f4[\U000e0020-\U000e007e]*\U000e007f?",  # flags of regions
    "(?<={unspaced})\u200b(?={text})",
    "(?<={text})\u200b(?={unspaced})",
    "(?<={mongolian})\u180e",
    "[\U00013430-\U0001343f]",  # the layout of hieroglyphs
)
"""Format characters that a writing system needs where they stand."""
_UNUSUAL = f"(?P<needed>{'|'.join(_NEEDED)})|(?P<space>{{space}})|{{format}}"


_visible = regex.compile(_CLASSES["visible"], regex.VERSION1)
_unusual = regex.compile(_UNUSUAL.format_map(_CLASSES), regex.VERSION1)


def clean(line: str) -> str:
    """The line in its usual form."""
    unusual = find_unusual(line)
    return replace(line, unusual) if unusual else line


def portable_patterns() -> tuple[str, str]:
    """Write the patterns of what is visible and of what is unusual for Python's `re`, which knows no properties."""
    everything = "".join(map(chr, range(sys.maxunicode + 1)))  # in order, so that a match is a range
    classes = {}
    for name, one in _CLASSES.items():
        ranges = regex.findall(f"{one}+", everything, regex.VERSION1)
        classes[name] = "[" + "".join(f"{re.escape(r[0])}-{re.escape(r[-1])}" for r in ranges) + "]"
    return classes["visible"], _UNUSUAL.format_map(classes)


def is_blank(line: str) -> bool:
    """Whether nothing on the line is visible."""
    return not clean(line).strip()


def find_unusual(line: str) -> list[Replacement]:
    """Replace other white space and control characters by spaces, and format characters by nothing unless needed.

    A line on which nothing is visible is replaced by nothing.
    """
    if line.isascii() and line.isprintable():  # as most are
        return []
    if not _visible.search(line):
        return [Replacement(0, len(line), "")]
    if line.isprintable():
        return []
    return [
        Replacement(match.start(), match.end(), " " if match["space"] else "")
        for match in _unusual.finditer(line)
        if match["needed"] is None
    ]


def replace(line: str, replacements: Iterable[Replacement]) -> str:
    """Make the replacements."""
    text, end = [], 0
    for replacement in replacements:
        text += [line[end : replacement.begin], replacement.text]
        end = replacement.end
    return "".join([*text, line[end:]])


def spans_before(line: str, replacements: Sequence[Replacement], spans: Iterable[Span]) -> list[Span]:
    """Map spans of `replace(line, replacements)` to spans of the line itself, without the spaces before them.

    What these spaces replaced may be part of a word in the line.
    """
    text = replace(line, replacements)
    places: list[Span] = []
    end = 0
    for begin, following, new in [*replacements, Replacement(len(line), len(line), " ")]:  # the last one is the end
        places += [(place, place + 1) for place in range(end, begin)]
        places += [(begin, following)] * len(new)
        end = following
    mapped = []
    for begin, end in spans:
        first = begin + len(text[begin:end]) - len(text[begin:end].lstrip(" "))
        first = min(first, max(begin, end - 1))  # a span of nothing but spaces keeps its last one
        mapped.append((places[first][0], places[end - 1][1] if end > begin else places[first][0]))
    return mapped


def spans_after(replacements: Sequence[Replacement], spans: Iterable[Span]) -> list[Span]:
    """Map spans of a line to spans of the replaced line; each replacement lies within one span."""
    return [(_after(replacements, begin), _after(replacements, end)) for begin, end in spans]


def _after(replacements: Sequence[Replacement], place: int) -> int:
    return place + sum(len(text) - (end - begin) for begin, end, text in replacements if end <= place)


def overlay(over: Sequence[Replacement], under: Sequence[Replacement]) -> list[Replacement]:
    """All of `over`, which are in order and apart, and those of `under` that lie in none of them, in order."""
    begins = [upper.begin for upper in over]
    before = ((lower, bisect_right(begins, lower.begin) - 1) for lower in under)
    return sorted([*over, *(lower for lower, at in before if at < 0 or over[at].end <= lower.begin)])
