"""The checkpoints of a run: `best`, `last` (with the training state), and those kept for `seq2seq average`.

The latter are RUN_DIR/best-UPDATE of the best validations and RUN_DIR/last-UPDATE of the latest ones.
"""

import math
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seq2seq import checkpoint
from seq2seq.checkpoint import Checkpoint, TrainingState
from seq2seq.errors import DataError
from seq2seq.training.run_directory import RunLock
from seq2seq.training.state import TrainingProgress


@dataclass
class CheckpointKeeper:
    """Writes the checkpoints of a run and deletes old ones. Ranks other than 0 write nothing."""

    run_dir: Path
    checkpoint: Checkpoint
    """The model being trained, with the rest of a checkpoint."""
    hashes: dict[str, str]
    """Hashes of the corpora; a run only resumes with the same ones."""
    write_model_card: Callable[[int, float, Mapping[str, float]], str]
    """Writes a model card, given the updates, the epochs and the scores of the last validation."""
    metric: str
    """Score that ranks checkpoints; ties are ranked by loss."""
    keep_best: int = 1
    keep_last: int = 1
    rank: int = 0
    """Number of this process."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """Signatures of the scores, recorded beside them."""

    def __post_init__(self) -> None:
        self.lock = RunLock(self.run_dir)
        self.run_dir_was_removed = False
        self.kept_several = False  # whether `keep_last` was more than one before the run was resumed

    def record_if_best(self, progress: TrainingProgress, scores: Mapping[str, float]) -> bool:
        """Record the scores of a validation if they are the best so far; return whether they are."""
        if progress.best is not None:
            best = _sort_key(progress.best, progress.losses.get("best", math.inf), self.metric)
            if _sort_key(scores[self.metric], scores["loss"], self.metric) >= best:
                return False
        progress.best, progress.losses["best"] = scores[self.metric], scores["loss"]
        return True

    def retain(self, progress: TrainingProgress, scores: Mapping[str, float], *, is_best: bool) -> list[str]:
        """Record a validated checkpoint among the retained ones; return all names it is saved under."""
        names = ["best"] if is_best else []
        if self.keep_best == 1:
            progress.retained_checkpoints = {}
        else:
            name = directory_name("best", progress.update)
            progress.losses[name] = scores["loss"]
            candidates = {**progress.retained_checkpoints, name: scores[self.metric]}
            progress.retained_checkpoints = ranked(candidates, self.keep_best, self.metric, progress.losses)
            names += [name] if name in progress.retained_checkpoints else []
        named = ("best", *progress.retained_checkpoints)
        progress.losses = {name: loss for name, loss in progress.losses.items() if name in named}
        return names + ([directory_name("last", progress.update)] if self.keep_last > 1 else [])

    def remove_others(self, progress: TrainingProgress, retained_before: bool) -> None:
        """Delete checkpoints that the run no longer retains; call it when no saved state names them."""
        if self.rank:
            return
        if retained_before or progress.retained_checkpoints:
            keep_only(self.run_dir, "best", progress.retained_checkpoints)
        if self.keep_last > 1 or self.kept_several:
            known = directories(self.run_dir, "last")
            names = [path.name for path in known if _update(path) <= progress.update]  # a crashed run went further
            keep_only(self.run_dir, "last", names[-self.keep_last :] if self.keep_last > 1 else [])

    def write(
        self, name: str, update: int, epochs: float, scores: Mapping[str, float], state: TrainingState | None = None
    ) -> None:
        """Save the model as a checkpoint of the run."""
        if not self.rank:
            card = self.write_model_card(update, epochs, scores)
            recorded: dict[str, Any] = {"update": update}
            if scores:
                recorded["validation"] = {**scores, **self.signatures}
            saved = replace(self.checkpoint, origin={**self.checkpoint.origin, **recorded})
            checkpoint.save(self.run_dir / name, saved, card, state)

    def look_for_run_dir(self, progress: TrainingProgress) -> None:
        """Before writing, check whether the run directory was removed. Raises DataError if another run owns it now."""
        if self.rank:
            return
        if self.lock.run_dir_was_replaced():
            raise DataError(
                f"run_dir={self.run_dir}: was removed during the run and now belongs to another process. Nothing is "
                f"written to it after update {progress.update}."
            )
        if not self.run_dir.is_dir():
            self.run_dir_was_removed = True
            progress.best, progress.retained_checkpoints, progress.losses = None, {}, {}

    def set_damaged_aside(self, used: Path) -> None:
        """Rename a damaged `last`, so that the next save does not replace the good state used instead."""
        last = self.run_dir / "last"
        if used != last and last.exists() and not self.rank:
            damaged = last.with_name("last.damaged")
            shutil.rmtree(damaged, ignore_errors=True)
            last.rename(damaged)


def directory_name(kind: str, update: int) -> str:
    """Return the name of a checkpoint of this update; `kind` is best or last."""
    return f"{kind}-{update:06d}"


def directories(run_dir: Path, kind: str) -> list[Path]:
    """Return the checkpoints of this kind, ordered by update."""
    paths = [path for path in run_dir.glob(f"{kind}-*") if re.fullmatch(rf"{kind}-\d{{6,}}", path.name)]
    return sorted(paths, key=_update)


def _update(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _sort_key(score: float, loss: float, metric: str) -> tuple[float, float]:
    """Sorts the best first: by the metric, then by the loss."""
    return (score if metric == "loss" else -score), loss


def ranked(scores: Mapping[str, float], most: int, metric: str, losses: Mapping[str, float]) -> dict[str, float]:
    """Return the `most` best names with their scores, best first. Ties keep their order."""
    best_first = sorted(scores, key=lambda name: _sort_key(scores[name], losses.get(name, math.inf), metric))
    return {name: scores[name] for name in best_first[:most]}


def keep_only(run_dir: Path, kind: str, names: Collection[str]) -> None:
    """Delete all checkpoints of this kind except those with these names."""
    for path in directories(run_dir, kind):
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)
