"""`seq2seq average`: averages the weights of checkpoints of one training into a new checkpoint."""

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
    """Read the checkpoints, average them and write the result."""
    output = Path(config.output)
    if os.path.lexists(output):
        raise ConfigError(f"output={config.output}: already exists and would be replaced. Give another directory.")
    check_directory(config.output)
    names = config.checkpoint if config.run_dir is None else _retained(config.run_dir, config.choose)
    checkpoints = [checkpoint.load(Path(name), torch.device("cpu")) for name in names]
    mean = average(checkpoints, names)
    checkpoint.save(output, mean, average_card(mean.options, mean.data, names))
    logger.info("%s: averaged from %s", output, ", ".join(names))
    return 0


def _retained(run_dir: str, kind: str) -> list[str]:
    names = [str(path) for path in directories(Path(run_dir), kind)]
    if len(names) < 2:
        raise ConfigError(
            f"run_dir={run_dir}: has {len(names)} checkpoints {kind}-UPDATE; expected at least two. Train with "
            f"training.keep_{kind}=5, or name them: checkpoint=[a,b]."
        )
    return names
