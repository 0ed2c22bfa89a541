"""Sub-word regularisation: what is drawn, that it spells the same text, and that a seed says all of it."""

from typing import Any

import numpy as np
import pytest
from support.pieces import LINES, STRANGE, tokenizer

from seq2seq import config
from seq2seq.errors import ConfigError
from seq2seq.text.batches import Batch
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.sampling import SubwordSampling
from seq2seq.text.stored_rows import StoredRows
from seq2seq.text.tokenizer import EOS, PAD, UNK, Tokenizer


def side(rows: list[list[int]]) -> StoredRows:
    offsets = np.cumsum([0, *map(len, rows)])
    return StoredRows(np.array([token for row in rows for token in row], np.uint32), offsets)


def drawn(pieces: Tokenizer, lines: list[str], seed: tuple[int, ...] = (1, 0, 1), **options: Any) -> Batch:
    """A batch with the lines on both sides."""
    stored = side(pieces.encode(lines))
    how = {"amount": 0.3, "nbest": None, "max_length": 400, **options}
    corpus = EncodedCorpus(stored, stored, {"kept": len(lines)})
    return SubwordSampling(pieces, pieces, **how).batch(corpus, range(len(lines)), seed)


def rows(padded: Any) -> list[list[int]]:
    return [[token for token in row if token != PAD] for row in padded.tolist()]


@pytest.mark.parametrize("nbest", [None, 8])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_are_drawn_anew_and_spell_the_same(kind: str, nbest: int | None) -> None:
    pieces = tokenizer(kind)
    best = pieces.encode(LINES)
    seen: list[set[tuple[int, ...]]] = [set() for _ in LINES]
    for number in range(20):
        batch = drawn(pieces, LINES, (1, 0, number), nbest=nbest)
        for line, source, target, found in zip(LINES, rows(batch.source), rows(batch.targets), seen, strict=True):
            assert source[-1] == target[-1] == EOS
            assert pieces.decode(source) == pieces.decode(target) == line
            found |= {tuple(source), tuple(target)}
    assert min(map(len, seen)) > (4 if nbest else 10)
    assert nbest is None or kind == "bpe" or max(map(len, seen)) <= nbest
    assert sum(len(row) for found in seen for row in found) / sum(map(len, seen)) > sum(map(len, best)) / len(best)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_the_seed_says_all(kind: str) -> None:
    pieces = tokenizer(kind)
    first = drawn(pieces, LINES)
    drawn(pieces, LINES[:2], (5, 5, 5))
    again = drawn(Tokenizer(pieces.model, "the same"), LINES)
    assert rows(first.source) == rows(again.source)
    assert rows(first.targets) == rows(again.targets)
    assert rows(first.source) != rows(first.targets)
    for seed in ((2, 0, 1), (1, 1, 1), (1, 0, 2)):
        assert rows(drawn(pieces, LINES, seed).source) != rows(first.source)


@pytest.mark.parametrize("normalization", ["identity", "nmt_nfkc", "nfkc_cf"])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_strange_text_stays_what_it_was(kind: str, normalization: str) -> None:
    """Bytes, signs that sentencepiece uses itself, and white space."""
    pieces = tokenizer(kind, normalization=normalization)
    texts = [pieces.decode(row) for row in pieces.encode(STRANGE)]
    changed = 0
    for number in range(10):
        batch = drawn(pieces, STRANGE, (1, 0, number))
        assert [pieces.decode(row) for row in rows(batch.source)] == texts
        changed += sum(new != old for new, old in zip(rows(batch.source), pieces.encode(STRANGE), strict=True))
    assert changed > 20


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_unknown_words_stay_unknown(kind: str) -> None:
    pieces = tokenizer(kind, byte_fallback=False)
    (stored,) = pieces.encode(["the 猫 sleeps"])
    assert UNK in stored
    for number in range(5):
        assert rows(drawn(pieces, ["the 猫 sleeps"], (1, 0, number)).source) == [stored]


def test_no_sentence_gets_longer_than_the_limit() -> None:
    pieces = tokenizer("bpe")
    best = pieces.encode(LINES)
    limit = max(map(len, best)) + 2
    for number in range(10):
        cut = rows(drawn(pieces, LINES, (1, 0, number), amount=0.8, max_length=limit).source)
        assert all(len(row) <= limit for row in cut)
        assert [row for row, old in zip(cut, best, strict=True) if row == old]


def test_decode_lines_is_decode() -> None:
    pieces = tokenizer("bpe")
    encoded = pieces.encode([*LINES, *STRANGE])
    assert pieces.decode_lines(encoded) == [pieces.decode(row) for row in encoded]


DATA = {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tokenizer": "word"}, ("data.subword_sampling=0.1", "data.tokenizer=word", "bpe or unigram")),
        ({"tokenizer": "char"}, ("data.subword_sampling=0.1", "data.tokenizer=char")),
        ({"subword_nbest": 8}, ("data.subword_nbest=8", "data.tokenizer=bpe", "data.subword_nbest=null")),
        (
            {"subword_sampling": None, "subword_nbest": 8, "tokenizer": "unigram"},
            ("data.subword_nbest=8", "data.subword_sampling=None", "data.subword_sampling=0.2"),
        ),
        ({"alignments": "a"}, ("data.subword_sampling=0.1", "data.alignments=a", "data.alignments=null")),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        config.parse("data", {**DATA, "subword_sampling": 0.1, **values})
    assert [word for word in words if word not in str(refused.value)] == []
    assert len(str(refused.value).splitlines()) == 1


def test_the_ways_out_lead_out() -> None:
    config.parse("data", {**DATA, "tokenizer": "unigram", "subword_sampling": 0.2, "subword_nbest": 64})
    config.parse("data", {**DATA, "subword_sampling": 0.1})
