"""The two errors that a user can fix (commands print them and exit with code 2), and helpers for their messages."""

import difflib
from collections.abc import Iterable

LONGEST_SHOWN = 200
"""Maximum characters of a value in a message."""


class ConfigError(Exception):
    """A mistake in a configuration: one message with every wrong key, what was expected, and what to change."""


class DataError(Exception):
    """A mistake in a file: the message says where it is, what was expected, and what to change."""


def shown(value: object) -> str:
    """Return a value as Python writes it, shortened."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # too deep, or a number with thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ` Did you mean ...?`, or nothing when no name is similar."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def nearest_name(given: str, names: Iterable[str]) -> str | None:
    """Find the key or group that ends in the given words, or whose last word is most like theirs."""
    given = given.replace("/", ".")
    plain = {name.replace("/", "."): name for name in names}
    last_words = {name: name.rpartition(".")[2] for name in plain}
    last = given.rpartition(".")[2]
    ends = [name for name in plain if f".{name}".endswith(f".{given}")]
    if not ends and (close := difflib.get_close_matches(last, set(last_words.values()), n=1)):
        ends = [name for name, word in last_words.items() if word == close[0]]
    best = difflib.get_close_matches(given, ends, n=1, cutoff=0)
    return plain[best[0]] if best else None
