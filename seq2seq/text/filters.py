"""Which pairs of a training text are dropped, and why.

Memory grows by eight bytes a pair, and only if repeated pairs are dropped.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Filters:
    """Filters of training pairs; pairs with an empty side are always dropped."""

    max_length: int | None = None
    """Pieces of a side, EOS included."""
    max_length_ratio: float | None = None
    """Pieces of the longer side over those of the shorter, EOS left out."""
    drop_identical: bool = False
    drop_duplicates: bool = False

    def key(self) -> list[Any]:
        """The filters as part of a cache entry's name. Filters added later count only if used, so names stay valid."""
        newer = {name: value for name, value in asdict(self).items() if name != "max_length" and value}
        return [self.max_length, *([newer] if newer else [])]

    def reasons(self) -> dict[str, str]:
        """The reasons that these filters may give, and the words for each."""
        ratio = self.max_length_ratio
        reasons = {
            "empty": "with an empty side",
            "identical": "with the same text on both sides" if self.drop_identical else "",
            "duplicate": "that occurred earlier" if self.drop_duplicates else "",
            "long": "" if self.max_length is None else f"longer than data.max_length={self.max_length}",
            "ratio": "" if ratio is None else f"with a side over data.max_length_ratio={ratio} times the other",
        }
        return {name: words for name, words in reasons.items() if words}


class Sieve:
    """Filters at work on one text, from its first pair to its last: each pair has the first reason that holds."""

    def __init__(self, filters: Filters, pairs: Iterable[tuple[str, str]]) -> None:
        """Prepare to filter these pairs, which are read only if repeated ones are dropped."""
        self.filters = filters
        self._repeated = Repeated(pairs) if filters.drop_duplicates else None

    def of_text(self, source: str, target: str) -> str | None:
        """The reason to drop a pair for its text."""
        source, target = source.strip(), target.strip()
        if not source or not target:
            return "empty"
        if self.filters.drop_identical and source == target:
            return "identical"
        return "duplicate" if self._repeated is not None and self._repeated.again(source, target) else None

    def of_lengths(self, source: int, target: int) -> str | None:
        """The reason to drop a pair for its numbers of pieces, EOS included."""
        shorter, longer = sorted((source, target))
        if self.filters.max_length is not None and longer > self.filters.max_length:
            return "long"
        ratio = self.filters.max_length_ratio
        return "ratio" if ratio is not None and longer - 1 > ratio * (shorter - 1) else None


class Repeated:
    """The pairs that occur more than once, by hashes of 64 bits: n²/2⁶⁵ of n pairs collide by chance."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        hashes = np.fromiter((_hash(source.strip(), target.strip()) for source, target in pairs), np.uint64)
        hashes.sort()
        self._hashes = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        self._seen = np.zeros(len(self._hashes), np.bool_)

    def again(self, source: str, target: str) -> bool:
        """Whether this method was called with the same pair before."""
        value = np.uint64(_hash(source, target))
        place = int(self._hashes.searchsorted(value))
        if place == len(self._hashes) or self._hashes[place] != value:
            return False
        seen = bool(self._seen[place])
        self._seen[place] = True
        return seen


def _hash(source: str, target: str) -> int:
    return int.from_bytes(blake2b(f"{source}\n{target}".encode(), digest_size=8).digest())
