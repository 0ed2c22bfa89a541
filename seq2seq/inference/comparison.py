"""Measured models side by side: a row for each variant, over its seeds, with significance against a baseline."""

import csv
import io
import re
import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.inference.significance import TESTS, Significance, against_baseline


@dataclass(frozen=True)
class Measured:
    """A cell: one variant trained with one seed, and what it does on the test set."""

    label: str
    seed: int
    bleu: float
    chrf: float
    ter: float
    aer: float | None
    """None without gold alignments, or without attention."""
    parameters: int
    updates: int
    training_tokens_per_second: float | None
    """Real target tokens; like the next but one, None where the run did not measure it."""
    decoding_sentences_per_second: float
    peak_memory_mb: float | None
    """Of training."""
    signatures: dict[str, str]
    machine: str
    """What it was measured on: device, threads, versions."""
    translations: list[str]


@dataclass(frozen=True)
class Failed:
    """A cell that could not be measured, and why."""

    label: str
    seed: int
    message: str
    yours: bool
    """It is the user's mistake."""


@dataclass(frozen=True)
class Spread:
    """Over the seeds."""

    mean: float
    deviation: float | None
    """The sample standard deviation; None for one seed."""

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Spread | None":
        """None where a value is missing."""
        there = [value for value in values if value is not None]
        if not there or len(there) < len(values):
            return None
        return cls(statistics.fmean(there), statistics.stdev(there) if len(there) > 1 else None)


COLUMNS = {
    "bleu": ("BLEU", "{:.2f}"),
    "chrf": ("chrF", "{:.2f}"),
    "ter": ("TER", "{:.2f}"),
    "aer": ("AER", "{:.3f}"),
    "parameters": ("parameters", "{:,.0f}"),
    "training_tokens_per_second": ("training tokens/s", "{:,.0f}"),
    "decoding_sentences_per_second": ("decoded sentences/s", "{:,.1f}"),
    "peak_memory_mb": ("peak memory, MiB", "{:,.0f}"),
}
"""What is measured: its title and its format."""
_WITH_SPREAD = ("bleu", "chrf", "ter", "aer")
"""In the Markdown table; the other files have it for all."""


@dataclass(frozen=True)
class Row:
    """A variant."""

    label: str
    seeds: list[int]
    values: dict[str, Spread | None]
    p_values: dict[str, dict[str, float]]
    """The largest over the seeds, of each metric by test; empty for the baseline and where it can't be had."""


@dataclass(frozen=True)
class Comparison:
    """The whole table."""

    baseline: str
    rows: list[Row]
    failed: list[Failed]
    signatures: dict[str, str]
    """Of the scores and the tests, each with its title."""
    conditions: list[str]
    """How and on what it was measured."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as comparison.json has them."""
        return {
            "baseline": self.baseline,
            "conditions": self.conditions,
            "rows": [
                {
                    "label": row.label,
                    "seeds": row.seeds,
                    **{key: spread and vars(spread) for key, spread in row.values.items()},
                    "p_values": row.p_values,
                }
                for row in self.rows
            ],
            "failed": [vars(failed) for failed in self.failed],
            "signatures": self.signatures,
        }


def compare(
    cells: Sequence[Measured],
    failed: Sequence[Failed],
    baseline: str,
    references: Sequence[str],
    tokenizer: str,
    decoding: str,
) -> Comparison:
    """A row for each label in the order of the cells; p-values compare runs of equal seeds."""
    variants: dict[str, list[Measured]] = {}
    for cell in cells:
        variants.setdefault(cell.label, []).append(cell)
    tested = _tested(variants, baseline, references, tokenizer)
    rows = []
    for label, runs in variants.items():
        p_values = {
            metric: {test: max(one.p_values[metric][test] for one in tested[label]) for test in TESTS}
            for metric in ("bleu", "chrf", "ter")
            if label in tested
        }
        values = {key: Spread.of([getattr(run, key) for run in runs]) for key in COLUMNS}
        rows.append(Row(label, [run.seed for run in runs], values, p_values))
    signatures = {COLUMNS[name][0]: text for cell in cells[:1] for name, text in cell.signatures.items()}
    for of in [tests[0] for tests in tested.values()][:1]:
        for metric, by_test in of.signatures.items():
            signatures.update({f"{COLUMNS[metric][0]}, {TESTS[test]}": text for test, text in by_test.items()})
    conditions = [f"{len(references)} sentences, {decoding}", *dict.fromkeys(cell.machine for cell in cells)]
    return Comparison(baseline, rows, list(failed), signatures, conditions)


def _tested(
    variants: dict[str, list[Measured]], baseline: str, references: Sequence[str], tokenizer: str
) -> dict[str, list[Significance]]:
    """Of each variant a test for each seed that the baseline has too."""
    tested: dict[str, list[Significance]] = {}
    for first in variants.get(baseline, []):
        others = [
            run for label, runs in variants.items() if label != baseline for run in runs if run.seed == first.seed
        ]
        systems = [run.translations for run in others]
        results = against_baseline(first.translations, systems, references, tokenizer)
        for run, result in zip(others, results, strict=True):
            tested.setdefault(run.label, []).append(result)
    return tested


# --- the table in its formats ----------------------------------------------------------------------------------------


def markdown(comparison: Comparison) -> str:
    """A table of GitHub's Markdown and what its columns mean."""
    shown = [key for key in COLUMNS if any(row.values[key] for row in comparison.rows)]
    titles = ["variant", "seeds"]
    for key in shown:
        titles.append(COLUMNS[key][0])
        titles += [f"p, {name}" for name in TESTS.values()] if key == "bleu" else []
    lines = [_line(titles), _line(["---", *["---:"] * (len(titles) - 1)])]
    for row in comparison.rows:
        cells = [_literal(row.label), str(len(row.seeds))]
        for key in shown:
            cells.append(_shown(row, key))
            if key == "bleu":
                p_values = row.p_values.get(key, {})
                cells += [_p(p_values[test]) if test in p_values else "" for test in TESTS]
        lines.append(_line(cells))
    for failed in comparison.failed:
        text = f"seed {failed.seed} failed: {failed.message}"
        lines.append(_line([_literal(failed.label), _literal(text), *[""] * (len(titles) - 2)]))
    return "\n".join([*lines, "", *_notes(comparison)]) + "\n"


def _notes(comparison: Comparison) -> Iterator[str]:
    yield (
        f"Mean ± sample standard deviation over the seeds. p: of the difference in BLEU from "
        f"{_literal(comparison.baseline)}, by sacrebleu's paired tests of runs with equal seeds, the largest over the "
        "seeds. Peak memory is that of training, of the whole process on a CPU. "
        f"{'; '.join(map(_literal, comparison.conditions))}."
    )
    yield ""
    yield from (f"    {name}: {text}" for name, text in comparison.signatures.items())


def _shown(row: Row, key: str) -> str:
    spread = row.values[key]
    if spread is None:
        return ""
    form = COLUMNS[key][1]
    if key not in _WITH_SPREAD or spread.deviation is None:
        return form.format(spread.mean)
    return f"{form.format(spread.mean)} ± {form.format(spread.deviation)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _literal(text: str) -> str:
    """A text as Markdown that shows it and does nothing else."""
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def as_csv(comparison: Comparison) -> str:
    """A line for each variant and each failed cell; every mean and deviation has its column."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    tests = [(metric, test) for metric in ("bleu", "chrf", "ter") for test in TESTS]
    titles = [title for key in COLUMNS for title in (key, f"{key}_deviation")]
    writer.writerow(["label", "seeds", *titles, *(f"{metric}_p_{test}" for metric, test in tests), "failed"])
    for row in comparison.rows:
        spreads = [row.values[key] for key in COLUMNS]
        numbers = [number for one in spreads for number in ((one.mean, one.deviation) if one else (None, None))]
        p_values = [row.p_values.get(metric, {}).get(test) for metric, test in tests]
        writer.writerow([_harmless(row.label), " ".join(map(str, row.seeds)), *numbers, *p_values, None])
    for failed in comparison.failed:
        empty = [None] * (len(titles) + len(tests))
        writer.writerow([_harmless(failed.label), failed.seed, *empty, _harmless(failed.message)])
    return file.getvalue()


def _harmless(text: str) -> str:
    """No formula for a spreadsheet, and one line."""
    text = _one_line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def draw(comparison: Comparison, path: Path) -> None:
    """Write BLEU, and AER beside it, as a picture: a dot and its spread for each variant. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    keys = [key for key in ("bleu", "aer") if any(row.values[key] for row in comparison.rows)]
    height = 0.32 * len(comparison.rows) + 1.2
    figure, panels = pyplot.subplots(1, len(keys), squeeze=False, sharey=True, figsize=(5.0 * len(keys), height))
    places = range(len(comparison.rows))
    for axes, key in zip(panels[0], keys, strict=True):
        for place, row in enumerate(comparison.rows):
            if spread := row.values[key]:
                color = "C1" if row.label == comparison.baseline else "C0"
                axes.errorbar(spread.mean, place, xerr=spread.deviation, fmt="o", color=color, capsize=3)
        axes.set_xlabel(COLUMNS[key][0])
        axes.grid(axis="x", alpha=0.4)
    panels[0][0].set_yticks(places, [_one_line(row.label) for row in comparison.rows], parse_math=False)
    panels[0][0].invert_yaxis()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a label in letters that the font lacks
        figure.savefig(path, format="png", dpi=150, bbox_inches="tight")
    pyplot.close(figure)
