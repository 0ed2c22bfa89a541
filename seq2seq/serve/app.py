"""The REST interface, which is LibreTranslate's and more, and the page."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from babel import Locale
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException

from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.forced_scores import SentencePair, score_pairs
from seq2seq.inference.live import source_tokens, translate_live
from seq2seq.serve.batching import Busy
from seq2seq.serve.detection import Detected, rank_languages
from seq2seq.serve.events import end_event, event, posterior_event, source_event, step_event
from seq2seq.serve.guard import Guard
from seq2seq.serve.metrics import CONTENT_TYPE
from seq2seq.serve.requests import (
    Aligned,
    Detect,
    Languages,
    Pairs,
    Translate,
    Tree,
    Watch,
    described,
    described_upload,
    read,
    read_upload,
)
from seq2seq.serve.served import Served
from seq2seq.serve.server import Server
from seq2seq.text.parts import Parts, read_html, read_subtitles, read_text
from seq2seq.version import __version__

logger = logging.getLogger(__name__)

_INTERNAL = "an internal error; the server's log has more"
_LATE = "the translation took too long; send less text at a time"
_PAGE = Path(__file__).with_name("page")
_FILES = {".txt": read_text, ".srt": read_subtitles, ".html": read_html}
"""Suffix of a file -> how it is read"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_EVENTS = 64
"""Events that wait for a client to read them"""
_POSTERIOR = 500_000
"""Characters of a sentence times those of its translation whose posterior attention takes some 20 seconds"""
_BYTES_PER_CHARACTER = 12
"""Most bytes of a character, as JSON may write it; a list and the other fields add some"""


class _Events(StreamingResponse):
    media_type = "text/event-stream"


class _Binary(Response):
    media_type = "application/octet-stream"


def make_app(server: Server) -> FastAPI:
    """Return the application. Its lifespan ends with all waiting sentences translated."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for model in server.models:
            await asyncio.to_thread(model.batcher.close)
        await asyncio.to_thread(server.pool.shutdown, cancel_futures=True)

    app = FastAPI(
        title="seq2seq",
        version=__version__,
        openapi_url="/spec",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        exception_handlers=_HANDLERS,
    )
    most_bytes = _BYTES_PER_CHARACTER * server.most_characters + 100_000
    app.add_middleware(Guard, metrics=server.metrics, most_bytes=most_bytes)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])  # also of errors
    _add_libretranslate(app, server)
    _add_files(app, server)
    _add_state(app, server)
    _add_more(app, server)
    _add_page(app)
    return app


# --- errors ----------------------------------------------------------------------------------------------------------


Handler = Callable[[Request, Exception], Awaitable[JSONResponse]]


def _handler(status: int, text: str = "", headers: dict[str, str] | None = None) -> Handler:
    """Make a handler of errors that answers with this text, or with what the error says."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": text or str(error)}, status, headers)

    return answer


async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    return JSONResponse({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))


_HANDLERS: dict[int | type[Exception], Any] = {
    HTTPException: _refused,
    ConfigError: _handler(409),
    DataError: _handler(409),
    Busy: _handler(503, "too many sentences are waiting; try again in a second", {"Retry-After": "1"}),
    TimeoutError: _handler(504, _LATE),
    Exception: _handler(500, _INTERNAL),
}


async def _admitted(server: Server, request: Request, kind: type[Any]) -> Any:
    """Read a request of a client that may ask. Raises HTTPException 403, 422 or 429."""
    asked = await read(request, kind)
    _admit(server, request, asked.api_key)
    return asked


def _admit(server: Server, request: Request, key: str) -> None:
    if key not in server.keys:
        raise HTTPException(403, "a valid API key is needed: give it as api_key")
    host = request.client.host if request.client else ""
    if wait := server.rate.wait(key if server.keys.required else host):
        raise HTTPException(429, "too many requests; slow down", {"Retry-After": str(int(wait) + 1)})


async def _begin(
    server: Server, request: Request, asked: Languages, texts: Sequence[str]
) -> tuple[Served, Detected | None]:
    """Check the texts; return their model, and the language if it was detected.

    The request's line in the log gets both. Raises HTTPException 400, 413 or 501.
    """
    server.check(texts)
    wanted = asked.source, asked.target, asked.model, "\n".join(texts)
    model, detected = await asyncio.to_thread(server.model, *wanted)  # detecting a language takes time
    request.state.facts = {"model": model.name, "texts": len(texts), "characters": sum(map(len, texts))}
    return model, detected


def _answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of an operation."""
    schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    content = {"application/json": {"schema": schema}}
    return {status: {"description": "Error", "content": content} for status in statuses}


_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
_STREAM = {
    "description": "Events: source, step, end, posterior, error",
    "content": {"text/event-stream": {"schema": _EVENT}},
}
_ERRORS = _answers(400, 403, 409, 413, 422, 429, 501, 503, 504)


# --- LibreTranslate's operations -------------------------------------------------------------------------------------


def _add_libretranslate(app: FastAPI, server: Server) -> None:
    names = server.names()

    @app.post("/translate", openapi_extra=described(Translate, names), responses=_ERRORS)
    async def translate(request: Request) -> dict[str, Any]:
        """Translate a text, or each text of a list."""
        asked: Translate = await _admitted(server, request, Translate)
        texts = [asked.q] if isinstance(asked.q, str) else asked.q
        model, detected = await _begin(server, request, asked, texts)
        reader = read_html if asked.format == "html" else read_text
        parts = await asyncio.to_thread(lambda: [reader(text) for text in texts])
        ranked = await model.translate(parts, asked.alternatives)
        server.metrics.characters.labels(model.name).inc(sum(map(len, texts)))
        best = [first for first, *_ in ranked]
        others = [rest for _, *rest in ranked]
        single = isinstance(asked.q, str)
        answer: dict[str, Any] = {"translatedText": best[0] if single else best}
        if asked.alternatives:
            answer["alternatives"] = others[0] if single else others
        if detected is not None:
            facts = detected._asdict()
            answer["detectedLanguage"] = facts if single else [facts] * len(texts)
        return answer

    @app.post("/detect", openapi_extra=described(Detect, names), responses=_ERRORS)
    async def detect(request: Request) -> list[dict[str, Any]]:
        """Find the language of a text among those that can be translated."""
        asked: Detect = await _admitted(server, request, Detect)
        server.check([asked.q])
        sources = list(dict.fromkeys(model.source for model in server.models))
        ranked = await asyncio.to_thread(rank_languages, asked.q, sources)
        return [found._asdict() for found in ranked]

    @app.get("/languages")
    async def languages() -> list[dict[str, Any]]:
        """List the languages that can be translated, and into which."""
        return _languages(server.models)

    @app.post("/suggest", include_in_schema=False)
    async def suggest() -> Response:
        """Refuse a better translation, as LibreTranslate does where it takes none."""
        raise HTTPException(403, "suggestions are not taken here")


def _add_files(app: FastAPI, server: Server) -> None:
    names = server.names()

    @app.post("/translate_file", openapi_extra=described_upload(names), responses=_ERRORS)
    async def translate_file(request: Request) -> dict[str, str]:
        """Translate a file (.txt, .srt, .html); the answer is where to download it."""
        values, file = await read_upload(request)
        _admit(server, request, values.api_key)
        reader, text = _read_file(file.filename or "", await file.read())
        model, _ = await _begin(server, request, values, [text])
        ((translated, *_),) = await model.translate([await asyncio.to_thread(reader, text)])
        server.metrics.characters.labels(model.name).inc(len(text))
        token = server.keep_file(file.filename or "", translated.encode())
        return {"translatedFileUrl": str(request.url_for("download_file", name=token))}

    @app.get("/download_file/{name}", responses=_answers(404), response_class=_Binary)
    async def download_file(name: str) -> Response:
        """Download a translated file."""
        if (content := server.read_file(name)) is None:
            raise HTTPException(404, "no such file; only the newest are kept")
        headers = {"Content-Disposition": f'attachment; filename="translated{Path(name).suffix}"'}
        return _Binary(content, headers=headers)


def _add_state(app: FastAPI, server: Server) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tell whether the server can translate."""
        alive = all(model.batcher.alive for model in server.models)
        if not alive:
            raise HTTPException(503, "a model has stopped")
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(server.metrics.page(), media_type=CONTENT_TYPE)

    @app.get("/frontend/settings")
    async def settings() -> dict[str, Any]:
        """Settings that LibreTranslate's clients ask for."""
        first = _languages(server.models)[0]
        target = first["targets"][0]
        return {
            "apiKeys": server.keys.required,
            "keyRequired": server.keys.required,
            "charLimit": server.most_characters,
            "frontendTimeout": 500,
            "suggestions": False,
            "filesTranslation": True,
            "supportedFilesFormat": list(_FILES),
            "language": {
                "source": {"code": first["code"], "name": first["name"]},
                "target": {"code": target, "name": _name(target)},
            },
        }


def _read_file(name: str, content: bytes) -> tuple[Callable[[str], Parts], str]:
    suffix = Path(name).suffix.lower()
    if suffix not in _FILES:
        raise HTTPException(400, f"{suffix or 'a file without a suffix'} is not supported; files: {', '.join(_FILES)}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the file is not UTF-8: {error}") from error
    if "\0" in text:
        raise HTTPException(400, "the file has NUL characters; expected text")
    return _FILES[suffix], text


def _languages(models: Sequence[Served]) -> list[dict[str, Any]]:
    targets: dict[str, dict[str, None]] = {}
    for model in models:
        targets.setdefault(model.source, {})[model.target] = None
    return [{"code": code, "name": _name(code), "targets": list(into)} for code, into in targets.items()]


def _name(code: str) -> str:
    return Locale("en").languages.get(code, code)


# --- more than LibreTranslate ----------------------------------------------------------------------------------------


def _add_more(app: FastAPI, server: Server) -> None:
    names = server.names()

    @app.get("/models")
    async def models() -> list[dict[str, Any]]:
        """List the models, and what can be seen of them."""
        return [model.facts() for model in server.models]

    @app.post("/alignments", openapi_extra=described(Aligned, names), responses=_ERRORS)
    async def alignments(request: Request) -> list[dict[str, Any]]:
        """Align the words of translations with those of their sources."""
        asked: Aligned = await _admitted(server, request, Aligned)
        model, scored = await _scored(server, request, asked, asked.attention)
        made = await asyncio.to_thread(lambda: [model.align(pair) for pair in scored])
        return [
            {
                "source": each.source,
                "target": each.target,
                "links": each.links,
                "weights": each.matrix.round(5).tolist(),
            }
            for each in made
        ]

    @app.post("/score", openapi_extra=described(Pairs, names), responses=_ERRORS)
    async def score(request: Request) -> list[dict[str, Any]]:
        """Compute how probable the model finds translations: natural-log probabilities."""
        asked: Pairs = await _admitted(server, request, Pairs)
        _, scored = await _scored(server, request, asked, "prior")
        return [{"score": each.score, "tokens": each.tokens, "token_scores": each.token_scores} for each in scored]

    @app.post("/tree", openapi_extra=described(Tree, names), responses=_ERRORS)
    async def tree(request: Request) -> list[dict[str, Any]]:
        """Translate a sentence; return the n best translations in pieces."""
        asked: Tree = await _admitted(server, request, Tree)
        model, _ = await _begin(server, request, asked, [asked.q])
        decoding = replace(model.decoding, beam_size=max(asked.n_best, 2), n_best=asked.n_best, search="beam")
        decoding = replace(decoding, temperature=1.0, top_k=None, top_p=1.0)  # which are for samples only
        (ranked,) = await model.translations([_line(asked.q)], decoding, asked.prefix)
        return [
            {"text": each.text, "tokens": each.tokens, "scores": each.token_scores, "rank": each.rank}
            for each in ranked
        ]

    @app.post(
        "/watch", openapi_extra=described(Watch, names), responses={**_ERRORS, 200: _STREAM}, response_class=_Events
    )
    async def watch(request: Request) -> StreamingResponse:
        """Translate a sentence greedily, with an event for each token as soon as it is chosen."""
        asked: Watch = await _admitted(server, request, Watch)
        model, _ = await _begin(server, request, asked, [asked.q])
        model.reading(asked.layer)
        return _Events(_watch(server, model, asked), headers={"Cache-Control": "no-store"})


async def _scored(server: Server, request: Request, asked: Pairs, attention: str) -> tuple[Served, Any]:
    server.check([side for pair in asked.pairs for side in pair])
    model, _ = await _begin(server, request, asked, [source for source, _ in asked.pairs])
    pairs = [SentencePair(_line(sentence), _line(translation)) for sentence, translation in asked.pairs]
    if attention == "posterior" and not all(_is_short(pair.source, pair.target) for pair in pairs):
        raise HTTPException(413, f"attention=posterior: the two lengths multiply to more than {_POSTERIOR:,}")
    work = server.submit(
        partial(score_pairs, model.translator, pairs, precision=model.decoding.precision, attention=attention)
    )
    return model, await asyncio.wait_for(asyncio.wrap_future(work), model.timeout)


def _line(text: str) -> str:
    return " ".join(text.split("\n"))


class _Gone(Exception):
    """The client has left."""


def _watch(server: Server, model: Served, asked: Watch) -> AsyncIterator[str]:
    """Begin a translation, and return its events. Raises Busy, for which it is too late once a stream has begun."""
    loop, events = asyncio.get_running_loop(), asyncio.Queue[str | None](_EVENTS)
    gone, end = threading.Event(), loop.time() + model.timeout
    line, translator = _line(asked.q), model.reading(asked.layer)

    def tell(text: str | None) -> None:
        if gone.is_set():
            raise _Gone
        put = asyncio.run_coroutine_threadsafe(events.put(text), loop)
        try:
            put.result(end - loop.time())
        except TimeoutError:  # nobody reads: `gone` is not set if the client has left before the stream began
            put.cancel()
            raise _Gone from None

    def work() -> None:
        try:
            tell(source_event(source_tokens(translator, line)))
            done = translate_live(
                translator,
                line,
                lambda step: tell(step_event(step)),
                prefix=asked.prefix,
                edits=asked.edits,
                decoding=model.decoding,
            )
            tell(end_event(done))
            if asked.posterior and translator.attends and not asked.edits and _is_short(line, done.text):
                pair = SentencePair(line, done.text, done.tokens)
                (scored,) = score_pairs(translator, [pair], precision=model.decoding.precision, attention="posterior")
                tell(posterior_event(scored.attention))
        except (ConfigError, DataError) as error:
            tell(event("error", {"error": str(error)}))
        except _Gone:
            return
        except Exception:
            logger.exception("a translation that was watched failed")
            tell(event("error", {"error": _INTERNAL}))
        tell(None)

    async def read_events() -> AsyncIterator[str]:
        try:
            while (text := await asyncio.wait_for(events.get(), end - loop.time())) is not None:
                yield text
        except TimeoutError:
            yield event("error", {"error": _LATE})
        finally:
            gone.set()
            while not events.empty():  # lets a thread go on that waits for room
                events.get_nowait()

    server.submit(work)
    return read_events()


def _is_short(source: str, target: str) -> bool:
    """Whether the posterior of this pair can be computed in a reasonable time, which grows with both lengths."""
    return len(source) * len(target) <= _POSTERIOR


# --- the page --------------------------------------------------------------------------------------------------------


def _add_page(app: FastAPI) -> None:
    def add(path: str, name: str, kind: str) -> None:
        @app.get(path, include_in_schema=False)
        async def page() -> FileResponse:
            headers = {
                "Content-Security-Policy": _POLICY,
                "Cache-Control": "no-cache",
                "X-Content-Type-Options": "nosniff",
            }
            return FileResponse(_PAGE / name, media_type=kind, headers=headers)

    add("/", "index.html", "text/html; charset=utf-8")
    add("/page.css", "page.css", "text/css; charset=utf-8")
    add("/page.js", "page.js", "text/javascript; charset=utf-8")
