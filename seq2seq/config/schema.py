"""Options as typed fields of dataclasses, their rules, and the reader of plain values. It knows no option by name."""

import dataclasses
import math
import operator
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from seq2seq.errors import LONGEST_SHOWN, nearest, nearest_name, shown

REQUIRED = "???"
"""Marks a value the user has to give (OmegaConf's own mark for it)."""


def choice(default: str, *others: str) -> Any:
    """A word out of several; the first is the default."""
    return field(default=default, metadata={"choices": (default, *others)})


def number(default: float | None, **bounds: float) -> Any:
    """A number with its bounds, by the names of `_BOUNDS`."""
    return field(default=default, metadata=bounds)


_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "ge": (operator.ge, "at least"),
    "gt": (operator.gt, "greater than"),
    "le": (operator.le, "at most"),
    "lt": (operator.lt, "less than"),
}


def default_of(option: "dataclasses.Field[Any]") -> Any:
    """The default of a field; `dataclasses.MISSING` where it has none."""
    return option.default if option.default_factory is dataclasses.MISSING else option.default_factory()


Groups = Mapping[type, tuple[str, Mapping[str, type]]]
"""Base dataclass -> (the name of its group on the command line, its options by name)."""


def by_name(*options: type) -> dict[str, type]:
    """The options of a group, each by the default of its field `name`."""
    return {option.name: option for option in options}  # type: ignore[attr-defined]


@runtime_checkable
class Ruled(Protocol):
    """A dataclass with rules for several of its values together."""

    def problems(self) -> Iterator[str]:
        """A message for each combination that means nothing: both keys, why, and the way out."""


def sections(config: Any) -> Iterator[Any]:
    """A dataclass, and after it those in its fields, theirs included."""
    yield config
    for option in dataclasses.fields(config):
        value = getattr(config, option.name)
        if dataclasses.is_dataclass(value):
            yield from sections(value)


def problems(config: Any) -> Iterator[str]:
    """What the rules of a dataclass, and of those within it, say."""
    for section in sections(config):
        if isinstance(section, Ruled):
            yield from section.problems()


@dataclass(frozen=True)
class Option:
    """A key below a dataclass."""

    name: str
    """With its path, `model.attention.score.coverage`."""
    kinds: tuple[Any, ...]
    """The types of its values, null left out."""
    field: "dataclasses.Field[Any]"
    default: Any
    option: str | None
    """The option that has it, where it belongs to one of a group."""


def keys(
    kind: type, groups: Groups, prefix: str = "", option: str | None = None, section: Any = None
) -> Iterator[Option]:
    """Each key below a dataclass; those of a group's options once for each option that has it.

    `section` is the default of the field that holds the dataclass, where that field has one.
    """
    hints = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        kinds = _members(hints[entry.name])
        name = prefix + entry.name
        default = default_of(entry) if section is None else getattr(section, entry.name)
        if kinds[0] in groups:
            for one, inner in groups[kinds[0]][1].items():
                yield from keys(inner, groups, f"{name}.", one)
        elif dataclasses.is_dataclass(kinds[0]):
            given = None if default is dataclasses.MISSING else default
            yield from keys(typing.cast(type, kinds[0]), groups, f"{name}.", section=given)
        elif option is None or entry.name != "name":
            yield Option(name, kinds, entry, default, option)


def _members(hint: Any) -> tuple[Any, ...]:
    """The types of a union but for null's, or the one type."""
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(member for member in members if member is not types.NoneType)


_TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list, [a,b]",
    dict: "a group of keys, {a: b}",
}


_GUESSES = 50
"""Messages that guess what was meant, of more the others don't."""
_WHOLE = 2**63
"""Whole numbers fit into 64 bits."""


def _name(key: object) -> str:
    """A key, whatever it is, in a message."""
    return key if isinstance(key, str) and len(key) <= LONGEST_SHOWN else shown(key)


@dataclass
class SchemaReader:
    """Reads plain values; collects in `errors` a line for each that is wrong."""

    groups: Groups
    sections: Mapping[type, str]
    """Dataclasses with a name of their own on the command line, and that name."""
    errors: list[str] = field(default_factory=list)
    root: type | None = None
    """What is read as a whole: where else a misplaced key may belong."""

    def read(self, kind: type, values: Any, path: str = "") -> Any:
        """Values -> a `kind`; `path` is their key."""
        if not isinstance(values, Mapping):
            if kind in self.groups or kind in self.sections:
                group = self.groups[kind][0] if kind in self.groups else self.sections[kind]
                given = _name(values)
                self.errors.append(f"{path}={given}: an option is chosen with a slash: {group}={given}.")
                return None
            self.errors.append(f"{path or 'configuration'}: expected a group of keys, got {shown(values)}.")
            return None
        if kind in self.groups:
            group, table = self.groups[kind]
            name = values.get("name", REQUIRED)
            if not isinstance(name, str) or name not in table:
                choices, given = ", ".join(table), _name(name)
                self.errors.append(f"{group}={given}: no such option.{nearest(given, table)} Choices: {choices}.")
                return None
            kind = table[name]
        prefix = f"{path}." if path else ""
        known = {f.name: f for f in dataclasses.fields(kind)}
        self.root = self.root or kind
        self.errors += [self._unknown(prefix, key, values[key], list(known)) for key in values if key not in known]
        hints = typing.get_type_hints(kind)
        read: dict[str, Any] = {}
        for key, option in known.items():
            if key in values:
                read[key] = self._read_value(hints[key], values[key], prefix + key, option.metadata)
            elif option.default is not dataclasses.MISSING:
                read[key] = option.default
            elif option.default_factory is not dataclasses.MISSING:
                read[key] = option.default_factory()
            else:
                read[key] = self._read_value(hints[key], {}, prefix + key, option.metadata)
            if isinstance(read[key], str) and read[key] == REQUIRED:
                self.errors.append(f"{prefix}{key}: required, give {prefix}{key}=...")
        return kind(**read)

    def _unknown(self, prefix: str, key: object, value: Any, here: Sequence[str]) -> str:
        """The message about a key that is not among those `here`."""
        given = _name(key)
        while (
            isinstance(value, Mapping) and len(value) == 1 and len(given) < LONGEST_SHOWN
        ):  # a.b.c=1 where there is no a
            ((inner, value),) = value.items()
            given += f".{_name(inner)}"
        guess = self._guess(prefix, given, value, here) if len(self.errors) < _GUESSES else ""
        return f"{prefix}{given}: no such key.{guess} Keys here: {', '.join(here)}."

    def _guess(self, prefix: str, given: str, value: Any, here: Sequence[str]) -> str:
        """What was meant by a key: one of another option, one of another place, or one `here` that is like it."""
        everywhere = [] if self.root is None else list(keys(self.root, self.groups))

        def having(name: str) -> str:
            return ", ".join(key.option for key in everywhere if key.name == name and key.option)

        if others := having(prefix + given):
            return f" These options have it: {others}."
        found = nearest_name(prefix + given, [key.name for key in everywhere] + self._group_names(everywhere))
        like = nearest(given, here)
        if found is None or (like and not f".{found}".replace("/", ".").endswith(f".{given}")):
            return like
        chosen = f"={value}" if "/" in found and isinstance(value, str) else ""
        others = having(found)
        return f" Did you mean {found + chosen!r}{others and f', which {others} have'}?"

    def _group_names(self, everywhere: Sequence[Option]) -> list[str]:
        """The groups that choose between sections with these keys."""
        tops = {key.name.partition(".")[0] for key in everywhere}
        named = [*self.sections.values(), *(group for group, _ in self.groups.values())]
        return [group for group in named if group.partition("/")[0] in tops]

    def _read_value(self, hint: Any, value: Any, path: str, metadata: Mapping[str, Any]) -> Any:
        if isinstance(hint, types.UnionType):
            if value is None and types.NoneType in typing.get_args(hint):
                return None
            members = _members(hint)
            hint = next((member for member in members if typing.get_origin(member) is type(value)), members[0])
        if value is None:
            self.errors.append(f"{path}: may not be null.")
            return None
        if typing.get_origin(hint) in (list, dict):
            return self._read_collection(hint, value, path, metadata)
        if dataclasses.is_dataclass(hint):
            return self.read(typing.cast(type, hint), value, path)
        if type(value) is int and hint is not float and not -_WHOLE <= value < _WHOLE:
            self.errors.append(f"{path}: expected a number of 64 bits.")
            return None
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 2**1000 else math.inf
        if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)  # a directory called 2024 arrives as a number
        if type(value) is not hint:
            self.errors.append(f"{path}: expected {_TYPE_NAMES[hint]}, got {shown(value)}.")
            return None
        if isinstance(value, str) and "${" in value:
            self.errors.append(f"{path}: interpolations are not allowed here, got {shown(value)}.")
            return None
        if isinstance(value, str) and not _is_text(value):
            self.errors.append(f"{path}: expected text of valid Unicode and without NUL, got {shown(value)}.")
            return None
        self._check_bounds(value, path, metadata)
        return value

    def _read_collection(self, hint: Any, value: Any, path: str, metadata: Mapping[str, Any]) -> Any:
        """list[X] or dict[str, X]; the bounds are those of each X."""
        kind = typing.get_origin(hint)
        if not isinstance(value, kind):
            self.errors.append(f"{path}: expected {_TYPE_NAMES[kind]}, got {shown(value)}.")
            return None
        inner = typing.get_args(hint)[-1]
        if len(value) != metadata.get("length", len(value)):
            self.errors.append(f"{path}={shown(value)}: expected a list of {metadata['length']}.")
            return None
        if kind is list:
            return [self._read_value(inner, item, f"{path}[{n}]", metadata) for n, item in enumerate(value)]
        names = {key: self._read_value(str, key, f"{path}: a key", {}) for key in value}
        return {
            names[key]: self._read_value(inner, item, f"{path}.{_name(key)}", metadata) for key, item in value.items()
        }

    def _check_bounds(self, value: Any, path: str, metadata: Mapping[str, Any]) -> None:
        if value == REQUIRED:
            return
        if isinstance(value, float) and not math.isfinite(value):
            self.errors.append(f"{path}={value}: must be finite.")
            return
        choices = metadata.get("choices")
        if choices and value not in choices:
            given = _name(value)
            self.errors.append(
                f"{path}={given}: no such choice.{nearest(given, choices)} Choices: {', '.join(choices)}."
            )
        for bound, (holds, words) in _BOUNDS.items():
            if bound in metadata and not holds(value, metadata[bound]):
                self.errors.append(f"{path}={value}: must be {words} {metadata[bound]}.")


def _is_text(value: str) -> bool:
    """It can be a file's name, and be written."""
    try:
        return b"\0" not in value.encode("utf-8")
    except UnicodeEncodeError:
        return False
