"""`seq2seq average`: checkpoints of one training to one that has the mean of their weights."""

import logging
import os
from pathlib import Path

import torch

from seq2seq import checkpoint
from seq2seq.cli.files import check_directory
from seq2seq.config import AverageConfig
from seq2seq.errors import ConfigError
from seq2seq.training.average import average
from seq2seq.training.checkpoints import directories
from seq2seq.training.model_card import average_card

logger = logging.getLogger(__name__)


def run(config: AverageConfig) -> int:
    """Read, average, write."""
    output = Path(config.output)
    if os.path.lexists(output):
        raise ConfigError(f"output={config.output}: is there already, and would be replaced. Take another.")
    check_directory(config.output)
    names = config.checkpoint if config.run_dir is None else _kept_in(config.run_dir, config.choose)
    found = [checkpoint.load(Path(name), torch.device("cpu")) for name in names]
    mean = average(found, names)
    checkpoint.save(output, mean, average_card(mean.data, names))
    logger.info("%s: the mean of %s", output, ", ".join(names))
    return 0


def _kept_in(run_dir: str, kind: str) -> list[str]:
    names = [str(path) for path in directories(Path(run_dir), kind)]
    if len(names) < 2:
        raise ConfigError(
            f"run_dir={run_dir}: has {len(names)} checkpoints {kind}-UPDATE, and two or more are averaged. Train with "
            f"training.keep_{kind}=5, or name them: checkpoint=[a,b]."
        )
    return names
