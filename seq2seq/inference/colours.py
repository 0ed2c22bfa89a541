"""Attention in the colours of a terminal.

Colour is never the only sign: words carry the number of their source word, and heavier cells are brighter.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from seq2seq.inference.alignment import WordAlignment
from seq2seq.inference.heatmap import printable, text_width
from seq2seq.text.words import find_words

PALETTE, ALL = 256, 1 << 24
"""Colours of a terminal: the usual palette, or any red, green and blue."""
_WORDS = (33, 166, 35, 162, 37, 136, 99, 160)
"""Colours of words in turn, from the palette; they can be read on dark and on light ground."""
_HEAT = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Red, green and blue at the weights 0, 0.25 and so on: viridis, whose brightness grows evenly."""
_PALETTE_HEAT = (53, 54, 60, 30, 36, 71, 113, 185, 227)
"""The same in colours of the palette."""
_BLACK, _WHITE = 16, 231
_SMALL = 0.05
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
RESET = "\x1b[0m"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def count_colours(environment: Mapping[str, str]) -> int:
    """Return how many colours a terminal with these variables shows: 0, PALETTE or ALL."""
    terminal = environment.get("TERM", "")
    if environment.get("NO_COLOR") or terminal in ("", "dumb") or terminal.startswith("vt"):
        return 0
    return ALL if environment.get("COLORTERM") in ("truecolor", "24bit") else PALETTE


def visible(text: str) -> str:
    """Make a text safe to print in one line: all white space becomes a plain space."""
    return printable(re.sub(r"\s", " ", text))


def most_attended(alignment: WordAlignment) -> list[int | None]:
    """Return the place of the source word that each target word attends to most; None where it is not aligned."""
    places: list[int | None] = [None] * len(alignment.target)
    for source, target in sorted(alignment.links, key=lambda link: alignment.matrix[link[1], link[0]]):
        places[target] = source
    return places


def paint_words(text: str, language: str, places: Sequence[int | None], colours: int) -> list[str]:
    """Return the words of a text, each with what stands before it, in the colour of its place and numbered from 1.

    Neighbours of the same place without a space between them share a number.
    """
    words, units, end = find_words(text, language), [], 0
    for number, ((begin, after), place) in enumerate(zip(words, places, strict=True), 1):
        space, word, end = visible(text[end:begin]), visible(text[begin:after]), after
        if place is not None:
            shared = number < len(words) and (words[number][0], places[number]) == (after, place)
            word += "" if shared else str(place + 1).translate(_SUPERSCRIPTS)
            word = f"\x1b[38;5;{_WORDS[place % len(_WORDS)]}m{word}{RESET}" if colours else word
        units.append(space + word)
    return units


def heat(weight: float, colours: int) -> str:
    """Draw a weight as its percentage, unless it is small, on a ground that is brighter the greater it is."""
    if colours < ALL:
        ground = f"5;{_PALETTE_HEAT[min(int(weight * len(_PALETTE_HEAT)), len(_PALETTE_HEAT) - 1)]}"
    else:
        places = np.linspace(0, 1, len(_HEAT))
        ground = "2;" + ";".join(
            str(round(float(np.interp(weight, places, part)))) for part in zip(*_HEAT, strict=True)
        )
    percentage = f"{min(round(100 * weight), 99):2}" if weight >= _SMALL else "  "
    return f"\x1b[38;5;{_BLACK if weight >= 0.5 else _WHITE};48;{ground}m{percentage}{RESET}"


def fit_end(units: Sequence[str], width: int) -> str:
    """Join as many of the last units as fit into so many columns; an ellipsis stands for those before."""
    first, left = len(units), width
    while first and (left := left - text_width(_COLOUR.sub("", units[first - 1]))) > 0:
        first -= 1
    return ("…" if first else "") + "".join(units[first:])
