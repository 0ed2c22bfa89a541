"""Measured models side by side: a row for each variant, over its seeds, with significance against a baseline."""

import csv
import io
import re
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seq2seq.inference.metrics import TITLES, TOKENISED, tokenised_bleu
from seq2seq.inference.pages import templates
from seq2seq.inference.significance import TESTS, Significance, against_baseline
from seq2seq.text.moses import MosesTokens


@dataclass(frozen=True)
class Measured:
    """A cell: one variant trained with one seed, and what it does on the test set."""

    label: str
    seed: int
    bleu: float
    chrf: float
    ter: float
    aer: float | None
    """None without gold alignments or without attention"""
    parameters: int
    updates: int
    training_tokens_per_second: float | None
    """Real target tokens; None if the run did not measure it"""
    decoding_sentences_per_second: float
    peak_memory_mb: float | None
    """MiB at most in training; None if the run did not measure it."""
    signatures: dict[str, str]
    machine: str
    """What it was measured on: device, threads, versions"""
    translations: list[str]
    validation_bleu: float | None = None
    """BLEU of the checkpoint when validation chose it; None if it was not recorded."""


@dataclass(frozen=True)
class Failed:
    """A cell that could not be measured, and why."""

    label: str
    seed: int
    message: str
    yours: bool
    """Whether it is the user's mistake"""


@dataclass(frozen=True)
class Spread:
    """Mean and deviation over the seeds."""

    mean: float
    deviation: float | None
    """Sample standard deviation; None for one seed"""

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Spread | None":
        """Compute them; None if a value is missing."""
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        return cls(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


COLUMNS = {
    **{name: (title, "{:.2f}") for name, title in (TITLES | TOKENISED).items()},
    "aer": ("AER", "{:.3f}"),
    "validation_bleu": ("BLEU on data.valid", "{:.2f}"),
    "parameters": ("parameters", "{:,.0f}"),
    "training_tokens_per_second": ("training tokens/s", "{:,.0f}"),
    "decoding_sentences_per_second": ("decoded sentences/s", "{:,.1f}"),
    "peak_memory_mb": ("peak memory, MiB", "{:,.0f}"),
}
"""Title and format of what is measured"""
_WITH_SPREAD = ("bleu", "chrf", "ter", "tok_lc", "aer", "validation_bleu")
"""Columns with a deviation in the Markdown table; the other files have it for all"""


@dataclass(frozen=True)
class Row:
    """The results of a variant."""

    label: str
    seeds: list[int]
    values: dict[str, Spread | None]
    p_values: dict[str, dict[str, float]]
    """Largest over the seeds, by metric and test; empty for the baseline and where it can't be computed"""
    published: str = ""
    """What a paper reports"""


@dataclass(frozen=True)
class Comparison:
    """The whole table."""

    baseline: str
    conditions: list[str]
    """How and on what it was measured"""
    rows: list[Row]
    failed: list[Failed]
    signatures: dict[str, str]
    """Signatures of scores and tests by title"""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as comparison.json has them."""
        plain = asdict(self)
        for row in plain["rows"]:
            row |= {**row.pop("values"), "p_values": row.pop("p_values")}
        return plain


def compare(
    cells: Sequence[Measured],
    failed: Sequence[Failed],
    baseline: str,
    references: Sequence[str],
    tokenizer: str,
    decoding: str,
    *,
    moses: MosesTokens | None = None,
    published: Mapping[str, str] | None = None,
) -> Comparison:
    """Make a row for each label, in the order of the cells; p-values compare runs of equal seeds.

    `moses` adds BLEU of its tokens, and `published` what papers report for some labels.
    """
    variants: dict[str, list[Measured]] = {}
    for cell in cells:
        variants.setdefault(cell.label, []).append(cell)
    tested = _test(variants, baseline, references, tokenizer)
    signatures = {TITLES[name]: text for cell in cells[:1] for name, text in cell.signatures.items()}
    rows = []
    for label, runs in variants.items():
        values = {key: Spread.of([getattr(run, key) for run in runs]) for key in COLUMNS.keys() - TOKENISED.keys()}
        if moses is not None:
            scores = [tokenised_bleu(run.translations, references, moses) for run in runs]
            values["tok_lc"] = Spread.of([bleu for bleu, *_ in scores])
            signatures[TOKENISED["tok_lc"]] = scores[0][1]
        p_values = {metric: _over_seeds(tested[label], metric) for metric in TITLES if label in tested}
        rows.append(Row(label, [run.seed for run in runs], values, p_values, (published or {}).get(label, "")))
    for first, *_ in list(tested.values())[:1]:
        for metric, by_test in first.signatures.items():
            signatures |= {f"{TITLES[metric]}, {TESTS[test]}": text for test, text in by_test.items()}
    conditions = [f"{len(references)} sentences, {decoding}", *dict.fromkeys(cell.machine for cell in cells)]
    return Comparison(baseline, conditions, rows, list(failed), signatures)


def _over_seeds(results: Sequence[Significance], metric: str) -> dict[str, float]:
    """Return the largest p of each test; 1 where one seed is better than the baseline and another one is worse."""
    differences = [result.differences[metric] for result in results]
    disagree = min(differences) < 0 < max(differences)
    return {test: 1.0 if disagree else max(result.p_values[metric][test] for result in results) for test in TESTS}


def _test(
    variants: dict[str, list[Measured]], baseline: str, references: Sequence[str], tokenizer: str
) -> dict[str, list[Significance]]:
    """Test each variant against the baseline, once for each seed that both have."""
    tested: dict[str, list[Significance]] = {}
    runs = [run for label, of_label in variants.items() if label != baseline for run in of_label]
    for first in variants.get(baseline, []):
        others = [run for run in runs if run.seed == first.seed]
        results = against_baseline(first.translations, [run.translations for run in others], references, tokenizer)
        for run, result in zip(others, results, strict=True):
            tested.setdefault(run.label, []).append(result)
    return tested


# --- the table in its formats ----------------------------------------------------------------------------------------


def markdown(comparison: Comparison) -> str:
    """Write a table in GitHub's Markdown, and what its columns mean."""
    template = templates().get_template("comparison.md")
    shown = {key: value for key, value in COLUMNS.items() if any(row.values.get(key) for row in comparison.rows)}
    return template.render(
        comparison=comparison, columns=shown, with_spread=_WITH_SPREAD, tests=TESTS, literal=_literal
    )


def _literal(text: str) -> str:
    """Escape a text so that Markdown shows it as it is."""
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def as_csv(comparison: Comparison) -> str:
    """Write a line for each variant and each failed cell, with a column for every mean and deviation."""
    file = io.StringIO()
    tests = {f"{metric}_p_{test}": (metric, test) for metric in TITLES for test in TESTS}
    titles = [title for key in COLUMNS for title in (key, f"{key}_deviation")]
    writer = csv.DictWriter(file, ["label", "seeds", "published", *titles, *tests, "failed"], lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows:
        cells: dict[str, Any] = {"label": _harmless(row.label), "seeds": " ".join(map(str, row.seeds))}
        cells |= {"published": _harmless(row.published)}
        for key, spread in row.values.items():
            if spread:
                cells |= {key: spread.mean, f"{key}_deviation": spread.deviation}
        cells |= {name: row.p_values.get(metric, {}).get(test) for name, (metric, test) in tests.items()}
        writer.writerow(cells)
    for failed in comparison.failed:
        writer.writerow({"label": _harmless(failed.label), "seeds": failed.seed, "failed": _harmless(failed.message)})
    return file.getvalue()


def _harmless(text: str) -> str:
    """Make a text one line that no spreadsheet takes for a formula."""
    text = _one_line(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def draw(comparison: Comparison, path: Path) -> None:
    """Draw BLEU, and AER beside it: a dot and its spread for each variant. Needs matplotlib."""
    from matplotlib.figure import Figure

    keys = [key for key in ("bleu", "aer") if any(row.values[key] for row in comparison.rows)]
    figure = Figure(figsize=(5.0 * len(keys), 0.32 * len(comparison.rows) + 1.2))
    panels = figure.subplots(1, len(keys), squeeze=False, sharey=True)
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
        warnings.filterwarnings("ignore", "Glyph")  # in a label that the font lacks
        figure.savefig(path, format="png", dpi=150, bbox_inches="tight")
