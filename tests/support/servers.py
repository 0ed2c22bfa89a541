"""A server in a process of its own, and a client of it."""

import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.forked import start

JSON = {"content-type": "application/json"}


class Client:
    """Asks a server on this machine."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def raw(
        self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, Any]:
        request = urllib.request.Request(self.url + path, data, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), error.headers

    def ask(self, path: str, **values: Any) -> tuple[int, Any]:
        status, body, _ = self.raw(path, json.dumps(values).encode(), JSON)
        return status, json.loads(body)

    def get(self, path: str) -> Any:
        return json.loads(self.raw(path)[1])

    def events(self, **values: Any) -> list[tuple[str, Any]]:
        _, body, headers = self.raw("/watch", json.dumps({"target": "de", **values}).encode(), JSON)
        assert headers.get_content_type() == "text/event-stream"
        blocks = body.decode().strip().split("\n\n")
        return [(kind[7:], json.loads(data[6:])) for kind, data in (block.split("\n") for block in blocks)]


@contextmanager
def serving(work: Path, *settings: str) -> Iterator[tuple[Client, Any]]:
    """A server, and its process."""
    log = work / f"log-{len(list(work.glob('log-*')))}"
    process = start(["serve", "port=0", *settings], log)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+) offers", log.read_text() if log.exists() else "")):
            assert process.is_alive(), log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield Client(int(found[1])), process
    finally:
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGTERM)
        process.join(60)
        assert not process.is_alive()
