"""What is protected is kept to the letter: in the tokens, in the translation, in alignments."""

import logging
import time
from pathlib import Path

import pytest
import torch
from support.sentences import write_pairs
from support.trainers import make, settings, write_corpus

from seq2seq import checkpoint
from seq2seq.build import translation_model
from seq2seq.config import Decoding, parse
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.forced_scores import SentencePair, score_pairs
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translation import Request
from seq2seq.inference.translator import Translator
from seq2seq.search.protocol import Hypothesis
from seq2seq.text.cache import encode_corpus
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.protection import Protection
from seq2seq.text.tokenizer import EOS, UNK, Tokenizer
from seq2seq.text.word_alignments import WordLinks
from seq2seq.text.words import WordSegmenter
from seq2seq.training.corpora import prepare_data

NAMED = ["placeholders", "urls", "markup"]
LINES = ["press {0} to open http://a.b/c now", "my friend sees %s", "the old <b>house</b> is here", "a {name} b"] * 5
FOUND = {
    "Delete {0} of {count} files in ${HOME}": ["{0}", "{count}", "${HOME}"],
    "%s: %(name)d of %2$s, %-5.2f": ["%s", "%(name)d", "%2$s", "%-5.2f"],
    "100 % done, 50% off, 3%de": [],
    'a <ph id="1"/> b <b>c</b> &amp; 2 < 3 > 1': ['<ph id="1"/>', "<b>", "</b>", "&amp;"],
    "see https://a.org/x?y=1&z=%20, or (www.b.de/). Mail me.you@c.co.uk!": [
        "https://a.org/x?y=1&z=%20", "www.b.de/", "me.you@c.co.uk",
    ],
    "{0} and {0} again": ["{0}"],
}  # fmt: skip


def pieces(kind: str = "bpe", protect: list[str] = NAMED) -> Tokenizer:
    size = {"bpe": 320, "unigram": 304}.get(kind, 60)
    return Tokenizer.train(
        LINES, kind=kind, vocab_size=size, byte_fallback=None, character_coverage=None, normalization="identity",
        protect=protect,
    )  # fmt: skip


PIECES = pieces()


def translator() -> Translator:
    torch.manual_seed(1)
    names = {"score": "additive", "window": "global", "normaliser": "softmax", "placement": "before"}
    attention = {group: {"name": name} for group, name in names.items()}
    options = parse(
        "model", {"attention": attention, "bridge": {"name": "last"}, "embedding_size": 8, "hidden_size": 8}
    )
    model = translation_model(options, len(PIECES), len(PIECES))
    return Translator([EnsembleMember(model, PIECES)], PIECES, torch.device("cpu"), ("en", "de"))


@pytest.mark.parametrize("line", FOUND)
def test_names_stand_for_what_is_usual(line: str) -> None:
    assert PIECES.protected(line) == FOUND[line]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "word"])
def test_each_text_is_one_piece_and_comes_back_to_the_letter(kind: str) -> None:
    tokenizer = pieces(kind)
    line = 'press {0} now {name} press <ph  id="\u00a07"/> now {0}'
    texts = tokenizer.protected(line)
    (tokens,) = tokenizer.encode([line])
    names = tokenizer.pieces(tokens)
    assert [name.lstrip("▁") for name in names if "⟦" in name] == ["⟦0⟧", "⟦1⟧", "⟦2⟧", "⟦0⟧"]
    if kind != "word":
        assert UNK not in tokens
    decoded, spans = tokenizer.decode_spans(names, texts)
    assert decoded == tokenizer.decode(tokens, texts) == line
    for places in (spans[:-1], tokenizer.encode_spans(line)):
        of_symbols = [place for place, name in zip(places, names, strict=False) if "⟦" in name]
        assert [line[begin:end].strip() for begin, end in of_symbols] == ["{0}", "{name}", texts[2], "{0}"]  # type: ignore[misc]
    words = WordSegmenter(tokenizer, "en")
    assert words.produced(line, names, texts).owners == words.line(line).owners


def test_without_protection_nothing_changes_and_no_piece_is_spent() -> None:
    plain = pieces(protect=[])
    assert plain.protected("press {0}") == []
    assert not any("⟦" in name for name in plain.pieces(range(len(plain))))


def test_symbols_as_text_are_text_and_symbols_without_a_text_vanish() -> None:
    (tokens,) = PIECES.encode(["⟦0⟧ {0}"])
    assert sum(name == "⟦0⟧" for name in PIECES.pieces(tokens)) == 1
    assert PIECES.decode(tokens, ["{0}"]) == "⟦0⟧ {0}"
    assert PIECES.decode(tokens, []) == "⟦0⟧ "


@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_what_one_side_alone_has_is_ordinary_text(kind: str) -> None:
    tokenizer = pieces(kind)
    (tokens,) = tokenizer.encode(["press http://a.b/c now"], [[]])
    assert UNK not in tokens
    assert tokenizer.decode(tokens) == "press http://a.b/c now"


def test_more_texts_than_there_are_symbols_are_ordinary_text() -> None:
    line = " ".join(f"{{{number}}}" for number in range(12))
    (tokens,) = PIECES.encode([line])
    assert sum("⟦" in name for name in PIECES.pieces(tokens)) == 10
    assert PIECES.decode(tokens, PIECES.protected(line)) == line


@pytest.mark.parametrize("nbest", [None, 4])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_that_are_drawn_leave_symbols_whole(kind: str, nbest: int | None) -> None:
    tokenizer = pieces(kind)
    lines = ["press {0} to open <b>now", "my friend {name}sees %s", "{0} %s"]  # the last can be spelled in few ways
    rows = tokenizer.encode(lines)
    drawn = tokenizer.sample(rows, 0.5 if kind == "bpe" else 0.01, nbest, 3)
    assert drawn != rows
    for row, tokens in zip(rows, drawn, strict=True):
        symbols = [name for name in tokenizer.pieces(tokens) if "⟦" in name]
        assert symbols == [name for name in tokenizer.pieces(row) if "⟦" in name]
    assert tokenizer.decode_lines(drawn) == tokenizer.decode_lines(rows)


def test_training_numbers_what_both_sides_have(tmp_path: Path) -> None:
    pairs = [("%s and {0} of {1}", "{1} von {0}"), ("{0}", "{9}")]
    write_pairs(tmp_path / "t", pairs)
    (tmp_path / "t.align").write_text("2-2 4-0\n\n")
    text = ParallelText.find(str(tmp_path / "t"), "en", "de")
    links = WordLinks.find(str(tmp_path / "t.align"), "en", "de")
    corpus = encode_corpus(text, PIECES, PIECES, filters=Filters(), cache_dir=tmp_path, links=links)
    source, target = (PIECES.pieces(side[0].tolist()) for side in (corpus.source, corpus.target))
    assert [name for name in source if "⟦" in name] == ["⟦0⟧", "⟦1⟧"]
    assert [name for name in target if "⟦" in name] == ["⟦1⟧", "⟦0⟧"]
    assert PIECES.decode(corpus.source[0].tolist(), ["{0}", "{1}"]) == pairs[0][0]
    assert corpus.links is not None
    linked = {(target[t], source[s]) for t, s in corpus.links[0].tolist()}
    assert {("⟦1⟧", "⟦1⟧"), ("⟦0⟧", "⟦0⟧")} <= linked
    assert not any("⟦" in name for side in (corpus.source, corpus.target) for name in PIECES.pieces(side[1].tolist()))


def test_a_translation_has_the_texts_of_its_source_and_what_is_missing_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    reads = translator()
    lines = ["press {count} now", "a {x} b {y}", "nothing"]
    symbol = PIECES.encode(["{0}"])[0][-2]

    def says_the_first(*_: object, **__: object) -> list[list[Hypothesis]]:
        tokens = [symbol, EOS]
        return [[Hypothesis(tokens, [-0.5, -0.5], -1.0, torch.full((1, 2, 3), 1 / 3))]]

    monkeypatch.setattr(reads, "_search", says_the_first)
    found = [reads.translate_group([Request(line, number)], Decoding())[0][0] for number, line in enumerate(lines)]
    assert [best.text for best in found] == ["{count}", "{x}", ""]
    assert found[0].tokens == ["⟦0⟧", "</s>"]
    (message,) = caplog.messages
    assert message.startswith("1 of 2 protected texts")
    assert "line 2: {y}" in message


def test_scores_and_alignments_are_of_the_same_pieces() -> None:
    reads = translator()
    (best, *_) = next(reads.translate_lines(["press {count} to open"], Decoding(max_length=6)))
    aligner = Aligner.of(reads)
    assert aligner is not None
    assert aligner.align(best).target == best.text.split()
    assert aligner.align(best).source == ["press", "{count}", "to", "open"]
    (by_tokens,) = score_pairs(reads, [SentencePair(best.source, best.text, best.tokens)], 1)
    assert by_tokens.token_scores == pytest.approx(best.token_scores, abs=1e-4)
    (by_text,) = score_pairs(reads, [SentencePair("press {count}", "{count} press")], 1)
    assert "⟦0⟧" in by_text.tokens
    assert aligner.align(by_text).target == ["{count}", "press"]


def test_a_checkpoint_protects_by_itself(tmp_path: Path) -> None:
    trainer = make(tmp_path, 'data.protect=["placeholders","x+y"]')
    checkpoint.save(tmp_path / "saved", trainer.keeper.checkpoint, "")
    loaded = checkpoint.load(tmp_path / "saved", torch.device("cpu"))
    assert loaded.source.protected("a {0} xxy <b>") == ["{0}", "xxy"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ('"a("', r"data\.protect: a\( is no regular expression .*placeholders, urls, markup"),
        ('"a*"', r"data\.protect: a\* matches empty text"),
        ('"urls" data.tokenizer_model=x', r"data\.protect=urls and data\.tokenizer_model=x: .*no pieces"),
    ],
)
def test_patterns_that_protect_nothing_are_refused(given: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError), match=complaint):
        prepare_data(settings([*write_corpus(tmp_path), *f"data.protect={given}".split()]))


def test_members_that_protect_something_else_read_the_same_numbers_when_they_score() -> None:
    one = translator()
    other = pieces(protect=["urls"])
    names = {"score": "additive", "window": "global", "normaliser": "softmax", "placement": "before"}
    attention = {group: {"name": name} for group, name in names.items()}
    options = parse(
        "model", {"attention": attention, "bridge": {"name": "last"}, "embedding_size": 8, "hidden_size": 8}
    )
    first = EnsembleMember(translation_model(options, len(other), len(PIECES)), other)
    both = Translator([first, *one.members], PIECES, torch.device("cpu"), ("en", "de"))
    (best, *_) = next(both.translate_lines(["the <b>old</b> house http://a.b/c"], Decoding(max_length=6)))
    (scored,) = score_pairs(both, [SentencePair(best.source, best.text, best.tokens)], 1)
    assert scored.token_scores == pytest.approx(best.token_scores, abs=1e-4)


def test_addresses_are_found_in_long_words_and_in_linear_time() -> None:
    protection = Protection(["urls"])
    begin = time.process_time()
    assert protection.find("a" * 200_000) == []
    assert time.process_time() - begin < 5  # each place of the word was tried anew: minutes
    assert protection.find("Write to a.b+c@d-e.org, x@y or z@w.net.") == ["a.b+c@d-e.org", "z@w.net"]


def test_words_with_protection_are_words() -> None:
    """Each unknown one is a token, and the numbered pieces count as no words."""
    tokenizer = pieces("word")
    assert tokenizer.whole_words
    tokens = tokenizer.encode(["zork flumb http://a.de/b"])[0]
    assert tokens[:2] == [UNK, UNK]
    assert len(tokens) == 4
