"""What nobody sees changes no translation: odd white space, format characters, blank lines."""

import json
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FORMAT_1
from support.sentences import PAIRS, write_pairs
from support.trainers import settings as settings_of
from support.trainers import write_corpus

from seq2seq import checkpoint
from seq2seq.build import translation_model
from seq2seq.config import Decoding, parse, stored_data, to_plain
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.forced_scores import SentencePair, score_pairs
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translation import Request
from seq2seq.inference.translator import Translator
from seq2seq.text.cache import encode_corpus
from seq2seq.text.cleaning import Replacement, clean, find_unusual, overlay, spans_before
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.tokenizer import EOS, Tokenizer
from seq2seq.training.run_directory import check_run_dir

EVERY = [chr(number) for number in range(0x110000) if unicodedata.category(chr(number)) not in ("Cs", "Co", "Cn")]
SPACES = [c for c in EVERY if unicodedata.category(c) in ("Zs", "Zl", "Zp", "Cc") and c != " "]
NEEDED_ANYWHERE = {"\u0600", "\u0601", "\u0602", "\u0603", "\u0604", "\u0605", "\u06dd", "\u070f", "\u0890", "\u0891",
                   "\u08e2", "\U000110bd", "\U000110cd", *map(chr, range(0x13430, 0x13440))}  # fmt: skip
FORMATS = [c for c in EVERY if unicodedata.category(c) == "Cf" and c not in NEEDED_ANYWHERE]
STAYING = [
    "می\u200cخواهم",
    "क्\u200dष और क्\u200cष",
    "ന്\u200d",
    "👩\u200d👩\u200d👧 👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 🙂\u200d↔\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u0600١٢",
    "ភាសា\u200bខ្មែរ ២",
    "葛\U000e0100 ❤\ufe0f",
    "ᠭᠠ\u180eᠠ",
    "plain text — ‘quoted’, 100 %",
]
BLANK = [
    "",
    " ",
    "\t",
    "\u200b",
    "\ufeff",
    "\xad",
    " \u3000\u200e\x1b ",
    "\x08",
    "\u2028",
    "\u3164",
    "\u2800",
    "\ufe0f",
]
SAME = [  # and what they are read as
    ("\tmy friend", "my friend"),
    ("my\u00a0friend", "my friend"),
    ("my\u202ffriend\u3000", "my friend"),
    ("my\u2028friend\x85", "my friend"),
    ("my\x07friend", "my friend"),
    ("\ufeffmy fri\u00adend", "my friend"),
    ("m\u200by fri\u2060e\u200dnd", "my friend"),
    ("\u202amy\u202c \u2066friend\u2069", "my friend"),
    ("m\U000e0079\U000e0065y friend", "my friend"),
]


PIECES = Tokenizer.train(
    [side for pair in PAIRS for side in pair], kind="bpe", vocab_size=340, byte_fallback=None,
    character_coverage=None, normalization="identity",
)  # fmt: skip


def translator() -> Translator:
    torch.manual_seed(1)
    names = {"score": "additive", "window": "global", "normaliser": "softmax", "placement": "before"}
    attention = {group: {"name": name} for group, name in names.items()}
    options = parse(
        "model", {"attention": attention, "bridge": {"name": "last"}, "embedding_size": 8, "hidden_size": 8}
    )
    model = translation_model(options, len(PIECES), len(PIECES))
    return Translator([EnsembleMember(model, PIECES)], PIECES, torch.device("cpu"), ("en", "de"))


def test_each_white_space_is_a_space_and_no_format_character_is_seen_between_letters() -> None:
    assert len(SPACES) > 80
    assert len(FORMATS) > 120
    for character in SPACES:
        assert clean(f"a{character}b") == "a b", ascii(character)
    for character in FORMATS:
        assert clean(f"a{character}b") == "ab", ascii(character)


def test_replacements_over_others_hide_them() -> None:
    over = [Replacement(2, 4, "x"), Replacement(6, 9, "y")]
    under = [Replacement(n, n + 1, "") for n in (0, 1, 2, 3, 4, 6, 8, 9)]
    assert overlay(over, under) == [*under[:2], over[0], under[4], over[1], under[7]]
    assert overlay([], under) == under


def test_nothing_else_changes() -> None:
    others = "".join(f"a{c}b" for c in sorted({*EVERY, "\ue000", "\u0378"} - {*SPACES, *FORMATS}))
    assert clean(others) == others


@pytest.mark.parametrize("line", STAYING)
def test_what_a_writing_needs_stays(line: str) -> None:
    assert clean(line) == line


@pytest.mark.parametrize("line", BLANK)
def test_a_line_on_which_nothing_is_visible_is_blank(line: str) -> None:
    assert PIECES.is_blank(line)
    assert PIECES.encode([line]) == [[EOS]]
    assert Tokenizer(PIECES.model, "raw", raw_text=True).is_blank(line) == (not line.strip())


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(["a", " ", "ก", "خ", "क", "्", "👩", *SPACES[:12], *FORMATS]), max_size=10))
def test_cleaning_again_changes_nothing_and_places_are_those_of_the_line(line: str) -> None:
    cleaned = clean(line)
    assert clean(cleaned) == cleaned
    spans = spans_before(line, find_unusual(line), [(place, place + 1) for place in range(len(cleaned))])
    for character, (begin, end) in zip(cleaned, spans, strict=True):
        assert line[begin:end] == character or (character == " " and line[begin:end] in SPACES)


@pytest.mark.parametrize(("line", "usual"), SAME)
def test_training_and_translation_read_a_line_as_its_usual_form(line: str, usual: str, tmp_path: Path) -> None:
    assert PIECES.encode([line]) == PIECES.encode([usual])
    write_pairs(tmp_path / "t", [(line, usual)])
    text = ParallelText.find(str(tmp_path / "t"), "en", "de")
    corpus = encode_corpus(text, PIECES, PIECES, filters=Filters(drop_identical=True), cache_dir=tmp_path)
    assert corpus.counts["identical"] == 1
    reads = translator()
    options = Decoding(max_length=4)
    found, expected = reads.translate_lines([line, usual], options)
    assert (found[0].text, found[0].score) == (expected[0].text, expected[0].score)
    assert found[0].source == line
    ahead = [reads.translate_group([Request("my friend", prefix=prefix)], options)[0][0] for prefix in (line, usual)]
    assert ahead[0].tokens == ahead[1].tokens
    said = score_pairs(reads, [SentencePair(line, line), SentencePair(usual, usual)], 2)
    assert said[0].score == pytest.approx(said[1].score, abs=1e-5)


def test_blank_lines_are_left_out_translated_as_blank_and_not_scored(tmp_path: Path) -> None:
    write_pairs(tmp_path / "t", [("my friend", line) for line in BLANK] + [("my friend", "mein Freund")])
    text = ParallelText.find(str(tmp_path / "t"), "en", "de")
    corpus = encode_corpus(text, PIECES, PIECES, filters=Filters(), cache_dir=tmp_path)
    assert corpus.counts == {"kept": 1, "empty": len(BLANK)}
    reads = translator()
    assert [best.text for best, *_ in reads.translate_lines(BLANK)] == [""] * len(BLANK)
    assert [forced.tokens for forced in score_pairs(reads, [SentencePair(line, line) for line in BLANK], 4)] == [
        []
    ] * len(BLANK)


def test_alignments_are_between_the_words_of_the_raw_line() -> None:
    reads = translator()
    aligner = Aligner.of(reads)
    assert aligner is not None
    line = "\tmy\u00a0fri\u00adend \u200bsees it"
    (best, *_) = next(reads.translate_lines([line], Decoding(max_length=5)))
    alignment = aligner.align(best)
    assert alignment.source == line.split()
    assert alignment.matrix.sum(1).max() > 0.5


def test_pieces_are_learned_from_what_is_read() -> None:
    lines = ["a\u00a0b\u200bc \tde"] * 20
    options = {"kind": "char", "vocab_size": 30, "byte_fallback": None, "character_coverage": None}
    read, raw = (Tokenizer.train(lines, normalization="identity", raw_text=raw, **options) for raw in (False, True))  # type: ignore[arg-type]
    assert not {"\u00a0", "\u200b"} & set(read.pieces(range(len(read))))
    assert {"\u00a0", "\u200b"} < set(raw.pieces(range(len(raw))))


def test_a_checkpoint_says_how_it_reads_and_an_older_one_reads_raw_text(tmp_path: Path) -> None:
    old = FORMAT_1
    loaded = checkpoint.load(old, torch.device("cpu"))
    assert loaded.data.raw_text
    assert loaded.source.raw_text
    assert loaded.target.raw_text
    checkpoint.save(tmp_path / "copy", loaded, "")
    assert checkpoint.load(tmp_path / "copy", torch.device("cpu")).source.raw_text
    data = to_plain(loaded.data)
    assert parse("data", stored_data({**data, "raw_text": False})).raw_text is False
    del data["raw_text"]
    assert parse("data", stored_data(data)).raw_text is True
    assert parse("data", data).raw_text is False


def test_a_run_of_an_older_version_goes_on_with_raw_text_alone(tmp_path: Path) -> None:
    config = settings_of([*write_corpus(tmp_path)])
    stored = to_plain(config)
    del stored["data"]["raw_text"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match=r"data\.raw_text: was True, now False"):
        check_run_dir(tmp_path, config)
    assert check_run_dir(tmp_path, settings_of([*write_corpus(tmp_path), "data.raw_text=true"])) == []
