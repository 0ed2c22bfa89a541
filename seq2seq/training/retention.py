"""What `seq2seq average` takes from a run: RUN_DIR/best-UPDATE of its best validations, beside `best`, the first of
them, and RUN_DIR/last-UPDATE of its latest."""

import math
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path


def directory_name(kind: str, update: int) -> str:
    """Of the checkpoint after this update; `kind` is best or last."""
    return f"{kind}-{update:06d}"


def directories(run_dir: Path, kind: str) -> list[Path]:
    """Those that are there, from the earliest update to the latest."""
    found = [path for path in run_dir.glob(f"{kind}-*") if re.fullmatch(rf"{kind}-\d{{6,}}", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix(f"{kind}-")))


def rank(score: float, loss: float, metric: str) -> tuple[float, float]:
    """Sorts validations, the best first: by the metric, and where it is the same by the loss."""
    return (score if metric == "loss" else -score), loss


def ranked(scores: Mapping[str, float], most: int, metric: str, losses: Mapping[str, float]) -> dict[str, float]:
    """Name -> score of so many at most, the best first. Of those with the same score and loss the first comes first."""

    def key(name: str) -> tuple[float, float]:
        return rank(scores[name], losses.get(name, math.inf), metric)

    return {name: scores[name] for name in sorted(scores, key=key)[:most]}


def keep_only(run_dir: Path, kind: str, names: Collection[str]) -> None:
    """Delete all others of their kind."""
    for path in directories(run_dir, kind):
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)


def latest(run_dir: Path, most: int) -> list[str]:
    """The names of so many `last` ones, of the latest updates."""
    return [path.name for path in directories(run_dir, "last")[-most:]]
