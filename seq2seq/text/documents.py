"""The documents of an encoded corpus: which source sentences stand before each pair."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.corpus import in_groups
from seq2seq.text.parallel import ParallelText
from seq2seq.text.stored_rows import JoinedRows, Rows, RowWriter, open_tokens
from seq2seq.text.tokenizer import Tokenizer

_CHUNK = 10_000
"""Sentences that are encoded at a time."""


@dataclass(frozen=True)
class Documents:
    """The source sentences of a corpus in the order of the text, also those whose pairs were dropped."""

    sentences: Rows
    places: NDArray[np.int64]
    """Place of each pair's source among the sentences."""
    firsts: NDArray[np.int64]
    """Place of the first sentence of each pair's document."""
    size: int
    """Number of sentences before a source that are read."""

    @property
    def count(self) -> int:
        """Number of documents that have pairs."""
        return len(np.unique(self.firsts))

    def before(self, row: int) -> list[NDArray[np.uint32]]:
        """The sentences before a pair's source, nearest first."""
        place = int(self.places[row])
        first = max(int(self.firsts[row]), place - self.size)
        return [self.sentences[other] for other in range(place - 1, first - 1, -1)]


def join_documents(parts: Sequence[Documents]) -> Documents | None:
    """Join the documents of corpora, one corpus after the other; None without any."""
    if not parts:
        return None
    sizes = [len(part.sentences.lengths) for part in parts]
    starts = np.cumsum([0, *sizes])[:-1]
    places, firsts = (
        np.concatenate([getattr(part, name) + start for part, start in zip(parts, starts, strict=True)])
        for name in ("places", "firsts")
    )
    return Documents(JoinedRows([part.sentences for part in parts], sizes), places, firsts, parts[0].size)


def write_documents(
    text: ParallelText, source: Tokenizer, kept: "array[int]", entry: Path, max_length: int | None
) -> None:
    """Write all source sentences, cut to this many pieces if not None, and where the kept lines stand among them."""
    places, firsts = (np.zeros(len(kept), np.int64) for _ in range(2))
    with (entry / "context.tokens").open("wb") as file:
        writer = RowWriter(file)
        row = 0
        for chunk in in_groups(_sentences(text, source), _CHUNK, lambda sentence: len(sentence[1])):
            for (number, _, first), tokens in zip(chunk, source.encode([line for _, line, _ in chunk]), strict=True):
                if row < len(kept) and kept[row] == number:
                    places[row], firsts[row] = len(writer.sizes), first
                    row += 1
                if max_length is not None and len(tokens) > max_length:
                    tokens = [*tokens[: max_length - 1], tokens[-1]]
                writer.add(tokens)
    assert row == len(kept), "a kept line has no sentence"
    writer.save_offsets(entry / "context.offsets.npy")
    np.save(entry / "context.places.npy", places)
    np.save(entry / "context.firsts.npy", firsts)


def _sentences(text: ParallelText, source: Tokenizer) -> Iterator[tuple[int, str, int]]:
    """The line number of each source sentence, the sentence, and the place of the first one of its document."""
    count = first = 0
    for number, ((sentence, _), begins) in enumerate(zip(text.pairs(), text.beginnings(), strict=True)):
        first = count if begins else first
        if not source.is_blank(sentence):
            yield number, sentence, first
            count += 1


def open_documents(entry: Path, vocab_size: int, pairs: int, size: int) -> Documents:
    """Open and check the documents of a cache entry. Raises ValueError where a number points outside."""
    places, firsts = (np.load(entry / f"context.{name}.npy", allow_pickle=False) for name in ("places", "firsts"))
    offsets = np.load(entry / "context.offsets.npy", mmap_mode="r", allow_pickle=False)
    sentences = open_tokens(entry, "context.tokens", len(offsets) - 1, vocab_size)
    whole = places.shape == firsts.shape == (pairs,)
    if not whole or (
        pairs and not (firsts.min() >= 0 and (firsts <= places).all() and places.max() < len(offsets) - 1)
    ):
        raise ValueError("context.places and context.firsts do not fit the sentences")
    return Documents(sentences, places, firsts, size)
