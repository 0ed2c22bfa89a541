"""Lines that a person types, with editing keys and a history where readline is there."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from seq2seq.cli.files import decode_line
from seq2seq.errors import DataError

_LINES, _LONGEST = 1000, 2000
"""Lines of the history, and characters of a line in it, at most"""


def history_file() -> Path:
    """Return the path of the history, in the user's directory for state."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if os.path.isabs(state) else os.path.expanduser("~/.local/state")) / "seq2seq/history"


class Keyboard:
    """Reads lines from the terminal that standard input is."""

    def __init__(self, prompt: str, commands: Sequence[str]) -> None:
        """The Tab key completes these commands at the beginning of a line."""
        self._prompt, self._commands, self._number = prompt, commands, 0
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        self._readline: Any = None
        if sys.stdout.isatty():  # else readline would print to what is no terminal
            with suppress(ImportError):
                self._readline = importlib.import_module("readline")
        if self._readline:
            self._readline.set_auto_history(False)
            self._readline.set_history_length(_LINES)
            self._readline.set_completer_delims(" ")
            self._readline.set_completer(self._complete)
            is_libedit = "libedit" in (self._readline.__doc__ or "")
            self._readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
            self._readline.clear_history()
            if os.path.isfile(path := history_file()):
                with suppress(OSError):  # it can't be read
                    self._readline.read_history_file(path)

    def read(self) -> list[str | DataError]:
        """Read a line, or the lines that are pasted at once; none after Ctrl-D. What can't be read is an error."""
        try:
            if sys.stdout.isatty():
                text = input(self._prompt)
            else:
                print(self._prompt, end="", file=sys.stderr, flush=True)
                text = input()
        except EOFError:
            print(file=sys.stderr)
            return []
        lines: list[str | DataError] = []
        for part in text.split("\n"):
            self._number += 1
            lines.append(decode_line(part.encode(errors="surrogateescape"), "stdin", self._number))
            if self._readline and part.strip() and isinstance(lines[-1], str) and len(part) <= _LONGEST:
                self._remember(part)
        return lines

    def _remember(self, line: str) -> None:
        """Add a line to the history and its file, unless the line before is the same."""
        length = self._readline.get_current_history_length()
        if length and self._readline.get_history_item(length) == line:
            return
        self._readline.add_history(line)
        path = history_file()
        with suppress(OSError):  # it can't be kept
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(0o600)
            if not path.is_file():
                return
            path.chmod(0o600)
            if hasattr(self._readline, "append_history_file"):
                self._readline.append_history_file(1, path)  # what other sessions have added stays
            else:
                self._readline.write_history_file(path)

    def _complete(self, text: str, number: int) -> str | None:
        begins = text.startswith(":") and self._readline.get_begidx() == 0
        found = [f":{name} " for name in self._commands if begins and name.startswith(text[1:])]
        return found[number] if number < len(found) else None
