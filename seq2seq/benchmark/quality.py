"""Time to quality: what a training has taken when it first reaches a score."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COUNTERS = Path("/sys/class/powercap")
"""Where Linux has the energy counters of processors; most systems let only root read them."""


class QualityClock:
    """Takes time, energy and tokens (to within training.log_every updates) from its making to each goal."""

    def __init__(self, metric: str, goals: Sequence[float], counters: Path = COUNTERS) -> None:
        self.metric, self.goals = metric, sorted(goals)
        self._energy = _Energy(counters)
        self._start, self._tokens = time.monotonic(), 0
        self._reached: dict[float, dict[str, Any]] = {}

    def note(self, row: dict[str, Any]) -> None:
        """Take a line of a training's metrics."""
        joules = self._energy.read()
        if row["event"] == "train":
            self._tokens += row["tokens"]
        for goal in self.goals:
            if row["event"] == "valid" and goal not in self._reached and row[self.metric] >= goal:
                self._reached[goal] = {
                    "minutes": (time.monotonic() - self._start) / 60,
                    "updates": row["update"],
                    "tokens": self._tokens,
                    "kilojoules": None if joules is None else joules / 1000,
                    "score": row[self.metric],
                }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each goal; one that was not reached has only its name."""
        return [{"metric": self.metric, "goal": goal, **self._reached.get(goal, {})} for goal in self.goals]


class _Energy:
    """Adds up what the counters of all processor packages count; each begins again at 0 when it is full."""

    def __init__(self, directory: Path) -> None:
        self._last: dict[Path, int] = {}
        self._microjoules = 0
        try:
            for package in directory.glob("intel-rapl:[0-9]"):
                self._last[package] = int((package / "energy_uj").read_text())
        except (OSError, ValueError):
            self._last = {}

    def read(self) -> float | None:
        """Return the joules so far; None without counters that can be read."""
        for package, last in self._last.items():
            now, full = (int((package / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
            self._microjoules += (now - last) % full
            self._last[package] = now
        return self._microjoules / 1e6 if self._last else None
