"""The precision of training's products. Weights, their gradients and the loss stay in fp32."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from seq2seq.errors import ConfigError

logger = logging.getLogger(__name__)

_CASTS = {"bf16": torch.bfloat16, "fp16": torch.float16}

_FAST_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Of x86 and of ARM: what a CPU calls instructions that multiply in bf16. Others take longer than for fp32."""

_FP32_ERROR = 1e-5
"""Of a product, relative to its largest element, above which it was not made in fp32."""


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Within it, products are made in this precision."""
    return torch.autocast(device.type, _CASTS.get(precision), enabled=precision in _CASTS)


def fastest_precision(device: torch.device) -> str:
    """bf16 where the device has instructions for it, else fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        return "bf16" if any(_capabilities().get(name) for name in _FAST_BF16) else "fp32"
    return "fp32"


def fastest_fp32_products(device: torch.device) -> str:
    """`highest` for torch's default library, or `medium` for oneDNN on CPUs of AMD with AVX-512, which that default
    (MKL) leaves unused there: the names of `torch.set_float32_matmul_precision`.

    By what the machine is, not by how fast it is at the moment: their roundings differ, and a run has to give the same
    bits again. On some CPUs `medium` means products in bf16, so it is taken only where they are exact.
    """
    if device.type != "cpu" or not _capabilities().get("avx512_f"):
        return "highest"
    if not str(_capabilities().get("cpu_name")).startswith("AMD"):
        return "highest"
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = x.double() @ y.double()
    with fp32_products("medium"):
        error = float((x @ y - exact).abs().max() / exact.abs().max())
    return "medium" if error < _FP32_ERROR else "highest"


@contextmanager
def fp32_products(name: str) -> Iterator[None]:
    """Within it, fp32 matrix products are as `torch.set_float32_matmul_precision` names them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _capabilities() -> Mapping[str, Any]:
    """Of the CPU; older versions of torch don't tell."""
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ConfigError for fp16 without CUDA, and warn of bf16 where it is emulated.

    On a CPU without instructions for them such products take forty times as long as in fp32, and CPUs that have fp16
    also have bf16, which needs no loss scaling.
    """
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"training.precision=fp16 and device={device.type}: fp16 is for CUDA. Take training.precision=auto, which "
            f"in a new run is {fastest_precision(device)} here."
        )
    if precision == "bf16" and device.type == "cpu" and _capabilities() and fastest_precision(device) == "fp32":
        logger.warning(
            "training.precision=bf16: this CPU has no bf16 instructions, so training may be many times slower than in "
            "fp32. Take training.precision=auto, which in a new run is fp32 here."
        )
