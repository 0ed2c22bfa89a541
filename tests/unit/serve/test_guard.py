"""Requests that are too large: answered before they are read, then read to their end, but not for ever."""

import asyncio
import json
from typing import Any

import pytest

from seq2seq.serve import guard
from seq2seq.serve.metrics import Metrics

MOST = 10
CHUNK = {"type": "http.request", "body": b"x" * 6, "more_body": True}


def refused(messages: list[dict[str, Any]], stated: bytes | None = None) -> list[str]:
    """What happens, in order, to a request with these messages, after which its client is silent."""
    seen: list[str] = []
    coming = iter(messages)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    async def receive() -> dict[str, Any]:
        message = next(coming, None)
        seen.append("waits" if message is None else "reads")
        if message is None:
            await asyncio.Event().wait()
        return message or {}

    async def send(message: Any) -> None:
        ends = not message.get("more_body") and message["type"] == "http.response.body"
        if body := message.get("body"):
            assert json.loads(body) == {"error": "the request has more than 10 bytes"}
        seen.append("ends" if ends else str(message.get("status", "says why")))

    headers = [] if stated is None else [(b"content-length", stated)]
    scope = {"type": "http", "method": "POST", "path": "/translate", "headers": headers}
    asyncio.run(guard.Guard(app, metrics=Metrics([]), most_bytes=MOST)(scope, receive, send))  # type: ignore[arg-type]
    return seen


def test_a_stated_length_is_refused_before_anything_is_read() -> None:
    assert refused([{**CHUNK, "more_body": False}], b"11") == ["413", "says why", "reads", "ends"]


def test_a_body_that_grows_too_large_is_read_to_its_end() -> None:
    last = {**CHUNK, "more_body": False}
    assert refused([CHUNK, CHUNK, CHUNK, last]) == [*["reads"] * 2, "413", "says why", *["reads"] * 2, "ends"]


def test_a_client_that_left_is_not_waited_for() -> None:
    assert refused([CHUNK, CHUNK, {"type": "http.disconnect"}])[-2:] == ["reads", "ends"]


def test_a_client_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_LINGER", 0.01)
    assert refused([CHUNK], b"1000") == ["413", "says why", "reads", "waits", "ends"]
