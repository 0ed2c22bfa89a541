"""Who may ask, and how often."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

_MOST_CLIENTS = 10_000
"""Clients whose requests are counted; the one that was quiet longest is forgotten first"""


class Keys:
    """The API keys that are known; without any, everybody may ask."""

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = [key.encode() for key in keys]

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._keys)

    def __contains__(self, key: str) -> bool:
        """Compare in a time that does not tell how much of a key was right."""
        given = key.encode("utf-8", "replace")
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        return not matches or any(matches)


class RateLimit:
    """So many requests of a client in a minute on average: a bucket of that size, which fills evenly."""

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Client -> what its bucket held, and when"""

    def wait(self, client: str) -> float:
        """Count a request; return the seconds until the client may ask again, 0 if this request is allowed."""
        if self._per_minute is None:
            return 0.0
        now = self._clock()
        most = max(self._per_minute, 1.0)
        held, then = self._buckets.pop(client, (most, now))
        held = min(most, held + (now - then) * self._per_minute / 60)
        allowed = held >= 1
        self._buckets[client] = (held - allowed, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - held) * 60 / self._per_minute
