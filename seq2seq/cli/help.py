"""Help texts: commands, keys with default, choices and explanation, and groups with their options."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from seq2seq.cli.names import CONFIGS, find_keys, group_kind, groups, meant, names, options
from seq2seq.config import COMMANDS, Option, options_around
from seq2seq.errors import ConfigError

_WIDTH = 100
_RARE = ("columns", "device", "seed")
"""Keys to list last."""


def overview() -> str:
    """Return what `seq2seq --help` prints."""
    rows = "\n".join(f"  {command:11} {purpose(command)}" for command in COMMANDS)
    return f"usage: seq2seq COMMAND [key=value ...]\n\n{rows}\n\nseq2seq COMMAND --help lists its keys."


def purpose(command: str) -> str:
    """Return the one-line description of a command."""
    return _paragraphs(command)[0].partition(": ")[2]


def _paragraphs(command: str) -> list[str]:
    return (inspect.getdoc(COMMANDS[command]) or "").split("\n\n")


def of_command(command: str, user_configs: str | None = None) -> str:
    """Return what `seq2seq COMMAND --help` prints."""
    tops = sorted((name for name in names(command) if not re.search("[./]", name)), key=_RARE.__contains__)
    sections = dict.fromkeys(name.partition(".")[0] for name in names(command) if re.match(r"\w+\.", name))
    lines = [f"usage: seq2seq {command} [group=option ...] [key=value ...]", "", f"  {purpose(command)}", ""]
    lines += [*_paragraphs(command)[1:], "", f"seq2seq {command} --help KEY explains a key or a group in full.", ""]
    lines += _listed(command, tops, user_configs)
    for section in sections:
        lines += ["", f"{section}:", *_listed(command, _below(command, section), user_configs)]
    return "\n".join(lines)


def of_name(command: str, name: str, user_configs: str | None = None) -> str:
    """Return what `seq2seq COMMAND --help KEY` prints: the explanation of a key, a group or a section."""
    group, key = name.replace(".", "/"), name.replace("/", ".")
    if group in groups(command):
        lines = [group, *_wrapped(explanation(group_kind(command, group)), 4)]
        for option in options(group, user_configs):
            lines += ["", f"  {group}={option}", *_wrapped(_of_option(command, group, option, user_configs), 6)]
        inner = [below for below in _below(command, key) if below != group]
        return "\n".join([*lines, *([""] if inner else []), *_listed(command, inner, user_configs)])
    if found := find_keys(command, name):
        by_name = {known.name: known for known in found}
        blocks = [[*_wrapped(_head(command, known), 0, 4), *_wrapped(known.help, 4)] for known in by_name.values()]
        return "\n".join(line for block in blocks for line in block)
    if below := _below(command, key):
        return "\n".join(_listed(command, below, user_configs))
    raise ConfigError(f"{name}: no such key.{meant(command, name)}")


def _below(command: str, section: str) -> list[str]:
    return [name for name in names(command) if name.replace("/", ".").startswith(f"{section}.")]


def _listed(command: str, listed: Iterable[str], user_configs: str | None) -> Iterator[str]:
    """Yield each group with its options and each key with its default and choices, with a sentence on each."""
    for name in listed:
        if name in groups(command):
            default = re.search(rf"^  - {name}: (\w+)", (CONFIGS / f"{command}.yaml").read_text(), re.MULTILINE)
            shown = f"{name}={default[1]}" if default else name
            of_files = f"A file of settings, configs/{name}/NAME.yaml or one of --config-dir."
            text = explanation(group_kind(command, name)) or of_files
            yield from _wrapped(f"{shown}   ({' | '.join(options(name, user_configs))})", 2, 6)
        else:
            (key, *_) = find_keys(command, name)
            yield from _wrapped(_head(command, key), 2, 6)
            text = key.help
        yield from _wrapped(re.split(r"(?<=\.) ", text)[0], 6)


def _head(command: str, key: Option) -> str:
    """Show a key with its default and choices, and the options that have it if not all do."""
    choices = " | ".join(key.field.metadata.get("choices", ()))
    same = find_keys(command, key.name)
    having = dict.fromkeys(other.option for other in same if other.option)
    rows = options_around(key.name, groups(command))
    limited = f"   [{', '.join(having)}]" if len(having) < len(rows) else ""
    default = " or ".join(dict.fromkeys(map(shown_default, same)))
    return f"{key.name}={default}" + (f"   ({choices})" if choices else "") + limited


def shown_default(key: Option) -> str:
    """Show a default as on the command line."""
    default = key.default
    if isinstance(default, list):
        return f"[{','.join(map(str, default))}]"
    return {"???": "(required)", "None": "null", "True": "true", "False": "false"}.get(str(default), str(default))


def explanation(kind: type | None) -> str:
    """Return the docstring of a dataclass on one line."""
    return " ".join((inspect.getdoc(kind) or "").split()) if kind else ""


def _of_option(command: str, group: str, option: str, user_configs: str | None) -> str:
    """Explain an option by the docstring of its dataclass, or by the comment at the top of its file."""
    if option in groups(command)[group]:
        return explanation(groups(command)[group][option])
    folders = [*([Path(user_configs)] if user_configs else []), CONFIGS]
    files = [folder / group / f"{option}.yaml" for folder in folders]
    file = next(file for file in files if file.is_file())
    comments = re.match(r"(#.*\n)*", file.read_text(encoding="utf-8"))
    return " ".join(re.findall(r"^#(?! ?@) ?(.+)", comments[0], re.MULTILINE)) if comments else ""


def _wrapped(text: str, indent: int, further: int | None = None) -> list[str]:
    first, others = " " * indent, " " * (further or indent)
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)
