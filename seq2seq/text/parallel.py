"""Parallel text: two files of as many lines, or a table with a column for each side."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from seq2seq.errors import DataError
from seq2seq.text.corpus import content_hash, existing, read_lines
from seq2seq.text.formats import Table, is_tabbed, table_kind
from seq2seq.text.guess import no_corpus


@dataclass(frozen=True)
class ParallelText:
    """Pairs of sentences: two files of as many lines, or two columns of a table."""

    name: str
    files: tuple[Path, ...]
    table: Table | None = None

    @classmethod
    def find(
        cls,
        name: str,
        source_lang: str,
        target_lang: str,
        columns: Sequence[str] | None = None,
        key: str = "data.train",
    ) -> "ParallelText":
        """`name` is a table, or a prefix: NAME.source_lang and NAME.target_lang, each also as .gz.

        A file of another name is a table too where its lines have tabs. `columns` are those of `Table.open`, and `key`
        is the option that the name was given with.
        """
        languages = (source_lang, target_lang)
        sides = [existing(f"{name}.{language}") for language in languages]
        kind, path = table_kind(name), existing(name)
        if path is not None and (kind == ".tsv" or None in sides):
            kind = kind or (".tsv" if is_tabbed(path) else "")
            if kind:
                return cls(name, (path,), Table.open(path, kind, languages, columns))
        source, target = sides
        if source is None or target is None:
            raise DataError(no_corpus(name, languages, key))
        return cls(name, (source, target))

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Source and target of each line."""
        if self.table is not None:
            yield from self.table.rows()  # type: ignore[misc]  # of two columns
            return
        source, target = self.files
        yield from zip_lines((str(source), str(target)), (read_lines(source), read_lines(target)))

    def content_hash(self) -> str:
        """SHA-256 of the files' bytes as text, whatever their compression, and of the columns that are read."""
        content = content_hash(*self.files)
        if self.table is None or self.table.is_plain():
            return content
        return hashlib.sha256(f"{content} {self.table.kind} {self.table.keys} {self.table.header}".encode()).hexdigest()


def zip_lines(names: tuple[str, str], sides: tuple[Iterator[str], Iterator[str]]) -> Iterator[tuple[str, str]]:
    """Both sides line by line. Raises DataError, with the name of its file, where one ends before the other."""
    for number, (left, right) in enumerate(zip_longest(*sides), 1):
        if left is None or right is None:
            shorter, longer = names if left is None else reversed(names)
            raise DataError(
                f"{shorter}:{number}: the file ends here, but {longer} has a line {number}; "
                "a parallel corpus needs as many lines on both sides"
            )
        yield left, right
