"""Reports during training: progress bar, metrics.jsonl, TensorBoard."""

import io
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from seq2seq.device import peak_mb, reset_peak
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.heatmap import printable, terminal_width
from seq2seq.inference.translation import Translation
from seq2seq.text.corpus import decode_lines, open_binary, raw_lines
from seq2seq.text.json_io import number, parse_json
from seq2seq.text.storage import within, writing
from seq2seq.version import install_command

logger = logging.getLogger(__name__)

_WARM_UP = 2
"""First updates that are not timed: they allocate memory and fill caches."""
_SECONDS_BETWEEN_LINES = 30.0
_ENOUGH = 8
"""Timed updates before the remaining time is estimated."""
_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
"""tqdm's format without its estimate of the remaining time, which ignores validations."""
_SHORTEST_BAR = 10
"""Columns of the bar if there is room for more than the most important values."""
_NOTEBOOK_COLUMNS = 100
_ROWS = 24
"""Assumed height of the terminal: tqdm shows nothing where the terminal does not report it."""


class Pace:
    """The mean duration of updates and validations in this process, from which the remaining time is estimated."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._last = clock()
        self._updates, self._update_seconds = -_WARM_UP, 0.0
        self.validations, self._validation_seconds = 0, 0.0

    def updated(self) -> None:
        """Count an update, with everything since the last call of a method of this object."""
        self._updates += 1
        seconds = self._lap()
        if self._updates > 0:
            self._update_seconds += seconds

    def validated(self) -> float:
        """Count a validation and return its duration, everything since the last call of a method of this object."""
        self.validations += 1
        seconds = self._lap()
        self._validation_seconds += seconds
        return seconds

    @property
    def updates(self) -> int:
        """Updates timed so far."""
        return max(self._updates, 0)

    def seconds(self, updates: float, validations: float) -> float | None:
        """Estimate the time of so many updates and validations; None before any update was timed."""
        if not self.updates:
            return None
        validation = self._validation_seconds / self.validations if self.validations else 0.0
        return updates * self._update_seconds / self.updates + validations * validation

    def _lap(self) -> float:
        before, self._last = self._last, self._clock()
        return self._last - before


def duration(seconds: float) -> str:
    """Format a duration for people, in the two largest units that it fills."""
    minutes = round(seconds / 60)
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


class Progress:
    """Writes metrics.jsonl and TensorBoard, and shows a bar on a terminal or an occasional log line elsewhere."""

    def __init__(
        self,
        run_dir: Path,
        total: int,
        device: torch.device,
        *,
        update: int = 0,
        metrics_size: int = 0,
        epoch: int,
        validate_every: int,
        tensorboard: bool = False,
        on_row: Callable[[dict[str, Any]], object] = lambda row: None,
    ) -> None:
        """Continue from an update of `total`; `epoch` and `validate_every` are in updates.

        The first `metrics_size` bytes of metrics.jsonl are kept: a stopped run may have written more. `on_row` is
        called with each line after it is written.
        """
        self._path = within(run_dir, "metrics.jsonl")
        with self._writing():
            self._path.touch()
            os.truncate(self._path, _whole_lines(self._path, metrics_size))
            self._file = self._path.open("a")
        hidden = False if _in_notebook() else None  # None: unless the standard error is a terminal
        self._bar = tqdm(total=total, initial=update, disable=hidden, ncols=_columns(), nrows=_ROWS, bar_format=_BAR)
        self._total, self._epoch, self._validate_every = total, epoch, validate_every
        self._pace, self._has_estimated = Pace(), False
        board = str(run_dir / "tensorboard")  # which forgets what a crashed run did after the state it saved
        self._board = summary_writer()(board, purge_step=update + 1) if tensorboard else None
        self._on_row = on_row
        self._shown = self._measured = time.monotonic()
        self._tokens = 0
        self._device = device
        reset_peak(device)

    def close(self) -> None:
        """Close the bar and all files."""
        self._bar.close()
        with suppress(OSError):  # of an unwritten line, which was reported before
            self._file.close()
        if self._board is not None:
            self._board.close()

    def on_disk(self) -> int:
        """Flush the metrics to the disk, before the state that refers to them; return their size in bytes."""
        with self._writing():
            os.fsync(self._file.fileno())
            return self._file.tell()

    def advance(self, tokens: int) -> None:
        """Count an update over so many target tokens."""
        self._tokens += tokens
        self._pace.updated()
        self._bar.total = max(self._bar.total or 0, self._bar.n + 1)  # the total may be an estimate
        self._bar.update()

    def speed(self) -> dict[str, float | None]:
        """Return target tokens since the last call, tokens per second, and peak memory in MiB."""
        now = time.monotonic()
        tokens, seconds = self._tokens, now - self._measured
        self._tokens, self._measured = 0, now
        return {"tokens": tokens, "tokens_per_second": tokens / seconds, "peak_memory_mb": peak_mb(self._device)}

    def pause(self) -> None:
        """Count a validation, and leave its time out of the next `speed`."""
        self._measured += self._pace.validated()

    def write(self, event: str, update: int, values: dict[str, Any]) -> None:
        """Write a line of metrics; `event` is train or valid. Numbers that JSON does not have become null."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        row = {"event": event, "update": update, **finite}
        with self._writing():
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        self._on_row(row)
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{event}/{name}", value, update)

    def board(self, update: int, samples: Sequence[tuple[Translation, str]], languages: tuple[str, str]) -> None:
        """Add translations with references, and with matplotlib their attention, to TensorBoard."""
        if self._board is not None:
            board_samples(self._board, update, samples, languages)

    def show(self, update: int, values: dict[str, Any], seconds: float) -> None:
        """Show the state of training; `seconds` is the maximum time that is left to train."""
        updates = self._total - update
        needed = self._seconds(updates)
        left = None if needed is None else max(min(needed, seconds), 0.0)
        total = update + (round(updates * left / needed) if left is not None and needed else updates)
        parts = _parts(values, left)
        self._bar.total, self._bar.ncols = total, _columns()
        room = self._bar.ncols - len(f"100%|| {total}/{total}, ")
        self._bar.set_postfix_str(_fitting(parts, room), refresh=False)
        if time.monotonic() - self._shown > _SECONDS_BETWEEN_LINES:
            self._shown = time.monotonic()
            level = logging.INFO if self._bar.disable else logging.DEBUG
            logger.log(level, "update %d of %d: %s", update, total, ", ".join(parts))
        if needed is not None and not self._has_estimated:
            self._has_estimated = True
            self._estimate(updates, needed, seconds)

    def _estimate(self, updates: int, needed: float, seconds: float) -> None:
        """Log the estimated time of an epoch and of the rest."""
        end = f"{updates} updates{'' if self._pace.validations else ', validations not included'}"
        if needed > seconds:
            end = "training.max_hours"
        epoch = duration(self._seconds(self._epoch) or 0.0)
        rest = duration(min(needed, seconds))
        logger.info("estimated time: %s per epoch (%d updates), %s to the end (%s)", epoch, self._epoch, rest, end)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._path, ". The last saved state is complete.")

    def _seconds(self, updates: int) -> float | None:
        """Estimate the time of so many updates, with validations once one was timed; None before."""
        return self._pace.seconds(updates, updates / self._validate_every) if self._pace.updates >= _ENOUGH else None


def _columns() -> int:
    """Return the width of the bar: some terminals wrap the line in the last column."""
    return _NOTEBOOK_COLUMNS if _in_notebook() else max((terminal_width() or 1) - 1, 1)


def _in_notebook() -> bool:
    """Whether output goes to a cell of a notebook: it redraws a line as a terminal does, but is none."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and "IPKernelApp" in getattr(ipython.get_ipython(), "config", {})


def _parts(values: Mapping[str, Any], left: float | None) -> list[str]:
    """Return the values to show, the most important first."""
    return [
        f"loss {values['loss']:.3f}",
        *([] if left is None else [f"{duration(left)} left"]),
        f"{values['tokens_per_second']:,.0f} tokens/s",
        f"epoch {values['epoch']:.2f}",
        f"learning rate {values['learning_rate']:.2e}",
        f"gradient norm {values['gradient_norm']:.2f}",
    ]


def _fitting(parts: Sequence[str], width: int) -> str:
    """Join as many parts as fit beside the bar; the first two take precedence over it."""
    texts = [(number, ", ".join(parts[:number])) for number in range(1, len(parts) + 1)]
    fitting = [text for number, text in texts if len(text) + (1 if number <= 2 else _SHORTEST_BAR) <= width]
    return fitting[-1] if fitting else ""


@dataclass(frozen=True)
class Effort:
    """The cost of the training of a run; None where its metrics do not say."""

    updates: int
    tokens_per_second: float | None
    """Target tokens over the time of all logged updates, without validations."""
    peak_memory_mb: float | None


def effort(run_dir: Path) -> Effort:
    """Read the effort from a run's metrics.jsonl. Raises DataError naming the line."""
    path = within(run_dir, "metrics.jsonl")
    updates, tokens, seconds, peak = 0, 0.0, 0.0, None
    for place, line in enumerate(metrics_lines(path) if os.path.isfile(path) else (), 1):
        try:
            values = parse_json(line)
            updates = max(updates, int(number(values, "update") or 0))
            if values.get("event") != "train":
                continue
            # Lines of older runs have no `tokens`; all intervals have about the same number.
            done, rate = number(values, "tokens"), number(values, "tokens_per_second")
            used = number(values, "peak_memory_mb")
        except (ValueError, AttributeError) as error:
            raise DataError(f"{path}:{place}: not a line of metrics ({error})") from error
        if rate is not None and rate > 0:
            done = 1 if done is None else done
            tokens, seconds = tokens + done, seconds + done / rate
        peak = max((mb for mb in (peak, used) if mb is not None), default=None)
    return Effort(updates, tokens / seconds if seconds else None, peak)


def metrics_lines(path: Path) -> Iterator[str]:
    """Yield the complete lines of a metrics.jsonl. Raises DataError for what is no text."""
    with open_binary(path) as file:
        yield from decode_lines((line for line in raw_lines(file) if line.endswith(b"\n")), str(path))


def _whole_lines(path: Path, size: int) -> int:
    """Return the size of the complete lines in the first `size` bytes: a crash may have lost some."""
    with path.open("rb") as file:
        return file.read(size).rfind(b"\n") + 1


def summary_writer() -> Any:
    """Return TensorBoard's event writer class. Raises ConfigError if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            f"training.tensorboard=true: TensorBoard is missing. Install it: {install_command('tensorboard')}"
        ) from error
    return SummaryWriter


def check_board() -> None:
    """Raise ConfigError if TensorBoard is not installed; log if only pictures will be missing."""
    summary_writer()
    if find_spec("matplotlib") is None:
        logger.info(
            "training.tensorboard=true: no pictures of attention without matplotlib. Install it: "
            + install_command("plots")
        )


def board_samples(
    board: Any, update: int, samples: Sequence[tuple[Translation, str]], languages: tuple[str, str]
) -> None:
    """Add translations with their references to a SummaryWriter, and pictures if matplotlib is installed."""
    for place, (sample, reference) in enumerate(samples, 1):
        board.add_text(f"samples/{place}", _markdown(sample, reference), update)
    heatmaps = [sample.heatmap() for sample, _ in samples]
    if all(heatmap is None for heatmap in heatmaps):
        return
    try:
        from matplotlib.image import imread

        from seq2seq.inference.picture import Painter
    except ImportError:  # reported by `check_board`
        return
    painter = Painter(*languages)
    for place, heatmap in enumerate(heatmaps, 1):
        if heatmap is not None and heatmap.columns and heatmap.rows:
            pixels = imread(io.BytesIO(painter.draw(heatmap, "png")))[..., :3]  # height, width, colour
            board.add_image(f"attention/{place}", pixels, update, dataformats="HWC")


def _markdown(sample: Translation, reference: str) -> str:
    """Format a sample as a code block, which leaves its text as it is."""
    rows = (("source", sample.source), ("reference", reference), ("translation", sample.text))
    return "\n".join(f"    {name + ':':12} {printable(text)}" for name, text in rows)
