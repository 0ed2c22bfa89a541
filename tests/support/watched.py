"""Runs commands of seq2seq in a process that has little memory and records what they open, start and connect to.

`python tests/support/watched.py COMMANDS RESULTS`: a file with a JSON list of lists of arguments, and a file for the
exit code, the output and the events of each.
"""

import importlib
import io
import json
import os
import resource
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

MEMORY = 1 << 30
"""Bytes of memory on top of what imports take"""
_STARTED = ("os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty", "subprocess.Popen", "os.startfile")
_CONNECTED = ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request")
_EXECUTED = ("pickle.find_class",)

events: list[str] = []


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Record an event, as an audit hook."""
    if event == "open":
        if not isinstance(arguments[0], int):
            events.append(f"open {os.path.realpath(os.fsdecode(arguments[0]))}")
    elif event in _STARTED or event in _CONNECTED or event in _EXECUTED:
        events.append(f"{event} {arguments}")


def main(commands: list[list[str]]) -> list[dict[str, Any]]:
    """Run each command, one after the other."""
    from seq2seq.cli import main as command_line

    for command in {arguments[0] for arguments in commands} | {"compose"}:
        importlib.import_module(f"seq2seq.cli.{command}")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.addaudithook(note)
    results = []
    for arguments in commands:
        events.clear()
        out, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            try:
                code: object = command_line.main(arguments)
            except BaseException as error:  # uncaught, it would end as a traceback
                code = f"{type(error).__name__}: {error}"
        out.flush()
        said = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
        results.append({"code": code, "out": said, "errors": errors.getvalue(), "events": sorted(set(events))})
    return results


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
