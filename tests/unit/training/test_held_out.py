"""Held-out sets: those that are split off, and what is told of a corpus before it is trained on."""

import gzip
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from seq2seq.config import Data, Split, parse
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.languages import count_letters, described, is_foreign
from seq2seq.training.held_out import Texts, check_columns, find_test, find_texts, show

ROWS = [(f"source {number // 2}", f"target {number}") for number in range(400)]
"""Each source twice."""


def corpus(directory: Path, name: str = "t.tsv", rows: list[tuple[str, str]] | None = None) -> str:
    path = directory / name
    path.write_text("".join(f"{source}\t{target}\n" for source, target in (ROWS if rows is None else rows)))
    return str(path)


def options(directory: Path, **more: object) -> Data:
    values = {"train": str(directory / "t.tsv"), "source_lang": "en", "target_lang": "de", **more}
    data: Data = parse("data", {"cache_dir": str(directory / "cache"), **values})
    return data


def parts(texts: Texts) -> list[list[tuple[str, str]]]:
    test = [] if texts.test is None else [texts.test]
    return [list(text.pairs()) for text in (*texts.train, *texts.valid, *test)]


@pytest.mark.parametrize(("valid", "test", "sizes"), [(20, 40, (20, 40)), (0.1, 0.05, (40, 20)), (1e-9, None, (1, 0))])
def test_no_source_is_in_two_parts_and_nothing_is_lost(
    tmp_path: Path, valid: float, test: float | None, sizes: tuple[int, int]
) -> None:
    rows = [(source.replace(" ", " " * (number % 3 + 1)), target) for number, (source, target) in enumerate(ROWS)]
    rows += [("", "no source"), ("no target", " ")]
    corpus(tmp_path, rows=rows)
    found = parts(find_texts(options(tmp_path, split={"valid": valid, "test": test})))
    assert sorted(pair for part in found for pair in part) == sorted(rows)
    sources = [{" ".join(source.split()) for source, _ in part} for part in found]
    assert sum(map(len, sources)) == len(set.union(*sources))
    for part, size in zip(found[1:], sizes, strict=False):
        assert size <= len(part) <= size + 2  # the group that reaches the number is in it as a whole
        assert all(source.strip() and target.strip() for source, target in part)
    assert found[0][-2:] == rows[-2:]  # in training they are counted and dropped


def test_the_split_stays_the_same_and_its_seed_chooses_another(tmp_path: Path) -> None:
    corpus(tmp_path)
    data = options(tmp_path, split={"valid": 20, "test": 20})
    first = parts(find_texts(data))
    assert parts(find_texts(data, tmp_path / "run/split")) == first
    assert parts(find_texts(replace(data, split=Split(20, 20, seed=2)))) != first
    with gzip.open(tmp_path / "packed.tsv.gz", "wt") as file:
        file.write((tmp_path / "t.tsv").read_text())
    assert parts(find_texts(replace(data, train=str(tmp_path / "packed.tsv")))) == first


def test_a_run_that_has_begun_keeps_its_split_and_another_follows_the_corpus(tmp_path: Path) -> None:
    corpus(tmp_path)
    data, directory = options(tmp_path, split={"valid": 20, "test": 20}), tmp_path / "run/split"
    first = parts(find_texts(data, directory))
    written = (directory / "train.en").stat().st_mtime_ns
    assert parts(find_texts(data, directory)) == first
    assert (directory / "train.en").stat().st_mtime_ns == written
    corpus(tmp_path, rows=ROWS[::-1])
    assert parts(find_texts(data, directory, begun=True)) == first
    test = find_test(data, directory)
    assert test is not None
    assert list(test.pairs()) == first[2]
    changed = parts(find_texts(data, directory))
    assert changed != first
    assert sorted(changed[1]) == sorted(first[1])  # a sentence's part does not depend on its place


def test_several_corpora_are_split_as_one(tmp_path: Path) -> None:
    corpus(tmp_path)
    corpus(tmp_path, "other.tsv", [(source, f"other {target}") for source, target in ROWS[100:]])
    names = [str(tmp_path / "t.tsv"), str(tmp_path / "other.tsv")]
    first, second, valid = parts(find_texts(options(tmp_path, train=names, split={"valid": 30})))
    assert len(first) + len(second) + len(valid) == 700
    assert not {source for source, _ in valid} & {source for source, _ in [*first, *second]}
    assert all(target.startswith("other") for _, target in second)


def test_a_split_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    corpus(tmp_path)
    with pytest.raises(DataError, match=r"data\.split\.valid=400 .*data\.train has 400 pairs .* Hold out fewer"):
        find_texts(options(tmp_path, split={"valid": 400}))
    with pytest.raises(DataError, match=r"data\.split\.valid=1000 and data\.split\.test=0: data\.train has 400 pairs"):
        find_texts(options(tmp_path, split={"valid": 1000}))
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, r"data\.valid: required, .*data\.split\.valid=1000"),
        ({"valid": "v", "split": {"valid": 5}}, r"data\.valid=v and data\.split\.valid=5.*: two held-out sets"),
        ({"valid": "v", "test": "t", "split": {"test": 5}}, r"data\.test=t and data\.split\.test=5.*: two held-out"),
        ({"split": {"valid": 1.5}}, r"data\.split\.valid=1\.5: expected a whole number of pairs, or a share"),
        ({"split": {"valid": 0.5, "test": 0.5}}, "nothing would be left to train on"),
        ({"split": {"valid": 0}}, r"split\.valid=0.*: must be greater than 0"),
        ({"split": {"valid": 5}, "target_lang": "en"}, "data.source_lang=en, data.target_lang=en: the parts"),
        ({"split": {"valid": 5}, "alignments": "a"}, r"data\.alignments=a and data\.split: "),
        ({"valid": "v", "columns": ["1"]}, r"columns=\['1'\]: expected a list of 2"),
    ],
)
def test_held_out_sets_that_mean_nothing_are_refused(tmp_path: Path, values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        options(tmp_path, **values)


def test_pairs_of_a_held_out_set_that_are_trained_on_are_told_with_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus(tmp_path)
    valid = corpus(tmp_path, "v.tsv", [ROWS[0], ROWS[1], ("source  5", "new"), ("new", "target 1")])
    fresh = corpus(tmp_path, "f.tsv", [("new", "new")])
    data = options(tmp_path, valid=[valid, fresh], test=str(tmp_path / "t.tsv"))
    with caplog.at_level(logging.WARNING):
        show(find_texts(data), data)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "v.tsv: 2 of its 4 pairs are also in data.train, and the source of 3 of them." in told[0]
    assert "data.split.valid=1000" in told[0]
    assert "t.tsv: 400 of its 400 pairs" in told[1]


def test_few_shared_sources_are_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus(tmp_path)
    valid = corpus(tmp_path, "v.tsv", [ROWS[0], *((f"new {number}", "new") for number in range(20))])
    data = options(tmp_path, valid=valid)
    with caplog.at_level(logging.INFO):
        show(find_texts(data), data)
    (record,) = (record for record in caplog.records if "also in data.train" in record.getMessage())
    assert record.levelno == logging.INFO
    assert record.getMessage().endswith("1 of its 21 pairs are also in data.train, and the source of 1 of them")


def test_the_first_pairs_are_shown_with_their_languages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus(tmp_path)
    data = options(tmp_path, columns=["2", "1"], split={"valid": 10})
    with caplog.at_level(logging.INFO):
        show(find_texts(data), data)
    assert "t.tsv, first pairs:\n" in caplog.text
    assert "  en: target 0  |  de: source 0\n" in caplog.text


CHINESE = [("今天天气很好，我们去公园吧。", "The weather is fine today, let us go to the park.")] * 5


@pytest.mark.parametrize(
    ("name", "columns", "way_out"),
    [
        ("t.tsv", None, "use data.columns=[2,1]"),
        ("t.csv", None, "use data.columns=[en,zh]"),
        ("t.csv", ["zh", "en"], "use data.columns=[en,zh]"),
        ("t", None, "exchange the names of the two files"),
    ],
)
def test_a_swapped_corpus_is_told_with_the_way_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, columns: list[str] | None, way_out: str
) -> None:
    rows = [(english.replace(",", ""), chinese) for chinese, english in CHINESE]
    (tmp_path / "t.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows))
    (tmp_path / "t.csv").write_text("zh,en\n" + "".join(f"{a},{b}\n" for a, b in rows))
    for code, side in zip(("zh", "en"), zip(*rows, strict=True), strict=True):
        (tmp_path / f"t.{code}").write_text("".join(f"{line}\n" for line in side))
    path = str(tmp_path / name)
    data = options(tmp_path, train=path, valid=path, columns=columns, source_lang="zh", target_lang="en")
    with caplog.at_level(logging.WARNING):
        show(find_texts(data), data)
    told = caplog.records[0].getMessage()
    assert "the source side can't be zh (its letters are 100% Latin) and the target side can't be en" in told
    assert way_out in told


def test_a_corpus_that_is_what_it_says_is_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus(tmp_path, rows=CHINESE)
    held_out = corpus(tmp_path, "v.tsv", [("好", "well")])
    data = options(tmp_path, valid=held_out, source_lang="zh", target_lang="en")
    with caplog.at_level(logging.WARNING):
        show(find_texts(data), data)
    assert not caplog.records


@pytest.mark.parametrize(
    ("language", "text", "foreign"),
    [
        ("zh_Hant", "今天天气很好，我们去公园吧，他们也去公园吧。", False),
        ("zh", "我们用 PyTorch 写的 TensorFlow 代码在 GPU 上跑得很快", False),
        ("ja", "きょうはいい天気ですね、こうえんへいきましょう。", False),
        ("ko", "오늘은 날씨가 좋으니 같이 공원에 가자고 했습니다.", False),
        ("ja", "The weather is fine today", True),
        ("ru", "Сегодня хорошая погода", False),
        ("uk", "Der Text ist auf Deutsch", True),
        ("el", "Ο καιρός είναι καλός σήμερα", False),
        ("ar", "الطقس جميل اليوم في المدينة", False),
        ("he", "מזג האוויר יפה היום בעיר שלנו", False),
        ("hi", "आज मौसम बहुत अच्छा है और हम बाहर जा रहे हैं", False),
        ("th", "วันนี้อากาศดีมากเราไปสวนกันเถอะ", False),
        ("ka", "დღეს კარგი ამინდია ქალაქში", False),
        ("hy", "Այսօր եղանակը լավ է քաղաքում", False),
        ("de-AT", "今天天气很好，我们去公园吧，他们也去公园吧，明天去。", True),
        ("de", "9972 12 15 ...", False),  # nothing that says anything
        ("sr", "今天天气很好，我们去公园吧，他们也去公园吧，明天去。", False),  # in two scripts: not certain
        ("xx", "今天天气很好，我们去公园吧，他们也去公园吧，明天去。", False),
    ],
)
def test_writing_is_known_by_its_letters(language: str, text: str, foreign: bool) -> None:
    assert is_foreign(count_letters([text]), language) == foreign


def test_the_letters_of_a_text_are_described_by_their_shares() -> None:
    assert described(count_letters(["好好好a", "1, 2"])) == "75% Han, 25% Latin"


def test_columns_without_a_table_are_refused(tmp_path: Path) -> None:
    for code in ("en", "de"):
        (tmp_path / f"t.{code}").write_text("a\n")
    data = options(tmp_path, train=str(tmp_path / "t"), valid=str(tmp_path / "t"), columns=["2", "1"])
    with pytest.raises(ConfigError, match=r"data\.columns=\[2,1\]: no corpus is a table"):
        check_columns(find_texts(data), data)
    (tmp_path / "t.en").write_text("".join(f"a {number}\n" for number in range(9)))
    (tmp_path / "t.de").write_text("b\n" * 9)
    data = options(tmp_path, train=str(tmp_path / "t"), columns=["2", "1"], split={"valid": 2})
    with pytest.raises(ConfigError, match=r"data\.columns=\[2,1\]: no corpus is a table"):
        check_columns(find_texts(data), data)


@pytest.mark.parametrize("seed", range(8))
def test_a_frequent_source_takes_no_other_part_away(tmp_path: Path, seed: int) -> None:
    rows = [("hello", f"b {number}") for number in range(200)] + [(f"a {number}", "b") for number in range(200)]
    corpus(tmp_path, rows=rows)
    texts = find_texts(options(tmp_path, split={"valid": 20, "test": 20, "seed": seed}))
    train, valid, test = parts(texts)
    assert min(len(valid), len(test)) >= 20
    assert train


def test_a_broken_split_in_the_cache_is_made_again(tmp_path: Path) -> None:
    corpus(tmp_path)
    data = options(tmp_path, split={"valid": 20})
    whole = parts(find_texts(data))
    (broken,) = (tmp_path / "cache").glob("split-*")
    (broken / "split.json").unlink()
    assert parts(find_texts(data)) == whole
