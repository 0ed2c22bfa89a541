"""Where a training is, and what else its state has beside tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from seq2seq.text.json_io import typed

_MOST_PROCESSES = 1024
"""That a state can ask for: as many as training.processes."""


@dataclass
class Position:
    """Where training is: all that changes besides weights, optimizer and schedule. Plain values."""

    update: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of this epoch that are done."""
    best: float | None = None
    counted: dict[str, float] = field(default_factory=dict)
    """The best metric and the best loss of the validations that were due."""
    kept: dict[str, float] = field(default_factory=dict)
    """The names and the metrics of the best checkpoints, where several are kept."""
    losses: dict[str, float] = field(default_factory=dict)
    """The validation losses of `best` and of the kept ones, which decide where the metric is the same; older states do
    not have them."""
    without_progress: int = 0
    """Due validations since one of those two got better."""
    baseline: float = 0.0
    """REINFORCE's b."""
    skipped: int = 0
    """Updates that were left out because their gradient was not finite."""
    skipped_in_a_row: int = 0
    """Those of them since the last one that was not."""
    metrics_size: int = 0
    hours: float = 0.0
    """Of training and validating, without the time between a stop and a resume."""


@dataclass
class StateValues:
    """What a training state has beside tensors and the hashes of the corpora."""

    position: Position
    schedule: list[float]
    """Factor, waited: see Schedule."""
    scores: dict[str, float]
    processes: int = 1
    ranks: int = 1
    parts: int = 1
    threads: int | None = None
    """Of one process; None: older states don't say."""
    scaler: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of_plain(values: Mapping[str, Any], batches_per_epoch: int) -> "StateValues":
        """From what a state.json has, in which there may be more. Raises ValueError for what no training can have."""
        known = {option.name for option in fields(StateValues)}
        found = typed(StateValues, {name: value for name, value in values.items() if name in known})
        position = found.position
        counts = (position.update, position.epoch, position.batch, position.metrics_size, found.processes - 1)
        if min(counts) < 0 or position.batch > batches_per_epoch or found.processes > _MOST_PROCESSES:
            raise ValueError(f"{position} of {batches_per_epoch} batches, {found.processes} processes")
        return found
