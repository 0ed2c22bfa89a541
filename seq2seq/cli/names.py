"""What a command line may name: the groups of a command, their options, its keys; and how a word may go on."""

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path

from seq2seq.config import COMMANDS, GROUPS, Option, keys

_PACKAGE = Path(__file__).parent.parent
CONFIGS = next(path for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if path.is_dir())
"""Inside an installed package, or beside it in a checkout."""

_FILES = {
    "train": ("experiment", "model/attention"),
    "benchmark": ("experiment", "model/attention"),
    "compare": ("comparison",),
}
"""By command, the groups whose options are files."""


def file_groups(command: str) -> tuple[str, ...]:
    """The groups whose options are files: one's own come from --config-dir."""
    return _FILES.get(command, ())


def groups(command: str) -> list[str]:
    """All groups of a command."""
    tables = [group for group, _ in GROUPS.values()] if command in ("train", "benchmark") else []
    return [*file_groups(command), *tables]


def options(group: str, own: str | None = None) -> list[str]:
    """The names in a group: rows of its table, then files, of ours and of one's own directory."""
    tables = dict(GROUPS.values())
    table, files = list(tables.get(group, ())), set()
    for folder in (CONFIGS / group, *([Path(own) / group] if own else [])):
        for path in folder.rglob("*.yaml"):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if f"{group}/{name.partition('/')[0]}" not in tables:  # else it is an option of that group
                files.add(name)
    return table + sorted(files - set(table))


@functools.cache
def command_keys(command: str) -> list[Option]:
    """Each key of a command; those of a group's options once for each option that has it."""
    return list(keys(COMMANDS[command], GROUPS))


def names(command: str) -> list[str]:
    """All groups and keys of a command."""
    return [*groups(command), *dict.fromkeys(key.name for key in command_keys(command))]


def completions(line: str) -> list[str]:
    """What the last word of a command line may become, up to the next dot, slash or equals sign."""
    *before, last = re.split(r"\s+", line.lstrip())
    if len(before) == 1:
        return _that_begin(last, COMMANDS)
    if len(before) < 1 or before[1] not in COMMANDS:
        return []
    command, own = before[1], re.search(r"(?:--config-dir|-cd)[ =](\S+)", line)
    key, equals, value = last.partition("=")
    if not equals:
        further = (re.match(re.escape(last) + r"[^./=]*[./=]", f"{name}=") for name in names(command))
        return sorted({match[0] for match in further if match})
    if key in groups(command):
        return [f"{key}={name}" for name in _that_begin(value, options(key, own and own[1]))]
    for known in command_keys(command):
        if known.name == key:
            of_type = ("true", "false") if bool in known.kinds else ()
            return [f"{key}={word}" for word in _that_begin(value, known.field.metadata.get("choices", of_type))] or [
                f"{key}={path}" for path in _paths(value)
            ]
    return []


def _that_begin(start: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(start)]


def _paths(start: str) -> list[str]:
    """Files and directories whose path begins so."""
    folder, name = os.path.split(start)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries if entry.name.startswith(name)]
    except OSError:
        return []
    return sorted(os.path.join(folder, entry) + "/" * is_dir for entry, is_dir in found)
