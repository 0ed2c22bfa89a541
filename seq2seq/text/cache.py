"""Encoded corpora on disk: written once per content and tokenizer, memory-mapped afterwards."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.corpus import ParallelText
from seq2seq.text.storage import replace_directory
from seq2seq.text.tokenizer import Tokenizer

_CHUNK = 10_000


@dataclass(frozen=True)
class EncodedSide:
    """The tokens of every sentence, one after the other, and where each begins."""

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


@dataclass(frozen=True)
class EncodedCorpus:
    """Pairs of token sequences, EOS included, and how many pairs were dropped and why."""

    source: EncodedSide
    target: EncodedSide
    counts: dict[str, int]
    """`kept`, `empty` (a side without text), `long` (a side of more than max_length pieces)"""

    def __len__(self) -> int:
        return self.counts["kept"]


def digest(*parts: object) -> str:
    """A short hash that names a cache entry."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def encode_corpus(
    text: ParallelText, source: Tokenizer, target: Tokenizer, *, max_length: int | None, cache_dir: Path
) -> EncodedCorpus:
    """The corpus in tokens, from the cache where it is there. Drops pairs with an empty or over-long side."""
    sides = [hashlib.sha256(tokenizer.model).hexdigest() for tokenizer in (source, target)]
    entry = cache_dir / f"tokens-{digest(text.content_hash(), len(text.files), *sides, max_length)}"
    if not entry.is_dir():
        with replace_directory(entry) as unfinished:
            _encode(text, source, target, max_length, unfinished)
    return _open(entry)


def _encode(text: ParallelText, source: Tokenizer, target: Tokenizer, max_length: int | None, entry: Path) -> None:
    counts = {"kept": 0, "empty": 0, "long": 0}
    lengths: tuple[list[int], list[int]] = ([], [])
    with (entry / "source.tokens").open("wb") as sources, (entry / "target.tokens").open("wb") as targets:
        for chunk in _chunks(text.pairs()):
            filled = [pair for pair in chunk if pair[0].strip() and pair[1].strip()]
            counts["empty"] += len(chunk) - len(filled)
            encoded = zip(source.encode([s for s, _ in filled]), target.encode([t for _, t in filled]), strict=True)
            for pair in encoded:
                if max_length is not None and max(map(len, pair)) > max_length:
                    counts["long"] += 1
                    continue
                counts["kept"] += 1
                for tokens, file, sizes in zip(pair, (sources, targets), lengths, strict=True):
                    file.write(np.asarray(tokens, np.uint32).tobytes())
                    sizes.append(len(tokens))
    for side, sizes in zip(("source", "target"), lengths, strict=True):
        offsets = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        np.save(entry / f"{side}.offsets.npy", offsets)
    (entry / "counts.json").write_text(json.dumps(counts))


def _chunks(pairs: Iterator[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    while chunk := list(islice(pairs, _CHUNK)):
        yield chunk


def _open(entry: Path) -> EncodedCorpus:
    def side(name: str) -> EncodedSide:
        offsets = np.load(entry / f"{name}.offsets.npy", mmap_mode="r")
        path = entry / f"{name}.tokens"
        tokens = np.memmap(path, np.uint32, "r") if path.stat().st_size else np.zeros(0, np.uint32)
        return EncodedSide(tokens, offsets)

    return EncodedCorpus(side("source"), side("target"), json.loads((entry / "counts.json").read_text()))
