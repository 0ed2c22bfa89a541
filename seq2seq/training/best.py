"""The best few checkpoints of a run: RUN_DIR/best-UPDATE, beside `best`, which is the first of them."""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path


def directory_name(update: int) -> str:
    """Of the checkpoint after this update."""
    return f"best-{update:06d}"


def directories(run_dir: Path) -> list[Path]:
    """Those that are there, from the earliest update to the latest."""
    found = [path for path in run_dir.glob("best-*") if re.fullmatch(r"best-\d{6,}", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("best-")))


def ranked(scores: Mapping[str, float], most: int, metric: str) -> dict[str, float]:
    """Name -> score of so many at most, the best first; of equal ones the first comes first."""
    sign = 1 if metric == "loss" else -1
    return dict(sorted(scores.items(), key=lambda item: sign * item[1])[:most])


def remove_others(run_dir: Path, kept: Iterable[str]) -> None:
    """Delete all but these."""
    names = set(kept)
    for path in directories(run_dir):
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)
