"""Unknown words are replaced by the source words that attention points at."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seq2seq.errors import DataError
from seq2seq.inference.unknown import read_dictionary, replace_unknown
from seq2seq.text.tokenizer import EOS, UNK, Tokenizer
from seq2seq.text.words import WordSegmenter

LINES = ["the cat sees a dog", "a dog sees the cat", "the old dog sleeps"] * 5
WORDS = Tokenizer.train(
    LINES, kind="word", vocab_size=50, byte_fallback=None, character_coverage=1.0, normalization="identity"
)
READER = WordSegmenter(WORDS, "en")


def say(text: str) -> list[int]:
    """A known word by its name, an unknown one by `?`."""
    return [UNK if word == "?" else WORDS.encode([word])[0][0] for word in text.split()] + [EOS]


def attention(*places: int, size: int) -> Tensor:
    """A head that looks at one source token for each target token [1 t s]."""
    return torch.nn.functional.one_hot(torch.tensor(places), size)[None].float()


def replaced(line: str, said: str, *places: int, dictionary: dict[str, str] | None = None) -> str:
    (source,) = WORDS.encode([line])
    return replace_unknown(READER, READER, dictionary or {}, line, say(said), attention(*places, size=len(source)))


def test_the_word_attended_most_is_copied_or_looked_up() -> None:
    assert replaced("the Zebra sees a dog", "the ? sees ?", 0, 1, 2, 4, 5) == "the Zebra sees dog"
    assert replaced("the Zebra sees a dog", "? sees", 1, 2, 5, dictionary={"Zebra": "das Zebra"}) == "das Zebra sees"
    assert replaced("Zebra, the", "the ? dog", 1, 0, 1, 2) == "the Zebra, dog"


def test_each_of_unknown_neighbours_is_copied() -> None:
    assert replaced("the New  York dog", "? the ?", 2, 0, 1, 4, dictionary={"York": "Yorck"}) == "Yorck the New"


@given(
    st.lists(st.sampled_from(["the", "dog", "New", "York", "ß", "Zebra,"]), max_size=6), st.sampled_from(" \t\u3000")
)
def test_each_word_is_a_token_of_its_own(words: list[str], between: str) -> None:
    line = between.join(words)
    (tokens,) = WORDS.encode([line])
    assert [WORDS.pieces([token])[0].strip("\u2581") for token in tokens] == [
        *(word if word in ("the", "dog") else "<unk>" for word in words),
        "</s>",
    ]
    read = READER.line(line)
    assert read.words == words
    assert read.owners == [*(range(place, place + 1) for place in range(len(words))), range(0)]


def test_what_points_at_no_word_stays_unknown() -> None:
    assert replaced("the dog", "the ? dog", 0, 2, 1, 2) == "the ⁇  dog"
    assert replaced("the dog", "the dog", 0, 2, 2) == "the dog"


def test_the_words_of_a_replaced_text_are_found_again() -> None:
    tokens = WORDS.pieces(say("the ? sees ? ? dog ?"))
    words = READER.produced("the Zebra sees New York City dog, , x", tokens)
    assert words.words == ["the", "Zebra", "sees", "New", "York", "City", "dog,", ",", "x"]
    plain = READER.produced("the Zebra sees New York City dog old x", tokens)
    assert [list(owners) for owners in plain.owners] == [[0], [1], [2], [3], [4, 5], [6], [7, 8], []]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["the", "cat", "dog", "?"]), min_size=1, max_size=8),
    st.lists(st.sampled_from(["Zebra", "x", "the", "Größe,", "猫"]), min_size=1, max_size=5, unique=True),
    st.randoms(use_true_random=False),
)
def test_every_token_of_a_replaced_text_owns_its_word(said: list[str], line: list[str], random: object) -> None:
    source = " ".join(line)
    size = len(WORDS.encode([source])[0])
    places = [random.randrange(size - 1) for _ in said] + [size - 1]  # type: ignore[attr-defined]
    text = replaced(source, " ".join(said), *places)
    words = READER.produced(text, WORDS.pieces(say(" ".join(said))))
    assert words.words == text.split()
    for word, owners in zip(said, words.owners[:-1], strict=True):
        assert len(owners) >= 1
        if word != "?":
            assert [words.words[i] for i in owners] == [word]


def test_a_dictionary_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text("Zebra\tdas  Zebra\r\nZebra\tein Zebra\nx\ty\n")
    assert read_dictionary(path) == {"Zebra": "das Zebra", "x": "y"}
    (tmp_path / "bad.tsv").write_text("a\tb\nZebra das Zebra\n")
    with pytest.raises(DataError, match=r"bad\.tsv:2: 'Zebra das Zebra' is no entry"):
        read_dictionary(tmp_path / "bad.tsv")


def test_only_vocabularies_of_words_are() -> None:
    assert WORDS.whole_words
    pieces = Tokenizer.train(
        LINES, kind="bpe", vocab_size=30, byte_fallback=False, character_coverage=1.0, normalization="identity"
    )
    assert not pieces.whole_words
