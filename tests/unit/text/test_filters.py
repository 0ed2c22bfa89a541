"""Which pairs of a training text are dropped, and for which reason."""

import hashlib
from pathlib import Path

import pytest
from support.pieces import tokenizer
from support.sentences import write_pairs

from seq2seq.benchmark.corpora import word_tokenizer
from seq2seq.text import cache, filters
from seq2seq.text.cache import EncodedCorpus, encode_corpus
from seq2seq.text.filters import Filters, Repeated, Sieve
from seq2seq.text.parallel import ParallelText
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.text.word_alignments import WordLinks

WORDS = word_tokenizer(["a", "b", "c", "d"])
PAIRS = [
    ("a b", "c d"),
    ("", "c"),
    ("a b", "a b"),
    ("a b", "c d"),  # again
    ("a b ", " c d"),  # again, but for white space
    ("a b", "c c"),
    ("c d", "a b"),
    ("a a a a", "b"),  # four to one
    ("a", "b b b"),  # three to one
    ("a " * 9, "b " * 9),
    ("", "c"),
    (" d", "d "),  # the same, but for white space
    ("a b", "a b"),
]
ALL = Filters(8, 3.0, drop_identical=True, drop_duplicates=True)


def text_of(where: Path, pairs: list[tuple[str, str]]) -> ParallelText:
    write_pairs(where / "t", pairs)
    return ParallelText.find(str(where / "t"), "en", "de")


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [(8, 8, None), (9, 8, "long"), (8, 9, "long"), (2, 4, None), (4, 2, None), (2, 5, "ratio"), (5, 2, "ratio")],
)
def test_what_is_as_long_as_it_may_be_stays(tmp_path: Path, source: int, target: int, reason: str | None) -> None:
    """In pieces with EOS, which the ratio leaves out."""
    assert Sieve(Filters(8, 3.0), text_of(tmp_path, PAIRS)).of_lengths(source, target) == reason


def encoded(where: Path, chosen: Filters, links: WordLinks | None = None) -> EncodedCorpus:
    return encode_corpus(text_of(where, PAIRS), WORDS, WORDS, filters=chosen, cache_dir=where / "cache", links=links)


def kept(corpus: EncodedCorpus) -> list[tuple[str, str]]:
    sides = [
        [WORDS.decode(side[row].tolist()) for row in range(len(corpus))] for side in (corpus.source, corpus.target)
    ]
    return list(zip(*sides, strict=True))


@pytest.mark.parametrize(
    ("chosen", "counts", "rows"),
    [
        (Filters(), {"empty": 2}, [0, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]),
        (Filters(8), {"empty": 2, "long": 1}, [0, 2, 3, 4, 5, 6, 7, 8, 11, 12]),
        (Filters(max_length_ratio=3.0), {"empty": 2, "ratio": 1}, [0, 2, 3, 4, 5, 6, 8, 9, 11, 12]),
        (Filters(max_length_ratio=1.0), {"empty": 2, "ratio": 2}, [0, 2, 3, 4, 5, 6, 9, 11, 12]),
        (Filters(drop_identical=True), {"empty": 2, "identical": 3}, [0, 3, 4, 5, 6, 7, 8, 9]),
        (Filters(drop_duplicates=True), {"empty": 2, "duplicate": 3}, [0, 2, 5, 6, 7, 8, 9, 11]),
        (ALL, {"empty": 2, "identical": 3, "duplicate": 2, "long": 1, "ratio": 1}, [0, 5, 6, 8]),
    ],
    ids=str,
)
@pytest.mark.parametrize("chunk", [2, 10_000])
def test_each_pair_is_kept_or_counted_for_one_reason(
    tmp_path: Path, chosen: Filters, counts: dict[str, int], rows: list[int], chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(cache, "_CHUNK", chunk)
    corpus = encoded(tmp_path, chosen)
    assert corpus.counts == {"kept": len(rows), **counts}
    assert list(counts) == list(chosen.reasons())
    assert sum(corpus.counts.values()) == len(PAIRS)
    assert kept(corpus) == [(PAIRS[row][0].strip(), PAIRS[row][1].strip()) for row in rows]


def test_links_stay_with_their_pairs(tmp_path: Path) -> None:
    lines = [f"0-{min(1, len(t.split()) - 1)}" if s.strip() and t.strip() else "" for s, t in PAIRS]
    (tmp_path / "t.align").write_text("".join(f"{line}\n" for line in lines))
    corpus = encoded(tmp_path, ALL, WordLinks.find(str(tmp_path / "t.align"), "en", "de"))
    assert corpus.links is not None
    assert [corpus.links[row].tolist() for row in range(4)] == [[[1, 0]]] * 4
    assert corpus.counts["linked"] == 4


def test_a_cache_entry_belongs_to_its_filters(tmp_path: Path) -> None:
    chosen = [Filters(8), Filters(8, 3.0), Filters(8, 3.5), Filters(8, drop_identical=True),
              Filters(8, drop_duplicates=True), ALL]  # fmt: skip
    for one in [*chosen, *chosen]:
        assert encoded(tmp_path, one).counts.keys() - {"kept"} == one.reasons().keys()
    assert len(list((tmp_path / "cache").iterdir())) == len(chosen)
    pieces = tokenizer("bpe").model
    text, sides = text_of(tmp_path, PAIRS), [hashlib.sha256(pieces).hexdigest()] * 2
    raw = Tokenizer(pieces, "raw", raw_text=True)
    encode_corpus(text, raw, raw, filters=Filters(8), cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == len(chosen) + 1
    assert (tmp_path / "cache" / f"tokens-{cache.digest(text.content_hash(), 2, *sides, 8)}").is_dir()  # as ever


def test_hashes_tell_which_pairs_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(f"a{n % 700}", f"b{n % 500}") for n in range(4000)]
    repeated, seen = Repeated(pairs), set[tuple[str, str]]()
    for pair in pairs:
        assert repeated.again(*pair) == (pair in seen)
        seen.add(pair)
    assert not Repeated([]).again("a", "b")
    assert not Repeated([("a b", "c")] * 2).again("a", "b c")
    monkeypatch.setattr(filters, "_hash", lambda source, target: 7)
    repeated = Repeated([("a", "b"), ("c", "d")])
    assert [repeated.again("a", "b"), repeated.again("c", "d")] == [False, True]  # nothing but the hash is kept
