"""Which pairs of a training text are left out, and why. Memory grows by eight bytes a pair, and only where pairs that
come again are looked for.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Filters:
    """What is left out beyond pairs with an empty side."""

    max_length: int | None = None
    """Pieces of a side, EOS included."""
    max_length_ratio: float | None = None
    """The longer side's pieces over the shorter's, EOS left out."""
    drop_identical: bool = False
    drop_duplicates: bool = False

    def key(self) -> list[Any]:
        """What names a cache entry: without the newer filters the name is as it was before there were any."""
        newer = {name: value for name, value in asdict(self).items() if name != "max_length" and value}
        return [self.max_length, *([newer] if newer else [])]

    def reasons(self) -> dict[str, str]:
        """Name of each reason that there can be -> how a person is told of it."""
        ratio = self.max_length_ratio
        told = (
            ("empty", "with an empty side", True),
            ("identical", "with the same text on both sides", self.drop_identical),
            ("duplicate", "that stood there before", self.drop_duplicates),
            ("long", f"longer than data.max_length={self.max_length}", self.max_length is not None),
            ("ratio", f"with a side over data.max_length_ratio={ratio} times the other", ratio is not None),
        )
        return {name: words for name, words, asked in told if asked}


class Sieve:
    """Filters at work on one text, from its first pair to its last: each pair has one reason, the first that holds."""

    def __init__(self, filters: Filters, pairs: Iterable[tuple[str, str]]) -> None:
        """The pairs are read only where those that come again are looked for."""
        self.filters = filters
        self._repeated = Repeated(pairs) if filters.drop_duplicates else None

    def of_text(self, source: str, target: str) -> str | None:
        """Why this pair is left out, if its text is enough to say so."""
        source, target = source.strip(), target.strip()
        if not source or not target:
            return "empty"
        if self.filters.drop_identical and source == target:
            return "identical"
        if self._repeated is not None and self._repeated.again(source, target):
            return "duplicate"
        return None

    def of_lengths(self, source: int, target: int) -> str | None:
        """Why a pair of so many pieces, EOS included, is left out."""
        shorter, longer = sorted((source, target))
        if self.filters.max_length is not None and longer > self.filters.max_length:
            return "long"
        ratio = self.filters.max_length_ratio
        if ratio is not None and longer - 1 > ratio * (shorter - 1):
            return "ratio"
        return None


class Repeated:
    """Which pairs come more than once, by hashes of 64 bits: of n pairs, n²/2⁶⁵ are taken for others by chance."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        hashes = np.fromiter((_hash(source.strip(), target.strip()) for source, target in pairs), np.uint64)
        hashes.sort()
        self._hashes = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        self._seen = np.zeros(len(self._hashes), np.bool_)

    def again(self, source: str, target: str) -> bool:
        """Whether this was asked of the same pair before."""
        value = np.uint64(_hash(source, target))
        place = int(self._hashes.searchsorted(value))
        if place == len(self._hashes) or self._hashes[place] != value:
            return False
        seen = bool(self._seen[place])
        self._seen[place] = True
        return seen


def _hash(source: str, target: str) -> int:
    return int.from_bytes(blake2b(f"{source}\n{target}".encode(), digest_size=8).digest())
