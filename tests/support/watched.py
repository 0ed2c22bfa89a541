"""Commands of seq2seq in a process that notes what they open, start and connect to, and has little memory left.

`python tests/support/watched.py COMMANDS RESULTS`: a JSON list of lists of arguments, and a file for what came of each:
its exit code, what it said, and its events.
"""

import importlib
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

MEMORY = 1 << 30
"""Bytes beyond what is taken when everything has been imported."""
_STARTED = ("os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty", "subprocess.Popen", "os.startfile")
_CONNECTED = ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request")
_EXECUTED = ("pickle.find_class",)

_WITH_HYDRA = ("average", "compare")
"""The others are spared it, which takes longer than what they do."""

events: list[str] = []


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook."""
    if event == "open":
        if not isinstance(arguments[0], int):
            events.append(f"open {os.path.realpath(os.fsdecode(arguments[0]))}")
    elif event in _STARTED or event in _CONNECTED or event in _EXECUTED:
        events.append(f"{event} {arguments}")


def run_plain(command: str, overrides: Sequence[str], job: Callable[[dict[str, Any]], None]) -> None:
    """`run_composed` of what needs no composition: keys and their values."""
    values: dict[str, Any] = {}
    for override in overrides:
        key, _, text = override.partition("=")
        *path, last = key.split(".")
        section = values
        for name in path:
            section = section.setdefault(name, {})
        section[last] = int(text) if text.isdigit() else text
    job(values)


def main(commands: list[list[str]]) -> list[dict[str, Any]]:
    """Each of them, one after the other."""
    from seq2seq.cli import compose
    from seq2seq.cli import main as command_line

    for command in {arguments[0] for arguments in commands}:
        importlib.import_module(f"seq2seq.cli.{command}")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.addaudithook(note)
    results = []
    for arguments in commands:
        events.clear()
        out, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors), ExitStack() as stack:
            if arguments[0] not in _WITH_HYDRA:
                stack.enter_context(mock.patch.object(compose, "run_composed", run_plain))
            try:
                code: object = command_line.main(arguments)
            except BaseException as error:  # what nobody has caught ends as a traceback
                code = f"{type(error).__name__}: {error}"
        out.flush()
        said = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
        results.append({"code": code, "out": said, "errors": errors.getvalue(), "events": sorted(set(events))})
    return results


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
