"""What stands before every request: a limit for its size, its line in the log, and its count."""

import asyncio
import contextlib
import json
import logging
import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seq2seq.serve.metrics import Metrics

logger = logging.getLogger(__name__)

_LEFT = 499
"""Status in the log if the client left before its request was read"""
_OTHER = "other"
"""Paths that don't exist, counted as one"""
_LINGER = 5.0
"""Seconds in which a client may finish sending what was refused"""


class _TooLarge(Exception):
    """A body without a stated length has grown too large."""


class Guard:
    """Refuses large bodies before they are read, and logs each request as a line of JSON."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, most_bytes: int) -> None:
        self._app, self._metrics, self._most_bytes = app, metrics, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, read = time.perf_counter(), 500, 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most_bytes:
                raise _TooLarge
            return message

        try:
            stated = dict(scope["headers"]).get(b"content-length", b"0")
            if stated.isdigit() and int(stated[:20]) > self._most_bytes:
                raise _TooLarge
            await self._app(scope, counting, noting)
        except ClientDisconnect:
            status = _LEFT
        except _TooLarge:
            await _refuse(receive, noting, f"the request has more than {self._most_bytes:,} bytes")
        finally:
            self._note(scope, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", None) or _OTHER
        self._metrics.requests.labels(path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": status,
            "ms": round(1000 * seconds, 1),
            "client": (scope.get("client") or ("", 0))[0],
            **scope.get("state", {}).get("facts", {}),
        }
        logger.info("%s", json.dumps(line))


async def _refuse(receive: Receive, send: Send, reason: str) -> None:
    """Answers 413, then discards the rest: closing a connection that still receives would take the answer with it."""
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_discard(receive), _LINGER)
    await send({"type": "http.response.body"})


async def _discard(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass
