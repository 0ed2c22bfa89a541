"""Heat maps: what they hold, in words, and in the terminal."""

import numpy as np
import pytest

from seq2seq.inference.alignment import align, in_words
from seq2seq.inference.heatmap import Heatmap, label, printable, text_heatmap, word_spans
from seq2seq.inference.translation import Translation
from seq2seq.inference.weights import AttentionWindow
from seq2seq.text.words import Words

WEIGHTS = np.array([[[1, 0, 0], [0.1, 0.6, 0.3]], [[1, 0, 0], [0.3, 0.4, 0.3]]])
MAP = Heatmap(
    "ab", "Ä", ["▁a", "b", "</s>"], ["▁Ä", "</s>"], WEIGHTS, [-0.5, -1.0], -1.5, [AttentionWindow(0, 1, 0.5)] * 2
)


def test_the_terminal_shows_the_mean_over_heads() -> None:
    assert str(MAP).split("\n") == [
        "          <",
        "          /",
        "          s",
        "      a b >",
        "      └─┘",
        "   Ä |██    |",
        "</s> |░░▒▒░░|",
    ]


def test_wide_characters_and_marks_keep_the_columns_straight() -> None:
    rows = ["猫", "e\u0301", "ab"]
    lines = str(Heatmap("", "", ["x"], rows, np.ones((1, 3, 1)), [0.0] * 3, 0.0)).split("\n")
    assert lines[1:] == ["猫 |██|", " e\u0301 |██|", "ab |██|"]


def test_letters_from_the_right_stay_in_their_columns() -> None:
    weights = np.array([[[1.0, 0.0, 0.0]]])
    lines = str(Heatmap("", "", ["▁של", "▁b", "▁ا"], ["▁כן"], weights, [0.0], 0.0)).split("\n")
    mark = "\u200e"  # without it, a terminal that reorders would show all three columns backwards
    assert lines == [f"    ש{mark}", f"    ל{mark} b ا{mark}", "כן |██    |"]


def test_cells_may_be_drawn_otherwise() -> None:
    translation = Translation("ab", "Ä", -1.5, -1.5, MAP.columns, MAP.rows, MAP.scores, WEIGHTS / 9)
    assert text_heatmap(translation.heatmap()).startswith("(attention is spread out")
    drawn = text_heatmap(translation.heatmap(), None, lambda weight: f"{100 * weight:2.0f}").split("\n")
    assert drawn[-2:] == ["   Ä |11 0 0|", "</s> | 2 6 3|"]


def test_a_translation_has_a_heat_map_where_it_has_attention() -> None:
    translation = Translation("ab", "Ä", -1.5, -1.5, MAP.columns, MAP.rows, MAP.scores, WEIGHTS)
    found = translation.heatmap()
    assert found is not None
    assert (found.columns, found.rows, found.score) == (MAP.columns, MAP.rows, -1.5)
    assert text_heatmap(translation.heatmap()) == str(MAP)
    blank = Translation("", "", 0.0, 0.0, [], [], [], None)
    assert blank.heatmap() is None
    assert text_heatmap(blank.heatmap()) == "(no attention)"


def test_words_are_merged_as_align_does() -> None:
    source = Words(["ab"], [range(0, 1), range(0, 1), range(0)])
    target = Words(["Ä"], [range(0, 1), range(0)])
    found = in_words(MAP, source, target)
    assert (found.columns, found.rows, found.scores, found.windows) == (["ab"], ["Ä"], [-0.5], None)
    assert found.score == MAP.score
    assert found.weights.shape == (2, 1, 1)
    np.testing.assert_allclose(found.weights.mean(0), align(source, target, WEIGHTS).matrix, rtol=1e-6)


def test_a_word_has_the_probability_of_all_its_tokens() -> None:
    weights = np.full((1, 4, 1), 1.0)
    pieces = Heatmap("x", "ab c", ["x"], ["a", "b", "c", "</s>"], weights, [-1.0, -2.0, -4.0, -8.0], -15.0)
    found = in_words(
        pieces, Words(["x"], [range(0, 1)]), Words(["ab", "c"], [range(1), range(1), range(1, 2), range(0)])
    )
    assert found.scores == [-3.0, -4.0]


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("▁the", "the"),
        ("▁", "·"),
        ("a▁b", "a b"),
        ("\x1b[31m", "·[31m"),
        ("\u202eabc", "·abc"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\u2028b", "a·b"),
        ("</s>", "</s>"),
    ],
)
def test_labels_hold_nothing_that_acts(token: str, shown: str) -> None:
    assert label(token) == shown
    assert printable(token).replace("▁", " ").strip() in (shown, "")


@pytest.mark.parametrize(
    ("tokens", "spans"),
    [
        (["▁The", "▁neigh", "b", "or", "▁is", "▁here", ".", "</s>"], [(1, 3)]),
        (["▁a", "b", "▁c", "d", "</s>"], [(0, 1), (2, 3)]),
        (["▁", "b", "a", "d", "▁", "c", "a", "t", "</s>"], [(1, 3), (5, 7)]),
        (["▁(", "well", "-", "known", ")", "▁don", "'", "t"], []),
        (["▁K", "<0xC3>", "<0xA4>", "se", "<unk>", "x"], [(0, 3)]),
        (["▁我们", "昨天", "买了", "book", "s", "。"], [(3, 4)]),
        (["The", "neighbor", "</s>"], []),  # words, not pieces
        (["▁पु", "स्त", "क"], [(0, 2)]),
        (["</s>"], []),
        ([], []),
    ],
)
def test_pieces_of_a_word_belong_together(tokens: list[str], spans: list[tuple[int, int]]) -> None:
    assert word_spans(tokens) == spans


def test_the_terminal_brackets_words() -> None:
    columns, rows = ["▁a", "▁b", "c", "d", "▁e", "f"], ["▁ä", "ö", "ü", "▁x", "y", "</s>"]
    lines = str(Heatmap("", "", columns, rows, np.zeros((1, 6, 6)), [0.0] * 6, 0.0)).split("\n")
    assert lines[:2] == ["      a b c d e f", "        └───┘ └─┘"]
    assert [line.split("|")[0] for line in lines[2:]] == ["   ä┌", "   ö│", "   ü└", "   x┌", "   y└", "</s> "]


def test_an_even_attention_is_said_and_not_drawn() -> None:
    tokens = [f"▁{letter}" for letter in "abcdef"]
    even = Translation("a", "b", -1.0, -1.0, tokens, tokens, [-0.1] * 6, np.full((1, 6, 6), 1 / 6))
    assert text_heatmap(even.heatmap()) == "(attention is spread out: no weight reaches 20%)"
