"""Tables in every format: which columns are read, and what is said of those that can't be."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from seq2seq.errors import DataError
from seq2seq.text.cache import encode_corpus
from seq2seq.text.filters import Filters
from seq2seq.text.formats import Table
from seq2seq.text.parallel import ParallelText

PAIRS = [("嗨。", "Hi."), ("他说：“好, 好。”", 'He said "fine, fine".'), ("一 二", "one two")]


def lines(rows: Sequence[Sequence[str]], tab: str = "\t") -> str:
    return "".join(f"{tab.join(row)}\n" for row in rows)


def quoted(rows: Sequence[Sequence[str]], comma: str = ",") -> str:
    return lines([['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows], comma)


def objects(rows: Sequence[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


TABLES: dict[str, tuple[str, str, list[str] | None]] = {
    "tsv": ("t.tsv", lines(PAIRS), None),
    "tsv_swapped": ("t.tsv", lines([(t, s, "CC-BY") for s, t in PAIRS]), ["2", "1"]),
    "tsv_header": ("t.tsv", lines([("English", "Chinese"), *((t, s) for s, t in PAIRS)]), ["Chinese", "English"]),
    "text_with_tabs": ("t.txt", lines([(t, s, "CC-BY") for s, t in PAIRS]), ["2", "1"]),
    "csv_codes": ("t.csv", quoted([("id", "en", "zh"), *(("1", t, s) for s, t in PAIRS)]), None),
    "csv_base_code": ("t.csv", "\ufeff" + quoted([("target", "ZH"), *((t, s) for s, t in PAIRS)]), None),
    "csv_sides": ("t.csv", quoted([("target", "source"), *((t, s) for s, t in PAIRS)]), None),
    "csv_names": ("t.csv", quoted([("a", "b"), *PAIRS]), ["a", "b"]),
    "csv_numbers": ("t.csv", quoted([(t, s) for s, t in PAIRS]), ["2", "1"]),
    "csv_semicolons": ("t.csv", quoted([("source", "target"), *PAIRS], ";"), None),
    "jsonl_nested": ("t.jsonl", objects([{"id": 1, "translation": {"en": t, "zh": s}} for s, t in PAIRS]), None),
    "jsonl_flat": ("t.jsonl", objects([{"en": t, "zh": s} for s, t in PAIRS]), None),
    "jsonl_sides": ("t.jsonl", objects([{"source": s, "target": t, "n": None} for s, t in PAIRS]), None),
    "jsonl_names": ("t.jsonl", objects([{"x": {}, "a": s, "b": t} for s, t in PAIRS]), ["a", "b"]),
    "jsonl_of_translate": ("t.jsonl", objects([{"source": s, "translation": t, "tokens": []} for s, t in PAIRS]), None),
}


def find(directory: Path, name: str, columns: list[str] | None = None) -> ParallelText:
    return ParallelText.find(str(directory / name), "zh-CN", "en", columns)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", TABLES)
def test_every_table_gives_the_same_pairs(tmp_path: Path, kind: str, packed: bool) -> None:
    name, text, columns = TABLES[kind]
    if packed:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (tmp_path / name).write_text(text)
    found = find(tmp_path, name, columns)
    assert list(found.pairs()) == PAIRS
    assert found.table is not None
    languages = ("zh-CN", "en")
    for side in (0, 1):
        one_side = Table.open(found.files[0], found.table.kind, languages, columns, [side])
        assert [cell for (cell,) in one_side.rows()] == [pair[side] for pair in PAIRS]


@pytest.mark.parametrize("nested", [False, True])
def test_parquet_gives_the_same_pairs(tmp_path: Path, nested: bool) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [{"en": t, "zh": s} for s, t in PAIRS]
    write_table(
        pyarrow.Table.from_pylist([{"translation": row} for row in rows] if nested else rows), tmp_path / "t.parquet"
    )
    assert list(find(tmp_path, "t.parquet").pairs()) == PAIRS
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"bad\.parquet: not a Parquet file that can be read"):
        find(tmp_path, "bad.parquet")


def test_parquet_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"t\.parquet: Parquet files need pyarrow"):
        find(tmp_path, "t.parquet")


def test_a_sentence_is_one_line_and_null_is_blank(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('zh,en\n"a\nb","c\r\nd"\n\ne,f\n')
    assert list(find(tmp_path, "t.csv").pairs()) == [("a b", "c d"), ("e", "f")]
    (tmp_path / "t.jsonl").write_text('{"zh": "a\\nb", "en": null}\n\n{"zh": "e\\u2028", "en": "f"}\n')
    assert list(find(tmp_path, "t.jsonl").pairs()) == [("a b", ""), ("e\u2028", "f")]


@pytest.mark.parametrize(
    ("name", "text", "columns", "complaint"),
    [
        ("t.tsv", "a\tb\nno tab\n", ["2", "1"], r"t\.tsv:2: no tab; expected source<TAB>target, in columns 2, 1"),
        ("t.tsv", "a\tb\n", ["3", "1"], r"t\.tsv:1: 2 columns; expected text in columns 3, 1"),
        ("t.tsv", "a\tb\n", ["0", "1"], r"columns=\[0,1\]: expected two different ones, numbers from 1"),
        ("t.tsv", "a\tb\n", ["1", "1"], r"columns=\[1,1\]: expected two different"),
        ("t.tsv", "Chinese\tEnglish\n", ["Chinesse", "English"], r"no column 'Chinesse'\. Did you mean 'Chinese'"),
        ("t.csv", "id,en\n1,a\n", None, r"t\.csv: which column is the source\? None is called zh-cn or zh or source"),
        ("t.csv", 'zh,en\na,b\n"c,d\ne,f\n', None, r"t\.csv:3: not CSV \(unexpected end of data\)"),
        ("t.csv", "zh,en\na\rx,b\n", None, r"t\.csv:2: not CSV .* Put a cell that has .* a carriage return"),
        ("t.csv", "zh,en\na,b\nc\n", None, r"t\.csv:3: 1 columns; expected text in columns 1, 2"),
        ("t.csv", "zh,en\na,b\nc,d\0\n", None, r"t\.csv:3: a NUL byte"),
        ("t.jsonl", '{"zh": "a", "en": "b"}\n{"zh": "a"}\n', None, r"t\.jsonl:2: expected zh and en, got 'zh'"),
        ("t.jsonl", '{"zh": "a", "en": "b"}\n[1]\n', None, r"t\.jsonl:2: expected an object on each line"),
        ("t.jsonl", '{"zh": "a", "en": "b"}\n{"zh"\n', None, r"t\.jsonl:2: not JSON"),
        ("t.jsonl", '{"zh": "a", "en": 5}\n', None, r"t\.jsonl:1: expected text, got 5"),
        ("t.jsonl", '{"zh": "a\\u0000", "en": "b"}\n', None, r"t\.jsonl:1: a cell with a NUL character"),
        ("t.jsonl", '{"zh": "\\ud800", "en": "b"}\n', None, r"t\.jsonl:1: not JSON"),
        ("t.jsonl", '{"zh": "a", "en": "b"}\n', ["1", "2"], r"t\.jsonl: no column '1'\..* It has 'zh', 'en'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, name: str, text: str, columns: list[str] | None, complaint: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=complaint):
        list(find(tmp_path, name, columns).pairs())


def test_other_columns_are_another_corpus_and_the_usual_ones_the_same(tmp_path: Path) -> None:
    from seq2seq.benchmark.corpora import word_tokenizer

    (tmp_path / "t.tsv").write_text("a\tb\tc\n")
    usual, same, other, swapped = (find(tmp_path, "t.tsv", c) for c in (None, ["1", "2"], ["1", "3"], ["2", "1"]))
    assert usual.content_hash() == same.content_hash()
    assert len({text.content_hash() for text in (usual, other, swapped)}) == 3
    words = word_tokenizer(["a", "b", "c"])
    read = [
        words.decode(
            encode_corpus(text, words, words, filters=Filters(), cache_dir=tmp_path / "cache").target[0].tolist()
        )
        for text in (usual, other, swapped)
    ]
    assert read == ["b", "c", "a"]


FILES = {
    "x/train.zh": "a\n", "x/train.en": "b\n", "x/valid.zh.gz": "", "x/valid.en": "b\n", "x/table.csv": "zh,en\na,b\n",
    "x/lonely.en": "b\n", "x/german.de": "b\n", "x/german.en": "b\n", "flat.txt": "no tabs\n", "empty/other": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("x/train.en", "x/train.en: one side of a corpus, .*data.valid=x/train$"),
        ("x/valid.zh.gz", "x/valid.zh.gz: one side of a corpus, .*data.valid=x/valid$"),
        ("x/lonely.en", "x/lonely.en: one side of a corpus, but the other side, x/lonely.zh, is missing"),
        ("x/tabel.csv", r"x/tabel\.csv: no such file .*\. Did you mean data\.valid=x/table\.csv\?"),
        ("x/trian", r"x/trian\.zh: no such file \(nor x/trian\.zh\.gz\)\. Did you mean data\.valid=x/train\?"),
        ("x/german", r"x/german\.zh: no such file .* but there is x/german\.de, x/german\.en\. Do data\."),
        ("x", "x: a directory, .*There are data.valid=x/train, data.valid=x/valid, data.valid=x/table.csv"),
        ("empty", "empty: a directory, .*It has none: neither NAME.zh and NAME.en, nor a table"),
        ("flat.txt", r"flat\.txt: a file without tabs, .*flat\.zh and flat\.en, and then data\.valid=flat"),
        ("flat.tx", r"flat\.tx\.zh: no such file .* Did you mean data\.valid=flat\.txt\?"),
        ("nowhere/x", r"nowhere/x\.zh: no such file .* A corpus is two files, .* given as data\.valid=NAME"),
    ],
)
def test_a_name_that_is_no_corpus_is_answered_with_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in FILES.items():
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_bytes(gzip.compress(text.encode()) if file.endswith(".gz") else text.encode())
    with pytest.raises(DataError, match=complaint):
        ParallelText.find(name, "zh", "en", key="data.valid")


def test_a_prefix_may_look_like_a_table(tmp_path: Path) -> None:
    for name, text in {"c.txt": "about\tit\n", "c.txt.zh": "a\n", "c.txt.en": "b\n"}.items():
        (tmp_path / name).write_text(text)
    assert list(ParallelText.find(str(tmp_path / "c.txt"), "zh", "en").pairs()) == [("a", "b")]


def test_columns_are_counted_from_1(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\tc\n")
    with pytest.raises(DataError, match="numbers from 1"):
        Table.open(path, ".tsv", ("en", "de"), ["00", "1"])
    with pytest.raises(DataError, match=r"data\.documents=0: columns are counted from 1"):
        Table.open(path, ".tsv", ("en", "de"), ["1", "2"]).find_column("0", "document")


def test_a_cell_may_be_as_long_as_a_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"zh,en\n{'a' * 200_000},b\n")
    assert [len(source) for source, _ in find(tmp_path, "t.csv", None).pairs()] == [200_000]
