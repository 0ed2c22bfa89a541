"""What a run says while it goes on: a progress bar, metrics.jsonl, TensorBoard."""

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from tqdm import tqdm

from seq2seq.errors import DataError
from seq2seq.inference.heatmap import terminal_width
from seq2seq.inference.translation import Translation
from seq2seq.text.corpus import decode_lines, open_binary, raw_lines
from seq2seq.text.json_io import number, parse_json
from seq2seq.text.storage import within
from seq2seq.training.eta import Pace, duration
from seq2seq.training.memory import peak_mb, reset_peak
from seq2seq.training.tensorboard import board_samples, summary_writer

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0
_ENOUGH = 8
"""Updates that were timed before it is told how long the rest takes."""
_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
"""tqdm's without its guess of what is left, which knows of no validations."""
_SHORTEST_BAR = 10
"""Columns, where there is room for more than the most important values."""
_ROWS = 24
"""Of a terminal: tqdm shows nothing where the terminal does not tell them."""


class Progress:
    """Writes every metrics line to a file, and shows a bar on a terminal or now and then a line elsewhere."""

    def __init__(
        self,
        run_dir: Path,
        first: int,
        total: int,
        size: int,
        device: torch.device,
        *,
        epoch: int,
        validate_every: int,
        tensorboard: bool,
    ) -> None:
        """`size` bytes of metrics.jsonl belong to the updates done; a stopped run may have written more.

        `epoch` and `validate_every` are in updates.
        """
        self._path = within(run_dir, "metrics.jsonl")
        try:
            self._path.touch()
            os.truncate(self._path, _whole_lines(self._path, size))
            self._file = self._path.open("a")
        except OSError as error:
            raise self._unwritable(error) from error
        self._bar = tqdm(total=total, initial=first, disable=None, ncols=_columns(), nrows=_ROWS, bar_format=_BAR)
        self._total, self._epoch, self._validate_every = total, epoch, validate_every
        self._pace, self._told = Pace(), False
        self._board = summary_writer()(str(run_dir / "tensorboard")) if tensorboard else None
        self._said = self._measured = time.monotonic()
        self._tokens = 0
        self._device = device
        reset_peak(device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        with suppress(OSError):  # of a line that could not be written, which was told then
            self._file.close()
        if self._board is not None:
            self._board.close()

    def on_disk(self) -> int:
        """Bytes of metrics so far, which then are on the disk: a state that knows of them comes after them."""
        try:
            os.fsync(self._file.fileno())
            return self._file.tell()
        except OSError as error:
            raise self._unwritable(error) from error

    def advance(self, tokens: int) -> None:
        """One update more, over so many real target tokens."""
        self._tokens += tokens
        self._pace.updated()
        self._bar.total = max(self._bar.total or 0, self._bar.n + 1)  # it may have been estimated
        self._bar.update()

    def speed(self) -> dict[str, float | None]:
        """Real target tokens since this was last asked, as many per second, and the most memory so far in MiB."""
        now = time.monotonic()
        tokens, seconds = self._tokens, now - self._measured
        self._tokens, self._measured = 0, now
        return {"tokens": tokens, "tokens_per_second": tokens / seconds, "peak_memory_mb": peak_mb(self._device)}

    def pause(self) -> None:
        """A validation is done: leave out of the speed what was done since it was last asked."""
        self._pace.validated()
        self._tokens, self._measured = 0, time.monotonic()

    def write(self, event: str, update: int, values: dict[str, Any]) -> None:
        """A line of metrics: `event` is train or valid. What is not finite, for which JSON has no word, is null."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        try:
            self._file.write(json.dumps({"event": event, "update": update, **finite}) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{event}/{name}", value, update)

    def board(self, update: int, samples: Sequence[tuple[Translation, str]], languages: tuple[str, str]) -> None:
        """Translations with their references and, where matplotlib is, the pictures of their attention for TensorBoard;
        `languages` are those of source and target."""
        if self._board is not None:
            board_samples(self._board, update, samples, languages)

    def show(self, update: int, values: dict[str, Any], seconds: float) -> None:
        """The state of training, for a person; `seconds` are those that are left to train at most."""
        updates = self._total - update
        needed = self._seconds(updates)
        left = None if needed is None else max(min(needed, seconds), 0.0)
        total = update + (round(updates * left / needed) if left is not None and needed else updates)
        parts = _parts(values, left)
        self._bar.total, self._bar.ncols = total, _columns()
        room = self._bar.ncols - len(f"100%|| {total}/{total}, ")
        self._bar.set_postfix_str(_fitting(parts, room), refresh=False)
        if time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            level = logging.INFO if self._bar.disable else logging.DEBUG
            logger.log(level, "update %d of %d: %s", update, total, ", ".join(parts))
        if needed is not None and not self._told:
            self._told = True
            self._estimate(updates, needed, seconds)

    def _estimate(self, updates: int, needed: float, seconds: float) -> None:
        """Log how long an epoch and the rest take."""
        if needed > seconds:
            end = "training.max_hours"
        else:
            end = f"{updates} updates{'' if self._pace.validations else ', validations not included'}"
        epoch = duration(self._seconds(self._epoch) or 0.0)
        rest = duration(min(needed, seconds))
        logger.info("estimated time: %s per epoch (%d updates), %s to the end (%s)", epoch, self._epoch, rest, end)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"{self._path}: can't be written ({error.strerror}). The last state that was saved is whole.")

    def _seconds(self, updates: int) -> float | None:
        """That so many updates take, with their validations once one was timed; None while nothing is known."""
        return self._pace.seconds(updates, updates / self._validate_every) if self._pace.updates >= _ENOUGH else None


class Silence(Progress):
    """Writes and shows nothing: of several processes only one tells how it goes."""

    def __init__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def on_disk(self) -> int:
        return 0

    def advance(self, tokens: int) -> None:
        pass

    def speed(self) -> dict[str, float | None]:
        return {}

    def pause(self) -> None:
        pass

    def write(self, event: str, update: int, values: dict[str, Any]) -> None:
        pass

    def board(self, update: int, samples: Sequence[tuple[Translation, str]], languages: tuple[str, str]) -> None:
        pass

    def show(self, update: int, values: dict[str, Any], seconds: float) -> None:
        pass


def _columns() -> int:
    """Those that the bar may fill: in the last one some terminals break the line."""
    return max((terminal_width() or 1) - 1, 1)


def _parts(values: Mapping[str, Any], left: float | None) -> list[str]:
    """What a person wants to know, the most important first."""
    return [
        f"loss {values['loss']:.3f}",
        *([] if left is None else [f"{duration(left)} left"]),
        f"{values['tokens_per_second']:,.0f} tokens/s",
        f"epoch {values['epoch']:.2f}",
        f"learning rate {values['learning_rate']:.2e}",
        f"gradient norm {values['gradient_norm']:.2f}",
    ]


def _fitting(parts: Sequence[str], width: int) -> str:
    """As many of the first parts as there is room for beside a bar; the first two go before it."""
    texts = [(number, ", ".join(parts[:number])) for number in range(1, len(parts) + 1)]
    fitting = [text for number, text in texts if len(text) + (1 if number <= 2 else _SHORTEST_BAR) <= width]
    return fitting[-1] if fitting else ""


@dataclass(frozen=True)
class Effort:
    """What the training of a run took; None where its metrics do not say."""

    updates: int
    tokens_per_second: float | None
    """Real target tokens over the time of all logged updates, validations left out."""
    peak_memory_mb: float | None


def effort(run_dir: Path) -> Effort:
    """Read from a run's metrics.jsonl. Raises DataError naming the line."""
    path = within(run_dir, "metrics.jsonl")
    updates, tokens, seconds, peak = 0, 0.0, 0.0, None
    for place, line in enumerate(_lines(path) if os.path.isfile(path) else (), 1):
        try:
            values = parse_json(line)
            updates = max(updates, int(number(values, "update") or 0))
            if values.get("event") != "train":
                continue
            # Lines of older runs have no `tokens`; one interval has about as many as another.
            done, rate = number(values, "tokens"), number(values, "tokens_per_second")
            used = number(values, "peak_memory_mb")
        except (ValueError, AttributeError) as error:
            raise DataError(f"{path}:{place}: not a line of metrics ({error})") from error
        if rate is not None and rate > 0:
            done = 1 if done is None else done
            tokens, seconds = tokens + done, seconds + done / rate
        peak = max((mb for mb in (peak, used) if mb is not None), default=None)
    return Effort(updates, tokens / seconds if seconds else None, peak)


def _lines(path: Path) -> Iterator[str]:
    """The whole ones."""
    with open_binary(path) as file:
        yield from decode_lines((line for line in raw_lines(file) if line.endswith(b"\n")), str(path))


def _whole_lines(path: Path, size: int) -> int:
    """Bytes of the whole lines among the first `size` bytes: a machine that went down may have kept less of them."""
    with path.open("rb") as file:
        return file.read(size).rfind(b"\n") + 1
