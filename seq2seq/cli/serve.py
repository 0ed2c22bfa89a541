"""`seq2seq serve`: offers models on a web page and over REST."""

import errno
import logging
import math
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from seq2seq.checkpoint import read_model
from seq2seq.cli.main import Stopped
from seq2seq.config import Model, ServeConfig, several
from seq2seq.errors import ConfigError
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translator import Translator
from seq2seq.version import install_command

logger = logging.getLogger(__name__)

_PAUSE = 2.0
"""Seconds between the beginnings of a worker that fails at once"""


def run(config: ServeConfig) -> int:
    """Serve until a signal comes; requests that are being answered are finished first."""
    models = _chosen(config)
    if config.decoding.n_best > 1:
        raise ConfigError(f"decoding.n_best={config.decoding.n_best}: a request says how many alternatives it wants")
    if config.workers > 1 and config.device != "cpu":
        raise ConfigError(
            f"workers={config.workers} and device={config.device}: only processes on a CPU can share weights. Use "
            "device=cpu, or workers=1."
        )
    signal.signal(signal.SIGTERM, _stop)  # which the server raises again when all is answered
    logging.getLogger("seq2seq.inference").setLevel(logging.ERROR)  # warnings quote the text
    with tempfile.TemporaryDirectory(prefix="seq2seq-serve-") as directory, _listening(config) as listener:
        if config.workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
            torch.set_num_threads(1)  # until the fork: threads of a product don't survive it
        try:
            import sentencex  # noqa: F401

            import seq2seq.serve.app  # noqa: F401  once the metrics know where they are kept
        except ImportError as error:
            raise ConfigError(f"seq2seq serve needs {error.name}. Install it: {install_command('serve')}") from error
        translators = {name: load_translator(paths, config.device) for name, paths in models.items()}
        for translator in translators.values():
            decoding = translator.settled(config.decoding)
            translator.check(decoding)
            translator.models(decoding.precision)
            if decoding.engine == "onnx":
                translator.find_graphs(decoding.precision)
        keys = _read_keys(config.api_keys)
        files = Path(directory, "files")
        files.mkdir()
        host = f"[{config.host}]" if ":" in config.host else config.host
        logger.info("http://%s:%d offers %s. Ctrl-C ends it.", host, listener.getsockname()[1], ", ".join(models))

        def work() -> None:
            if config.workers > 1:
                torch.set_num_threads(max((os.cpu_count() or 1) // config.workers, 1))
            _serve(config, models, translators, keys, files, listener)

        if config.workers == 1:
            work()
        else:
            _supervise(config.workers, work)
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(128 + number)


def _chosen(config: ServeConfig) -> dict[str, list[str]]:
    """Name the models and ensembles. Raises ConfigError if there is none, or two of one name."""
    models: dict[str, list[str]] = {}
    for path in several(config.checkpoint):
        where = Path(path).resolve()
        name = where.parent.name if where.name in ("best", "last") else where.name
        if name in models:
            raise ConfigError(f"checkpoint={several(config.checkpoint)}: two are called {name}. Rename a directory.")
        models[name] = [path]
    for name, paths in config.ensembles.items():
        if name in models:
            raise ConfigError(f"ensembles.{name}: a checkpoint has this name too. Choose another one.")
        models[name] = paths
    if not models:
        raise ConfigError("checkpoint=[] and ensembles={}: expected a model to serve, checkpoint=DIR")
    return models


def _read_keys(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        keys = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"api_keys={path}: can't be read ({error})") from error
    keys = [key for key in keys if key]
    if not keys:
        raise ConfigError(f"api_keys={path}: has no key; expected one on each line, or api_keys=null")
    return keys


def _listening(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        raise ConfigError(
            f"host={config.host} and port={config.port}: can't listen there ({error.strerror}). "
            f"{'Give an address of this machine as host' if elsewhere else 'Choose another port'}."
        ) from error
    listener.listen(2048)
    return listener


def _serve(
    config: ServeConfig,
    models: dict[str, list[str]],
    translators: dict[str, Translator],
    keys: list[str],
    files: Path,
    listener: socket.socket,
) -> None:
    import uvicorn

    from seq2seq.serve.app import make_app
    from seq2seq.serve.batching import Batcher
    from seq2seq.serve.limits import Keys, RateLimit
    from seq2seq.serve.served import Served
    from seq2seq.serve.server import Server

    served = [
        Served(
            name,
            translator,
            Batcher(translator, config.batch_size, config.max_waiting),
            translator.settled(config.decoding),
            config.timeout,
            _equations(read_model(Path(models[name][0]))),
        )
        for name, translator in translators.items()
    ]
    rate = config.requests_per_minute
    limit = RateLimit(None if rate is None else rate / config.workers)
    server = Server(served, files, config.max_characters, config.max_texts, Keys(keys), limit)
    settings = uvicorn.Config(
        make_app(server),
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(config.timeout) + 5,  # for clients that never send the rest of a request
    )
    uvicorn.Server(settings).run(sockets=[listener])


def _equations(model: Model) -> dict[str, Any]:
    """Name the parts that equations on the page depend on."""
    attention = model.attention
    parts = {axis: getattr(attention, axis) for axis in ("score", "window", "normaliser", "placement")}
    names = {axis: None if part is None else part.name for axis, part in parts.items()}
    sides = {"encoder": model.encoder.name, "decoder": model.decoder.name}
    return {**names, **sides, "heads": attention.heads, "cell": getattr(model.decoder, "cell", None)}


def _supervise(count: int, work: Callable[[], None]) -> None:
    """Run so many processes, begin another where one dies, and pass on the signal that ends all."""
    from prometheus_client.multiprocess import mark_process_dead

    signals = (signal.SIGINT, signal.SIGTERM)
    children: dict[int, float] = {}
    """Process -> when it began"""
    ending: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ending.append(number)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    def begin() -> None:
        sys.stdout.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # else one between fork and note would be lost
        if ending:  # a signal came in the pause
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            return
        if (child := os.fork()) == 0:
            os.setpgid(0, 0)  # Ctrl-C reaches it once: through this process
            for number in signals:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
            try:
                work()
            except BaseException:
                logger.exception("a worker failed")
                os._exit(1)
            os._exit(0)
        children[child] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    for number in signals:
        signal.signal(number, end)
    for _ in range(count):
        begin()
    while children:
        child, status = os.wait()
        lived = time.monotonic() - children.pop(child)
        mark_process_dead(child)  # type: ignore[no-untyped-call]
        if not ending:
            logger.error("worker %d ended (status %d); another one begins", child, os.waitstatus_to_exitcode(status))
            time.sleep(max(_PAUSE - lived, 0))
            begin()
    raise Stopped(128 + ending[0])
