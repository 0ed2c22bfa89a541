"""Write docs/options.md: every key, group and old word, from the dataclasses of seq2seq/config/."""

from collections.abc import Callable, Iterator
from pathlib import Path

from seq2seq.cli.help import explanation, purpose, shown_default
from seq2seq.cli.names import SETTINGS, command_keys, group_kind, groups
from seq2seq.config import COMMANDS, REMOVED, RENAMED, Option

PAGE = Path(__file__).parent.parent / "docs/options.md"
SECTIONS = {
    "data": "the corpora and their sub-words",
    "model": "the encoder-decoder",
    "training": "the training loop",
    "decoding": "how translations are found",
}


def page() -> str:
    """The whole page."""
    lines = [
        "# Options",
        "",
        "`python scripts/options.py` writes this page from `seq2seq/config/`. Set a key with `key=value` and choose an",
        "option of a group with `group=option`. `seq2seq COMMAND --help` lists the keys of a command, and",
        "`seq2seq COMMAND --help KEY` explains one.",
        "",
    ]
    for command in COMMANDS:
        lines += [f"## seq2seq {command}", "", purpose(command), ""]
        tops = list(dict.fromkeys(_section(key) for key in command_keys(command)))
        places = [f"[`{section}.*`](#{section})" for section in tops if section]
        places += [f"the group `{SETTINGS[command]}`"] if command in SETTINGS else []
        if places:
            lines += [f"Also takes {', '.join(places)}.", ""]
        lines += [*_keys(command, lambda key: not _section(key)), ""]
    for section, title in SECTIONS.items():
        lines += [f"## {section}", "", f"Keys of {title}.", ""]
        lines += [*_keys("train", lambda key, section=section: _section(key) == section), ""]
    return "\n".join([*lines, *_groups(), *_old_words(), ""])


def _section(key: Option) -> str:
    """The section that explains a key; empty for a key that only its command has."""
    top = key.name.partition(".")[0]
    return top if top in SECTIONS and key.owner in {other.owner for other in command_keys("train")} else ""


def _keys(command: str, wanted: Callable[[Option], bool]) -> Iterator[str]:
    yield from ("| key | default | meaning |", "|---|---|---|")
    rows: dict[str, list[str]] = {}
    for key in command_keys(command):
        if wanted(key):
            rows.setdefault(key.name, [])
            if key.option and key.option not in rows[key.name]:
                rows[key.name].append(key.option)
    for name, having in rows.items():
        key, *others = (key for key in command_keys(command) if key.name == name)
        defaults = " or ".join(f"`{default}`" for default in dict.fromkeys(map(shown_default, (key, *others))))
        choices = key.field.metadata.get("choices", ())
        only = f" (of {', '.join(having)})" if having and having != ["recurrent"] else ""
        words = f" Choices: {', '.join(f'`{word}`' for word in choices)}." if choices else ""
        yield f"| `{name}`{only} | {defaults} | {_cell(key.help)}{words} |"


def _groups() -> Iterator[str]:
    yield from ("## Groups", "", "| group | option | meaning |", "|---|---|---|")
    for group, options in groups("train").items():
        if (kind := group_kind("train", group)) is not None:
            yield f"| `{group}` | {'' if options else 'a preset'} | {_cell(explanation(kind))} |"
        for name, option in options.items():
            yield f"| | `{name}` | {_cell(explanation(option))} |"


def _old_words() -> Iterator[str]:
    yield from ("", "## Old words", "", "Words of earlier versions are still understood.", "")
    yield from ("| old | today |", "|---|---|")
    for old, today in RENAMED.items():
        yield f"| `{old}` | {', '.join(f'`{name}`' for name in today)} |"
    for old in REMOVED:
        yield f"| `{old}` | no longer has any effect |"


def _cell(text: str) -> str:
    """Text that Markdown shows as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page())
