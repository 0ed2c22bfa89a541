"""The report as text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Report = dict[str, Any]
Columns = Mapping[str, tuple[str, str]]
"""Header -> the key in a row, and the format of its value."""

_GIGA, _MILLION = 1e9, 1e6
_INTEGER, _TENTHS, _PERCENT = "{:,.0f}", "{:,.1f}", "{:.0%}"
_TRAINING = {
    "target tokens/s": ("tokens_per_second", _INTEGER),
    "sentences/s": ("sentences_per_second", _TENTHS),
    "of the product rate": ("share_of_product_rate", _PERCENT),
    "peak MiB": ("peak_memory_mb", _INTEGER),
}
_DECODING = {
    "beam": ("beam", "{}"),
    "batch": ("batch", "{}"),
    "sentences/s": ("sentences_per_second", _TENTHS),
    "tokens/s": ("tokens_per_second", _INTEGER),
    "of the product rate": ("share_of_product_rate", _PERCENT),
    "BLEU": ("bleu", "{:.2f}"),
}
_QUALITY = {
    "minutes": ("minutes", _TENTHS),
    "updates": ("updates", _INTEGER),
    "target tokens": ("tokens", _INTEGER),
    "kJ": ("kilojoules", _TENTHS),
    "score": ("score", "{:.2f}"),
}
_RATIOS = {"ours": ("ours", "{}"), "peer": ("peer", "{}"), "times better": ("ratio", "{:.2f}")}
_GROWTH = {
    "window": ("window", "{}"),
    "training tokens/s": ("training_tokens_per_second", _INTEGER),
    "peak MiB": ("training_peak_memory_mb", _INTEGER),
    "decoding tokens/s": ("decoding_tokens_per_second", _INTEGER),
    "sentences/s": ("decoding_sentences_per_second", _TENTHS),
}


def text(report: Report) -> str:
    """All tables for which the report has values."""
    return "\n\n".join("\n".join(block) for block in _blocks(report))


def _blocks(report: Report) -> Iterator[list[str]]:
    yield [f"{key}: {value}" for key, value in report["machine"].items() if value is not None]
    if "model" in report:
        yield _model(report)
    trained = {row["precision"]: row for row in report.get("training", ())}
    peaks = report.get("memory", {})
    if trained or peaks:
        ours = [(f"ours {p}", {**trained.get(p, {}), "peak_memory_mb": peaks.get(p)}) for p in {**trained, **peaks}]
        yield _table("training", _TRAINING, [*ours, *((row["peer"], row) for row in report["peers_training"])])
    if trained:
        kinds = dict.fromkeys(kind for row in trained.values() for kind in row["time"])
        shares = [(kind, {p: row["time"].get(kind, 0) for p, row in trained.items()}) for kind in kinds]
        yield _table("training time in", {precision: (precision, _PERCENT) for precision in trained}, shares)
    if "decoding" in report:
        yield _decoding(report)
    if "startup" in report:
        yield [f"from the start of translate to its first translation: {report['startup']['seconds']:.2f} s"]
    if "quality" in report:
        rows = [(f"{row['metric']} {row['goal']:g}", row) for row in report["quality"]]
        yield _table("from raw text to", _QUALITY, rows)
    if report.get("ratios"):
        yield _table("ratio", _RATIOS, [(row["what"], row) for row in report["ratios"]])
    for name in dict.fromkeys(row["table"] for row in report.get("growth", ())):
        rows = [(f"{row['value']:,}", row) for row in report["growth"] if row["table"] == name]
        yield _table(f"by {name}", _GROWTH, rows)


def _model(report: Report) -> list[str]:
    data, model, rates = report["data"], report["model"], report["machine_rates"]
    pairs = data["pairs"]
    return [
        f"data: {data['name']}, {pairs:,} pairs with {data['source_tokens'] / pairs:.1f} source and "
        f"{data['target_tokens'] / pairs:.1f} target tokens on average, vocabularies of {data['source_vocabulary']:,} "
        f"and {data['target_vocabulary']:,}",
        f"model: {model['parameters']:,} parameters; matrix products of "
        f"{model['forward_operations_per_target_token'] / _MILLION:.1f} million operations per target token in the "
        f"forward pass, {model['training_operations_per_target_token'] / _MILLION:.1f} in training",
        f"this machine, at the model's own shapes: {rates['fp32_flops'] / _GIGA:.0f} GFLOP/s in fp32, "
        f"{rates['bf16_flops'] / _GIGA:.0f} in bf16; copies {rates['copy_bytes_per_second'] / _GIGA:.1f} GB/s",
    ]


def _decoding(report: Report) -> list[str]:
    length = report["forced_length"]
    title = "decoding, ended by the model" if length is None else f"decoding, {length} tokens each"
    rows = [(f"ours {row['precision']}", row) for row in report["decoding"]]
    rows += [(row["peer"], row) for row in report["peers_decoding"]]
    rows = [(name, {**row, "bleu": row["bleu"] if length is None else None}) for name, row in rows]
    return _table(title, _DECODING, sorted(rows, key=lambda row: (row[1]["beam"], row[1]["batch"])))


def _table(title: str, columns: Columns, rows: Sequence[tuple[str, Report]]) -> list[str]:
    """A table of named rows; a missing value leaves its cell empty."""
    cells = [
        (name, *("" if row.get(key) is None else form.format(row[key]) for key, form in columns.values()))
        for name, row in rows
    ]
    return aligned((title, *columns), cells)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns: the first flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) if number else cell.ljust(width) for number, (cell, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=True)) for line in (header, *rows))
    ]
