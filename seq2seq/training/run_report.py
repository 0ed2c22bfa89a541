"""RUN_DIR/report.html: a page about the run so far, made anew from the files of the run at each validation."""

import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from seq2seq.errors import DataError
from seq2seq.inference.heatmap import printable
from seq2seq.inference.pages import templates
from seq2seq.inference.translation import Translation
from seq2seq.text.json_io import number, parse_json
from seq2seq.text.storage import replace_file, within
from seq2seq.training.progress import duration, effort, metrics_lines
from seq2seq.training.snapshots import Attended, Snapshots, read_snapshots, write_snapshots

logger = logging.getLogger(__name__)

Row = dict[str, float | None]
"""Numbers by name; None where a line of metrics has none."""

_TRAIN = ("update", "epoch", "loss", "gradient_norm", "learning_rate", "tokens_per_second")
_VALID = ("update", "epoch", "loss", "bleu", "chrf")
_POINTS = 500
"""Points of a curve of training: from twice as many on, each is the mean of more lines."""
_TITLES = {"bleu": "BLEU", "chrf": "chrF", "loss": "loss"}


@dataclass
class Curves:
    """The numbers of metrics.jsonl that the page shows. Those of training take a bounded number of points."""

    valid: dict[str, list[Row]] = field(default_factory=dict)
    """Validations by held-out set; the first one, which selects checkpoints, has no name."""
    best: Row | None = None
    """The validation of the best checkpoint."""
    lines_per_point: int = 1
    """Lines that each point of training is the mean of; update and epoch are those of the last one."""

    def __post_init__(self) -> None:
        self._points: list[Row] = []
        self._lines: list[Row] = []  # of the point to come

    @property
    def train(self) -> list[Row]:
        """The points of training."""
        return [*self._points, *([_mean(self._lines)] if self._lines else [])]

    def read(self, path: Path) -> None:
        """Add the lines of a metrics.jsonl; what is no line of metrics is left out."""
        with suppress(DataError):
            for line in metrics_lines(path):
                with suppress(ValueError, AttributeError):
                    self.add(parse_json(line))

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a line of metrics. Raises ValueError for numbers that are none."""
        event, _, name = str(row.get("event")).partition("/")
        numbers = {key: number(row, key) for key in (_TRAIN if event == "train" else _VALID)}
        if numbers["update"] is None or numbers["epoch"] is None:
            return
        if event == "train":
            if "nll" in row:  # comparable to that of validations, without smoothing
                numbers["loss"] = number(row, "nll")
            self._add_training(numbers)
        elif event == "valid":
            self.valid.setdefault(name, []).append(numbers)
            if not name and row.get("best") is True:
                self.best = numbers

    def _add_training(self, numbers: Row) -> None:
        self._lines.append(numbers)
        if len(self._lines) < self.lines_per_point:
            return
        self._points.append(_mean(self._lines))
        self._lines = []
        if len(self._points) == 2 * _POINTS:
            self._points = [_mean(pair) for pair in zip(self._points[::2], self._points[1::2], strict=True)]
            self.lines_per_point *= 2

    def table(self) -> list[tuple[str, Row]]:
        """Return each validation with its held-out set and, before it, the latest numbers of training."""
        train, rows = self.train, []
        updates = [row["update"] or 0 for row in train]
        for name, validations in self.valid.items():
            for row in validations:
                place = bisect_right(updates, row["update"] or 0)
                trained = train[place - 1] if place else dict.fromkeys(_TRAIN)
                rows.append((name, {**{f"train_{key}": value for key, value in trained.items()}, **row}))
        return sorted(rows, key=lambda row: row[1]["update"] or 0)


def _mean(rows: Sequence[Row]) -> Row:
    """Return the means of all numbers but the place of the last."""
    known = {key: [value for row in rows if (value := row[key]) is not None] for key in rows[-1]}
    means = {key: sum(values) / len(values) if values else None for key, values in known.items()}
    return {**means, "update": rows[-1]["update"], "epoch": rows[-1]["epoch"]}


@dataclass
class RunReport:
    """Keeps RUN_DIR/report.html up to date, in the one process that writes.

    If it can't be written, that is logged once, and training goes on.
    """

    run_dir: Path
    languages: tuple[str, str]
    """Languages of source and target."""
    metric: str
    """Score that selects the best checkpoint."""
    title: str
    settings: Callable[[], Mapping[str, Any]]
    """Gives the settings to show; a resumed run may change them."""

    def __post_init__(self) -> None:
        self.curves, self.snapshots = Curves(), Snapshots()
        self._failed = False

    def resume(self, update: int) -> None:
        """Read what earlier processes of the run left until this update."""
        self.curves.read(within(self.run_dir, "metrics.jsonl"))
        self.snapshots = read_snapshots(self.run_dir)
        self.snapshots.forget(update)

    def validated(
        self, update: int, epoch: float, attended: Sequence[Attended], samples: Sequence[tuple[Translation, str]]
    ) -> None:
        """Record what a validation adds to its line of metrics."""
        self.snapshots.add(update, epoch, attended)
        self.snapshots.samples = [[sample.source, reference, sample.text] for sample, reference in samples]

    def write(self, update: int, updates: int, hours: float, stopped: str) -> None:
        """Write the page at this update of so many; `stopped` is why training is over, empty while it is not."""
        try:
            write_snapshots(self.run_dir, self.snapshots)
            with replace_file(within(self.run_dir, "report.html")) as unfinished:
                unfinished.write_text(self.page(update, updates, hours, stopped), encoding="utf-8")
        except OSError as error:
            if not self._failed:
                logger.warning("%s/report.html: can't be written (%s)", self.run_dir, error.strerror or error)
            self._failed = True

    def page(self, update: int, updates: int, hours: float, stopped: str) -> str:
        """Return the page as HTML that needs nothing else."""
        curves, shown = self.curves, self.snapshots
        data = {
            "train": _columns(curves.train, _TRAIN),
            "valid": {name: _columns(rows, _VALID) for name, rows in curves.valid.items()},
            "attention": {**vars(shown), "samples": [], "columns": _printable(shown.columns),
                          "rows": _printable(shown.rows)},
            "languages": [language.replace("_", "-") for language in self.languages],
        }  # fmt: skip
        return (
            templates()
            .get_template("training.html")
            .render(
                title=self.title,
                state=stopped or f"update {update:,} of at most {updates:,}",
                seconds=duration(3600 * hours),
                now=f"{datetime.now():%Y-%m-%d %H:%M}",
                finished=bool(stopped),
                best=self.best(),
                log_lines=curves.lines_per_point,
                table=curves.table(),
                best_update=curves.best and curves.best["update"],
                samples=shown.samples,
                settings=self.settings(),
                data=data,
            )
        )

    def best(self) -> str:
        """Describe the best validation; empty before the first one."""
        best = self.curves.best
        if best is None:
            return ""
        names = dict.fromkeys([self.metric, "bleu", "chrf", "loss"])
        known = {name: value for name in names if (value := best[name]) is not None}
        scores = ", ".join(f"{_TITLES[name]} {value:.{3 if name == 'loss' else 2}f}" for name, value in known.items())
        return f"{scores} at update {best['update']:,.0f} (epoch {best['epoch']:.2f})"

    def summary(self, hours: float) -> list[str]:
        """Return what to tell at the end of a training that took so long."""
        speed = None
        with suppress(DataError):
            speed = effort(self.run_dir).tokens_per_second
        lines = [f"best validation: {self.best()}"] if self.curves.best else []
        lines.append(
            f"time: {duration(3600 * hours)}" + (f", {speed:,.0f} tokens/s without validations" if speed else "")
        )
        if os.path.isfile(self.run_dir / "report.html"):
            lines.append(f"report: {self.run_dir}/report.html")
        return lines


def _columns(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[float | None]]:
    """Return the numbers by name, in four digits but for the updates."""

    def rounded(value: float | None, name: str) -> float | None:
        return value if value is None or name == "update" else float(f"{value:.4g}")

    return {name: [rounded(row[name], name) for row in rows] for name in names}


def _printable(lists: Sequence[Sequence[str]]) -> list[list[str]]:
    return [list(map(printable, tokens)) for tokens in lists]
