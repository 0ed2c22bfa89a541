"""Documents: which sentences stand before which, in a corpus, in a batch and in its parts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.pieces import tokenizer

from seq2seq.errors import DataError
from seq2seq.inference.translation import choose_contexts, in_documents
from seq2seq.text.batches import Batch, make_batch, pad_pairs, plan_batches
from seq2seq.text.cache import EncodedCorpus, encode_corpus, join
from seq2seq.text.context import InContext, Past
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.tokenizer import Tokenizer

PIECES = tokenizer("bpe")
LINES = [("a", "A"), ("b b b b b", "B"), ("c", "C"), ("", ""), ("d", "D"), ("", "E"), ("e", ""), ("f", "F")]
"""Two documents; pairs with an empty side in the second."""


def write(directory: Path, lines: Sequence[tuple[str, str]] = LINES, documents: Sequence[str] = ()) -> str:
    for side, language in enumerate(("en", "de")):
        text = "".join(f"{line[side]}\n" for line in lines)
        (directory / f"corpus.{language}").write_text(text)
    if documents:
        (directory / "corpus.doc").write_text("".join(f"{name}\n" for name in documents))
    return str(directory / "corpus")


def encoded(name: str, cache: Path, size: int, documents: str | None = None, **filters: int) -> EncodedCorpus:
    text = ParallelText.find(name, "en", "de", documents=documents)
    return encode_corpus(text, PIECES, PIECES, filters=Filters(**filters), cache_dir=cache, context=size)


def texts(corpus: EncodedCorpus) -> list[tuple[str, list[str]]]:
    """Each pair's source, and the sentences before it, nearest first."""
    sources = corpus.sources(range(len(corpus)))
    return [(PIECES.decode(row), [PIECES.decode(before) for before in row.before]) for row in sources]


def test_sentences_before_also_of_dropped_pairs_and_none_of_another_document(tmp_path: Path) -> None:
    found = texts(encoded(write(tmp_path), tmp_path / "cache", 2, max_length=4))
    cut = found[1][1][0]
    assert "b b b b b".startswith(cut)
    assert cut != "b b b b b"
    assert found == [("a", []), ("c", [cut, "a"]), ("d", []), ("f", ["e", "d"])]


def test_a_cache_entry_serves_every_size_and_tells_when_it_is_damaged(tmp_path: Path) -> None:
    name, cache = write(tmp_path), tmp_path / "cache"
    assert texts(encoded(name, cache, 1))[2] == ("c", ["b b b b b"])
    assert texts(encoded(name, cache, 3))[2] == ("c", ["b b b b b", "a"])
    assert len(list(cache.iterdir())) == 1
    assert encoded(name, cache, 0).documents is None
    (entry,) = (path for path in cache.iterdir() if (path / "context.tokens").exists())
    np.save(entry / "context.places.npy", np.array([0, 1, 2, 3, 9]))
    with pytest.raises(DataError, match="damaged"):
        encoded(name, cache, 1)


def test_a_file_names_the_documents(tmp_path: Path) -> None:
    lines = [("a", "A"), ("b", "B"), ("c", "C")]
    name = write(tmp_path, lines, ["x", "x", "y"])
    assert texts(encoded(name, tmp_path / "cache", 2, "doc")) == [("a", []), ("b", ["a"]), ("c", [])]
    assert texts(encoded(name, tmp_path / "cache", 2)) == [("a", []), ("b", ["a"]), ("c", ["b", "a"])]
    write(tmp_path, lines, ["x", "y", "y"])
    assert texts(encoded(name, tmp_path / "cache", 2, "doc")) == [("a", []), ("b", []), ("c", ["b"])]


@pytest.mark.parametrize(
    ("file", "rows", "documents"),
    [
        ("t.jsonl", ['{"en": "a", "de": "A", "document": 1}', '{"en": "b", "de": "B", "document": 2}'], None),
        ("t.jsonl", ['{"en": "a", "de": "A", "talk": "x"}', '{"en": "b", "de": "B", "talk": "y"}'], "talk"),
        ("t.csv", ["en,de,document", "a,A,x", "b,B,y"], None),
        ("t.tsv", ["a\tA\tx", "b\tB\ty"], "3"),
        ("t.tsv", ["a\tA", "\t", "b\tB"], None),
    ],
)
def test_a_table_names_the_documents(tmp_path: Path, file: str, rows: list[str], documents: str | None) -> None:
    (tmp_path / file).write_text("".join(f"{row}\n" for row in rows))
    assert texts(encoded(str(tmp_path / file), tmp_path / "cache", 1, documents)) == [("a", []), ("b", [])]


def test_a_column_or_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"en": "a", "de": "A", "talk": "x"}\n')
    with pytest.raises(DataError, match=r"no column 'talks' \(data.documents\). Did you mean 'talk'"):
        encoded(str(tmp_path / "t.jsonl"), tmp_path / "cache", 1, "talks")
    with pytest.raises(DataError, match=r"corpus\.talks: no such file"):
        encoded(write(tmp_path), tmp_path / "cache", 1, "talks")


@pytest.mark.parametrize(("names", "shorter"), [(["x"], "corpus.doc:2"), (["x", "x", "y"], "corpus.en:3")])
def test_a_file_of_names_has_a_line_for_each_pair(tmp_path: Path, names: list[str], shorter: str) -> None:
    name = write(tmp_path, [("a", "A"), ("b", "B")], names)
    with pytest.raises(DataError, match=rf"{shorter}: the file ends here"):
        encoded(name, tmp_path / "cache", 2, "doc")


def test_corpora_joined_keep_their_documents_apart(tmp_path: Path) -> None:
    for directory in ("one", "other"):
        (tmp_path / directory).mkdir()
    one = encoded(write(tmp_path / "one"), tmp_path / "cache", 2)
    other = encoded(write(tmp_path / "other", [("x", "X"), ("y", "Y")]), tmp_path / "cache", 2)
    assert texts(join([one, other], [2, 1])) == [*texts(one), *texts(one), ("x", []), ("y", ["x"])]


def corpus(tmp_path: Path, documents: int = 7) -> EncodedCorpus:
    """Documents of one to twenty sentences of one to four words."""
    lines = [(" ".join("abcd"[: 1 + (d + s) % 4]), "a b c"[: 1 + 2 * (s % 3)]) if s else ("", "")
             for d in range(documents) for s in range(2 + 3 * d)]  # fmt: skip
    return encoded(write(tmp_path, lines), tmp_path / "cache", 2)


@pytest.mark.parametrize("seed", [None, (1, 2)])
@pytest.mark.parametrize(("budget", "most"), [(40, None), (40, 3), (1, None), (10_000, None)])
def test_batches_hold_neighbours_within_the_budget(
    tmp_path: Path, budget: int, most: int | None, seed: tuple[int, ...] | None
) -> None:
    whole = corpus(tmp_path)
    batches = plan_batches(whole, budget, seed, most)
    assert sorted(np.concatenate(batches)) == list(range(len(whole)))
    lengths = whole.target.lengths
    for rows in batches:
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= budget
        assert most is None or len(rows) <= most
    assert len(batches) == len(plan_batches(whole, budget, (5, 5), most))
    if budget == 40 and most is None:
        neighbours = sum(int((np.diff(rows) == 1).sum()) for rows in batches)
        assert neighbours > len(whole) / 2


def test_each_sentence_of_a_batch_stands_there_once(tmp_path: Path) -> None:
    whole = corpus(tmp_path, 4)
    batch = make_batch(whole, range(len(whole) - 5, len(whole)))
    assert batch.context is not None
    assert len(batch.context.others) <= 2, "the sentences before the first pair alone"
    rows = [tuple(row) for row in batch.sources()] + [tuple(row) for row in batch.context.others.tolist()]
    assert batch.context.before.max() < len(rows)
    same_context(batch, [row.before for row in whole.sources(range(len(whole) - 5, len(whole)))])


def same_context(batch: Batch, expected: Sequence[Sequence[Sequence[int]]]) -> None:
    actual = [[list(before) for before in row.before] for row in batch.sources()]
    assert actual == [[list(map(int, before)) for before in row] for row in expected]


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_parts_of_a_batch_keep_their_contexts(tmp_path: Path, parts: int) -> None:
    whole = corpus(tmp_path, 4)
    rows = range(len(whole))
    split = make_batch(whole, rows).split(parts)
    assert [row for part in split for row in part.sources()] == [list(row) for row in whole.sources(rows)]
    first = 0
    for part in split:
        same_context(part, [row.before for row in whole.sources(range(first, first + len(part.source)))])
        same_context(Batch.of_arrays(part.arrays()), [row.before for row in part.sources()])
        first += len(part.source)


def test_without_any_context_a_batch_is_one_of_single_sentences() -> None:
    assert pad_pairs([InContext([4, 3]), [5, 3]], [[3], [3]]).context is None
    assert pad_pairs([InContext([4, 3], [[5, 3]]), [5, 3]], [[3], [3]]).context is not None


def test_lines_of_text() -> None:
    requests = in_documents(["a", "b", "\u200b", "c", "d", "e"], 2)
    assert [request.context for request in requests] == [(), ("a",), (), (), ("c",), ("c", "d")]
    named = in_documents(["a", "", "b", "c"], 2, [True, False, False, True])
    assert [request.context for request in named] == [(), ("a",), ("a",), ()]
    past = Past(0)
    assert [past.before(line) for line in "abc"] == [(), (), ()]


def test_shuffled_contexts_are_anothers() -> None:
    own = [(), ("a",), ("b",), ("c",), ("d", "e"), ("f", "g"), ("h", "i", "j")]
    assert choose_contexts(own, "own") == own
    assert choose_contexts(own, "none") == [()] * len(own)
    shuffled = choose_contexts(own, "shuffled")
    assert sorted(shuffled) == sorted(own)
    assert [one for one, other in zip(own, shuffled, strict=True) if one == other] == [(), ("h", "i", "j")]
    assert shuffled == choose_contexts(own, "shuffled")


@pytest.mark.parametrize("raw", [False, True])
def test_raw_text_has_sentences_in_which_nothing_is_visible(tmp_path: Path, raw: bool) -> None:
    lines = [("a", "A"), ("\u200b", "B"), ("c", "C"), ("d", "D")]
    pieces = Tokenizer(PIECES.model, "m", raw_text=raw)
    text = ParallelText.find(write(tmp_path, lines), "en", "de")
    corpus = encode_corpus(text, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache", context=3)
    assert [len(row.before) for row in corpus.sources(range(len(corpus)))] == ([0, 1, 2, 3] if raw else [0, 1, 2])
