"""The machine: which device, and its memory allocator."""

import ctypes
import logging
import sys

import torch

from seq2seq.config import ConfigError

logger = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else CPU. Raises ConfigError for a device that is not here."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        here = ", ".join(device for device, there in available.items() if there)
        raise ConfigError(f"device={name}: not available here. Take one of: {here}, or device=auto.")
    return torch.device(name)


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
        logger.info("allocator: blocks up to 1 GiB are kept when freed (mallopt)")
