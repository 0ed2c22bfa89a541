"""The values of a training state that are not tensors, such as its progress."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seq2seq.text.json_io import typed

_MAX_PROCESSES = 1024
"""Upper bound of training.processes."""

_JSON_NAMES = {
    "progress": "position", "micro_batches": "parts", "best_values": "counted", "retained_checkpoints": "kept",
}  # fmt: skip
"""Old names of fields in state.json."""


@dataclass
class TrainingProgress:
    """The progress of a training: everything that changes besides weights, optimizer and schedule."""

    update: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches completed in this epoch."""
    best: float | None = None
    """The metric of the best checkpoint."""
    best_values: dict[str, float] = field(default_factory=dict)
    """The best metric and the best loss of all due validations; these need not be of the same one."""
    retained_checkpoints: dict[str, float] = field(default_factory=dict)
    """Names and metrics of the best checkpoints if several are kept."""
    losses: dict[str, float] = field(default_factory=dict)
    """Validation losses of `best` and the retained checkpoints, which break ties; missing in older states."""
    without_progress: int = 0
    """Due validations since the metric or the loss improved."""
    baseline: float = 0.0
    """REINFORCE's b."""
    skipped: int = 0
    """Updates skipped because their gradient was not finite."""
    skipped_in_a_row: int = 0
    """Consecutive skipped updates."""
    metrics_size: int = 0
    """Bytes of metrics.jsonl that belong to these updates."""
    hours: float = 0.0
    """Time spent training and validating, without the time between a stop and a resume."""


@dataclass
class StateValues:
    """A training state without its tensors and the hashes of the corpora."""

    progress: TrainingProgress
    schedule: list[float]
    """Factor and number of validations without progress, see Schedule."""
    scores: dict[str, float]
    processes: int = 1
    ranks: int = 1
    micro_batches: int = 1
    threads: int | None = None
    """Threads of each process; None in older states."""
    scaler: dict[str, float] = field(default_factory=dict)
    """State of the loss scaler."""

    def to_plain(self) -> dict[str, Any]:
        """Return the values as state.json has them."""
        names = _JSON_NAMES
        progress = {names.get(name, name): value for name, value in vars(self.progress).items()}
        return {**{names.get(name, name): value for name, value in vars(self).items()}, "position": progress}

    @staticmethod
    def of_plain(values: Mapping[str, Any], batches_per_epoch: int) -> "StateValues":
        """Read the values of a state.json, ignoring unknown keys. Raises ValueError for impossible ones."""
        known = StateValues.__dataclass_fields__
        names = {old: name for name, old in _JSON_NAMES.items()}
        renamed = {names.get(key, key): value for key, value in values.items()}
        if isinstance(renamed.get("progress"), dict):
            renamed["progress"] = {names.get(key, key): value for key, value in renamed["progress"].items()}
        state = typed(StateValues, {name: value for name, value in renamed.items() if name in known})
        progress = state.progress
        counts = (progress.update, progress.epoch, progress.batch, progress.metrics_size, state.processes - 1)
        if min(counts) < 0 or progress.batch > batches_per_epoch or state.processes > _MAX_PROCESSES:
            raise ValueError(f"{progress} of {batches_per_epoch} batches, {state.processes} processes")
        return state
