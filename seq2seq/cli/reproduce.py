"""`seq2seq reproduce`: trains a checkpoint again from its own record, and compares the weights."""

import logging
from pathlib import Path

import torch

from seq2seq import checkpoint
from seq2seq.cli.training import run_training
from seq2seq.config import ReproduceConfig
from seq2seq.device import using_threads
from seq2seq.errors import ConfigError
from seq2seq.training.reproduction import Requirement, differing_weights, plan

logger = logging.getLogger(__name__)

SAME, OTHER_BITS = 0, 1
"""Exit codes of a reproduction that came to its end."""


def run(config: ReproduceConfig) -> int:
    """Report what the training needs, train, and compare."""
    path = checkpoint.find(Path(config.checkpoint))
    reproduction = plan(path, config.device, config.run_dir, config.data, config.training.start_from)
    reproduction.check_run_dir()
    end = f"update {reproduction.update}" if reproduction.update else "its end"
    logger.info("%s: to be trained again in %s, to %s", path, reproduction.run_dir, end)
    requirements = []
    for requirement in reproduction.requirements():
        print(requirement.line, flush=True)
        requirements.append(requirement)
    if blocking := [each for each in requirements if each.way_out and each.state in ("differs", "missing")]:
        listed = "\n".join(f"  {each.name}: {each.state}; {each.way_out}" for each in blocking)
        raise ConfigError(f"checkpoint={path}: can't be trained again here:\n{listed}")
    if config.check:
        return SAME
    reproduction.begin()
    with using_threads(reproduction.threads or torch.get_num_threads()):
        if code := run_training(reproduction.config, until=reproduction.update):
            return code
    weights = Requirement("model.safetensors", reproduction.weights, checkpoint.weights_hash(reproduction.result()))
    print(weights.line)
    if weights.state == "same":
        return SAME
    print(" " * 13, differing_weights(path, reproduction.result()))
    reasons = ", ".join(f"{each.name} ({each.state})" for each in requirements if each.state != "same")
    print(" " * 13, f"may explain it: {reasons}" if reasons else "nothing recorded explains it")
    return OTHER_BITS
