"""Words and heat maps in a terminal's colours."""

import re
import unicodedata

import numpy as np
import pytest

from seq2seq.inference.alignment import WordAlignment
from seq2seq.inference.colours import ALL, PALETTE, count_colours, fit_end, heat, most_attended, paint_words, visible
from seq2seq.inference.heatmap import text_width


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({"TERM": "xterm-256color"}, PALETTE),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, ALL),
        ({"TERM": "xterm", "COLORTERM": "24bit", "NO_COLOR": ""}, ALL),  # no-color.org: not an empty string
        ({"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"}, 0),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, 0),
        ({"TERM": "vt220"}, 0),
        ({}, 0),
    ],
)
def test_a_terminal_says_what_it_shows(environment: dict[str, str], colours: int) -> None:
    assert count_colours(environment) == colours


def test_a_word_belongs_to_the_source_word_of_its_greatest_weight() -> None:
    matrix = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.1, 0.1, 0.1]])
    alignment = WordAlignment(["a", "b", "c"], ["x", "y", "z"], matrix, [(1, 0), (2, 0), (2, 1), (0, 1)])
    assert most_attended(alignment) == [1, 0, None]


def test_words_keep_their_spaces_and_neighbours_share_a_number() -> None:
    assert paint_words("a  b, c", "en", [0, 11, None], 0) == ["a¹", "  b,¹²", " c"]
    assert paint_words("我 不知", "zh", [1, 1, 1], 0) == ["我²", " 不", "知²"]
    first, second = paint_words("ab cd", "en", [2, 3], PALETTE)
    assert re.fullmatch("\x1b\\[38;5;[0-9]+mab³\x1b\\[0m", first)
    assert re.fullmatch(" \x1b\\[38;5;[0-9]+mcd⁴\x1b\\[0m", second)
    assert first[:12] != second[1:13]
    assert paint_words("", "en", [], PALETTE) == []


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\u202eb", "a\u2028b c", "a\tb\x85c", "\x9b31m", "a\xa0b"])
def test_nothing_acts_on_the_terminal(text: str) -> None:
    words = paint_words(text, "en", [None] * len(text.split()), PALETTE)
    for shown in ("".join(words), visible(text)):
        assert not {"Cc", "Cf", "Zl", "Zp"} & set(map(unicodedata.category, shown))
    assert visible("a\xa0b\u3000c") == "a b c"


@pytest.mark.parametrize("colours", [PALETTE, ALL])
def test_heavier_cells_are_brighter_and_say_their_weight(colours: int) -> None:
    cells = [heat(weight, colours) for weight in np.linspace(0, 1, 60)]
    texts = [re.sub("\x1b\\[[0-9;]*m", "", cell) for cell in cells]
    assert {len(text) for text in texts} == {2}
    assert (texts[0], texts[30], texts[-1]) == ("  ", "51", "99")
    lights = [_brightness(re.findall("48;([25]);([0-9;]+)m", cell)[0]) for cell in cells]
    assert lights == sorted(lights)
    assert len(set(lights)) > 8


def _brightness(ground: tuple[str, str]) -> float:
    kind, numbers = ground
    if kind == "2":
        red, green, blue = map(int, numbers.split(";"))
    else:
        steps = (0, 95, 135, 175, 215, 255)
        place = int(numbers) - 16
        red, green, blue = steps[place // 36], steps[place // 6 % 6], steps[place % 6]
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        (["abc¹", " def²"], "abc¹ def²"),
        (["abcd¹", " def²", " g"], "… def² g"),
        (["我¹", "不²", "知³", "道⁴"], "…不²知³道⁴"),
        (["\x1b[38;5;33mabc\x1b[0m", " de\u0301fg"], "\x1b[38;5;33mabc\x1b[0m de\u0301fg"),
        (["abcdefghijkl"], "…"),
        ([], ""),
    ],
)
def test_the_end_of_a_long_line_is_shown(units: list[str], shown: str) -> None:
    assert fit_end(units, 10) == shown
    assert text_width(re.sub("\x1b\\[[0-9;]*m", "", shown)) <= 10
