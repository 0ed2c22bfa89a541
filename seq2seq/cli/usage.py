"""Help: every command, every key with its default and choices, every option of every axis."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any

from seq2seq.config import COMMANDS, GROUPS
from seq2seq.schema import REQUIRED, default_of

_PURPOSE = {
    "train": "raw parallel text to a model; started again, it goes on",
    "translate": "a checkpoint and source text to translations",
    "evaluate": "a checkpoint, source and reference to BLEU, chrF and TER, and a report",
    "bleu": "translations and reference to BLEU, chrF and TER",
    "score": "source and target to log-probabilities, by forced decoding",
    "align": "source and target to word alignments, and their AER against gold ones",
    "plot": "attention matrices as pictures, or in the terminal",
    "shortlist": "a checkpoint and aligned text to the pieces that its translations may use",
    "average": "checkpoints of one training to one that has the mean of their weights",
    "compare": "finished runs, or a grid of variants x seeds that it trains, in one table",
    "benchmark": "the speed of training and decoding beside the machine's, and beside other toolkits'",
}
_EXAMPLES = {
    "train": "data.train=corpus/train data.valid=corpus/valid data.source_lang=en data.target_lang=de",
    "translate": "checkpoint=runs/NAME/best input=source.txt output=translations.txt",
    "evaluate": "checkpoint=runs/NAME/best source=test.en reference=test.de",
    "bleu": "hypothesis=translations.txt reference=test.de target_lang=de",
    "score": "checkpoint=runs/NAME/best source=test.en target=test.de",
    "align": "checkpoint=runs/NAME/best source=test.en target=test.de gold=test.align",
    "plot": "checkpoint=runs/NAME/best input=source.txt output=pictures",
    "shortlist": "checkpoint=runs/NAME/best candidates=100",
    "average": "run_dir=runs/NAME output=runs/NAME/average",
    "compare": "runs=[runs/one,runs/other] source=test.en reference=test.de gold=test.align",
    "benchmark": "experiment=benchmark/model_a threads=1 cpu=0",
}


def overview() -> str:
    """What `seq2seq --help` prints."""
    rows = [f"  {name:10} {text}" for name, text in _PURPOSE.items()]
    return "\n".join(
        ["usage: seq2seq COMMAND [key=value ...]", "", *rows, "", "seq2seq COMMAND --help lists its keys."]
    )


def of_command(command: str) -> str:
    """What `seq2seq COMMAND --help` prints."""
    lines = [f"usage: seq2seq {command} [group=option ...] [key=value ...]", "", f"  {_PURPOSE[command]}", ""]
    lines += [f"example: seq2seq {command} {_EXAMPLES[command]}", ""]
    if command in ("train", "benchmark"):
        lines += ["Groups (choose with group=option):", *_groups(), ""]
    if command == "compare":
        lines += ["Groups (choose with group=option):", f"  comparison: {', '.join(_files('comparison'))}", ""]
    lines += ["Keys (set with key=value), their defaults and choices:", *_keys(COMMANDS[command], "")]
    return "\n".join(lines)


def _files(group: str) -> list[str]:
    from seq2seq.cli.compose import options  # Hydra is slow to import, and only this needs it

    return options(group)


def _groups() -> Iterator[str]:
    for group in ("experiment", "model/attention"):
        yield f"  {group}: {', '.join(_files(group))}"
    for group, table in GROUPS.values():
        yield f"  {group}: {', '.join(table)}"
        for name, option in table.items():
            for extra in dataclasses.fields(option):
                if extra.name != "name":
                    yield f"      {name}: {group.replace('/', '.')}.{extra.name}={_shown(extra, default_of(extra))}"


def _keys(kind: type, prefix: str, section: Any = None) -> Iterator[str]:
    """The keys of a dataclass; `section` is the default of the field that holds it, where that field has one."""
    hints = typing.get_type_hints(kind)
    for option in dataclasses.fields(kind):
        hint = hints[option.name]
        if isinstance(hint, types.UnionType):
            hint = typing.get_args(hint)[0]
        if hint in GROUPS:
            continue
        default = default_of(option) if section is None else getattr(section, option.name)
        if dataclasses.is_dataclass(hint):
            given = None if default is dataclasses.MISSING else default
            yield from _keys(typing.cast(type, hint), f"{prefix}{option.name}.", given)
        else:
            yield f"  {prefix}{option.name}={_shown(option, default)}"


def _shown(option: "dataclasses.Field[Any]", default: Any) -> str:
    choices = option.metadata.get("choices")
    default = "(required)" if default == REQUIRED else default
    default = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
    return f"{default}" + (f"   ({' | '.join(choices)})" if choices else "")
