"""Reads translations and their references, in every format of training."""

from collections.abc import Sequence

from seq2seq.cli.reading import SOURCE, TARGET, RowLayout, expect_record, is_jsonl
from seq2seq.config import several
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.metrics import Reference


def read_test_set(
    source: str, reference: str | list[str] | None, layout: RowLayout
) -> tuple[list[str], Sequence[Reference]]:
    """Read source lines and their references; without references, `source` is a corpus as in training."""
    if reference is not None and reference != source:
        (sources,), references = read_references([source], reference, layout, SOURCE)
        return sources, references
    if source == "-":
        raise DataError("both inputs are stdin (-); give a file for one")
    pairs = list(layout.pairs(source, reference))
    if not pairs:
        raise DataError(f"{source}: no lines to score")
    return [left for left, _ in pairs], [right for _, right in pairs]


def read_references(
    names: Sequence[str], reference: str | list[str], layout: RowLayout, side: int
) -> tuple[list[list[str]], list[Reference]]:
    """Read the lines of files, and their references. Raises DataError unless all have the same number of lines.

    `side` selects the column of files that are tables.
    """
    if not (alternatives := several(reference)):
        raise ConfigError("reference=[]: expected a file, or several, [a,b], that are alternatives")
    if [*names, *alternatives].count("-") > 1:
        raise DataError("both inputs are stdin (-); give a file for one")
    texts = [list(layout.lines(name, TARGET)) for name in alternatives]
    files = [list(layout.lines(name, side)) for name in names]
    if side == TARGET:
        files = [_translations(name, lines) for name, lines in zip(names, files, strict=True)]
    for name, lines in zip([*names, *alternatives], [*files, *texts], strict=True):
        if len(lines) != len(texts[0]):
            raise DataError(
                f"{name} has {len(lines)} lines and {alternatives[0]} has {len(texts[0])}; expected as many"
            )
        if not lines:
            raise DataError(f"{name}: no lines to score")
    return files, [*(texts[0] if len(texts) == 1 else zip(*texts, strict=True))]


def _translations(name: str, lines: list[str]) -> list[str]:
    """Return the translations if these are lines of `translate output_format=jsonl`, or else the lines."""
    if not is_jsonl(lines):
        return lines
    records = [expect_record(line, f"{name}:{number}") for number, line in enumerate(lines, 1)]
    return [str(record.get("translation", "")) for record in records]
