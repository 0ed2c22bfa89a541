"""Encoded corpora on disk: written once per content and tokenizer, and read from there sentence by sentence."""

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import DataError
from seq2seq.text.corpus import in_groups
from seq2seq.text.disk_arrays import Numbers, stored
from seq2seq.text.filters import Filters, Sieve
from seq2seq.text.json_io import read_json
from seq2seq.text.parallel import ParallelText
from seq2seq.text.protection import common
from seq2seq.text.storage import replace_directory
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.text.word_alignments import Link, WordLinks, join_pieces
from seq2seq.text.words import WordReader

_CHUNK = 10_000
_AT_A_TIME = 1 << 20
"""Offsets."""


class Rows(Protocol):
    """Numbers of every pair."""

    def __getitem__(self, row: int, /) -> NDArray[np.uint32]: ...


class Side(Rows, Protocol):
    """Tokens of every pair, EOS included."""

    @property
    def lengths(self) -> NDArray[np.int32]:
        """How many each has."""


@dataclass(frozen=True)
class EncodedSide:
    """The tokens of every sentence, one after the other, and where each begins."""

    tokens: Numbers[np.uint32]
    offsets: Numbers[np.int64]

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        begin, end = self.offsets[row : row + 2].tolist()
        return self.tokens[begin:end]

    @property
    def lengths(self) -> NDArray[np.int32]:
        lengths = np.empty(len(self.offsets) - 1, np.int32)
        for start in range(0, len(lengths), _AT_A_TIME):
            lengths[start : start + _AT_A_TIME] = np.diff(self.offsets[start : start + _AT_A_TIME + 1])
        return lengths


@dataclass(frozen=True)
class EncodedLinks:
    """Target piece and source piece of every link [n 2], one sentence's after the other's, and where each begins."""

    pieces: Numbers[np.uint32]
    offsets: Numbers[np.int64]

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        begin, end = self.offsets[row : row + 2].tolist()
        return self.pieces[begin:end]


@dataclass(frozen=True)
class EncodedCorpus:
    """Pairs of token sequences, EOS included, and how many pairs were dropped and why."""

    source: Side
    target: Side
    counts: dict[str, int]
    """`kept`, and for each reason of the filters how many were left out for it; with links also `linked`: the target
    pieces that have one"""
    links: Rows | None = None
    """Where word alignments are given: target piece and source piece of each link [n 2]."""

    def __len__(self) -> int:
        return self.counts["kept"]


def digest(*parts: object) -> str:
    """A short hash that names a cache entry."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def encode_corpus(
    text: ParallelText,
    source: Tokenizer,
    target: Tokenizer,
    *,
    filters: Filters,
    cache_dir: Path,
    links: WordLinks | None = None,
) -> EncodedCorpus:
    """The corpus in tokens, from the cache where it is there. Drops pairs with an empty side, and what is filtered."""
    sides = [tokenizer.fingerprint for tokenizer in (source, target)]
    given = [] if links is None else [links.content_hash(), links.languages]
    entry = cache_dir / f"tokens-{digest(text.content_hash(), len(text.files), *sides, *filters.key(), *given)}"
    if not os.path.isdir(entry):
        with replace_directory(entry, keep=True) as unfinished:
            _encode(text, source, target, filters, links, unfinished)
    try:
        corpus = _open(entry)
        _check(corpus, (len(source), len(target)))
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{entry}: not as it was written ({error}). Delete it, and it is made again.") from error
    return corpus


@dataclass
class _Column:
    """Rows of numbers written one after the other, and how many each has."""

    file: BinaryIO
    sizes: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, row: Sequence[int] | NDArray[np.uint32]) -> None:
        self.file.write(np.asarray(row, np.uint32).tobytes())
        self.sizes.append(len(row))


def _encode(
    text: ParallelText, source: Tokenizer, target: Tokenizer, filters: Filters, links: WordLinks | None, entry: Path
) -> None:
    counts = {"kept": 0, **dict.fromkeys(filters.reasons(), 0)}
    sieve = Sieve(filters, ((source.clean(s), target.clean(t)) for s, t in text.pairs()))
    names = ["source.tokens", "target.tokens"]
    readers: list[WordReader] = []
    rows: Iterator[tuple[str, str, list[Link]]] = ((s, t, []) for s, t in text.pairs())
    if links is not None:
        counts["linked"] = 0
        names.append("links.pieces")
        readers = [WordReader(source, links.languages[0]), WordReader(target, links.languages[1])]
        rows = links.beside(text)
    with ExitStack() as files:
        columns = [_Column(files.enter_context((entry / name).open("wb"))) for name in names]
        for chunk in in_groups(rows, _CHUNK, lambda row: len(row[0]) + len(row[1])):
            filled = []
            for row in chunk:
                if (reason := sieve.of_text(source.clean(row[0]), target.clean(row[1]))) is None:
                    filled.append(row)
                else:
                    counts[reason] += 1
            shared = [common(source.protected(s), target.protected(t)) for s, t, _ in filled]
            sources = source.encode([s for s, _, _ in filled], shared)
            targets = target.encode([t for _, t, _ in filled], shared)
            for row, protected, pair in zip(filled, shared, zip(sources, targets, strict=True), strict=True):
                if (reason := sieve.of_lengths(*map(len, pair))) is not None:
                    counts[reason] += 1
                    continue
                counts["kept"] += 1
                for column, tokens in zip(columns[:2], pair, strict=True):
                    column.add(tokens)
                if links is not None:
                    linked = [reader.line(side, protected) for reader, side in zip(readers, row[:2], strict=True)]
                    joined = join_pieces(row[2], *linked)
                    counts["linked"] += len(np.unique(joined[:, 0]))
                    columns[-1].add(joined)
    for name, column in zip(names, columns, strict=True):
        offsets = np.zeros(len(column.sizes) + 1, np.int64)
        np.cumsum(column.sizes, dtype=np.int64, out=offsets[1:])
        np.save(entry / f"{name.partition('.')[0]}.offsets.npy", offsets)
    (entry / "counts.json").write_text(json.dumps(counts))


def _open(entry: Path) -> EncodedCorpus:
    def tokens(name: str) -> Numbers[np.uint32]:
        return stored(entry / f"{name}.tokens", np.dtype(np.uint32))

    def offsets(name: str) -> Numbers[np.int64]:
        return stored(entry / f"{name}.offsets.npy", np.dtype(np.int64))

    source, target = (EncodedSide(tokens(name), offsets(name)) for name in ("source", "target"))
    counts = dict(read_json(entry / "counts.json"))
    if "linked" not in counts:
        return EncodedCorpus(source, target, counts)
    links = stored(entry / "links.pieces", np.dtype(np.uint32), 2)
    return EncodedCorpus(source, target, counts, EncodedLinks(links, offsets("links")))


def _check(corpus: EncodedCorpus, sizes: tuple[int, int]) -> None:
    """Raises ValueError where a number leads out of its file, its vocabulary or its sentence: others may have written
    there, or a file be cut off.
    """
    counts, sides = corpus.counts, (corpus.source, corpus.target)
    if not all(isinstance(count, int) for count in counts.values()) or "kept" not in counts:
        raise ValueError("counts.json has no counts")
    for name, side, size in zip(("source", "target"), sides, sizes, strict=True):
        assert isinstance(side, EncodedSide)
        _check_offsets(name, side.offsets, len(side.tokens), counts["kept"], least=1)
        for start in range(0, len(side.tokens), _AT_A_TIME):
            if (most := int(side.tokens[start : start + _AT_A_TIME].max())) >= size:
                raise ValueError(f"{name}.tokens has pieces up to {most}, its tokenizer {size}")
    if corpus.links is not None:
        assert isinstance(corpus.links, EncodedLinks)
        _check_offsets("links", corpus.links.offsets, len(corpus.links.pieces), counts["kept"], least=0)
        for start in range(0, counts["kept"], _CHUNK):
            bounds = corpus.links.offsets[start : start + _CHUNK + 1]
            pieces = corpus.links.pieces[int(bounds[0]) : int(bounds[-1])]
            for column, side in zip(pieces.T, reversed(sides), strict=True):
                assert isinstance(side, EncodedSide)
                lengths = np.diff(side.offsets[start : start + _CHUNK + 1])
                if (column >= np.repeat(lengths, np.diff(bounds))).any():
                    raise ValueError("links.pieces links what is not in its sentence")


def _check_offsets(name: str, offsets: Numbers[np.int64], size: int, rows: int, least: int) -> None:
    """From 0 to the size, and never back."""
    if len(offsets) != rows + 1:
        raise ValueError(f"{name}.offsets are {len(offsets)}, expected {rows + 1}")
    ends = int(offsets[0:1][0]), int(offsets[rows : rows + 1][0])
    for start in range(0, rows, _AT_A_TIME):
        block = offsets[start : start + _AT_A_TIME + 1]
        if block.min() < 0 or block.max() > size or np.diff(block).min() < least:
            ends = (-1, -1)
    if ends != (0, size):
        raise ValueError(f"{name}.offsets lead out of the {size} numbers they are of")
