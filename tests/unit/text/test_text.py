"""Text: reading, sub-words, cache, batches."""

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest

from seq2seq.errors import DataError
from seq2seq.text.batches import make_batch, plan_batches
from seq2seq.text.cache import EncodedCorpus, encode_corpus
from seq2seq.text.corpus import decode_lines, read_lines
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.storage import previous_name, replace_directory
from seq2seq.text.stored_rows import StoredRows
from seq2seq.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer

LINES = ["the cat sees a dog", "a dog sees the cat", "the old dog sleeps", "Größe und Maß", "a cat sleeps\u2028on"] * 4


def tokenizer(**options: object) -> Tokenizer:
    settings = {
        "kind": "bpe",
        "vocab_size": 330,
        "byte_fallback": None,
        "character_coverage": 1.0,
        "normalization": "identity",
        **options,
    }
    return Tokenizer.train(LINES, **settings)  # type: ignore[arg-type]


def corpus_of(lengths: list[tuple[int, int]]) -> EncodedCorpus:
    def side(sizes: list[int]) -> StoredRows:
        offsets = np.cumsum([0, *sizes])
        return StoredRows(np.concatenate([np.arange(4, 4 + n) for n in sizes]).astype(np.uint32), offsets)

    return EncodedCorpus(side([s for s, _ in lengths]), side([t for _, t in lengths]), {"kept": len(lengths)})


def test_lines_end_at_newline_alone_and_lose_bom_and_cr(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffone\r\ntwo\u2028still two\x85\n\nlast".encode())
    assert list(read_lines(path)) == ["one", "two\u2028still two\x85", "", "last"]


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [(b"good\nbad \xff\n", r"name:2: not UTF-8 \(byte 0xff at column 5\)"), (b"a\n\nnul\0\n", "name:3: a NUL byte")],
)
def test_undecodable_lines_are_named(raw: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        list(decode_lines(raw.splitlines(keepends=True), "name"))


def test_prefix_gzip_and_tsv_read_the_same(tmp_path: Path) -> None:
    pairs = [("a b", "c d"), ("", "x"), ("e", "f")]
    (tmp_path / "t.en").write_text("".join(f"{s}\n" for s, _ in pairs))
    with gzip.open(tmp_path / "t.de.gz", "wt") as file:
        file.write("".join(f"{t}\n" for _, t in pairs))
    with gzip.open(tmp_path / "t.tsv.gz", "wt") as file:
        file.write("".join(f"{s}\t{t}\tignored\n" for s, t in pairs))
    files = ParallelText.find(str(tmp_path / "t"), "en", "de")
    table = ParallelText.find(str(tmp_path / "t.tsv"), "en", "de")
    assert list(files.pairs()) == list(table.pairs()) == pairs


def test_unequal_line_counts_name_both_files(tmp_path: Path) -> None:
    (tmp_path / "t.en").write_text("1\n2\n3\n")
    (tmp_path / "t.de").write_text("1\n2\n")
    with pytest.raises(DataError, match=r"t\.de:3: the file ends here, but .*t\.en has a line 3"):
        list(ParallelText.find(str(tmp_path / "t"), "en", "de").pairs())


def test_missing_truncated_and_tabless_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.en: no such file"):
        ParallelText.find(str(tmp_path / "nowhere"), "en", "de")
    (tmp_path / "cut.tsv.gz").write_bytes(gzip.compress(b"a\tb\n" * 1000)[:20])
    with pytest.raises(DataError, match=r"cut\.tsv\.gz: not a complete gzip file"):
        list(ParallelText.find(str(tmp_path / "cut.tsv"), "en", "de").pairs())
    (tmp_path / "flat.tsv").write_text("a\tb\nno tab\n")
    with pytest.raises(DataError, match=r"flat\.tsv:2: no tab"):
        list(ParallelText.find(str(tmp_path / "flat.tsv"), "en", "de").pairs())


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "word"])
def test_every_kind_of_pieces_round_trips(kind: str) -> None:
    pieces = tokenizer(kind=kind, vocab_size={"bpe": 330, "unigram": 280}.get(kind, 40))
    for line in LINES[:4]:
        (tokens,) = pieces.encode([line])
        assert tokens[-1] == EOS
        assert pieces.decode(tokens) == line


def test_byte_fallback_spells_unknown_characters_and_forbids_line_breaks() -> None:
    pieces = tokenizer()
    (tokens,) = pieces.encode(["猫 sees"])
    assert pieces.decode(tokens) == "猫 sees"
    names = pieces.pieces(pieces.forbidden())
    assert {"<0x00>", "<0x0A>", "<0x0D>"} < set(names)
    assert {PAD, BOS} < set(pieces.forbidden())
    assert EOS not in pieces.forbidden()
    bytes_of_cat = [token for token in tokens if pieces.pieces([token])[0].startswith("<0x")]
    assert "\ufffd" in pieces.decode(bytes_of_cat[:1])


@pytest.mark.parametrize("learned", [True, False], ids=["learned with them", "learned without"])
@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "word"])
def test_names_of_special_pieces_are_ordinary_text(kind: str, learned: bool) -> None:
    lines = ["a <s> b", "</s>", "<unk> <pad>", "x<pad>y </s>z"]
    text = lines * 20 if learned else ["< s > / unk pad b x y z a"] * 20
    size = {"bpe": 285, "unigram": 275}.get(kind, 40)
    pieces = Tokenizer.train(
        text, kind=kind, vocab_size=size, byte_fallback=None, character_coverage=None, normalization="identity"
    )
    specials = pieces.pieces((PAD, UNK, BOS, EOS))
    assert specials == ["<pad>", "<unk>", "<s>", "</s>"]
    names = pieces.pieces(range(len(pieces)))
    assert len(set(names)) == len(names)  # by its name in JSONL each piece is known
    if kind == "word" and not learned:
        return  # words that it has never seen
    for line, tokens in zip(lines, pieces.encode(lines), strict=True):
        assert not {PAD, UNK, BOS, EOS} & set(tokens[:-1])
        assert pieces.decode(tokens) == line
        decoded, spans = pieces.decode_spans(pieces.pieces(tokens))
        assert decoded == line
        assert [span is None for span in spans] == [False] * (len(tokens) - 1) + [True]


def test_an_unknown_word_is_decoded_by_its_name_as_by_its_number() -> None:
    pieces = tokenizer(kind="word", vocab_size=40)
    (tokens,) = pieces.encode(["the walrus sleeps"])
    names = pieces.pieces(tokens)
    assert names[1] == "<unk>"
    assert pieces.decode_spans(names)[0] == pieces.decode(tokens) == "the \u2047  sleeps"


RARE = "0123456789ÄÖÜß„“"


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char"])
def test_all_characters_that_come_more_than_a_few_times_have_a_piece(kind: str) -> None:
    lines = ["the old cat sees a dog in the house and the dog sees the old cat"] * 2000 + list(RARE) * 4 + ["µ"]

    def learned(coverage: float | None, size: int) -> Tokenizer:
        return Tokenizer.train(
            lines, kind=kind, vocab_size=size, byte_fallback=None, character_coverage=coverage, normalization="identity"
        )

    chosen, share = learned(None, 300 if kind == "bpe" else 293), learned(0.9995, 300 if kind == "bpe" else 277)
    assert set(RARE) <= set("".join(chosen.pieces(range(EOS + 1, len(chosen)))))
    if kind != "char":  # which has a piece for each character anyway
        assert "µ" not in chosen.pieces(range(len(chosen)))
        assert set(RARE) & set(share.pieces(range(len(share)))) == set()


def test_characters_are_at_most_half_of_the_pieces_where_these_are_few_for_so_many() -> None:
    often = [chr(0x4E00 + n) for n in range(50)]
    lines = ["".join(often)] * 9000 + [chr(0x5000 + n) for n in range(1500)] * 4
    pieces = Tokenizer.train(
        lines, kind="bpe", vocab_size=1500, byte_fallback=None, character_coverage=None, normalization="identity"
    )
    names = pieces.pieces(range(len(pieces)))
    room = len(pieces) - 4 - 256
    assert room // 2 <= sum(len(name) == 1 for name in names) <= room // 2 + 2


def test_characters_are_counted_as_they_are_normalised() -> None:
    lines = ["ｆｕｌｌ ｗｉｄｔｈ"] * 300 + ["①"] * 5
    pieces = Tokenizer.train(
        lines, kind="char", vocab_size=30, byte_fallback=None, character_coverage=None, normalization="nfkc"
    )
    assert {"f", "1"} < set(pieces.pieces(range(len(pieces))))
    assert "①" not in pieces.pieces(range(len(pieces)))


def test_too_many_pieces_is_an_error_that_says_how_many_fit() -> None:
    with pytest.raises(DataError, match=r"data\.vocab_size=100000: .* Use data\.vocab_size=\d+ or less"):
        tokenizer(vocab_size=100_000)


def test_encoding_counts_what_it_drops_and_comes_from_the_cache_the_second_time(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("the cat\ta dog\n\tempty\n" + "the cat " * 30 + "\tlong\nsleeps\told\n")
    text = ParallelText.find(str(tmp_path / "t.tsv"), "en", "de")
    pieces = tokenizer()
    first = encode_corpus(text, pieces, pieces, filters=Filters(10), cache_dir=tmp_path / "cache")
    assert first.counts == {"kept": 2, "empty": 1, "long": 1}
    assert pieces.decode(first.target[1].tolist()) == "old"
    (entry,) = (tmp_path / "cache").iterdir()
    before = entry.stat().st_mtime_ns
    second = encode_corpus(text, pieces, pieces, filters=Filters(10), cache_dir=tmp_path / "cache")
    assert entry.stat().st_mtime_ns == before
    assert second.source.numbers[:].tolist() == first.source.numbers[:].tolist()
    encode_corpus(text, pieces, pieces, filters=Filters(11), cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = [(1 + i % 7, 1 + (i * i) % 23) for i in range(200)]
    corpus = corpus_of(lengths)
    for seed in (None, (1, 0), (1, 1)):
        plan = plan_batches(corpus, 40, seed)
        assert sorted(int(row) for rows in plan for row in rows) == list(range(200))
        for rows in plan:
            assert len(rows) * max(lengths[row][1] for row in rows) <= 40
    assert [list(b) for b in plan_batches(corpus, 40, (1, 0))] == [list(b) for b in plan_batches(corpus, 40, (1, 0))]
    assert [list(b) for b in plan_batches(corpus, 40, (1, 0))] != [list(b) for b in plan_batches(corpus, 40, (1, 1))]


def test_a_seed_mixes_pairs_of_equal_lengths_and_shuffles_the_batches() -> None:
    corpus = corpus_of([(3, 1 + i // 20) for i in range(100)])
    plans = [plan_batches(corpus, 10, (1, epoch)) for epoch in range(2)]
    first, second = ({frozenset(rows.tolist()) for rows in plan} for plan in plans)
    assert first != second
    for plan in plans:
        lengths = [int(rows.max()) // 20 for rows in plan]
        assert lengths not in (sorted(lengths), sorted(lengths, reverse=True))


def test_a_sentence_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    plan = plan_batches(corpus_of([(2, 3), (2, 50), (2, 4)]), 10, None)
    assert [rows.tolist() for rows in plan] == [[0, 2], [1]]


def test_a_batch_has_at_most_so_many_sentences_and_tokens() -> None:
    lengths = [1 + i // 10 for i in range(60)]
    plan = plan_batches(corpus_of([(2, length) for length in lengths]), 20, None, 7)
    assert np.concatenate(plan).tolist() == list(range(60))
    for rows in plan[:-1]:  # no batch could take the next one
        assert len(rows) <= 7
        assert len(rows) * lengths[rows[-1]] <= 20
        assert len(rows) == 7 or (len(rows) + 1) * lengths[rows[-1] + 1] > 20
    assert {len(rows) for rows in plan} >= {7, 6, 3}


def test_batch_shifts_the_target_and_pads() -> None:
    batch = make_batch(corpus_of([(2, 3), (1, 1)]), [0, 1])
    assert batch.source.tolist() == [[4, 5], [4, PAD]]
    assert batch.source_lengths.tolist() == [2, 1]
    assert batch.targets.tolist() == [[4, 5, 6], [4, PAD, PAD]]
    assert batch.inputs.tolist() == [[BOS, 4, 5], [BOS, PAD, PAD]]
    assert batch.tokens == 4


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    final = tmp_path / "entry"
    with replace_directory(final) as unfinished:
        (unfinished / "a").write_text("1")
        assert not final.exists()
    with contextlib.suppress(KeyError), replace_directory(final) as unfinished:
        (unfinished / "a").write_text("2")
        raise KeyError
    assert (final / "a").read_text() == "1"
    with replace_directory(final) as unfinished:
        (unfinished / "b").write_text("3")
    assert [path.name for path in final.iterdir()] == ["b"]
    assert not previous_name(final).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]
