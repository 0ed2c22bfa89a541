"""The models that a server offers, and what all its requests share."""

import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from seq2seq.serve.batching import Busy
from seq2seq.serve.detection import Detected, rank_languages
from seq2seq.serve.limits import Keys, RateLimit
from seq2seq.serve.metrics import Metrics
from seq2seq.serve.served import Served
from seq2seq.text.languages import base_language

_THREADS = 4
"""Threads for work that batches can't share, such as translations that are watched"""
_WAITING = 4
"""Pieces of work per thread that may wait or run"""
_KEPT_FILES = 100
"""Translated files that wait to be downloaded"""


@dataclass
class Server:
    """The models, and what all requests share."""

    models: Sequence[Served]
    directory: Path
    """For translated files that wait to be downloaded"""
    most_characters: int
    """Most characters of a request"""
    most_texts: int
    """Most texts of a request"""
    keys: Keys
    rate: RateLimit

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.models)
        self._works: list[Future[Any]] = []
        self.pool = ThreadPoolExecutor(_THREADS, "live")

    def model(self, source: str, target: str, name: str, text: str) -> tuple[Served, Detected | None]:
        """Return the model for these languages, and what was detected where the source is `auto`."""
        target = base_language(target)
        named = [model for model in self.models if name in ("", model.name)]
        if not named:
            raise HTTPException(
                400, f"model={name}: no such model; there are {self._list(m.name for m in self.models)}"
            )
        fitting = [model for model in named if model.target == target]
        if not fitting:
            raise HTTPException(
                400, f"{target} is not supported; target languages: {self._list(m.target for m in named)}"
            )
        detected = None
        if source == "auto":
            sources = list(dict.fromkeys(model.source for model in fitting))
            detected = rank_languages(text, sources)[0]
            source = detected.language
        source = base_language(source)
        for model in fitting:
            if model.source == source:
                return model, detected
        raise HTTPException(
            400, f"{source} is not supported; languages into {target}: {self._list(m.source for m in fitting)}"
        )

    @staticmethod
    def _list(names: Iterable[str]) -> str:
        return ", ".join(dict.fromkeys(names))

    def names(self) -> dict[str, list[str]]:
        """Return the names that fields of requests may have."""
        return {
            "source": ["auto", *dict.fromkeys(model.source for model in self.models)],
            "target": list(dict.fromkeys(model.target for model in self.models)),
            "model": ["", *(model.name for model in self.models)],
        }

    def check(self, texts: Sequence[str]) -> None:
        """Raises HTTPException 413 for more texts or characters than are allowed."""
        if len(texts) > self.most_texts:
            raise HTTPException(413, f"the request has {len(texts)} texts; at most {self.most_texts} are allowed")
        characters = sum(map(len, texts))
        if characters > self.most_characters:
            raise HTTPException(
                413, f"the request has {characters:,} characters; at most {self.most_characters:,} are allowed"
            )

    def submit(self, work: Callable[[], Any]) -> "Future[Any]":
        """Run work that batches can't share in a thread. Raises Busy if too much of it waits."""
        if sum(not future.done() for future in self._works) > _WAITING * _THREADS:
            raise Busy
        self._works = [future for future in self._works if not future.done()]
        self._works.append(self.pool.submit(work))
        return self._works[-1]

    def keep_file(self, name: str, content: bytes) -> str:
        """Keep a translated file where all worker processes find it; return its name there."""
        token = f"{time.time_ns():020}-{secrets.token_hex(16)}{Path(name).suffix.lower()}"
        (self.directory / token).write_bytes(content)
        for old in sorted(os.listdir(self.directory))[:-_KEPT_FILES]:
            (self.directory / old).unlink(missing_ok=True)
        return token

    def read_file(self, token: str) -> bytes | None:
        """Return a file that was kept."""
        if token not in os.listdir(self.directory):
            return None
        with suppress(FileNotFoundError):  # another process may just have deleted it
            return (self.directory / token).read_bytes()
        return None
