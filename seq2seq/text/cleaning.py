"""White space and format characters in their usual form, so that what nobody sees changes no translation.

A replacement is a piece of a line and the text that takes its place; replacements are in the order of the line.
"""

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


_HIDDEN = regex.compile(r"(?P<space>[[\p{Z}\p{Cc}]--[\x20]])|\p{Cf}", regex.VERSION1)
_VISIBLE = regex.compile(r"[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800\uFFF9-\uFFFB]")
_JOINING = r"[[\p{L}\p{M}]--[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]]"
_UNSPACED = r"[\p{Line_Break=Complex_Context}\p{Tibetan}\p{Javanese}\p{Balinese}]"
_NEEDED = regex.compile(
    rf"""\p{{Prepended_Concatenation_Mark}}  # signs over numbers
    | (?<={_JOINING}) \u200D | (?<={_JOINING}) \u200C (?={_JOINING})
    | (?<=[\p{{Extended_Pictographic}}\p{{Emoji_Modifier}}\uFE0F]) \u200D (?=\p{{Extended_Pictographic}})
    | (?<=\U0001F3F4 [\U000E0020-\U000E007E]*) [\U000E0020-\U000E007F]  # flags of regions
    | (?<={_UNSPACED}) \u200B (?=[^\s\p{{C}}]) | (?<=[^\s\p{{C}}]) \u200B (?={_UNSPACED})  # between words
    | (?<=\p{{Mongolian}}) \u180E | [\U00013430-\U0001343F]  # vowels, the layout of hieroglyphs""",
    regex.VERBOSE | regex.VERSION1,
)
"""Format characters that a writing system needs where they stand."""


def clean(line: str) -> str:
    """The line in its usual form."""
    unusual = find_unusual(line)
    return replace(line, unusual) if unusual else line


def is_blank(line: str) -> bool:
    """Whether nothing on the line is visible."""
    return not clean(line).strip()


def find_unusual(line: str) -> list[Replacement]:
    """Replace other white space and control characters by spaces, and format characters by nothing unless needed.

    A line on which nothing is visible is replaced by nothing.
    """
    if line.isascii() and line.isprintable():  # as most are
        return []
    if not _VISIBLE.search(line):
        return [Replacement(0, len(line), "")]
    if line.isprintable():
        return []
    return [
        Replacement(match.start(), match.end(), " " if match["space"] else "")
        for match in _HIDDEN.finditer(line)
        if match["space"] or not _NEEDED.match(line, match.start())
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
    """All of `over`, and those of `under` that lie in none of them, in order."""
    free = (lower for lower in under if not any(upper.begin <= lower.begin < upper.end for upper in over))
    return sorted([*over, *free])
