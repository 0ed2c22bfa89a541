"""Counters for Prometheus."""

import os
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from seq2seq.serve.served import Served

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Requests by path and status, their time, characters, and sentences that wait."""

    def __init__(self, models: Sequence[Served]) -> None:
        registry = CollectorRegistry()
        labels = ("path", "status")
        self.requests = Counter("seq2seq_requests", "Requests", labels, registry=registry)
        self.seconds = Histogram("seq2seq_seconds", "Time of requests", ("path",), buckets=_SECONDS, registry=registry)
        self.characters = Counter("seq2seq_characters", "Characters translated", ("model",), registry=registry)
        waiting = Gauge(
            "seq2seq_waiting", "Sentences that wait", ("model",), registry=registry, multiprocess_mode="livesum"
        )
        self._registry = registry
        for model in models:
            model.batcher.watch = waiting.labels(model.name).set

    def page(self) -> bytes:
        """Return all values, of all worker processes together."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
