"""Words of raw text, their alignment from attention, and how well it agrees with gold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.errors import DataError
from seq2seq.inference.alignment import Gold, agreement, align, read_gold
from seq2seq.inference.link_rules import LinkRule
from seq2seq.text.tokenizer import EOS, UNK, Tokenizer
from seq2seq.text.words import Words, WordSegmenter, assign, find_words

LINES = ["the cat sees a dog", "a dog sees the cat", "the old dog sleeps", "Größe und Maß", "a cat sleeps on"] * 4
ODD = [
    "the cat",
    "  the   old\tcat  ",
    "猫 sees 猫猫 a 😀dog😀",
    "a\u00a0dog\u3000sees\u2028the",
    "e\u0301x \u200b on",
    "Größe, und Maß!",
    "x",
    " \u00a0 ",
    "",
]

INVISIBLE = ["das Schiff\u00adfahrts\u00ad amt", "\u200bthe\u200b ca\u200bt", "\tthe\x01cat\ufeff", "\u200b", "\x1b"]


def tokenizer(**options: object) -> Tokenizer:
    settings = {
        "kind": "bpe",
        "vocab_size": 320,
        "byte_fallback": None,
        "character_coverage": 1.0,
        "normalization": "identity",
        "raw_text": True,
        **options,
    }
    return Tokenizer.train(LINES, **settings)  # type: ignore[arg-type]


PIECES = tokenizer()
CLEANING = Tokenizer(PIECES.model, "the same")


def spelled(words: Words, tokens: list[int]) -> list[str]:
    """Each word as its own tokens alone spell it, white space before and after it aside."""
    return [
        PIECES.decode([token for token, owners in zip(tokens, words.owners, strict=True) if word in owners]).strip()
        for word in range(len(words.words))
    ]


def check_line(line: str) -> None:
    (tokens,) = PIECES.encode([line])
    words = WordSegmenter(PIECES, "en").line(line)
    assert words.words == line.split()
    assert spelled(words, tokens) == words.words
    assert [len(owners) for owners in words.owners[:-1]] == [1 if words.words else 0] * (len(tokens) - 1)
    assert len(words.owners[-1]) == 0


def check_cleaned_line(line: str) -> None:
    (tokens,) = CLEANING.encode([line])
    words = WordSegmenter(CLEANING, "en").line(line)
    assert words.words == line.split()
    for word, spelt in zip(words.words, spelled(words, tokens), strict=True):
        assert CLEANING.is_blank(word) or spelt.split() == CLEANING.clean(word).split()
    assert all(len(owners) == 1 for owners in words.owners[:-1])
    assert len(words.owners[-1]) == 0


@pytest.mark.parametrize("line", [*ODD, *INVISIBLE])
def test_every_token_belongs_to_the_word_it_spells(line: str) -> None:
    check_line(line)
    check_cleaned_line(line)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_characters="\n\r\0\u2581", exclude_categories=["Cs"]), max_size=12))
def test_every_token_belongs_to_the_word_it_spells_whatever_the_text(line: str) -> None:
    check_line(line)
    check_cleaned_line(line)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.just(EOS), st.sampled_from(range(len(PIECES)))), max_size=12))
def test_what_a_model_produces_is_read_by_the_words_that_are_printed(tokens: list[int]) -> None:
    tokens = [token for token in tokens if token not in PIECES.forbidden()]
    text = PIECES.decode(tokens)
    words = WordSegmenter(PIECES, "en").produced(text, PIECES.pieces(tokens))
    assert words.words == text.split()
    assert len(words.owners) == len(tokens)
    for token, owners in zip(tokens, words.owners, strict=True):
        assert (len(owners) == 0) == (token == EOS or not words.words)
    assert {word for owners in words.owners for word in owners} == set(range(len(words.words)))


def test_unknown_pieces_and_broken_characters_are_words_too() -> None:
    (cat,) = PIECES.encode(["猫"])
    broken = next(token for token in cat if PIECES.pieces([token])[0].startswith("<0x"))
    (the,) = PIECES.encode(["the"])
    tokens = [*the[:-1], UNK, *the[:-1], broken, EOS]
    reader = WordSegmenter(PIECES, "en")
    words = reader.produced(PIECES.decode(tokens), PIECES.pieces(tokens))
    assert words.words == ["the", "⁇", "the\ufffd"]
    length = len(the) - 1
    assert [list(owners) for owners in words.owners] == [[0]] * length + [[1]] + [[2]] * (length + 1) + [[]]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["我们", "go", "家。"]),
        ("zh", ["我", "们", "g", "o", "家", "。"]),
        ("ja", ["我", "们", "g", "o", "家", "。"]),
        ("zh-TW", ["我", "们", "g", "o", "家", "。"]),
        ("ZH_cn", ["我", "们", "g", "o", "家", "。"]),
        ("zhx", ["我们", "go", "家。"]),
        ("cmn_Hans", ["我", "们", "g", "o", "家", "。"]),
        ("zh-Latn", ["我们", "go", "家。"]),
    ],
)
def test_a_word_of_chinese_and_japanese_is_a_character(language: str, words: list[str]) -> None:
    text = " 我们  go\u3000家。"
    assert [text[begin:end] for begin, end in find_words(text, language)] == words


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("th", "ที่ กำลัง", ["ที่", "กำ", "ลั", "ง"]),
        ("khm", "ស្ត្រី\u200bខ្មែរ", ["ស្ត្រី", "ខ្មែ", "រ"]),
        ("my", "မြန်မာ", ["မြ", "န်", "မာ"]),
        ("jpn", "か\u3099葛\U000e0100", ["か\u3099", "葛\U000e0100"]),
        ("bo", "བོད་ཡིག", ["བོ", "ད", "་", "ཡི", "ག"]),
    ],
)
def test_marks_stay_with_their_character_where_a_word_is_a_character(
    language: str, text: str, words: list[str]
) -> None:
    assert [text[begin:end] for begin, end in find_words(text, language)] == words


def test_tokens_of_spaces_and_of_parts_of_characters_join_the_next_word() -> None:
    words = [(1, 3), (5, 6), (6, 7)]
    tokens = [(0, 1), (1, 1), (1, 2), (2, 3), (3, 5), (5, 6), (5, 7), (7, 9), None]
    assert [list(owners) for owners in assign(tokens, words)] == [[0], [0], [0], [0], [1], [1], [1, 2], [2], []]
    assert [list(owners) for owners in assign([(0, 1), None], [])] == [[], []]


def test_weights_are_summed_over_source_tokens_and_averaged_over_target_tokens() -> None:
    # source: "aa b" in the tokens a, a, b, EOS; target: "xx y z" in x, x, y, z, EOS
    source = Words(["aa", "b"], [range(0, 1), range(0, 1), range(1, 2), range(0)])
    target = Words(["xx", "y", "z"], [range(0, 1), range(0, 1), range(1, 2), range(2, 3), range(0)])
    one = np.array([
        [0.3, 0.3, 0.4, 0.0],
        [0.1, 0.0, 0.9, 0.0],
        [0.3, 0.3, 0.4, 0.0],  # the greatest weight is b's, the greatest sum aa's
        [0.25, 0.0, 0.0, 0.75],
        [1.0, 0.0, 0.0, 0.0],
    ])  # fmt: skip
    other = one.copy()
    other[3] = np.array([0.5, 0.0, 0.25, 0.25])  # together half of it is on EOS, which is not most of it
    found = align(source, target, np.stack([one, other]))
    np.testing.assert_allclose(found.matrix, [[0.35, 0.65], [0.6, 0.4], [0.375, 0.125]], atol=1e-6)
    assert found.links == [(1, 0), (0, 1), (0, 2)]
    assert str(found) == "1-0 0-1 0-2"
    assert align(source, target, one[None]).links == [(1, 0), (0, 1)]


def test_a_word_without_any_mass_is_unaligned() -> None:
    source, target = Words(["a"], [range(1), range(0)]), Words(["x"], [range(1), range(0)])
    assert align(source, target, np.zeros((1, 2, 2))).links == []
    assert align(source, target, np.array([[[0.2, 0.1], [0, 1]]])).links == [(0, 0)]
    assert align(source, target, np.array([[[0.1, 0.2], [0, 1]]])).links == []  # most of what there is


def test_a_token_of_several_characters_counts_for_each() -> None:
    source = Words(["我", "们", "去"], [range(0, 2), range(2, 3), range(0)])
    target = Words(["we", "go"], [range(0, 1), range(1, 2), range(0)])
    found = align(source, target, np.array([[[0.6, 0.3, 0.1], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]]]))
    assert found.links == [(0, 0), (2, 1)]
    np.testing.assert_allclose(found.matrix, [[0.6, 0.6, 0.3], [0.2, 0.2, 0.8]], atol=1e-6)


def test_lines_without_words_have_no_links() -> None:
    empty, full = Words([], [range(0)]), Words(["x"], [range(1), range(0)])
    assert align(empty, full, np.ones((1, 2, 1))).links == []
    assert align(full, empty, np.full((1, 1, 2), 0.5)).links == []


def test_with_a_threshold_words_compete_and_those_left_over_are_linked() -> None:
    matrix = np.array([[0.6, 0.4, 0.0, 0.0, 0.0], [0.9, 0.06, 0.04, 0.0, 0.0], [0.1, 0.1, 0.2, 0.0, 0.6]])
    attention = np.vstack([matrix, [[0.0, 0.0, 0.0, 0.0, 1.0]]])[None]
    source = Words(["a", "b", "c", "d"], [*(range(word, word + 1) for word in range(4)), range(0)])
    target = Words(["x", "y", "z"], [*(range(word, word + 1) for word in range(3)), range(0)])
    assert align(source, target, attention).links == [(0, 0), (0, 1)]
    # x: 0.36/1.6 < 0.16/0.56; z stays unaligned, but c has it as its best word; nothing attends to d
    assert align(source, target, attention, LinkRule(threshold=0.1)).links == [(1, 0), (0, 1), (2, 2)]
    assert align(source, target, attention, LinkRule(threshold=0.3)).links == [(1, 0), (0, 1)]
    assert align(source, Words([], [range(0)]), attention[:, :1], LinkRule(threshold=0.1)).links == []
    assert align(Words([], [range(0)]), target, attention[..., :1], LinkRule(threshold=0.1)).links == []


def test_agreement_is_och_and_neys() -> None:
    gold = [read_gold("0-0 1-1 2?1", 0, "gold:1"), read_gold("1-1 2?2", 1, "gold:2"), read_gold("", 0, "gold:3")]
    assert gold[0] == Gold(frozenset({(0, 0), (1, 1)}), frozenset({(0, 0), (1, 1), (2, 1)}))
    assert gold[1] == Gold(frozenset({(0, 0)}), frozenset({(0, 0), (1, 1)}))
    found = agreement([[(0, 0), (2, 1), (3, 2)], [(1, 1)], []], gold)
    # A = 4, S = 3, A∩S = 1, A∩P = 3
    assert found.links == 4
    assert found.precision == pytest.approx(3 / 4)
    assert found.recall == pytest.approx(1 / 3)
    assert found.aer == pytest.approx(1 - (1 + 3) / (4 + 3))
    nothing = agreement([[], [], []], gold)
    assert (nothing.aer, nothing.precision, nothing.recall, nothing.links) == (1, 0, 0, 0)
    assert agreement([[]], [gold[2]]).aer == 0


@pytest.mark.parametrize("text", ["1" * 5000 + "-1", "1", "1-", "a-b", "1:2", "1-2-3", "-1-2", "1p2", "1-2,3-4", "²-1"])
def test_malformed_links_are_named(text: str) -> None:
    with pytest.raises(DataError, match=r"gold:7: .* is no link; expected i-j"):
        read_gold(f"0-0 {text}", 0, "gold:7")


def test_links_below_the_base_are_named() -> None:
    with pytest.raises(DataError, match=r"gold:7: '0-1': words are counted from 1 \(gold_base=1\); use gold_base=0"):
        read_gold("1-1 0-1", 1, "gold:7")


TWO_WORDS = Words(["so", "it"], [range(1), range(1, 2), range(0)])
PIECES_OF_TWO = Words(["gut", "Ende"], [range(1), range(1, 2), range(1, 2), range(0)])


def test_a_shift_reads_the_rows_of_the_next_tokens() -> None:
    attention = np.array([[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]])  # [h t s]
    assert align(TWO_WORDS, PIECES_OF_TWO, attention, LinkRule(shift=1)).links == [(0, 0), (1, 1)]
    assert align(TWO_WORDS, PIECES_OF_TWO, attention, LinkRule(shift=-1)).links == [(0, 1)]


def test_the_first_piece_of_a_word_may_count_alone() -> None:
    attention = np.array([[[1.0, 0.0, 0.0], [0.4, 0.6, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0]]])
    assert align(TWO_WORDS, PIECES_OF_TWO, attention).links == [(0, 0), (0, 1)]
    found = align(TWO_WORDS, PIECES_OF_TWO, attention, LinkRule(pieces="first"))
    assert found.links == [(0, 0), (1, 1)]
    np.testing.assert_allclose(found.matrix, [[1, 0], [0.4, 0.6]])
