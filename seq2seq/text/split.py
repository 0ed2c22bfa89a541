"""Pairs held out from corpora, chosen by the hash of their source so that no source sentence is in two parts.

Documents stay whole and are chosen by the first sentence that has a translation.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from pathlib import Path

import numpy as np

from seq2seq.errors import DataError
from seq2seq.text.cleaning import is_blank
from seq2seq.text.parallel import ParallelText

_BITS = 20
"""Bits of the hash that give a source sentence its place; whole places are held out."""

TRAIN, VALID, TEST = "train", "valid", "test"


@dataclass(frozen=True)
class Sizes:
    """Pairs to hold out; values below 1 are shares of all pairs."""

    valid: float
    test: float
    seed: int
    documents: bool = False
    """Whether documents stay whole"""

    def groups(self, text: ParallelText) -> Iterator[list[tuple[str, str]]]:
        """The pairs that have to stay together: those of each document, or each alone."""
        if not self.documents:
            yield from ([pair] for pair in text.pairs())
            return
        group = list[tuple[str, str]]()
        for pair, begins in zip(text.pairs(), text.beginnings(), strict=True):
            if begins and group:
                yield group
                group = []
            if any(not is_blank(side) for side in pair):
                group.append(pair)
        if group:
            yield group

    def place_of(self, group: Sequence[tuple[str, str]]) -> int | None:
        """The place of the first pair of a group that has one."""
        return next((place for pair in group if (place := self.place(*pair)) is not None), None)

    def place(self, source: str, target: str) -> int | None:
        """The place of a pair by its source, whose white space does not count; None if a side has no text."""
        text = " ".join(source.split())
        if not text or not target.strip():
            return None
        digest = blake2b(text.encode(), digest_size=8, key=str(self.seed).encode()).digest()
        return int.from_bytes(digest) >> (64 - _BITS)


def part_names(corpora: int) -> list[str]:
    """The names of the parts to train on, one for each corpus."""
    return [TRAIN if number == 0 else f"{TRAIN}-{number + 1}" for number in range(corpora)]


def split(texts: Sequence[ParallelText], languages: Sequence[str], sizes: Sizes, directory: Path) -> dict[str, int]:
    """Write the parts into a directory as PART.LANGUAGE, and return the number of pairs in each.

    Pairs with an empty side are not held out. At most one document is in memory. Raises DataError if no pair is left to
    train on.
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
            for group in sizes.groups(text):
                place = sizes.place_of(group)
                part = name if place is None or place >= bounds[1] else VALID if place < bounds[0] else TEST
                counts[part] += len(group)
                for number, file in enumerate(files[part]):
                    file.writelines(f"{pair[number]}\n" for pair in group)
                    file.write("\n" * sizes.documents)
    return counts


def _bounds(texts: Sequence[ParallelText], sizes: Sizes) -> tuple[int, int]:
    """The ends of the places held out for validation, which come first, and for the test, which come next."""
    pairs = array("Q", bytes(8 << _BITS))
    for text in texts:
        for group in sizes.groups(text):
            if (place := sizes.place_of(group)) is not None:
                pairs[place] += len(group)
    up_to = np.cumsum(np.frombuffer(pairs, np.uint64))
    total = int(up_to[-1])
    bounds = [0]
    for share in (sizes.valid, sizes.test):  # a frequent source may make a part larger than asked
        size = ceil(share * total) if share < 1 else int(share)
        taken = int(up_to[min(bounds[-1], len(up_to)) - 1]) if bounds[-1] else 0
        bounds.append(int(up_to.searchsorted(taken + size)) + 1 if size else bounds[-1])
    _, valid, test = bounds
    if test > len(up_to) or (test and int(up_to[test - 1]) >= total):
        raise DataError(
            f"data.split.valid={sizes.valid:g} and data.split.test={sizes.test:g}: data.train has {total:,} pairs with "
            "text on both sides, and some have to be left to train on. Hold out fewer, or a share such as 0.05."
        )
    return valid, test
