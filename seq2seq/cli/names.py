"""The names on a command line: the groups of a command, their options and its keys; completions of words."""

import functools
import glob
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from seq2seq.config import COMMANDS, GROUPS, RENAMED, Group, Option, entries
from seq2seq.errors import nearest_name

_PACKAGE = Path(__file__).parent.parent
CONFIGS = next(path for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if path.is_dir())
"""Directory of configurations: inside an installed package, or beside it in a checkout."""

SETTINGS = {"train": "experiment", "benchmark": "experiment", "compare": "comparison"}
"""Command -> the group whose options are files with any of its settings."""


@functools.cache
def _entries(command: str) -> list[Option | Group]:
    return list(entries(COMMANDS[command], GROUPS))


@functools.cache
def groups(command: str) -> Mapping[str, Mapping[str, type]]:
    """Map each group of a command to the table of its options, empty where they are files."""
    below = {entry.path: entry.options for entry in _entries(command) if isinstance(entry, Group)}
    return {SETTINGS[command]: {}, **below} if command in SETTINGS else below


def group_kind(command: str, path: str) -> type | None:
    """Return the base dataclass of a group's options; None where they are files with any settings."""
    return next((each.kind for each in _entries(command) if isinstance(each, Group) and each.path == path), None)


def options(group: str, user_configs: str | None = None) -> list[str]:
    """List the options of a group: rows of its table, then files of ours and of the user's directory."""
    tables, files = groups("train"), set()
    for folder in (CONFIGS / group, *([Path(user_configs) / group] if user_configs else [])):
        for path in folder.rglob("*.yaml"):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if f"{group}/{name.partition('/')[0]}" not in tables:  # else it is an option of that group
                files.add(name)
    table = list(tables.get(group, ()))
    return table + sorted(files - set(table))


@functools.cache
def command_keys(command: str) -> list[Option]:
    """List the keys of a command; a key of several options of a group is listed once for each."""
    return [entry for entry in _entries(command) if isinstance(entry, Option)]


def find_keys(command: str, name: str) -> list[Option]:
    """List the keys of a command with this name, or with the current name of an old word."""
    return [key for key in command_keys(command) if key.name in RENAMED.get(name, (name,))]


def names(command: str) -> list[str]:
    """List all groups and keys of a command."""
    return [*groups(command), *dict.fromkeys(key.name for key in command_keys(command))]


def meant(command: str, name: str, rest: str = "") -> str:
    """Return ` Did you mean ...?` with the most similar group or key, followed by `rest`; or nothing."""
    near = nearest_name(name, names(command))
    return f" Did you mean {near + rest!r}?" if near else ""


def completions(line: str) -> list[str]:
    """List the completions of the last word of a command line, up to the next dot, slash or equals sign."""
    *before, last = re.split(r"\s+", line.lstrip())
    if len(before) == 1:
        return _starting(last, COMMANDS)
    if len(before) < 1 or before[1] not in COMMANDS:
        return []
    command, configs = before[1], re.search(r"(?:--config-dir|-cd)[ =](\S+)", line)
    key, equals, value = last.partition("=")
    if not equals:
        matches = (re.match(re.escape(last) + r"[^./=]*[./=]", f"{name}=") for name in names(command))
        return sorted({match[0] for match in matches if match})
    if key in groups(command):
        return [f"{key}={name}" for name in _starting(value, options(key, configs and configs[1]))]
    for known in find_keys(command, key):
        words = known.field.metadata.get("choices", ("true", "false") if bool in known.kinds else ())
        return [f"{key}={word}" for word in _starting(value, words) or _paths(value)]
    return []


def _starting(start: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(start)]


def _paths(start: str) -> list[str]:
    """List files and directories whose path begins with this text."""
    folder, name = os.path.split(start)
    root = os.path.expanduser(folder) or "."
    found = glob.glob(f"{glob.escape(name)}*", root_dir=root, include_hidden=True)
    return sorted(os.path.join(folder, entry) + "/" * os.path.isdir(os.path.join(root, entry)) for entry in found)
