"""The Greek-English New Testament of the package bible-alignments, with manual word links.

The Greek is the SBL Greek New Testament, without punctuation as in the package. The English is the Berean Standard
Bible as printed. Test and valid are one book each, but not a gospel: Matthew, Mark and Luke tell much the same in the
same words, so training on one of them reveals how the others are aligned. Romans and Hebrews have no such parallel.
"""

import csv
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seq2seq.text.storage import replace_file

GREEK = "data/sources/SBLGNT.tsv"
ENGLISH = "data/eng/targets/BSB/nt_BSB.tsv"
LINKS = "data/eng/alignments/BSB/SBLGNT-BSB-manual.json"

BOOKS = [
    *("MAT", "MRK", "LUK", "JHN", "ACT", "ROM", "1CO", "2CO", "GAL", "EPH", "PHP", "COL", "1TH", "2TH"),
    *("1TI", "2TI", "TIT", "PHM", "HEB", "JAS", "1PE", "2PE", "1JN", "2JN", "3JN", "JUD", "REV"),
]
_FIRST_BOOK = 40
"""A verse is BBCCCVVV: book, chapter and verse; Matthew is book 40."""
_PARTS = {"ROM": "test", "HEB": "valid"}


@dataclass(frozen=True)
class Token:
    """A word or punctuation mark of either language."""

    name: str
    text: str
    verse: str
    joined: bool = False
    """Whether the next token follows without a space."""


@dataclass(frozen=True)
class Verse:
    """Words separated by white space, and the links between them."""

    source: list[str]
    target: list[str]
    links: list[tuple[int, int]]
    chapter: str
    """Book and chapter"""


def convert(archive: Path, directory: Path) -> None:
    """Write NAME.grc, NAME.en, NAME.align and NAME.doc of train, valid and test, one verse a line.

    A link `i-j` joins source word i and target word j, separated by white space and counted from 0. NAME.doc has each
    verse's book and chapter, for data.documents=doc. Verses that are missing on one side, have no link, or have a link
    into another verse are left out.
    """
    parts: dict[str, list[Verse]] = {"train": [], "valid": [], "test": []}
    for number, verse in read_verses(zipfile.Path(archive)).items():
        parts[_PARTS.get(BOOKS[int(number[:2]) - _FIRST_BOOK], "train")].append(verse)
    for name, part in parts.items():
        write(directory / name, part)


def by_verse(tokens: Iterable[Token]) -> dict[str, list[Token]]:
    """Group tokens by verse, keeping their order."""
    verses: dict[str, list[Token]] = defaultdict(list)
    for token in tokens:
        verses[token.verse].append(token)
    return verses


def printed(tokens: Iterable[Token]) -> tuple[list[str], dict[str, int]]:
    """Join tokens into words separated by white space; also return the index of each token's word, by token name."""
    words: list[str] = []
    places: dict[str, int] = {}
    joined = False
    for token in tokens:
        assert token.text.split() == [token.text], token
        if joined:
            words[-1] += token.text
        else:
            words.append(token.text)
        places[token.name] = len(words) - 1
        joined = token.joined
    return words, places


def read_verses(package: Path | zipfile.Path) -> dict[str, Verse]:
    """Read the complete verses, by BBCCCVVV in the order of the books."""
    source = {row["id"]: Token(row["id"], row["text"], row["id"][1:9]) for row in _table(package / GREEK)}
    target = {
        row["id"]: Token(row["id"], row["text"], row["source_verse"], row["skip_space_after"] == "y")
        for row in _table(package / ENGLISH)
    }
    with (package / LINKS).open(encoding="utf-8") as file:
        records = json.load(file)["records"]
    links: dict[str, list[tuple[str, str]]] = defaultdict(list)
    torn: set[str] = set()
    for record in records:
        verses = {source[i].verse for i in record["source"]} | {target[j].verse for j in record["target"]}
        if len(verses) > 1:
            torn |= verses
        else:
            links[verses.pop()] += [(i, j) for i in record["source"] for j in record["target"]]

    greek, english = by_verse(source.values()), by_verse(target.values())
    complete = {}
    for verse in sorted((greek.keys() & english.keys() & links.keys()) - torn):
        (greek_words, i_of), (english_words, j_of) = printed(greek[verse]), printed(english[verse])
        chapter = f"{BOOKS[int(verse[:2]) - _FIRST_BOOK]} {int(verse[2:5])}"
        linked = sorted({(i_of[i], j_of[j]) for i, j in links[verse]})
        complete[verse] = Verse(greek_words, english_words, linked, chapter)
    return complete


def write(stem: Path, verses: list[Verse]) -> None:
    """Write STEM.grc, STEM.en, STEM.align and STEM.doc."""
    columns = {
        "grc": [verse.source for verse in verses],
        "en": [verse.target for verse in verses],
        "align": [[f"{i}-{j}" for i, j in verse.links] for verse in verses],
        "doc": [[verse.chapter] for verse in verses],
    }
    for end, column in columns.items():
        text = "".join(" ".join(line) + "\n" for line in column)
        with replace_file(stem.with_name(f"{stem.name}.{end}")) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def _table(file: Path | zipfile.Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
