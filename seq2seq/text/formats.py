"""Tables of sentences (TSV, CSV, JSONL and Parquet), and which of their columns are read.

Rows are read one at a time. One sentence is one line: a line break inside a cell becomes a space, null an empty line.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from seq2seq.errors import DataError, nearest, shown
from seq2seq.text.corpus import MOST_BYTES, decode_lines, open_binary, raw_lines, read_lines
from seq2seq.text.json_io import parse_json
from seq2seq.text.languages import base_language
from seq2seq.version import install_command

Row = Sequence[str] | Mapping[str, Any]
Key = int | str
"""A column: its index in a row, or its name."""

_SIDES = (("source", ("source",)), ("target", ("target", "translation")))
"""The name of each side, and the usual names of its column."""
_FEW = 10
"""Lines that are looked at, or columns that a message lists."""


def table_kind(name: str) -> str:
    """The `.tsv`, `.csv`, `.jsonl` or `.parquet` of a file's name, also before .gz; empty for other names."""
    suffix = Path(name.removesuffix(".gz")).suffix
    return suffix if suffix in _READERS else ""


def is_tabbed(path: Path) -> bool:
    """Whether the first lines of the file all have tabs, as in a TSV with another ending."""
    lines = list(islice((line for line in read_lines(path) if line.strip()), _FEW))
    return bool(lines) and all("\t" in line.strip() for line in lines)


def _tsv(path: Path) -> Iterator[tuple[int, Row]]:
    return ((number, line.split("\t")) for number, line in enumerate(read_lines(path), 1))


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    """Rows by RFC 4180; also with semicolons, which spreadsheets write where the comma is the decimal point."""
    number = 1
    with open_binary(path) as file:
        lines = decode_lines(raw_lines(file), str(path))
        first = next(lines, "")
        csv.field_size_limit(MOST_BYTES + 1)  # longer cells are refused as such
        delimiter = ";" if ";" in first and "," not in first else ","
        reader = csv.reader((f"{line}\n" for line in chain([first], lines)), delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if row:
                    yield number, row
                number = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}:{number}: not CSV ({error}). Put a cell that has a comma, a quotation mark or a carriage "
                "return in quotation marks, and double those inside it."
            ) from error


def _jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON ({error}); expected an object on each line") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}:{number}: expected an object on each line, got {line[:60]!r}")
        yield number, _flat(value)


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f"{path}: Parquet files need pyarrow. Install it: {install_command('parquet')}") from error
    try:
        with ParquetFile(path) as file:
            rows = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(1000))
            yield from enumerate(map(_flat, rows), 1)
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error})") from error


def _flat(row: Mapping[str, Any]) -> Row:
    """The row with the columns of Hugging Face's `translation` beside its others."""
    nested = row.get("translation")
    return {**row, **nested} if isinstance(nested, dict) else row


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, Row]]]] = {
    ".tsv": _tsv,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}


@dataclass(frozen=True)
class Table:
    """A file with columns, and those of them that are read."""

    path: Path
    kind: str
    keys: tuple[Key, ...]
    header: bool = False
    """Whether the first row holds the names of the columns."""

    @classmethod
    def open(
        cls,
        path: Path,
        kind: str,
        languages: Sequence[str | None],
        columns: Sequence[str] | None,
        sides: Sequence[int] = (0, 1),
    ) -> "Table":
        """Find the columns of the sides that are read: 0 is the source, 1 the target.

        `columns` are numbers, counted from 1, or names, of source and target. None takes the first two columns of a
        TSV, and those with usual names of other tables. Raises DataError for a column that is not there.
        """
        numbered = columns is not None and all(column.isdecimal() for column in columns)
        if columns is not None and (len(set(columns)) < len(columns) or (numbered and min(map(int, columns)) < 1)):
            raise DataError(f"columns=[{','.join(columns)}]: expected two different ones, numbers from 1 or names")
        _, row = next(_READERS[kind](path), (1, []))
        if isinstance(row, Mapping):
            fields = [name for name, value in row.items() if not isinstance(value, dict)]
            return cls(path, kind, tuple(_find(path, fields, side, languages, columns) for side in sides))
        if not row or numbered or (columns is None and kind == ".tsv"):
            return cls(path, kind, tuple(int(columns[side]) - 1 if numbered and columns else side for side in sides))
        names = [_find(path, row, side, languages, columns) for side in sides]
        return cls(path, kind, tuple(map(row.index, names)), header=True)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The text in the columns that are read."""
        for number, row in islice(_READERS[self.kind](self.path), int(self.header), None):
            try:
                cells = tuple([row[key] for key in self.keys])  # type: ignore[index]
            except (IndexError, KeyError) as error:
                raise DataError(f"{self.path}:{number}: {self._missing(row)}") from error
            yield cells if self.kind == ".tsv" else tuple(self._text(cell, number) for cell in cells)

    def find_column(self, name: str | None, usual: str) -> Key | None:
        """Find a column by its name or, where no row has names, its number from 1.

        None finds the `usual` one, if there is one. Raises DataError for a column that is not there.
        """
        _, row = next(_READERS[self.kind](self.path), (1, []))
        if name is not None and name.isdecimal() and not self.header and not isinstance(row, Mapping):
            if int(name) < 1:
                raise DataError(f"{self.path}: data.documents={name}: columns are counted from 1")
            return int(name) - 1
        known = list(row) if self.header or isinstance(row, Mapping) else []
        wanted = name or usual
        if wanted not in known:
            if name is None:
                return None
            raise DataError(
                f"{self.path}: no column {name!r} (data.documents).{nearest(name, known)} It has "
                f"{_listed(known) or 'no names: give a number from 1'}."
            )
        return wanted if isinstance(row, Mapping) else known.index(wanted)

    def column(self, key: Key) -> Iterator[str]:
        """A column as text, whatever its cells are."""
        for number, row in islice(_READERS[self.kind](self.path), int(self.header), None):
            try:
                yield str(row[key])  # type: ignore[index]
            except (IndexError, KeyError) as error:
                raise DataError(
                    f"{self.path}:{number}: no document (data.documents); expected one in each row"
                ) from error

    def names(self) -> list[str]:
        """The columns as an option names them."""
        row = next(_READERS[self.kind](self.path))[1] if self.header else None
        return [str(key + 1 if isinstance(key, int) else key) if row is None else row[key] for key in self.keys]  # type: ignore[index]

    def is_plain(self) -> bool:
        """Whether this is a TSV read by default: source<TAB>target."""
        return self.kind == ".tsv" and self.keys == (0, 1) and not self.header

    def _missing(self, row: Row) -> str:
        if isinstance(row, Mapping):
            return f"expected {' and '.join(map(str, self.keys))}, got {_listed(row)}"
        expected = ", ".join(str(int(key) + 1) for key in self.keys)
        if self.kind == ".tsv" and len(row) == 1:
            return "no tab; expected source<TAB>target" + ("" if self.is_plain() else f", in columns {expected}")
        return f"{len(row)} columns; expected text in columns {expected}"

    def _text(self, cell: Any, number: int) -> str:
        if cell is None:
            return ""
        if not isinstance(cell, str):
            raise DataError(f"{self.path}:{number}: expected text, got {shown(cell)}")
        if len(cell) > MOST_BYTES or "\0" in cell:
            wrong = "a NUL character" if "\0" in cell else f"more than {MOST_BYTES:,} characters"
            raise DataError(f"{self.path}:{number}: a cell with {wrong}; expected a sentence in each cell")
        return re.sub(r"\r?\n", " ", cell)


def _find(
    path: Path, names: Sequence[str], side: int, languages: Sequence[str | None], columns: Sequence[str] | None
) -> str:
    """The name of a side's column."""
    title, usual = _SIDES[side]
    if columns is not None:
        if columns[side] in names:
            return columns[side]
        raise DataError(f"{path}: no column {columns[side]!r}.{nearest(columns[side], names)} It has {_listed(names)}.")
    code = languages[side] if languages[0] != languages[1] else None
    wanted = [*([] if code is None else [code.casefold(), base_language(code)]), *usual]
    plain = {name.strip().casefold(): name for name in reversed(names)}
    for name in filter(plain.__contains__, wanted):
        return plain[name]
    raise DataError(
        f"{path}: which column is the {title}? None is called {' or '.join(dict.fromkeys(wanted))}. It has "
        f"{_listed(names)}. Give columns=[SOURCE,TARGET], in training data.columns=[SOURCE,TARGET]: "
        "names, or numbers from 1 where no row has the names."
    )


def _listed(names: Any) -> str:
    shortened = [shown(name)[:60] for name in list(names)[:_FEW]]
    return ", ".join(shortened) + (" ..." if len(names) > _FEW else "")
