"""`seq2seq average`: checkpoints of one training to one that has the mean of their weights."""

import logging
import os
from pathlib import Path

import torch

from seq2seq.config import AverageConfig, ConfigError
from seq2seq.training import checkpoint
from seq2seq.training.average import average
from seq2seq.training.best import directories
from seq2seq.training.card import average_card

logger = logging.getLogger(__name__)


def run(config: AverageConfig, choices: dict[str, str]) -> int:
    """Read, average, write."""
    output = Path(config.output)
    if os.path.lexists(output):
        raise ConfigError(f"output={config.output}: is there already, and would be replaced. Take another.")
    names = config.checkpoint if config.run_dir is None else _best_of(config.run_dir)
    found = [checkpoint.load(Path(name), torch.device("cpu")) for name in names]
    mean = average(found, names)
    checkpoint.save(output, mean, average_card(mean.data, names))
    logger.info("%s: the mean of %s", output, ", ".join(names))
    return 0


def _best_of(run_dir: str) -> list[str]:
    names = [str(path) for path in directories(Path(run_dir))]
    if len(names) < 2:
        raise ConfigError(
            f"run_dir={run_dir}: has {len(names)} checkpoints best-UPDATE, and two or more are averaged. Train with "
            "training.keep_best=5, or name them: checkpoint=[a,b]."
        )
    return names
