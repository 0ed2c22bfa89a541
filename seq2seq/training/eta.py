"""How long training has taken so far in this process, and from that how long the rest takes."""

import time
from collections.abc import Callable

_WARMING_UP = 2
"""First updates that do not count: memory and caches are made in them."""


class Pace:
    """Mean seconds of an update and of a validation."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds."""
        self._clock = clock
        self._last = clock()
        self._updates, self._of_updates = -_WARMING_UP, 0.0
        self.validations, self._of_validations = 0, 0.0

    def updated(self) -> None:
        """One update more is done, with all that was done since the last call here."""
        self._updates += 1
        seconds = self._lap()
        if self._updates > 0:
            self._of_updates += seconds

    def validated(self) -> None:
        """One validation more."""
        self.validations += 1
        self._of_validations += self._lap()

    @property
    def updates(self) -> int:
        """That count."""
        return max(self._updates, 0)

    def seconds(self, updates: float, validations: float) -> float | None:
        """What so many take; None before it is known. Validations count from the first one that was timed."""
        if not self.updates:
            return None
        validation = self._of_validations / self.validations if self.validations else 0.0
        return updates * self._of_updates / self.updates + validations * validation

    def _lap(self) -> float:
        before, self._last = self._last, self._clock()
        return self._last - before


def duration(seconds: float) -> str:
    """For a person: the largest unit that there is one of, and the next."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"
