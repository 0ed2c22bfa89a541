"""Help: every command, every key with its default and choices, every option of every axis."""

from collections.abc import Iterator

from seq2seq.cli.names import command_keys, groups, options
from seq2seq.config import GROUPS, REQUIRED, Option

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


def of_command(command: str, own: str | None = None) -> str:
    """What `seq2seq COMMAND --help` prints; `own` is a directory of --config-dir."""
    lines = [f"usage: seq2seq {command} [group=option ...] [key=value ...]", "", f"  {_PURPOSE[command]}", ""]
    lines += [f"example: seq2seq {command} {_EXAMPLES[command]}", ""]
    if groups(command):
        lines += ["Groups (choose with group=option):", *_groups(command, own), ""]
    lines.append("Keys (set with key=value), their defaults and choices:")
    lines += [f"  {key.name}={_shown(key)}" for key in command_keys(command) if not key.option]
    return "\n".join(lines)


def _groups(command: str, own: str | None) -> Iterator[str]:
    with_keys = [key for key in command_keys(command) if key.option]
    for group in groups(command):
        yield f"  {group}: {', '.join(options(group, own))}"
        for key in with_keys:
            if group in dict(GROUPS.values()) and key.name.startswith(f"{group.replace('/', '.')}."):
                yield f"      {key.option}: {key.name}={_shown(key)}"


def _shown(key: Option) -> str:
    choices = key.field.metadata.get("choices")
    default = "(required)" if key.default == REQUIRED else key.default
    default = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
    return f"{default}" + (f"   ({' | '.join(choices)})" if choices else "")
