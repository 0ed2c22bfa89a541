"""Options as typed fields of dataclasses, their rules, and the reader of plain values. It knows no option by name."""

import ast
import dataclasses
import functools
import inspect
import itertools
import math
import operator
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seq2seq.errors import LONGEST_SHOWN, nearest, nearest_name, shown

REQUIRED = "???"
"""Mark of a value that the user has to give; OmegaConf uses the same."""


_type_hints = functools.cache(typing.get_type_hints)


def choice(default: str, *others: str) -> Any:
    """Declare a choice between words; the first is the default."""
    return field(default=default, metadata={"choices": (default, *others)})


def number(default: float | None, **bounds: float) -> Any:
    """Declare a number with bounds, named as in `_BOUNDS`."""
    return field(default=default, metadata=bounds)


_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "ge": (operator.ge, "at least"),
    "gt": (operator.gt, "greater than"),
    "le": (operator.le, "at most"),
    "lt": (operator.lt, "less than"),
}


def default_of(option: "dataclasses.Field[Any]") -> Any:
    """Return the default of a field, or `dataclasses.MISSING`."""
    return option.default if option.default_factory is dataclasses.MISSING else option.default_factory()


Groups = Mapping[type, Mapping[str, type]]
"""Base dataclass -> its options by name. The options of a base without a table are presets: files under configs/."""


@dataclass
class Named:
    """An option that is chosen by its name."""

    name: str = REQUIRED


def by_name(*options: type[Named]) -> dict[str, type]:
    """Index the options of a group by the default of their field `name`."""
    return {option.name: option for option in options}


def sections(config: Any) -> Iterator[Any]:
    """Yield a dataclass and every dataclass below it."""
    yield config
    for option in dataclasses.fields(config):
        value = getattr(config, option.name)
        if dataclasses.is_dataclass(value):
            yield from sections(value)


def problems(config: Any) -> Iterator[str]:
    """Yield what the rules of a dataclass, and of every dataclass below it, object to.

    A dataclass with rules about several of its values has a method `problems`, which yields an error for each
    combination that means nothing: both keys, the reason and the way out.
    """
    for section in sections(config):
        if hasattr(section, "problems"):
            yield from section.problems()


@dataclass(frozen=True)
class Option:
    """A key below a dataclass."""

    name: str
    """Full key, `model.attention.score.coverage`."""
    kinds: tuple[Any, ...]
    """Types that its values may have, null left out."""
    field: "dataclasses.Field[Any]"
    default: Any
    owner: type
    """Dataclass that declares the field."""
    option: str | None
    """Name of the group's option that has this key; None for a key that is always there."""

    @property
    def help(self) -> str:
        """Explanation of the key: the docstring after its field, on one line."""
        bases, name = self.owner.__mro__[:-1], self.field.name
        texts = (_attribute_docstrings(base.__module__).get((base.__name__, name)) for base in bases)
        return next(filter(None, texts), "")


@dataclass(frozen=True)
class Group:
    """A choice that one word makes, GROUP=OPTION."""

    path: str
    """Place of its field, `model/attention/score`."""
    kind: type
    options: Mapping[str, type]
    """Options by name; empty where they are presets."""


def entries(
    kind: type, tables: Groups, prefix: str = "", option: str | None = None, section: Any = None
) -> Iterator[Option | Group]:
    """Yield each group and key below a dataclass; a group's keys once for each of its options that has them.

    `option` names the option of a group that the dataclass belongs to, `section` is the default of the field that
    holds it, where they have one.
    """
    hints = _type_hints(kind)
    for entry in dataclasses.fields(kind):
        kinds = _members(hints[entry.name])
        inner, name = typing.cast(type, kinds[0]), prefix + entry.name
        default = default_of(entry) if section is None else getattr(section, entry.name)
        if inner in tables:
            yield Group(name.replace(".", "/"), inner, tables[inner])
        if tables.get(inner):
            for word, row in tables[inner].items():
                yield from entries(row, tables, f"{name}.", word)
        elif dataclasses.is_dataclass(inner):
            given = None if default is dataclasses.MISSING else default
            yield from entries(inner, tables, f"{name}.", option, given)
        elif option is None or entry.name != "name":
            yield Option(name, kinds, entry, default, kind, option)


def options_around(name: str, groups: Mapping[str, Mapping[str, type]]) -> Mapping[str, type]:
    """Return the options of the innermost group around a key, by paths of groups; empty without one."""
    path = name.replace(".", "/")
    while path := path.rpartition("/")[0]:
        if table := groups.get(path):
            return table
    return {}


@functools.cache
def _attribute_docstrings(module: str) -> dict[tuple[str, str], str]:
    """Map (class, field) to the string after the field, for all classes of a module."""
    texts = {}
    for definition in ast.parse(inspect.getsource(sys.modules[module])).body:
        for entry, after in itertools.pairwise(getattr(definition, "body", ())):
            match definition, entry, after:
                case ast.ClassDef(), ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                    texts[definition.name, name] = " ".join(text.split())
    return texts


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union without null's, or the one type."""
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
"""Number of messages that guess what was meant; later ones don't."""
_WHOLE = 2**63
"""Bound of whole numbers: 64 bits."""


def _name(key: object) -> str:
    """Show a key in a message, whatever it is."""
    return key if isinstance(key, str) and len(key) <= LONGEST_SHOWN else shown(key)


@dataclass
class SchemaReader:
    """Reads plain values into dataclasses and collects an error for each value that is wrong."""

    root: type
    """What is read as a whole: where else a misplaced key may belong."""
    tables: Groups
    prefix: str = ""
    """What the user writes before every key."""
    errors: list[str] = field(default_factory=list)

    def read(self, values: Any) -> Any:
        """Read plain values into a `root`; the result is of no use when there are `errors`."""
        return self._read(self.root, values, self.prefix.removesuffix("."))

    def _read(self, kind: type, values: Any, path: str) -> Any:
        """Read values into a `kind`; `path` is their key."""
        group = path.replace(".", "/")
        if not isinstance(values, Mapping):
            given = _name(values)
            if kind in self.tables:
                self.errors.append(f"{path}={given}: an option is chosen with a slash: {group}={given}.")
            else:
                self.errors.append(f"{path or 'configuration'}: expected a group of keys, got {shown(values)}.")
            return None
        if table := self.tables.get(kind):
            name = values.get("name", REQUIRED)
            if not isinstance(name, str) or name not in table:
                choices, given = ", ".join(table), _name(name)
                self.errors.append(f"{group}={given}: no such option.{nearest(given, table)} Choices: {choices}.")
                return None
            kind = table[name]
        prefix = f"{path}." if path else ""
        known = {option.name: option for option in dataclasses.fields(kind)}
        self.errors += [self._unknown(prefix, key, values[key], list(known)) for key in values if key not in known]
        hints = _type_hints(kind)
        read: dict[str, Any] = {}
        for key, option in known.items():
            default = default_of(option)
            if key in values or default is dataclasses.MISSING:
                read[key] = self._read_value(hints[key], values.get(key, {}), prefix + key, option.metadata)
            else:
                read[key] = default
            if isinstance(read[key], str) and read[key] == REQUIRED:
                self.errors.append(f"{prefix}{key}: required, give {prefix}{key}=...")
        return kind(**read)

    def _unknown(self, prefix: str, key: object, value: Any, here: Sequence[str]) -> str:
        """Write the message about a key that is not among those `here`."""
        given = _name(key)
        while isinstance(value, Mapping) and len(value) == 1 and len(given) < LONGEST_SHOWN:  # a.b.c=1 without any a
            ((inner, value),) = value.items()
            given += f".{_name(inner)}"
        guess = self._guess(prefix, given, value, here) if len(self.errors) < _GUESSES else ""
        return f"{prefix}{given}: no such key.{guess} Keys here: {', '.join(here)}."

    def _guess(self, prefix: str, given: str, value: Any, here: Sequence[str]) -> str:
        """Guess which key was meant: one of another option, of another place, or one `here` that looks like it."""
        everywhere = list(entries(self.root, self.tables, self.prefix))
        options = [entry for entry in everywhere if isinstance(entry, Option)]
        paths = {entry.path: entry.options for entry in everywhere if isinstance(entry, Group)}

        def having(name: str) -> str:
            some = dict.fromkeys(key.option for key in options if key.name == name and key.option)
            table = options_around(name, paths)
            return ", ".join(some) if len(some) < len(table) else ""

        if others := having(prefix + given):
            return f" These options have it: {others}."
        meant = nearest_name(prefix + given, [key.name for key in options] + list(paths))
        like = nearest(given, here)
        if meant is None or (like and not f".{meant}".replace("/", ".").endswith(f".{given}")):
            return like
        chosen = f"={value}" if "/" in meant and isinstance(value, str) else ""
        others = having(meant)
        has = "have" if ", " in others else "has"
        return f" Did you mean {meant + chosen!r}{others and f', which {others} {has}'}?"

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
            return self._read(typing.cast(type, hint), value, path)
        if type(value) is int and hint is not float and not -_WHOLE <= value < _WHOLE:
            self.errors.append(f"{path}: expected a number of 64 bits.")
            return None
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 2**1000 else math.inf
        if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)  # a directory called 2024 arrives as a number
        if type(value) is not hint:
            word = hint is str and isinstance(value, bool)  # YAML's no, off, yes and on
            way_out = ' Put a word such as no into quotes, "no".' if word else ""
            self.errors.append(f"{path}: expected {_TYPE_NAMES[hint]}, got {shown(value)}.{way_out}")
            return None
        if isinstance(value, str) and "${" in value:
            self.errors.append(f"{path}: interpolations are not allowed here, got {shown(value)}.")
            return None
        if isinstance(value, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            self.errors.append(f"{path}: expected text of valid Unicode and without NUL, got {shown(value)}.")
            return None
        self._check_bounds(value, path, metadata)
        return value

    def _read_collection(self, hint: Any, value: Any, path: str, metadata: Mapping[str, Any]) -> Any:
        """Read a list[X] or dict[str, X]; the bounds hold for each X."""
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
