"""Encoded corpora on disk: written once for each content and tokenizer, then read sentence by sentence."""

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import DataError
from seq2seq.text.cleaning import is_blank
from seq2seq.text.context import InContext
from seq2seq.text.corpus import in_groups
from seq2seq.text.documents import Documents, join_documents, open_documents, write_documents
from seq2seq.text.filters import Filters, Sieve
from seq2seq.text.json_io import read_json
from seq2seq.text.parallel import ParallelText
from seq2seq.text.protection import common
from seq2seq.text.storage import replace_directory
from seq2seq.text.stored_rows import JoinedRows, Rows, RowWriter, open_rows, open_tokens
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.text.word_alignments import Link, WordLinks, join_pieces
from seq2seq.text.words import WordSegmenter

_CHUNK = 10_000
"""Pairs that are encoded, or whose links are checked, at a time."""


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
    documents: Documents | None = None
    """The sentences before; None where nothing reads them."""

    def __len__(self) -> int:
        return self.counts["kept"]

    def sources(self, rows: Sequence[int] | NDArray[np.int64]) -> list[InContext]:
        """The sources of these pairs, in their context."""
        before = (() if self.documents is None else self.documents.before(int(row)) for row in rows)
        return [InContext(self.source[int(row)].tolist(), given) for row, given in zip(rows, before, strict=True)]


def join(corpora: Sequence[EncodedCorpus], weights: Sequence[int]) -> EncodedCorpus:
    """Join corpora one after the other, each as many times as its weight. One corpus of weight 1 is returned as it is.

    The result has links if all corpora have them, and documents if they do.
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
        join_documents([part.documents for part in parts if part.documents is not None]),
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
    context: int = 0,
) -> EncodedCorpus:
    """Encode a corpus, or take it from the cache. Pairs that the filters reject are dropped.

    `context` is the number of sentences before each source that are read.
    """
    sides = [tokenizer.fingerprint for tokenizer in (source, target)]
    given: list[Any] = [] if links is None else [links.content_hash(), links.languages]
    given += ["documents", text.documents_hash()] if context else []
    entry = cache_dir / f"tokens-{digest(text.content_hash(), len(text.files), *sides, *filters.key(), *given)}"
    if not os.path.isdir(entry):
        with replace_directory(entry, keep=True) as unfinished:
            kept = _encode(text, source, target, filters, links, unfinished, separated=bool(context))
            if context:
                write_documents(text, source, kept, unfinished, filters.max_length)
    try:
        corpus = _open(entry, (len(source), len(target)))
        if context:
            corpus = replace(corpus, documents=open_documents(entry, len(source), len(corpus), context))
        return corpus
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise DataError(f"{entry}: damaged ({error}). Delete it, and it is made again.") from error


def _encode(
    text: ParallelText,
    source: Tokenizer,
    target: Tokenizer,
    filters: Filters,
    links: WordLinks | None,
    entry: Path,
    *,
    separated: bool,
) -> "array[int]":
    """Write the pairs that the filters keep; return the number of each one's line, from 0.

    Where documents are `separated`, a pair that is blank on both sides is none.
    """
    lines = array("q")
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
    number = -1
    with ExitStack() as files:
        writers = [RowWriter(files.enter_context((entry / name).open("wb"))) for name in names]
        for chunk in in_groups(rows, _CHUNK, lambda row: len(row[0]) + len(row[1])):
            kept = []
            for row in chunk:
                number += 1
                if separated and is_blank(row[0]) and is_blank(row[1]):
                    continue
                if reason := sieve.of_text(source.clean(row[0]), target.clean(row[1])):
                    counts[reason] += 1
                else:
                    kept.append((number, row))
            shared = [common(source.protected(s), target.protected(t)) for _, (s, t, _) in kept]
            sources = source.encode([s for _, (s, _, _) in kept], shared)
            targets = target.encode([t for _, (_, t, _) in kept], shared)
            for (line, row), protected, *pair in zip(kept, shared, sources, targets, strict=True):
                if reason := sieve.of_lengths(*map(len, pair)):
                    counts[reason] += 1
                    continue
                counts["kept"] += 1
                lines.append(line)
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
        writer.save_offsets(entry / f"{name.partition('.')[0]}.offsets.npy")
    (entry / "counts.json").write_text(json.dumps(counts))
    return lines


def _open(entry: Path, vocab_sizes: tuple[int, int]) -> EncodedCorpus:
    """Open and check a cache entry: others may have written to it, or a file may be cut off.

    Raises ValueError where a number points outside its file, its vocabulary or its sentence.
    """
    counts = dict(read_json(entry / "counts.json"))
    if not all(isinstance(count, int) for count in counts.values()) or "kept" not in counts:
        raise ValueError("counts.json has no counts")
    source, target = (
        open_tokens(entry, f"{side}.tokens", counts["kept"], size)
        for side, size in zip(("source", "target"), vocab_sizes, strict=True)
    )
    if "linked" not in counts:
        return EncodedCorpus(source, target, counts)
    links = open_rows(entry, "links.pieces", counts["kept"], 0, width=2)
    for start in range(0, counts["kept"], _CHUNK):
        bounds = links.offsets[start : start + _CHUNK + 1]
        pieces = links.numbers[int(bounds[0]) : int(bounds[-1])]
        for column, side in zip(pieces.T, (target, source), strict=True):
            lengths = np.diff(side.offsets[start : start + _CHUNK + 1])
            if (column >= np.repeat(lengths, np.diff(bounds))).any():
                raise ValueError("links.pieces links a piece that its sentence does not have")
    return EncodedCorpus(source, target, counts, links)
