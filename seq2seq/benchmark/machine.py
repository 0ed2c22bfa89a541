"""The machine that is measured: what it is, its clock, its cores, its copies."""

import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from seq2seq.errors import ConfigError
from seq2seq.version import __version__

_COPIED = 1 << 27
"""Bytes: more than any cache holds."""


def describe(device: torch.device, threads: int, cores: list[int] | None, fp32: str) -> dict[str, Any]:
    """What a reader has to know to measure the same; `fp32` names the products (`training.precision`)."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "cores_there": os.cpu_count(),
        "cores_used": cores,
        "threads": threads,
        "fp32_products_of_training": fp32,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "seq2seq": __version__,
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def now(device: torch.device) -> float:
    """Seconds, when everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


@dataclass(frozen=True)
class Took:
    """How long some work took, and how much of it this process computed: less than 1 where a core was shared, or
    another device did the work."""

    seconds: float
    utilisation: float
    """Of all its threads together."""


class Stopwatch:
    """Runs from its making on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start, self._computed = now(device), time.process_time()

    def read(self) -> Took:
        """The time so far."""
        seconds = now(self._device) - self._start
        computed = time.process_time() - self._computed
        return Took(seconds, computed / seconds / torch.get_num_threads())


def copy_rate(device: torch.device) -> float:
    """Bytes a second that are read and as many written, together, by copies too large for a cache: median of 5."""
    source = torch.ones(_COPIED // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    taken = []
    for _ in range(5):
        start = now(device)
        target.copy_(source)
        taken.append(now(device) - start)
    return 2 * _COPIED / statistics.median(taken)


@contextmanager
def only(threads: int, cores: list[int] | None) -> Iterator[None]:
    """So many threads on these cores (None: any), in this process and those that it starts."""
    threads_before = torch.get_num_threads()
    cores_before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cores is not None:
        if cores_before is None:
            raise ConfigError(f"cpu={cores}: this system can't keep a process on some cores. Leave cpu=null.")
        try:
            os.sched_setaffinity(0, cores)
        except OSError as error:
            raise ConfigError(f"cpu={cores}: no such cores ({error.strerror}). Take some of {cores_before}.") from error
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        if cores_before is not None:
            os.sched_setaffinity(0, cores_before)
