"""`seq2seq contrast`: counts how often a model prefers the right translation to wrong ones (Müller 2018)."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from seq2seq.cli.files import check_output, input_lines, output_stream, progress
from seq2seq.cli.reading import check_context, score_all
from seq2seq.config import ContrastConfig
from seq2seq.errors import DataError
from seq2seq.inference.forced_scores import SentencePair
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translation import choose_contexts
from seq2seq.text.json_io import parse_json


@dataclass(frozen=True)
class Item:
    """A source in context, its right translation, and wrong ones."""

    source: str
    targets: list[str]
    """The right one first"""
    context: tuple[str, ...]
    group: str
    """Value of the key that results are given by"""


def run(config: ContrastConfig) -> int:
    """Print the share of items whose right translation has the highest log-probability, in all and by group."""
    check_output(config.output, [config.input])
    items = list(read_items(config.input, config.by))
    if not items:
        raise DataError(f"{config.input}: no items to score")
    translator = load_translator(config.checkpoint, config.device)
    check_context(config.context, translator, config.checkpoint)
    contexts = choose_contexts([item.context for item in items], config.context)
    pairs = [
        SentencePair(item.source, target, context=context)
        for item, context in zip(items, contexts, strict=True)
        for target in item.targets
    ]
    with progress(len(pairs)) as advance:
        scored = score_all(translator, pairs, config.batch_size, config.precision, advance=advance)
        chosen = [_is_right([next(scored).score for _ in item.targets]) for item in items]
    groups: dict[str, list[bool]] = {"all": chosen}
    for item, right in zip(items, chosen, strict=True):
        if config.by is not None:
            groups.setdefault(f"{config.by}={item.group}", []).append(right)
    with output_stream(config.output) as output:
        show(groups, config.output_format, output)
    return 0


def _is_right(scores: list[float]) -> bool:
    right, *wrong = scores
    return right > max(wrong)


def read_items(name: str, by: str | None) -> Iterator[Item]:
    """Read the items of a file. Raises DataError for a line that is none."""
    for number, line in enumerate(input_lines(name), 1):
        try:
            value = parse_json(line)
            source, target, wrong = (value[key] for key in ("source", "target", "wrong"))
            context = value.get("context", [])
            lists = isinstance(wrong, list) and isinstance(context, list)  # a string would be a list of characters
            if not (lists and wrong and all(isinstance(text, str) for text in (source, target, *wrong, *context))):
                raise ValueError("`wrong` or `context` is no list, `wrong` is empty, or something is not text")
            yield Item(source, [target, *wrong], tuple(context), str(value[by]) if by is not None else "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{name}:{number}: expected an object with `source`, `target`, `wrong` (a list), maybe `context` (a "
                f"list){'' if by is None else f' and `{by}` (by={by})'} ({type(error).__name__}: {error})"
            ) from error


def _in_order(name: str) -> list[int | str]:
    """Return a key that sorts numbers by their value."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name))]


def show(groups: dict[str, list[bool]], output_format: str, output: TextIO) -> None:
    """Print the share of right choices and the number of items of each group, the smallest value first."""
    ordered = {name: groups[name] for name in ["all", *sorted(groups.keys() - {"all"}, key=_in_order)]}
    shares = {name: 100 * sum(chosen) / max(len(chosen), 1) for name, chosen in ordered.items()}
    if output_format == "json":
        print(
            json.dumps({name: {"right": share, "items": len(groups[name])} for name, share in shares.items()}),
            file=output,
        )
        return
    print("                      right    items", file=output)
    for name, share in shares.items():
        print(f"{name:<20} {share:5.1f} % {len(groups[name]):8,}", file=output)
