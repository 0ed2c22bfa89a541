"""Parses the words after a command: Hydra's flags, and settings, taken literally as the shell passes them.

In Hydra's grammar for values, text with a letter outside ASCII, a parenthesis, a comma or a quote needs its own quotes
within the shell's quotes. Here, wherever a key takes text, the text is taken literally.
"""

import os
import re
import typing
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from seq2seq.cli.names import CONFIGS, SETTINGS, find_keys, groups, meant, names
from seq2seq.errors import ConfigError, nearest

_FIXED = ("run.dir", "sweep.subdir", "output_subdir", "job.chdir", "job_logging", "hydra_logging")
"""Hydra's own settings that this program controls."""
_REFUSED = {
    "config_path": "Use --config-dir=DIR with yours: DIR/experiment/NAME.yaml is then experiment=NAME.",
    "config_name": "Use --config-dir=DIR with yours: DIR/experiment/NAME.yaml is then experiment=NAME.",
    "hydra_help": "Use seq2seq COMMAND --help.",
    "version": "Use seq2seq --version.",
    "shell_completion": "Use seq2seq -sc install=bash, without a command.",
    "experimental_rerun": "It would load a pickle, which can run any code.",
}
"""Hydra flags that are refused, with alternatives."""
_BARE = {"fetch": "corpus"}
"""Command -> key that a word without `=` is the value of"""


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line."""

    flags: dict[str, Any]
    """Flags that were given: `multirun`, `cfg`, `config_dir` and so on."""
    settings: list[str]
    """Overrides in Hydra's grammar."""
    multirun: bool = False


def read(command: str, words: Sequence[str]) -> CommandLine:
    """Separate flags and settings. Raises ConfigError for words that are neither."""
    flags, overrides = flags_and_words(words)
    for name, instead in _REFUSED.items():
        if name in flags:
            raise ConfigError(f"--{name.replace('_', '-')}: not supported. {instead}")
    multirun = "multirun" in flags or any(re.match(r"\+*hydra\.mode=MULTIRUN", word, re.I) for word in overrides)
    settings = [settable(command, word, multirun) for word in overrides]
    return CommandLine(flags, settings, multirun)


def flags_and_words(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Split a command's words into the given Hydra flags and the other words."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    given, unknown = parser.parse_known_intermixed_args(list(words))
    if unknown:
        known = [flag for action in parser._actions for flag in action.option_strings]
        flag = unknown[0].partition("=")[0]
        raise ConfigError(
            f"{unknown[0]}: no such flag.{nearest(flag, known)} Keys are set without dashes, key=value. "
            f"Flags: {', '.join(flag for flag in known if flag.startswith('--'))}."
        )
    others = vars(given).pop("overrides")
    flags = {name: value for name, value in vars(given).items() if value not in (None, False)}
    if "config_dir" in flags:
        flags["config_dir"] = str(Path(flags["config_dir"]).expanduser())
    return flags, others


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message}. Keys are set without dashes, key=value.")


def settable(command: str, word: str, multirun: bool = False) -> str:
    """Return a word as an override that Hydra takes.

    `key=value` sets any key, known or not, so that `parse` can name all unknown ones; `a/group=option` chooses.
    """
    found = re.fullmatch(r"([+~]*)([^=]*)(=?)(.*)", word, re.DOTALL)
    assert found is not None
    mark, key, equals, value = found.groups()
    if not (equals or mark) and command in _BARE:
        key, equals, value = _BARE[command], "=", word
    if not equals and "~" not in mark:
        raise ConfigError(f"{word}: expected key=value, or group=option.{meant(command, key, '=')}")
    if not re.fullmatch(r"[\w.$/@:-]*", key, re.ASCII):
        raise ConfigError(f"{key}: no such key; keys have ASCII letters only.{meant(command, key, f'={value}')}")
    own = key.replace("/", ".").removeprefix("hydra.")
    if key.startswith("hydra.searchpath"):
        raise ConfigError(f"{key}: not supported. {_REFUSED['config_path']}")
    if own in _FIXED and own != key:
        raise ConfigError(
            f"{key}={value}: not used here, where Hydra makes no directories and no log. Leave it out; run_dir=DIR is "
            "where a training writes, by default each run of a --multirun in a directory of its own."
        )
    tops = {name.partition(".")[0] for name in names(command)}
    if re.fullmatch(r"\w+", key) and key not in tops and (near := nearest(key, [SETTINGS.get(command, "")])):
        raise ConfigError(f"{key}: no such group.{near}")
    if equals:
        value = _readable(command, key, value, multirun)
    is_key = re.fullmatch(r"[A-Za-z_][\w.-]*", key) and not os.path.isdir(CONFIGS / key)
    plus = "++" if equals and not mark and is_key and not key.startswith("hydra.") else mark
    return f"{plus}{key}{equals}{value}"


def quoted(text: str) -> str:
    """Quote any text for Hydra's grammar, where a backslash is literal unless it stands before a quote."""
    doubled = re.sub(r'(\\+)("|\Z)', r"\1\1\2", text)
    return '"' + doubled.replace('"', '\\"') + '"'


_SYNTAX = re.compile(r"""["'].*|null|.*(\\[ ,]|\$\{).*""", re.DOTALL | re.IGNORECASE)
"""Text that Hydra interprets where it can: quotes, null, escaped commas and spaces, interpolations."""


def _readable(command: str, key: str, text: str, multirun: bool) -> str:
    """Write a value in Hydra's grammar. Raises ConfigError if it is neither a value nor text."""
    kinds = {kind for known in find_keys(command, key) for kind in known.kinds}
    parsed = _parsed(text)
    several = parsed is not None and parsed.is_sweep_override()
    listed = list[str] in kinds and re.fullmatch(r"\[(?:[^\[\\]|\\[^,])*\]", text) and "${" not in text
    if multirun and several:
        return text
    if multirun and parsed is None and "," in text and not listed:
        return _each(text)
    if listed:
        return f"[{_each(text[1:-1])}]"
    takes_list = any(typing.get_origin(kind) is list for kind in kinds)
    is_list = takes_list and parsed is not None and isinstance(parsed.value(), list)
    if str in kinds and not is_list and not (parsed is not None and _SYNTAX.fullmatch(text)):
        if "," in text and list[str] in kinds:
            raise ConfigError(_ambiguous(command, key, text, kinds))
        return _text(text)
    if several and (kinds or key in groups(command) or key.startswith("hydra.")):
        raise ConfigError(_ambiguous(command, key, text, kinds))
    if parsed is None and (kinds or key.startswith("hydra.")):
        raise ConfigError(
            f"{key}={text}: can't be read. Expected a number, true, false, null, a list [a,b] or a group {{a: b}}; "
            f"put text with special characters into quotes of its own: '{key}=\"...\"'."
        )
    return _text(text) if parsed is None or several else text


def _parsed(text: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(f"key={text}")
    except HydraException:
        return None


_ITEM = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^,]+""", re.DOTALL)
"""An item of a list: quoted text, in which a backslash may stand before a quote, or all up to the next comma."""


def _each(text: str) -> str:
    """Quote each item between commas where it needs it."""
    return ",".join(_text(item.strip()) for item in _ITEM.findall(text))


def _text(text: str) -> str:
    """Quote text unless Hydra reads it the same without quotes."""
    if re.fullmatch(r"""(["']).*\1""", text, re.DOTALL) and _parsed(text) is not None:
        return text
    parsed = _parsed(text)
    plain = parsed is not None and not parsed.is_sweep_override() and parsed.value() == text
    return text if plain else quoted(text)


def _ambiguous(command: str, key: str, text: str, kinds: Collection[Any]) -> str:
    """Write the message about several values for a key that takes one."""
    ways = [f"a list needs brackets, {key}=[{text}]"] if any(typing.get_origin(kind) is list for kind in kinds) else []
    ways += ["-m runs the command with each of them"] if command != "compare" else []
    ways += [f"text with a comma needs quotes of its own, '{key}=\"{text}\"'"] if str in kinds else []
    return f"{key}={text}: more than one value; {'; '.join(ways)}."
