"""Conditions that stop training: limits, validations without progress, diverging numbers, and signals."""

import logging
import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from seq2seq.config import Training
from seq2seq.errors import ConfigError
from seq2seq.training.optimizer import Schedule
from seq2seq.training.state import TrainingProgress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoppingRule:
    """Decides from the progress of a training whether it continues."""

    options: Training
    schedule: Schedule
    run_dir: Path
    """Named in errors."""
    goal: float | None = None
    """Score of the metric at which training stops. None: none is enough."""
    until: int | None = None
    """Update after which training stops whatever its limits say, which schedules follow. None: the limits decide."""

    def rate(self, progress: TrainingProgress, update: int) -> float:
        """Return the learning rate of an update; the time that counts is that of the updates before it."""
        return self.schedule.rate(update, progress.hours / (self.options.max_hours or math.inf))

    def reason(self, progress: TrainingProgress) -> str:
        """Return why training is over, or an empty string while it is not."""
        options, total = self.options, self.schedule.total_updates
        if self.until is not None and progress.update >= self.until:
            return f"update {self.until} is reached"
        if self.goal is not None and progress.best_values.get(options.metric, -math.inf) >= self.goal:
            return f"{options.metric} {self.goal} is reached ({progress.update} updates)"
        if progress.update >= total:
            by_updates = options.max_updates is not None and options.max_updates <= total
            limit = f"max_updates={options.max_updates}" if by_updates else f"max_epochs={options.max_epochs}"
            return f"training.{limit} is reached ({progress.update} updates)"
        if options.patience is not None and progress.without_progress >= options.patience:
            return (
                f"neither {options.metric} nor the loss improved in {progress.without_progress} validations "
                "(training.patience)"
            )
        if options.max_hours is not None and progress.hours >= options.max_hours:
            return f"training.max_hours={options.max_hours} is reached ({progress.hours:.3g} hours)"
        rate, minimum = self.rate(progress, progress.update + 1), options.min_learning_rate
        if minimum is not None and rate < minimum and progress.update >= self.schedule.warmup_updates:
            return f"the learning rate falls to {rate:.3g}, below training.min_learning_rate={minimum}"
        return ""

    def validated(self, progress: TrainingProgress, scores: Mapping[str, float]) -> bool:
        """Record a due validation; return whether the metric or the loss improved.

        BLEU may stay at 0 for long while the loss falls, so either of them counts.
        """
        before = dict(progress.best_values)
        for name in (self.options.metric, "loss"):
            best = min if name == "loss" else max
            progress.best_values[name] = best(before.get(name, scores[name]), scores[name])
        improved = progress.best_values != before
        progress.without_progress = 0 if improved else progress.without_progress + 1
        return improved

    def skipped(self, progress: TrainingProgress, norm: float) -> None:
        """Record a skipped update. Raises ConfigError after too many in a row."""
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        logger.warning(
            "skipped update %d: the norm of its gradient is %s (%d skipped so far)",
            *(progress.update, norm, progress.skipped),
        )
        if (times := progress.skipped_in_a_row) > self.options.max_skipped:
            self.refuse_divergence(progress, norm, f"norm of the gradient, {times} times in a row,")

    def refuse_divergence(self, progress: TrainingProgress, number: float, name: str) -> None:
        """Raise ConfigError unless the number is finite."""
        if not math.isfinite(number):
            clip = "" if self.options.clip_norm else ", or a training.clip_norm above 0,"
            raise ConfigError(
                f"training.learning_rate={self.options.learning_rate}: the {name} is {number} at update "
                f"{progress.update}. Use a lower rate{clip} and another run_dir; {self.run_dir} holds the state from "
                "before."
            )


class StoppedBySignal(Exception):
    """SIGINT or SIGTERM ended training after its state was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def noted_signals(*, forgiving: bool) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of ending the process; a second signal acts as usual.

    Unless `forgiving`: a launcher repeats signals to its processes, and kills them itself if they take too long.
    """
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield seen
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        for each, handler in before.items():
            signal.signal(each, signal.SIG_IGN if forgiving else handler)
        again = "" if forgiving else " (repeat it to stop at once)"
        logger.info("%s: saving the state after this update%s", signal.Signals(number).name, again)

    for number in before:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
