"""Plain values that anybody may have written: files of a stated size at most, JSON, its values by type.

What does not fit is a ValueError, or an OSError where a file can't be had: whoever reads says which file it was.
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
"""Bytes of a file of JSON."""
_DEEPEST = 100
"""Groups and lists within each other: deeper ones are no settings, and exhaust the stack of whoever walks them."""
_MOST_WHOLE = 2**63
"""Whole numbers fit into 64 bits."""


def read_bytes(path: Path, most: int) -> bytes:
    """A regular file of so many bytes at most: a device could be endless, and a pipe never come to anything."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most:,} bytes")
    return content


def read_json(path: Path) -> Any:
    """The value of a file of JSON."""
    return parse_json(read_bytes(path, _MOST_JSON).decode("utf-8"))


def parse_json(text: str) -> Any:
    """A value that can be walked and written again: not nested without end, its text valid Unicode."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("lists and groups too deep within each other") from error
    if text.count("[") + text.count("{") > _DEEPEST:
        _check_depth(value)
    if "\\ud" in text.lower():  # half of a character
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            item
            for group in level
            if isinstance(group, (dict, list))
            for item in (group.values() if isinstance(group, dict) else group)
        ]
        if not level:
            return
    raise ValueError("lists and groups too deep within each other")


Kind = typing.TypeVar("Kind")


def typed(kind: type[Kind], values: Any) -> Kind:
    """A dataclass of plain fields (numbers, text, lists and groups of them, such dataclasses) of a group of values."""
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
    """Raises ValueError for a value of another type."""
    if isinstance(hint, types.UnionType):
        members = typing.get_args(hint)
        if value is None and types.NoneType in members:
            return
        (hint,) = (member for member in members if member is not types.NoneType)
    kind: Any = typing.get_origin(hint) or hint
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name!r} is {type(value).__name__}, expected {kind.__name__}")
    if isinstance(value, int) and not -_MOST_WHOLE <= value < _MOST_WHOLE:
        raise ValueError(f"{name!r} does not fit into 64 bits")
    if kind in (list, dict):
        inner = typing.get_args(hint)[-1]
        group: Any = value
        for item in group.values() if kind is dict else group:
            _check(inner, item, name)


def number(values: Any, name: str) -> float | None:
    """The number of this name in a group; None where it is absent or null."""
    found = values.get(name)
    if found is None:
        return None
    _check(float, found, name)
    if not math.isfinite(found):
        raise ValueError(f"{name!r} is not finite")
    return float(found)
