"""Encoded corpora on disk: written once for each content and tokenizer, then read sentence by sentence."""

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
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
from seq2seq.text.words import WordSegmenter

_CHUNK = 10_000
"""Pairs that are encoded, or whose links are checked, at a time."""
_AT_A_TIME = 1 << 20
"""Numbers that are checked at a time."""


class Rows(Protocol):
    """The tokens of every sentence, EOS included, or the links of every pair."""

    def __getitem__(self, row: int, /) -> NDArray[np.uint32]: ...

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The length of each row."""


@dataclass(frozen=True)
class StoredRows:
    """Rows of numbers, stored one after the other."""

    numbers: Numbers[np.uint32]
    """[n] for tokens; [n 2] for links: the target piece and the source piece of each."""
    offsets: Numbers[np.int64]
    """Where each row begins, and where the last one ends."""

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        begin, end = self.offsets[row : row + 2].tolist()
        return self.numbers[begin:end]

    @property
    def lengths(self) -> NDArray[np.int32]:
        lengths = np.empty(len(self.offsets) - 1, np.int32)
        for start in range(0, len(lengths), _AT_A_TIME):
            lengths[start : start + _AT_A_TIME] = np.diff(self.offsets[start : start + _AT_A_TIME + 1])
        return lengths


@dataclass(frozen=True)
class JoinedRows:
    """The rows of several parts, one part after the other, without copies."""

    parts: Sequence[Rows]
    sizes: Sequence[int]
    """Number of rows of each part."""

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *self.sizes])[:-1]

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        part = int(self._starts.searchsorted(row, side="right")) - 1
        return self.parts[part][row - int(self._starts[part])]

    @property
    def lengths(self) -> NDArray[np.int32]:
        return np.concatenate([part.lengths for part in self.parts])


@dataclass(frozen=True)
class EncodedCorpus:
    """Pairs of token sequences, EOS included, and how many pairs were dropped for which reason."""

    source: Rows
    target: Rows
    counts: dict[str, int]
    """Pairs `kept`, and pairs dropped for each reason of the filters. With links also `linked`: target pieces that
    have one."""
    links: Rows | None = None
    """The target piece and the source piece of each link [n 2], where word alignments are given."""

    def __len__(self) -> int:
        return self.counts["kept"]


def join(corpora: Sequence[EncodedCorpus], weights: Sequence[int]) -> EncodedCorpus:
    """Join corpora one after the other, each as many times as its weight. One corpus of weight 1 is returned as it is.

    The result has links if all corpora have them.
    """
    if len(corpora) == 1 and weights[0] == 1:
        return corpora[0]
    parts = [corpus for corpus, weight in zip(corpora, weights, strict=True) for _ in range(weight) if len(corpus)]
    sizes = [len(part) for part in parts]
    links = [part.links for part in parts if part.links is not None]
    return EncodedCorpus(
        JoinedRows([part.source for part in parts], sizes),
        JoinedRows([part.target for part in parts], sizes),
        {"kept": sum(sizes)},
        JoinedRows(links, sizes) if len(links) == len(parts) else None,
    )


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
    """Encode a corpus, or take it from the cache. Pairs that the filters reject are dropped."""
    sides = [tokenizer.fingerprint for tokenizer in (source, target)]
    given = [] if links is None else [links.content_hash(), links.languages]
    entry = cache_dir / f"tokens-{digest(text.content_hash(), len(text.files), *sides, *filters.key(), *given)}"
    if not os.path.isdir(entry):
        with replace_directory(entry, keep=True) as unfinished:
            _encode(text, source, target, filters, links, unfinished)
    try:
        return _open(entry, (len(source), len(target)))
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{entry}: damaged ({error}). Delete it, and it is made again.") from error


@dataclass
class _RowWriter:
    """Writes rows of numbers one after the other, and remembers the size of each."""

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
    segmenters: list[WordSegmenter] = []
    rows: Iterator[tuple[str, str, list[Link]]] = ((s, t, []) for s, t in text.pairs())
    if links is not None:
        counts["linked"] = 0
        names.append("links.pieces")
        segmenters = [WordSegmenter(source, links.languages[0]), WordSegmenter(target, links.languages[1])]
        rows = links.beside(text)
    with ExitStack() as files:
        writers = [_RowWriter(files.enter_context((entry / name).open("wb"))) for name in names]
        for chunk in in_groups(rows, _CHUNK, lambda row: len(row[0]) + len(row[1])):
            kept = []
            for row in chunk:
                if reason := sieve.of_text(source.clean(row[0]), target.clean(row[1])):
                    counts[reason] += 1
                else:
                    kept.append(row)
            shared = [common(source.protected(s), target.protected(t)) for s, t, _ in kept]
            sources = source.encode([s for s, _, _ in kept], shared)
            targets = target.encode([t for _, t, _ in kept], shared)
            for row, protected, *pair in zip(kept, shared, sources, targets, strict=True):
                if reason := sieve.of_lengths(*map(len, pair)):
                    counts[reason] += 1
                    continue
                counts["kept"] += 1
                encoded: list[Sequence[int] | NDArray[np.uint32]] = [*pair]
                if links is not None:
                    words = [
                        segmenter.line(side, protected) for segmenter, side in zip(segmenters, row[:2], strict=True)
                    ]
                    encoded.append(pieces := join_pieces(row[2], *words))
                    counts["linked"] += len(np.unique(pieces[:, 0]))
                for writer, numbers in zip(writers, encoded, strict=True):
                    writer.add(numbers)
    for name, writer in zip(names, writers, strict=True):
        offsets = np.zeros(len(writer.sizes) + 1, np.int64)
        np.cumsum(writer.sizes, dtype=np.int64, out=offsets[1:])
        np.save(entry / f"{name.partition('.')[0]}.offsets.npy", offsets)
    (entry / "counts.json").write_text(json.dumps(counts))


def _open(entry: Path, vocab_sizes: tuple[int, int]) -> EncodedCorpus:
    """Open and check a cache entry: others may have written to it, or a file may be cut off.

    Raises ValueError where a number points outside its file, its vocabulary or its sentence.
    """
    counts = dict(read_json(entry / "counts.json"))
    if not all(isinstance(count, int) for count in counts.values()) or "kept" not in counts:
        raise ValueError("counts.json has no counts")
    source, target = (_open_rows(entry, f"{side}.tokens", counts["kept"], 1) for side in ("source", "target"))
    for name, side, size in zip(("source", "target"), (source, target), vocab_sizes, strict=True):
        for start in range(0, len(side.numbers), _AT_A_TIME):
            if (most := int(side.numbers[start : start + _AT_A_TIME].max())) >= size:
                raise ValueError(f"{name}.tokens has pieces up to {most}, its tokenizer only {size}")
    if "linked" not in counts:
        return EncodedCorpus(source, target, counts)
    links = _open_rows(entry, "links.pieces", counts["kept"], 0, width=2)
    for start in range(0, counts["kept"], _CHUNK):
        bounds = links.offsets[start : start + _CHUNK + 1]
        pieces = links.numbers[int(bounds[0]) : int(bounds[-1])]
        for column, side in zip(pieces.T, (target, source), strict=True):
            lengths = np.diff(side.offsets[start : start + _CHUNK + 1])
            if (column >= np.repeat(lengths, np.diff(bounds))).any():
                raise ValueError("links.pieces links a piece that its sentence does not have")
    return EncodedCorpus(source, target, counts, links)


def _open_rows(entry: Path, name: str, count: int, shortest: int, width: int | None = None) -> StoredRows:
    """Open rows, and check that their offsets lead from 0 to the end and never back."""
    label = name.partition(".")[0]
    numbers = stored(entry / name, np.dtype(np.uint32), width)
    offsets = stored(entry / f"{label}.offsets.npy", np.dtype(np.int64))
    if len(offsets) != count + 1:
        raise ValueError(f"{label}.offsets has {len(offsets)} numbers, expected {count + 1}")
    valid = (int(offsets[0:1][0]), int(offsets[count : count + 1][0])) == (0, len(numbers))
    for start in range(0, count, _AT_A_TIME):
        block = offsets[start : start + _AT_A_TIME + 1]
        valid = valid and block.min() >= 0 and block.max() <= len(numbers) and np.diff(block).min() >= shortest
    if not valid:
        raise ValueError(f"{label}.offsets does not divide the {len(numbers)} numbers into rows")
    return StoredRows(numbers, offsets)
