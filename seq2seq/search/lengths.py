"""Length limits of translations, from the lengths of the pairs a model was trained on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seq2seq.search.protocol import MARGIN, Limits

_LEAST_RATIO, _LEAST_LENGTH = 2.0, 256
_QUANTILE, _SLACK = 0.999, 1.5
_MOST_RATIO = 1000.0


@dataclass(frozen=True)
class Lengths:
    """Sentence lengths of a training corpus, in tokens with EOS."""

    ratio: float = _LEAST_RATIO
    """Ratio of (target − MARGIN) to source that limits a translation: 1.5 times the 99.9th percentile, at least 2.

    A few misaligned pairs do not raise it, and unseen sentences have room."""
    longest_source: int | None = None
    """None in checkpoints of older versions."""
    longest_target: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for impossible lengths: anybody may have written a checkpoint."""
        whole = [length for length in (self.longest_source, self.longest_target) if length is not None]
        if not (math.isfinite(self.ratio) and 0 < self.ratio <= _MOST_RATIO) or any(length < 1 for length in whole):
            raise ValueError(f"{self}: not the lengths of a corpus")

    @classmethod
    def of(cls, sources: NDArray[np.int32], targets: NDArray[np.int32]) -> "Lengths":
        """Measure the pairs of a corpus, at least one: lengths [n] of each side."""
        ratio = _SLACK * float(np.quantile((targets - MARGIN) / sources, _QUANTILE))
        return cls(min(max(_LEAST_RATIO, ratio), _MOST_RATIO), int(sources.max()), int(targets.max()))

    def limits(
        self,
        forbidden: Sequence[int],
        max_length: int | None,
        max_length_ratio: float | None,
        min_length_ratio: float = 0.0,
        no_repeat_ngram: int | None = None,
    ) -> Limits:
        """Limits of a search; None takes the value from the corpus."""
        return Limits(
            forbidden,
            max(_LEAST_LENGTH, self.longest_target or 0) if max_length is None else max_length,
            max(self.ratio, min_length_ratio) if max_length_ratio is None else max_length_ratio,
            min_length_ratio,
            no_repeat_ngram,
        )
