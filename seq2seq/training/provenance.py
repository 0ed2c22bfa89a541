"""Where a checkpoint comes from: what it takes to make it again."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from seq2seq.config import TrainConfig, to_plain
from seq2seq.version import __version__

_PACKAGES = ("sentencepiece", "sacrebleu")
_PATIENCE = 10.0
"""Seconds to wait for git."""


def origin(config: TrainConfig, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Plain values: seed, SHA-256 of the data, versions, settings beside those of model and data."""
    settings = to_plain(config)
    return {
        "seed": config.seed,
        "hashes": dict(hashes),
        "versions": versions(),
        "training": settings["training"],
        "decoding": settings["decoding"],
    }


def versions() -> dict[str, str]:
    """Of what computes; the project's own commit is there if it runs from a checkout, `-dirty` if that was changed."""
    found = {"seq2seq": __version__, "python": platform.python_version(), "torch": str(torch.__version__)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # it was put here by other means than a package installer
            continue
    commit = checkout_commit(Path(__file__).resolve().parents[2])
    return found if commit is None else {**found, "commit": commit}


def checkout_commit(root: Path) -> str | None:
    """The commit of the git checkout whose top is `root`; None if it is no such thing, or git can't say."""
    if not (root / ".git").exists():  # a directory, or a file in linked work trees
        return None
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        said = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *describe],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None
