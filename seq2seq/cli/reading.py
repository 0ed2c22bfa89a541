"""Reads the inputs of commands: lines, pairs and gold alignments, in every format of training."""

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq import checkpoint
from seq2seq.cli.files import input_lines
from seq2seq.config import Data, several
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.alignment import Aligner, Gold, no_attention, read_gold
from seq2seq.inference.forced_scores import ScoredPair, SentencePair, pairs_in_documents, score_pairs
from seq2seq.inference.translation import Request, in_documents
from seq2seq.inference.translator import Translator
from seq2seq.text.corpus import existing, find_file
from seq2seq.text.formats import Table, is_tabbed, table_kind
from seq2seq.text.json_io import parse_json
from seq2seq.text.parallel import ParallelText, changes, file_beginnings, zip_lines
from seq2seq.text.words import find_words

logger = logging.getLogger(__name__)

SOURCE, TARGET = 0, 1
_SORTED_BATCHES = 16
"""Number of batches whose pairs are sorted by length together"""

# --- lines -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowLayout:
    """Which columns of a table are source and target."""

    languages: tuple[str | None, str | None]
    columns: Sequence[str] | None = None
    """As in training; None: the usual ones of each table"""
    kinds: frozenset[str] | None = None
    """Kinds of tables that `columns` apply to; None: all"""
    documents: str | None = None
    """As in training"""
    tables: bool = False
    """Whether `documents` is a column: training read tables"""

    def lines(self, name: str, side: int) -> Iterator[str]:
        """Return one side: a column of a table, or the lines of any other file or of stdin.

        If columns were asked for, a file whose lines have tabs is a table, whatever its name.
        """
        if name == "-" and self.columns is not None and self.kinds is None:
            raise DataError(f"columns=[{','.join(self.columns)}] and -: stdin is plain text. Give a file")
        if kind := self._kind(name):
            table = Table.open(find_file(name), kind, self.languages, self._columns(kind), [side])
            return (cell for (cell,) in table.rows())
        if self._is_tabbed(name):
            _warn_of_tabs(name)
        return input_lines(name)

    def _kind(self, name: str, *, corpus: bool = False) -> str:
        """The kind of table that a file is; empty if it is read line by line. A `corpus` needs no columns to be one."""
        if (kind := table_kind(name)) or not self._is_tabbed(name):
            return kind
        return ".tsv" if corpus or self._columns(".tsv") is not None else ""

    def pairs(self, source: str, target: str | None) -> Iterator[tuple[str, str]]:
        """Return both sides; without a target, `source` is a corpus as in training.

        Raises DataError if one side has more lines.
        """
        if target is not None and not (source == target and self._is_tabbed(source)):
            return zip_lines((source, target), (self.lines(source, SOURCE), self.lines(target, TARGET)))
        source_lang, target_lang = self.languages
        columns = self._columns(table_kind(source) or ".tsv")
        return ParallelText.find(source, source_lang or "", target_lang or "", columns, "source").pairs()

    def beginnings(self, source: str, *, corpus: bool = False) -> Iterator[bool] | None:
        """Whether a document begins at each line; None: no column or file names documents, so blank lines tell.

        The file stands beside `source`: NAME.doc beside NAME.en, or beside NAME, a `corpus` as in training.
        """
        if kind := self._kind(source, corpus=corpus):
            table = Table.open(find_file(source), kind, self.languages, self._columns(kind), [SOURCE])
            column = table.find_column(self.documents if self.tables else None, "document")
            return None if column is None else changes(table.column(column))
        if self.documents is None:
            return None
        text = existing(source if not corpus or existing(source) else f"{source}.{self.languages[SOURCE]}")
        if text is None:
            return None
        stem = Path(str(text).removesuffix(".gz")).with_suffix("")
        named = existing(f"{stem}.{self.documents}")
        return None if named is None else file_beginnings(named, text)

    def _columns(self, kind: str) -> Sequence[str] | None:
        return self.columns if self.kinds is None or kind in self.kinds else None

    @staticmethod
    def _is_tabbed(name: str) -> bool:
        path = existing(name)
        return path is not None and not table_kind(name) and is_tabbed(path)


@functools.cache
def _warn_of_tabs(name: str) -> None:
    """Warn once, although a file may be read twice."""
    logger.warning("%s: lines contain tabs and are read as a whole. Use columns=[1,2] to read a table.", name)


def layout(checkpoints: str | Sequence[str], columns: Sequence[str] | None) -> RowLayout:
    """Return these columns; by default, for tables of the same kind, those that the checkpoint was trained on."""
    paths = [checkpoints] if isinstance(checkpoints, str) else checkpoints
    if not paths:  # load_translator complains
        return RowLayout((None, None), columns)
    return layout_of(checkpoint.read_data(Path(paths[0])), columns)


def layout_of(data: Data, columns: Sequence[str] | None = None) -> RowLayout:
    """Return these columns; by default, for tables of the same kind, those of a training."""
    languages = (data.source_lang, data.target_lang)
    names = [*several(data.train), *several(data.valid), *several(data.test)]
    tables = any(map(table_kind, names)) or (data.documents or "").isdecimal()
    if columns is not None:
        return RowLayout(languages, columns, None, data.documents, tables)
    kinds = frozenset(table_kind(name) or ".tsv" for name in names)
    return RowLayout(languages, data.columns, kinds, data.documents, tables)


# --- pairs to score --------------------------------------------------------------------------------------------------


def read_pairs(source: str, target: str, translator: Translator, layout: RowLayout) -> list[SentencePair]:
    """Read a pair from each line; from JSONL its `source`, or its `tokens` and the text they were printed as.

    Raises DataError if the sides don't fit together.
    """
    if source == target == "-":
        raise DataError("both sides are stdin (-); give a file for one")
    names = (source, target)
    records = [table_kind(name) == ".jsonl" and is_jsonl(input_lines(name)) for name in names]
    if any(records):
        sides = [input_lines(name) if records[side] else layout.lines(name, side) for side, name in enumerate(names)]
        pairs = list(zip_lines(names, (sides[SOURCE], sides[TARGET])))
    else:
        pairs = list(layout.pairs(source, target))
    sources, targets = [left for left, _ in pairs], [right for _, right in pairs]
    size = translator.context
    begins = layout.beginnings(source, corpus=target == source) if size and not records[SOURCE] else None
    if not (is_jsonl(sources) or is_jsonl(targets)):
        return list(pairs_in_documents(pairs, size, begins))
    if is_jsonl(sources):
        requests = [_request_of_record(line, f"{source}:{n}", n - 1, size) for n, line in enumerate(sources, 1)]
    else:
        requests = list(in_documents(sources, size, begins))
    if not is_jsonl(targets):
        return [SentencePair(r.line, text, context=r.context) for r, text in zip(requests, targets, strict=True)]
    return [
        _pair_of_record(request, line, f"{target}:{request.number + 1}", translator)
        for request, line in zip(requests, targets, strict=True)
    ]


def _request_of_record(line: str, place: str, number: int, size: int) -> Request:
    record = expect_record(line, place)
    try:
        before = [str(sentence["source"]) for sentence in record.get("context") or []]
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{place}: `context` is no list of objects with `source`, as translate output_format=jsonl writes it"
        ) from error
    text = str(record.get("plain_source", record["source"]))
    return Request(text, number, context=tuple(before[-size:]) if size else ())


def _pair_of_record(request: Request, line: str, place: str, translator: Translator) -> SentencePair:
    source, known, record = request.line, translator.piece_numbers, expect_record(line, place)
    tokens = record["tokens"]
    if strange := [token for token in tokens if token not in known]:
        raise DataError(
            f"{place}: {strange[0][:60]!r} is not in the vocabulary of this checkpoint; "
            "score the text instead, or use the checkpoint that produced the translation"
        )
    if record.get("sentences", 1) != 1:
        raise DataError(
            f"{place}: several sentences, as translate split=sentences joins them; only a single sentence has a score. "
            "Translate and score them one per line."
        )
    printed = translator.target.decode([known[token] for token in tokens], translator.source.protected(source))
    text = record.get("plain_translation", record.get("translation", printed))
    return SentencePair(source, str(text), tokens, request.context)


def is_jsonl(lines: Iterable[str]) -> bool:
    """Whether these are lines of `translate output_format=jsonl`, judged by the first that is not blank."""
    return read_record(next((line for line in lines if line.strip()), "")) is not None


def read_record(line: str) -> dict[str, Any] | None:
    """Parse a line of `translate output_format=jsonl`, which has `source` and `tokens`; None if it is not one."""
    try:
        value = parse_json(line)
    except ValueError:
        return None
    if not (isinstance(value, dict) and isinstance(value.get("source"), str) and isinstance(value.get("tokens"), list)):
        return None
    return value if all(isinstance(token, str) for token in value["tokens"]) else None


def expect_record(line: str, place: str) -> dict[str, Any]:
    """Parse a line of `translate output_format=jsonl`. Raises DataError, naming the place, if it is not one."""
    if (record := read_record(line)) is None:
        raise DataError(
            f"{place}: expected an object with `source` and `tokens`, as "
            f"translate output_format=jsonl writes it, got {line[:60]!r}"
        )
    return record


def score_all(
    translator: Translator,
    pairs: Iterable[SentencePair],
    batch_size: int,
    precision: str = "fp32",
    shortlist: int | None = None,
    attention: str = "prior",
    advance: Callable[[int], object] = lambda pairs: None,
) -> Iterator[ScoredPair]:
    """Score pairs in order, a few batches at a time, which limits the attention in memory.

    `advance` is called with the number of pairs that each group finishes.
    """
    remaining = iter(pairs)
    while group := list(islice(remaining, batch_size * _SORTED_BATCHES)):
        scored = score_pairs(translator, group, batch_size, precision, shortlist, attention)
        advance(len(group))
        yield from scored


def check_context(context: str, translator: Translator, checkpoint: str | Sequence[str]) -> None:
    """Raise ConfigError for a context other than a model's own if the model reads none."""
    if context != "own" and not translator.context:
        raise ConfigError(
            f"context={context} and checkpoint={checkpoint}: a sentence-level model reads no context. Use context=own."
        )


def read_gold_file(name: str, base: int, pairs: Sequence[SentencePair], languages: tuple[str, str]) -> list[Gold]:
    """Read the gold links of each pair of these languages. Raises DataError for links to words that do not exist."""
    lines = list(input_lines(name))
    if len(lines) != len(pairs):
        number = min(len(lines), len(pairs)) + 1
        what = "the file ends here, but there is a" if len(lines) < len(pairs) else "there is no"
        raise DataError(
            f"{name}:{number}: {what} pair {number} of source and target ({len(lines)} lines of gold, "
            f"{len(pairs)} pairs); a line is needed for each pair, blank where nothing is linked"
        )
    golds = []
    for number, (line, pair) in enumerate(zip(lines, pairs, strict=True), 1):
        gold = read_gold(line, base, f"{name}:{number}")
        words = (len(find_words(pair.source, languages[0])), len(find_words(pair.target, languages[1])))
        for link in sorted(gold.possible):
            if link[0] >= words[0] or link[1] >= words[1]:
                raise DataError(
                    f"{name}:{number}: the link of source word {link[0] + base} and target word {link[1] + base} is "
                    f"out of range: this pair has {words[0]} and {words[1]} words, counted from {base} "
                    f"(gold_base={base})"
                )
        golds.append(gold)
    return golds


def find_aligner(
    translator: Translator, checkpoint: str | Sequence[str], purpose: str, layer: int | None, attention: str = "prior"
) -> Aligner:
    """Return the aligner of a model by the attention of a layer, counted from 1; None: the layer that it was made with.

    Raises ConfigError if the model has no attention, which the purpose needs, or no such layer.
    """
    if (aligner := Aligner.of(translator, attention)) is None:
        raise no_attention(f" {purpose}", f"checkpoint={checkpoint}: ")
    if layer is not None:
        translator.choose_layer(layer)
    return aligner
