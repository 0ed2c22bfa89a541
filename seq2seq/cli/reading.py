"""Text for a checkpoint, in every format that training reads: plain files, and columns of tables."""

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.cli.files import input_lines
from seq2seq.config import Data, several
from seq2seq.errors import DataError
from seq2seq.text.corpus import existing, find_file
from seq2seq.text.formats import Table, is_tabbed, table_kind
from seq2seq.text.parallel import ParallelText, zip_lines

logger = logging.getLogger(__name__)

SOURCE, TARGET = 0, 1


@dataclass(frozen=True)
class RowLayout:
    """Which columns of a table are source and target."""

    languages: tuple[str | None, str | None]
    columns: Sequence[str] | None = None
    """As in training; None: the usual ones of each table."""
    kinds: frozenset[str] | None = None
    """The kinds of tables that `columns` are for; None: all."""

    def lines(self, name: str, side: int) -> Iterator[str]:
        """One side: a column of a table, or the lines of any other file or of stdin.

        Where columns are asked for, a file whose lines have tabs is a table whatever its name.
        """
        chosen = self.columns is not None and self.kinds is None
        if chosen and name == "-":
            raise DataError(f"columns=[{','.join(self.columns or [])}] and -: stdin is plain text; give a file")
        kind = table_kind(name)
        if not kind and self._is_tabbed(name):
            if self._columns(".tsv") is None:
                _warn_of_tabs(name)
            else:
                kind = ".tsv"
        if not kind:
            return input_lines(name)
        return self._column(name, kind, side)

    def _column(self, name: str, kind: str, side: int) -> Iterator[str]:
        path = find_file(name)
        table = Table.open(path, kind, self.languages, self._columns(kind), [side])
        return (cell for (cell,) in table.rows())

    def pairs(self, source: str, target: str | None) -> Iterator[tuple[str, str]]:
        """Both sides; without a target, `source` is a corpus, as in training.

        Raises DataError where one has more lines.
        """
        if target is not None and not (source == target and self._is_tabbed(source)):
            return zip_lines((source, target), (self.lines(source, SOURCE), self.lines(target, TARGET)))
        source_lang, target_lang = self.languages
        columns = self._columns(table_kind(source) or ".tsv")
        return ParallelText.find(source, source_lang or "", target_lang or "", columns, "source").pairs()

    def test_set(self, source: str, target: str | None) -> tuple[list[str], list[str]]:
        """Both sides as `pairs` has them, to be scored. Raises DataError also where there is no line."""
        if source == "-" and target in ("-", None):
            raise DataError("both inputs are stdin (-); give a file for one")
        pairs = list(self.pairs(source, target))
        if not pairs:
            raise DataError(f"{source}: no lines to score")
        return [left for left, _ in pairs], [right for _, right in pairs]

    def _columns(self, kind: str) -> Sequence[str] | None:
        return self.columns if self.kinds is None or kind in self.kinds else None

    @staticmethod
    def _is_tabbed(name: str) -> bool:
        path = existing(name)
        return path is not None and not table_kind(name) and is_tabbed(path)


@functools.cache
def _warn_of_tabs(name: str) -> None:
    """Once, though a file may be read twice."""
    logger.warning("%s: its lines have tabs and are read whole. With columns=[1,2] it is a table.", name)


def layout(checkpoints: str | Sequence[str], columns: Sequence[str] | None) -> RowLayout:
    """These columns, or those that the checkpoint was trained on in tables of the same kind."""
    paths = [checkpoints] if isinstance(checkpoints, str) else checkpoints
    if not paths:  # load_translator says it
        return RowLayout((None, None), columns)
    return layout_of(checkpoint.read_data(Path(paths[0])), columns)


def layout_of(data: Data, columns: Sequence[str] | None = None) -> RowLayout:
    """These columns, or those of a training in tables of the same kind."""
    languages = (data.source_lang, data.target_lang)
    if columns is not None:
        return RowLayout(languages, columns)
    names = [*several(data.train), *several(data.valid), *several(data.test)]
    return RowLayout(languages, data.columns, frozenset(table_kind(name) or ".tsv" for name in names))
