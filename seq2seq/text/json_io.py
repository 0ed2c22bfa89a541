"""Untrusted plain values: files of limited size, JSON, and values checked by type.

A value that does not fit raises ValueError, a file that can't be read OSError. Callers add the name of the file.
"""

import dataclasses
import errno
import json
import math
import stat
import types
import typing
from pathlib import Path
from typing import Any

_MOST_JSON = 1 << 24
"""Maximum size of a JSON file in bytes."""
_DEEPEST = 100
"""Levels of nested groups and lists, at most: deeper ones are no settings, and exhaust the stack of later readers."""
_FIRST_TOO_LARGE = 2**63
"""The first whole number that does not fit into 64 bits."""


def read_bytes(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes: a device may be endless, and a pipe may block forever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most:,} bytes")
    return content


def read_json(path: Path) -> Any:
    """Read the value in a JSON file."""
    return parse_json(read_bytes(path, _MOST_JSON).decode("utf-8"))


def parse_json(text: str) -> Any:
    """Parse a value that can be walked and written again: not nested too deeply, and valid Unicode."""
    try:
        value = json.loads(text)
        if text.count("[") + text.count("{") > _DEEPEST and _depth(value) > _DEEPEST:
            raise RecursionError
    except RecursionError as error:
        raise ValueError("groups and lists are nested too deeply") from error
    if "\\ud" in text.lower():  # half a character
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, items), default=0)


Kind = typing.TypeVar("Kind")


def typed(kind: type[Kind], values: Any) -> Kind:
    """Make a dataclass from a group of values. Its fields are numbers, text, lists, groups and such dataclasses."""
    if not isinstance(values, dict):
        raise ValueError(f"expected a group of keys, got {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    for key in values.keys() - hints.keys():
        raise ValueError(f"{key[:60]!r} is not known here")
    for option in dataclasses.fields(kind):  # type: ignore[arg-type]
        hint = hints[option.name]
        if option.name in values and dataclasses.is_dataclass(hint):
            values = {**values, option.name: typed(typing.cast(type, hint), values[option.name])}
        elif option.name in values:
            _check(hint, values[option.name], option.name)
        elif option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING:
            raise ValueError(f"{option.name!r} is missing")
    return kind(**values)


def _check(hint: Any, value: Any, name: str) -> None:
    """Raise ValueError for a value of another type."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return
        (hint,) = (member for member in typing.get_args(hint) if member is not types.NoneType)
    kind: Any = typing.get_origin(hint) or hint
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name!r} is {type(value).__name__}, expected {kind.__name__}")
    if isinstance(value, int) and not -_FIRST_TOO_LARGE <= value < _FIRST_TOO_LARGE:
        raise ValueError(f"{name!r} does not fit into 64 bits")
    if kind in (list, dict):
        group: Any = value
        for item in group.values() if kind is dict else group:
            _check(typing.get_args(hint)[-1], item, name)


def number(values: Any, name: str) -> float | None:
    """The number of this name in a group; None if it is absent or null."""
    value = values.get(name)
    if value is None:
        return None
    _check(float, value, name)
    if not math.isfinite(value):
        raise ValueError(f"{name!r} is not finite")
    return float(value)
