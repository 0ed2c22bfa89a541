"""The report as text."""

from collections.abc import Iterator, Sequence
from typing import Any

Report = dict[str, Any]

_GIGA = 1e9


def text(report: Report) -> str:
    """All tables that the report has something for."""
    return "\n\n".join("\n".join(block) for block in _blocks(report))


def _blocks(report: Report) -> Iterator[list[str]]:
    yield [f"{key}: {value}" for key, value in report["machine"].items() if value is not None]
    if "model" in report:
        yield _model(report)
    if report.get("training") or report.get("memory"):
        yield _training(report)
    if report.get("training"):
        yield _times(report["training"])
    if "decoding" in report:
        yield _decoding(report)
    if "startup" in report:
        yield [f"start-up of translate to the first translation: {report['startup']['seconds']:.2f} s"]
    if report.get("ratios"):
        rows = [(r["what"], r["ours"], r["peer"], f"{r['ratio']:.2f}") for r in report["ratios"]]
        yield aligned(("ratio", "ours", "against", "times better"), rows)
    for name in dict.fromkeys(row["table"] for row in report.get("growth", ())):
        yield _growth(name, [row for row in report["growth"] if row["table"] == name])


def _model(report: Report) -> list[str]:
    data, model, rates = report["data"], report["model"], report["machine_rates"]
    pairs, million = data["pairs"], 1e6
    return [
        f"data: {data['name']}, {pairs:,} pairs of {data['source_tokens'] / pairs:.1f} and "
        f"{data['target_tokens'] / pairs:.1f} tokens, vocabularies of {data['source_vocabulary']:,} and "
        f"{data['target_vocabulary']:,}",
        f"model: {model['parameters']:,} parameters; products of "
        f"{model['forward_operations_per_target_token'] / million:.1f} million operations forward a target token, "
        f"{model['training_operations_per_target_token'] / million:.1f} in training",
        f"this machine, at the model's own products: fp32 {rates['fp32_flops'] / _GIGA:.0f}, bf16 "
        f"{rates['bf16_flops'] / _GIGA:.0f} GFLOP/s; copies {rates['copy_bytes_per_second'] / _GIGA:.1f} GB/s",
    ]


def _training(report: Report) -> list[str]:
    peaks = report.get("memory", {})
    rows = [
        (
            f"ours {row['precision']}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['sentences_per_second']:,.1f}",
            _percent(row["share_of_product_rate"]),
            _megabytes(peaks.get(row["precision"])),
        )
        for row in report["training"]
    ]
    if not rows:
        rows = [(f"ours {precision}", "", "", "", _megabytes(peak)) for precision, peak in peaks.items()]
    rows += [
        (
            row["peer"],
            f"{row['tokens_per_second']:,.0f}",
            f"{row['sentences_per_second']:,.1f}",
            "",
            _megabytes(row["peak_memory_mb"]),
        )
        for row in report["peers_training"]
    ]
    return aligned(("training", "target tokens/s", "sentences/s", "of the product rate", "peak MiB"), rows)


def _times(training: Sequence[Report]) -> list[str]:
    kinds = list(dict.fromkeys(kind for row in training for kind in row["time"]))
    rows = [(kind, *(f"{row['time'].get(kind, 0):.0%}" for row in training)) for kind in kinds]
    return aligned(("training time in", *(row["precision"] for row in training)), rows)


def _decoding(report: Report) -> list[str]:
    length = report["forced_length"]
    title = "decoding, as the model ends" if length is None else f"decoding, {length} tokens each"
    named = [("ours " + row["precision"], row) for row in report["decoding"]]
    named += [(row["peer"], row) for row in report["peers_decoding"]]
    named.sort(key=lambda item: (item[1]["beam"], item[1]["batch"]))
    rows = [
        (
            name,
            str(row["beam"]),
            str(row["batch"]),
            f"{row['sentences_per_second']:,.1f}",
            f"{row['tokens_per_second']:,.0f}",
            _percent(row.get("share_of_product_rate")),
            "" if row["bleu"] is None or length is not None else f"{row['bleu']:.2f}",
        )
        for name, row in named
    ]
    return aligned((title, "beam", "batch", "sentences/s", "tokens/s", "of the product rate", "BLEU"), rows)


def _growth(name: str, rows: Sequence[Report]) -> list[str]:
    header = (f"by {name}", "window", "training tokens/s", "peak MiB", "decoding tokens/s", "sentences/s")
    return aligned(
        header,
        [
            (
                f"{row['value']:,}",
                row["window"],
                f"{row['training_tokens_per_second']:,.0f}" if "training_tokens_per_second" in row else "",
                _megabytes(row.get("training_peak_memory_mb")),
                f"{row['decoding_tokens_per_second']:,.0f}",
                f"{row['decoding_sentences_per_second']:,.1f}",
            )
            for row in rows
        ],
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _megabytes(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) if number else cell.ljust(width) for number, (cell, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=True)) for line in (header, *rows))
    ]
