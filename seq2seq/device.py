"""The device that a model runs on: its choice, its memory, and the precision of its matrix products."""

import ctypes
import functools
import gc
import logging
import platform
import resource
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from seq2seq.errors import ConfigError

logger = logging.getLogger(__name__)

_CASTS = {"bf16": torch.bfloat16, "fp16": torch.float16}

_FAST_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Names of the bf16 instructions of x86 and ARM; without them bf16 products are slower than fp32."""

_FP32_ERROR = 1e-5
"""Maximum error of an fp32 product relative to its largest element; a larger one means lower precision."""

_setting = threading.Lock()
"""Held while the process's setting of fp32 products changes"""
_blocks: dict[object, str] = {}
"""The settings of the unfinished blocks of `fp32_products`, in the order they began, after that from outside (None)"""

_MEBI = 1 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""


def choose_device(name: str | torch.device) -> torch.device:
    """Return the device of this name; `auto` is CUDA, else MPS, else CPU. Raises ConfigError if it is unavailable."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    usable = [device for device, is_usable in available.items() if is_usable]
    try:
        device = torch.device(usable[0] if name == "auto" else name)
    except RuntimeError:
        device = None
    if device is None or device.type not in usable:
        raise ConfigError(f"device={name}: not available here. Use one of: {', '.join(usable)}, or device=auto.")
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # by which recurrent layers would round fp32 to 11 bits
    return device


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute products in this precision inside the block; weights, their gradients and the loss stay in fp32."""
    return torch.autocast(device.type, _CASTS.get(precision), enabled=precision in _CASTS)


def fastest_precision(device: torch.device) -> str:
    """Return bf16 if the device has instructions for it, else fp32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device.type == "cpu" and any(_capabilities().get(name) for name in _FAST_BF16)
    return "bf16" if fast else "fp32"


def fastest_fp32_products(device: torch.device) -> str:
    """Return the setting of `torch.set_float32_matmul_precision` with the fastest exact fp32 products.

    `medium` selects oneDNN on AMD CPUs with AVX-512, which the default library (MKL) leaves unused; `highest` is that
    default. The choice depends on the machine and not on a measurement of speed: the two round differently, and a run
    has to produce the same bits again. On some CPUs `medium` means bf16, so it is taken only where it is exact.
    """
    capabilities = _capabilities()
    if (
        device.type != "cpu"
        or not capabilities.get("avx512_f")
        or not str(capabilities.get("cpu_name")).startswith("AMD")
    ):
        return "highest"
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = x.double() @ y.double()
    with _setting:  # which no other thread changes meanwhile
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        error = float((x @ y - exact).abs().max() / exact.abs().max())
        torch.set_float32_matmul_precision(before)
    return "medium" if error < _FP32_ERROR else "highest"


@contextmanager
def fp32_products(name: str) -> Iterator[None]:
    """Apply `torch.set_float32_matmul_precision` inside the block.

    The setting is the process's. Where blocks of several threads overlap, the last to begin decides, and the last to
    end restores what was set before all of them.
    """
    block = object()
    with _setting:
        if not _blocks:
            _blocks[None] = torch.get_float32_matmul_precision()
        _blocks[block] = name
        torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        with _setting:
            del _blocks[block]
            torch.set_float32_matmul_precision(next(reversed(_blocks.values())))
            if len(_blocks) == 1:
                _blocks.clear()


def _capabilities() -> Mapping[str, Any]:
    """Instruction sets of the CPU; empty in versions of torch that do not report them."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


@functools.cache
def hardware(device: torch.device) -> Mapping[str, str]:
    """Return the kind and the name of a device, and the instruction set that torch uses on this CPU."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    if device.type != "cuda":
        with suppress(OSError, StopIteration):  # Linux, where the platform module knows no more than the architecture
            lines = Path("/proc/cpuinfo").read_text().splitlines()
            name = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return {"device": device.type, "processor": name, "instructions": torch.backends.cpu.get_cpu_capability()}


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """Let torch use this many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ConfigError for fp16 without CUDA, and warn of emulated bf16.

    On a CPU without their instructions such products take forty times as long as in fp32. CPUs that have fp16 also
    have bf16, which needs no loss scaling.
    """
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"training.precision=fp16 and device={device.type}: fp16 is for CUDA. Use training.precision=auto, which "
            f"in a new run is {fastest_precision(device)} here."
        )
    if precision == "bf16" and device.type == "cpu" and _capabilities() and fastest_precision(device) == "fp32":
        logger.warning(
            "training.precision=bf16: this CPU has no bf16 instructions, so training may be many times slower than in "
            "fp32. Use training.precision=auto, which in a new run is fp32 here."
        )


@functools.cache
def warn_of_slow_int8() -> None:
    """Warn once if this CPU has no instructions for int8: products then take 2 to 30 times as long as in fp32."""
    known = _capabilities()
    if known.get("architecture") == "x86_64" and not (known.get("avx512_f") or known.get("avx_vnni")):
        logger.warning(
            "decoding.precision=int8: this CPU has neither AVX-512 nor AVX-VNNI, so products in int8 take many times "
            "as long as in fp32. Use decoding.precision=fp32."
        )


def keep_freed_memory() -> None:
    """Tell glibc not to return large freed blocks to the kernel: page faults take up to a third of the time."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(AttributeError, OSError):  # another libc
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, -1 & 0x7FFFFFFF):
            logger.debug("allocator: blocks up to 1 GiB are kept when freed (mallopt)")


def reset_peak(device: torch.device) -> None:
    """Measure peak memory from here on, after returning the memory of earlier models to the system.

    Only Linux allows this, and not everywhere; elsewhere the peak is that of the whole process.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform.startswith("linux"):
        with suppress(AttributeError, OSError):  # another libc
            ctypes.CDLL(None).malloc_trim(0)  # `keep_freed_memory` kept freed blocks
        with suppress(OSError):  # not permitted here
            Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: torch.device) -> float:
    """Return the peak MiB since `reset_peak`: CUDA's own memory, else that of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MEBI
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MEBI if sys.platform == "darwin" else peak / 1024
