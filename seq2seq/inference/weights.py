"""Attention as values that are kept and drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.floating[Any]]
"""Attention [h t s]: for each head and target token, a row of weights over the source tokens"""


@dataclass(frozen=True)
class AttentionWindow:
    """The source positions that a step sees, from `first` to `last`, `last` included."""

    first: int
    last: int
    centre: float
    """p_t; under `local_p` mostly between two positions"""


Windows = Sequence[AttentionWindow]
"""The windows of a sentence's steps"""
