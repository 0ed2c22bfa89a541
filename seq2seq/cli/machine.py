"""The machine: the device of each process, its memory allocator."""

import ctypes
import logging
import os
import sys

import torch

from seq2seq.errors import ConfigError
from seq2seq.training.process_group import asked_for

logger = logging.getLogger(__name__)


def device_of_rank(device: torch.device) -> torch.device:
    """Of the processes that torchrun started each has a GPU of its own. Raises ConfigError where there are too few."""
    if asked_for() == 1 or device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ConfigError(
            f"device={device.type} and torchrun: several processes train on cuda or cpu. Take device=cpu."
        )
    number, there = int(os.environ.get("LOCAL_RANK") or 0), torch.cuda.device_count()
    if number >= there:
        raise ConfigError(
            f"device=cuda: no GPU is left for process {number} of this machine, which has {there}. Take "
            f"torchrun --nproc-per-node={there}, or device=cpu."
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def keep_freed_memory() -> None:
    """Tell glibc not to return large freed blocks to the kernel: their page faults are a good part of training."""
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another libc
    if mallopt(mmap_threshold, 1 << 30) and mallopt(trim_threshold, -1 & 0x7FFFFFFF):
        logger.debug("allocator: blocks up to 1 GiB are kept when freed (mallopt)")
