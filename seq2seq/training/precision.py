"""The precision of training's products. Weights, their gradients and the loss stay in fp32."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from seq2seq.config import ConfigError

_CASTS = {"bf16": torch.bfloat16, "fp16": torch.float16}

_FAST_BF16 = ("avx512_bf16", "amx_bf16", "bf16")
"""Of x86 and of ARM: what a CPU calls instructions that multiply in bf16. Others take longer than for fp32."""


def casting(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Within it, products are made in this precision."""
    return torch.autocast(device.type, _CASTS.get(precision), enabled=precision in _CASTS)


def fastest_precision(device: torch.device) -> str:
    """bf16 where the device has instructions for it, else fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        ask: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # newer than some torch
        capabilities = ask()
        return "bf16" if any(capabilities.get(name) for name in _FAST_BF16) else "fp32"
    return "fp32"


def check_precision(precision: str, device: torch.device) -> None:
    """Raises ConfigError for fp16 on another device than CUDA: on a CPU without instructions for it a product takes
    forty times as long as in fp32, and newer ones have bf16, which needs no loss scaling.
    """
    if precision == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"training.precision=fp16 and device={device.type}: fp16 is for CUDA. Take training.precision=auto, which "
            f"in a new run is {fastest_precision(device)} here."
        )
