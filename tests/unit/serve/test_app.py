"""What the application answers where a server of its own process would be slow to bring about."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import FORMAT_1

import seq2seq
from seq2seq.config import Decoding
from seq2seq.inference.live import Live, Step
from seq2seq.inference.translator import Translator
from seq2seq.serve import app
from seq2seq.serve.batching import Batcher
from seq2seq.serve.limits import Keys, RateLimit
from seq2seq.serve.requests import Watch
from seq2seq.serve.served import Served
from seq2seq.serve.server import _THREADS, _WAITING, Server

LINE = "a dog likes a tree ."


@pytest.fixture(scope="module")
def translator() -> Translator:
    return seq2seq.load(FORMAT_1, device="cpu")


@pytest.fixture
def server(translator: Translator, tmp_path: Path) -> Iterator[Server]:
    """A server that samples."""
    decoding = Decoding(search="sample", temperature=0.5, top_k=3, top_p=0.9)
    served = Served("model", translator, Batcher(translator, 4, 20), decoding, 60, {})
    made = Server([served], tmp_path, 100, 10, Keys([]), RateLimit(None))
    yield made
    served.batcher.close()
    made.pool.shutdown()


def ask(server: Server, path: str, **values: Any) -> tuple[int, Any]:
    """Return the status and the body of an answer."""
    sent: list[Any] = []
    body = [{"type": "http.request", "body": json.dumps({"target": "de", **values}).encode()}]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}

    async def receive() -> Any:
        return body.pop() if body else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app.make_app(server)(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(message["body"] for message in sent[1:]))


def test_invented_keys_do_not_make_other_clients(server: Server) -> None:
    server.rate = RateLimit(2, clock=lambda: 0.0)
    statuses = [ask(server, "/translate", q=LINE, api_key=f"key {number}")[0] for number in range(3)]
    assert statuses == [200, 200, 429]


def test_a_tree_is_of_a_beam_although_the_server_samples(server: Server, translator: Translator) -> None:
    status, found = ask(server, "/tree", q=LINE, n_best=2)
    assert status == 200, found
    best = translator.translate(LINE, beam_size=2, n_best=2)
    assert [each["text"] for each in found] == [best.text, *(other.text for other in best.alternatives)]


def test_too_much_that_is_watched_is_refused_before_the_stream_begins(server: Server) -> None:
    may_go = threading.Event()
    for _ in range(_WAITING * _THREADS + 1):
        server.submit(may_go.wait)
    try:
        status, answer = ask(server, "/watch", q=LINE)
    finally:
        may_go.set()
    assert (status, list(answer)) == (503, ["error"])


def test_a_stream_that_is_never_read_frees_its_thread(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may leave before the stream begins; the translation then has more events than wait for a reader."""

    def translate(translator: Translator, line: str, show: Any, **options: Any) -> Live:
        for number in range(100):
            show(Step(number, "x", 0.0, None, None, None, []))
        raise AssertionError("nobody has read these steps")

    monkeypatch.setattr(app, "translate_live", translate)
    monkeypatch.setattr(server.models[0], "timeout", 0.5)
    submit, works = server.submit, list[Future[Any]]()
    monkeypatch.setattr(server, "submit", lambda work: works.append(submit(work)))

    async def leave() -> None:
        app._watch(server, server.models[0], Watch.model_validate({"q": LINE, "target": "de"}))
        await asyncio.to_thread(partial(works[0].exception, timeout=10))

    asyncio.run(leave())
    assert works[0].exception() is None
