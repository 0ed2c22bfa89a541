"""White space and format characters made usual, so that what nobody sees changes no translation.

A replacement is a piece of a line and what stands in its place; replacements are in the order of the line.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import regex

Span = tuple[int, int]
"""Characters [begin, end) of a text."""


class Replacement(NamedTuple):
    """Characters [begin, end) of a line, and the text in their place."""

    begin: int
    end: int
    text: str


_HIDDEN = regex.compile(r"[[\p{C}\p{Z}]--[\x20]]", regex.VERSION1)
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
"""Format characters that a writing needs where they stand."""


def clean(line: str) -> str:
    """The line in its usual form."""
    unusual = find_unusual(line)
    return replace(line, unusual) if unusual else line


def find_unusual(line: str) -> list[Replacement]:
    """A space for each other white space or control character, nothing for each format character that no writing
    needs; for a line on which nothing is visible, nothing for all of it.
    """
    if line.isascii() and line.isprintable():  # as most are
        return []
    if not _VISIBLE.search(line):
        return [Replacement(0, len(line), "")]
    return [] if line.isprintable() else list(_find_hidden(line))


def _find_hidden(line: str) -> Iterator[Replacement]:
    for match in _HIDDEN.finditer(line):
        category = unicodedata.category(match[0])
        if category in ("Zs", "Zl", "Zp", "Cc"):
            yield Replacement(match.start(), match.end(), " ")
        elif category == "Cf" and not _NEEDED.match(line, match.start()):
            yield Replacement(match.start(), match.end(), "")


def replace(line: str, replacements: Iterable[Replacement]) -> str:
    """The line with these made."""
    text, end = [], 0
    for replacement in replacements:
        text += [line[end : replacement.begin], replacement.text]
        end = replacement.end
    return "".join([*text, line[end:]])


def spans_before(line: str, replacements: Sequence[Replacement], spans: Iterable[Span]) -> list[Span]:
    """Spans of `replace(line, replacements)` -> where in the line itself they are, without the spaces before them:
    what these were may be part of a word there.
    """
    text = replace(line, replacements)
    places: list[Span] = []
    end = 0
    for replacement in replacements:
        places += [(place, place + 1) for place in range(end, replacement.begin)]
        places += [(replacement.begin, replacement.end)] * len(replacement.text)
        end = replacement.end
    places += [(place, place + 1) for place in range(end, len(line))]
    places.append((len(line), len(line)))
    found = []
    for begin, end in spans:
        first = begin + len(text[begin:end]) - len(text[begin:end].lstrip(" "))
        first = min(first, max(begin, end - 1))  # a space alone stays one
        found.append((places[first][0], places[end - 1][1] if end > begin else places[first][0]))
    return found


def spans_after(replacements: Sequence[Replacement], spans: Iterable[Span]) -> list[Span]:
    """Spans of a line -> where they are once these replacements, each within one span, have been made."""
    return [(_after(replacements, begin), _after(replacements, end)) for begin, end in spans]


def _after(replacements: Sequence[Replacement], place: int) -> int:
    return place + sum(len(made.text) - (made.end - made.begin) for made in replacements if made.end <= place)


def overlay(over: Sequence[Replacement], under: Sequence[Replacement]) -> list[Replacement]:
    """Both in order, of `under` those that lie in none of the others."""
    free = (one for one in under if not any(made.begin <= one.begin < made.end for made in over))
    return sorted([*over, *free])
