"""Parallel text: two files with the same number of lines, or a table with a column for each side."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from seq2seq.errors import DataError
from seq2seq.text.cleaning import is_blank
from seq2seq.text.corpus import content_hash, existing, file_names, find_file, near, read_lines
from seq2seq.text.formats import Table, is_tabbed, table_kind

_TABLES = "table (.tsv, .csv, .jsonl, .parquet)"
_MOST_NAMED = 5
"""Corpora that a message lists at most."""


@dataclass(frozen=True)
class ParallelText:
    """Pairs of sentences: two files with the same number of lines, or two columns of a table."""

    name: str
    files: tuple[Path, ...]
    table: Table | None = None
    documents: str | None = None
    """The column, or the ending of a further file, that names the document of each pair; None: see `beginnings`."""

    @classmethod
    def find(
        cls,
        name: str,
        source_lang: str,
        target_lang: str,
        columns: Sequence[str] | None = None,
        key: str = "data.train",
        documents: str | None = None,
    ) -> "ParallelText":
        """Find the corpus `name`: a table, or a prefix of NAME.source_lang and NAME.target_lang, each also as .gz.

        A file with another ending is a table if its lines have tabs. `columns` are those of `Table.open`; `key` is the
        option that gave the name. `documents` names the column, or the file's ending, of the documents' names.
        """
        languages = (source_lang, target_lang)
        sides = [existing(f"{name}.{language}") for language in languages]
        kind, path = table_kind(name), existing(name)
        if path is not None and (kind == ".tsv" or None in sides):
            kind = kind or (".tsv" if is_tabbed(path) else "")
            if kind:
                return cls(name, (path,), Table.open(path, kind, languages, columns), documents)
        source, target = sides
        if source is None or target is None:
            raise DataError(_no_corpus(name, languages, key))
        return cls(name, (source, target), documents=documents)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Source and target of each line."""
        if self.table is not None:
            return self.table.rows()  # type: ignore[return-value]  # it has two columns
        source, target = self.files
        return zip_lines((str(source), str(target)), (read_lines(source), read_lines(target)))

    def beginnings(self) -> Iterator[bool]:
        """Whether a document begins at each pair: where its name changes, or else where a pair is blank on both sides.

        Tables have names in a column, by default `document`. Raises DataError for a column or a file that is not there.
        """
        column = None if self.table is None else self.table.find_column(self.documents, "document")
        if self.table is not None and column is not None:
            return changes(self.table.column(column))
        if (file := self.documents_file) is not None:
            return file_beginnings(file, self.files[0])
        return (is_blank(source) and is_blank(target) for source, target in self.pairs())

    @property
    def documents_file(self) -> Path | None:
        """The file that names the document of each pair; None without one. Raises DataError if it is not there."""
        named = self.table is None and self.documents is not None
        return find_file(f"{self.name}.{self.documents}") if named else None

    def documents_hash(self) -> str:
        """Like `content_hash`, of what names the documents."""
        file = self.documents_file
        return str(self.documents) if file is None else content_hash(file)

    def content_hash(self) -> str:
        """SHA-256 of the uncompressed bytes of the files, and of the columns that are read; they are read once."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        content = content_hash(*self.files)
        if self.table is None or self.table.is_plain():
            return content
        return hashlib.sha256(f"{content} {self.table.kind} {self.table.keys} {self.table.header}".encode()).hexdigest()


def changes(names: Iterable[str]) -> Iterator[bool]:
    """Whether each name differs from the one before."""
    before = None
    for name in names:
        yield name != before
        before = name


def file_beginnings(documents: Path, text: Path) -> Iterator[bool]:
    """Whether a document begins at each line of a text, by a file with the name of each line's document."""
    lines = zip_lines((str(documents), str(text)), (read_lines(documents), read_lines(text)))
    return changes(name for name, _ in lines)


def zip_lines(names: tuple[str, str], sides: tuple[Iterator[str], Iterator[str]]) -> Iterator[tuple[str, str]]:
    """Both sides line by line. Raises DataError, naming the shorter file, if one ends before the other."""
    for number, (left, right) in enumerate(zip_longest(*sides), 1):
        if left is None or right is None:
            shorter, longer = names if left is None else reversed(names)
            raise DataError(
                f"{shorter}:{number}: the file ends here, but {longer} has a line {number}; "
                "a parallel corpus needs as many lines on both sides"
            )
        yield left, right


def _no_corpus(name: str, languages: tuple[str, str], key: str) -> str:
    """Explain why this name is not a corpus, and what `key` probably should be."""
    path = Path(name)
    both = f"NAME.{languages[0]} and NAME.{languages[1]}"
    if os.path.isdir(path):
        inside = [f"{key}={path / corpus}" for corpus in _corpora(path, languages)[:_MOST_NAMED]]
        hint = f"It has none: neither {both}, nor a {_TABLES}."
        if inside:
            hint = f"There {'is' if len(inside) == 1 else 'are'} {', '.join(inside)}."
        return f"{name}: a directory, expected a corpus in it. {hint}"
    if existing(name) is not None:
        return _one_file(name, languages, key)
    files = file_names(path.parent)
    guess = near(name, [*_corpora(path.parent, languages), *files], f"{key}=")
    guess = guess or f" A corpus is two files, {both}, given as {key}=NAME, or a {_TABLES}."
    if table_kind(name):
        return f"{name}: no such file (nor {name}.gz).{guess}"
    missing = next(f"{name}.{code}" for code in languages if existing(f"{name}.{code}") is None)
    sides = ", ".join(str(path.with_name(file)) for file in files if _is_side(file, path.name))
    if sides:
        guess = (
            f", but there is {sides}. Do data.source_lang={languages[0]} and data.target_lang={languages[1]} say how "
            "the files end?"
        )
    return f"{missing}: no such file (nor {missing}.gz){guess if sides else f'.{guess}'}"


def _one_file(name: str, languages: tuple[str, str], key: str) -> str:
    """Explain why a file without columns is not a corpus: it is one side, or its name does not show its format."""
    plain = name.removesuffix(".gz")
    prefix = str(Path(plain).with_suffix(""))
    if all(existing(f"{prefix}.{code}") for code in languages):
        return f"{name}: one side of a corpus, expected what both files' names begin with: {key}={prefix}"
    for code, other in (languages, languages[::-1]):
        if plain.endswith(f".{code}"):
            return f"{name}: one side of a corpus, but the other side, {prefix}.{other}, is missing (also as .gz)"
    return (
        f"{name}: a file without tabs, expected both sides of a corpus: a {_TABLES}, or two files, "
        f"{prefix}.{languages[0]} and {prefix}.{languages[1]}, and then {key}={prefix}"
    )


def _is_side(file: str, prefix: str) -> bool:
    """Whether the name is the prefix and a language code."""
    code = file.removeprefix(f"{prefix}.")
    return code != file and code.replace("-", "").replace("_", "").isalpha() and not table_kind(file)


def _corpora(directory: Path, languages: tuple[str, str]) -> list[str]:
    """The prefixes in a directory that have both languages, and the names of its tables."""
    names = file_names(directory)
    source, target = (f".{code}" for code in languages)
    prefixes = [name.removesuffix(source) for name in names if name.endswith(source)]
    return [*(prefix for prefix in prefixes if f"{prefix}{target}" in names), *filter(table_kind, names)]
