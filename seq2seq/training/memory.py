"""The most memory that training took."""

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

_MEBI = 1 << 20


def reset_peak(device: torch.device) -> None:
    """Count from here. What an earlier model of this process left behind is given back to the system first.

    Where the kernel does not allow it (only Linux does), the peak stays that of the whole process.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    if not sys.platform.startswith("linux"):
        return
    with suppress(AttributeError, OSError):  # another libc
        ctypes.CDLL(None).malloc_trim(0)  # freed blocks are kept (cli.machine.keep_freed_memory)
    with suppress(OSError):  # not permitted here
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: torch.device) -> float | None:
    """MiB at most since `reset_peak`: of CUDA's own memory, else of the whole process; None where nobody can say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MEBI
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return _peak_of_process()
    kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return _peak_of_process() if kilobytes is None else int(kilobytes) / 1024


def _peak_of_process() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / _MEBI if sys.platform == "darwin" else most / 1024
