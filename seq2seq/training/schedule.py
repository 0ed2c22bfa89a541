"""Learning rates. One function of the update per row of the table of names; `plateau` also listens to validations."""

import math
from dataclasses import dataclass


@dataclass
class Schedule:
    """The learning rate of every update, counted from 1; warm-up grows linearly to the base rate."""

    name: str
    base: float
    warmup_updates: int
    plateau_factor: float
    plateau_patience: int
    total_updates: int = 0
    factor: float = 1.0
    """What plateaus have multiplied the rate by so far."""
    waited: int = 0
    """Validations since the last one with progress, or the last plateau."""
    halve_after: float = math.inf
    """Epochs at the base rate before `halving` begins."""
    halve_every: float = 1.0
    """Epochs at each rate from then on."""
    updates_per_epoch: int = 1

    def rate(self, update: int, time_used: float = 0.0) -> float:
        """The learning rate of this update; `time_used` is the share of the time for training that has passed.

        A schedule with an end reaches it with the last update, or when the time is up if that comes first.
        """
        if update <= self.warmup_updates:
            return self.base * update / self.warmup_updates
        if self.name == "inverse_sqrt":
            return self.base * math.sqrt(max(self.warmup_updates, 1) / update)
        if self.name == "cosine":
            reached = max(update, time_used * self.total_updates)
            done = (reached - self.warmup_updates) / max(self.total_updates - self.warmup_updates, 1)
            return self.base * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
        if self.name == "halving":
            epochs = (update - 1) / self.updates_per_epoch - self.halve_after
            return self.base * 0.5 ** max(math.floor(epochs / self.halve_every) + 1, 0)
        return self.base * self.factor

    def validated(self, improved: bool) -> None:
        """Hear of a validation, and whether it showed progress."""
        if self.name != "plateau":
            return
        self.waited = 0 if improved else self.waited + 1
        if self.waited > self.plateau_patience:
            self.factor *= self.plateau_factor
            self.waited = 0
