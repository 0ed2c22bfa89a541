"""Held-out pairs of corpora, chosen by the hash of their source, so that no source sentence is in two parts."""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from pathlib import Path

import numpy as np

from seq2seq.errors import DataError
from seq2seq.text.parallel import ParallelText

_BITS = 20
"""Bits of the hash that give a source sentence its place; whole places are held out."""

TRAIN, VALID, TEST = "train", "valid", "test"


@dataclass(frozen=True)
class Sizes:
    """Pairs to hold out, or below 1 shares of all."""

    valid: float
    test: float
    seed: int

    def place(self, source: str) -> int:
        """The place of a source sentence; white space does not count."""
        text = " ".join(source.split()).encode()
        return int.from_bytes(blake2b(text, digest_size=8, key=str(self.seed).encode()).digest()) >> (64 - _BITS)


def part_names(corpora: int) -> list[str]:
    """The names of the parts to train on, one for each corpus."""
    return [TRAIN if number == 0 else f"{TRAIN}-{number + 1}" for number in range(corpora)]


def split(texts: Sequence[ParallelText], languages: Sequence[str], sizes: Sizes, directory: Path) -> dict[str, int]:
    """Write the parts into a directory as PART.LANGUAGE; gives the pairs of each.

    Pairs with an empty side are not held out. Memory is bounded. Raises DataError where nothing is left to train on.
    """
    bounds = _bounds(texts, sizes)
    counts = dict.fromkeys([*part_names(len(texts)), VALID, TEST], 0)
    with ExitStack() as stack:
        files = {
            part: [
                stack.enter_context((directory / f"{part}.{language}").open("w", encoding="utf-8", newline="\n"))
                for language in languages
            ]
            for part in counts
            if {VALID: sizes.valid, TEST: sizes.test}.get(part, 1)
        }
        for name, text in zip(part_names(len(texts)), texts, strict=True):
            for pair, place in _places(text, sizes):
                part = name if place is None or place >= bounds[1] else VALID if place < bounds[0] else TEST
                counts[part] += 1
                for file, side in zip(files[part], pair, strict=True):
                    file.write(f"{side}\n")
    return counts


def _bounds(texts: Sequence[ParallelText], sizes: Sizes) -> tuple[int, int]:
    """The places before the first bound are held out to validate, those from there to the second one to test."""
    pairs = array("Q", bytes(8 << _BITS))
    for text in texts:
        for _, place in _places(text, sizes):
            if place is not None:
                pairs[place] += 1
    up_to = np.cumsum(np.frombuffer(pairs, np.uint64))
    total = int(up_to[-1])
    wanted = [ceil(size * total) if size < 1 else int(size) for size in (sizes.valid, sizes.test)]
    bounds = [0]
    for size in wanted:  # a frequent source may make a part larger than it was asked for
        taken = int(up_to[bounds[-1] - 1]) if bounds[-1] else 0
        bounds.append(int(up_to.searchsorted(taken + size)) + 1 if size else bounds[-1])
    _, valid, test = bounds
    if test > len(up_to) or (test and int(up_to[test - 1]) >= total):
        raise DataError(
            f"data.split.valid={sizes.valid:g} and data.split.test={sizes.test:g}: data.train has {total:,} pairs with "
            "text on both sides, and some have to be left to train on. Hold out fewer, or a share such as 0.05."
        )
    return valid, test


def _places(text: ParallelText, sizes: Sizes) -> Iterator[tuple[tuple[str, str], int | None]]:
    """Each pair, and its place where both sides have text."""
    for source, target in text.pairs():
        yield (source, target), sizes.place(source) if source.strip() and target.strip() else None
