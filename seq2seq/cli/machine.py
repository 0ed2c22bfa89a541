"""The machine: which device, its memory allocator, its matrix products."""

import ctypes
import logging
import os
import sys
import time

import torch

from seq2seq.config import ConfigError
from seq2seq.training.ranks import asked_for

logger = logging.getLogger(__name__)

_FP32_ERROR = 1e-5
"""Of a product, relative to its largest element, above which it was not made in fp32."""
_WORTH_IT = 1.5
"""Times faster another library has to be, so that noise does not choose."""


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, else MPS, else CPU. Raises ConfigError for a device that is not here."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        here = ", ".join(device for device, there in available.items() if there)
        raise ConfigError(f"device={name}: not available here. Take one of: {here}, or device=auto.")
    return torch.device(name)


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
        logger.info("allocator: blocks up to 1 GiB are kept when freed (mallopt)")


def choose_fp32_products(before: str | None = None) -> None:
    """Let oneDNN make fp32 matrix products where it is much faster than the default library and as exact.

    torch hands them over under the matmul precision "medium", which on some CPUs means bf16: hence the check. A run
    goes on with what it had `before` where that is exact: by another measurement its bits would be others.
    """
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(512, 512, generator=generator) for _ in range(2))
    torch.set_float32_matmul_precision("highest")
    default = _seconds(x, y)
    torch.set_float32_matmul_precision("medium")
    exact = x.double() @ y.double()
    error = float((x @ y - exact).abs().max() / exact.abs().max())
    gain = default / _seconds(x, y)
    faster = gain >= _WORTH_IT if before is None else before == "medium"
    if error > _FP32_ERROR or not faster:
        torch.set_float32_matmul_precision("highest")
    logger.info(
        "fp32 products: %s (the other library's relative error is %.0e, it is %.1f times as fast)",
        "oneDNN" if torch.get_float32_matmul_precision() == "medium" else "torch's default",
        error,
        gain,
    )


def _seconds(x: torch.Tensor, y: torch.Tensor) -> float:
    """Of the processor for a product, the least of many: other work on the machine must not choose."""
    times = []
    for _ in range(15):
        start = time.thread_time()
        _ = x @ y
        times.append(time.thread_time() - start)
    return min(times)
