"""What a run says while it goes on: a progress bar, metrics.jsonl, TensorBoard."""

import json
import logging
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from seq2seq.config import ConfigError

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Writes every metrics line to a file, and shows a bar on a terminal or now and then a line elsewhere."""

    def __init__(self, run_dir: Path, first: int, total: int, size: int, *, tensorboard: bool) -> None:
        """`size` bytes of metrics.jsonl belong to the updates done; a stopped run may have written more."""
        self._path = run_dir / "metrics.jsonl"
        self._path.touch()
        os.truncate(self._path, min(size, self._path.stat().st_size))
        self._file = self._path.open("a")
        self._bar = tqdm(total=total, initial=first, unit="update", disable=None, dynamic_ncols=True)
        self._total = total
        self._board = _board(run_dir) if tensorboard else None
        self._said = self._measured = time.monotonic()
        self._tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        self._file.close()
        if self._board is not None:
            self._board.close()

    @property
    def size(self) -> int:
        """Bytes of metrics so far."""
        return self._file.tell()

    def advance(self, tokens: int) -> None:
        """One update more, over so many real target tokens."""
        self._tokens += tokens
        self._bar.update()

    def rate(self) -> float:
        """Target tokens per second since this was last asked."""
        now = time.monotonic()
        rate = self._tokens / (now - self._measured)
        self._tokens, self._measured = 0, now
        return rate

    def pause(self) -> None:
        """Leave out of the rate what was done since it was last asked (a validation)."""
        self.rate()

    def write(self, event: str, update: int, values: dict[str, Any]) -> None:
        """A line of metrics: `event` is train or valid."""
        self._file.write(json.dumps({"event": event, "update": update, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{event}/{name}", value, update)

    def show(self, update: int, values: dict[str, float]) -> None:
        """The state of training, for a person."""
        text = f"loss {values['loss']:.3f}, {values['tokens_per_second']:,.0f} target tokens/s"
        self._bar.set_postfix_str(text, refresh=False)
        if self._bar.disable and time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            logger.info("update %d of %d: %s", update, self._total, text)


def _board(run_dir: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("training.tensorboard=true: TensorBoard is missing. Install seq2seq[tensorboard].") from error
    return SummaryWriter(str(run_dir / "tensorboard"))
