"""Which device a model runs on."""

import torch

from seq2seq.errors import ConfigError


def choose_device(name: str | torch.device) -> torch.device:
    """The device of this name; `auto` is CUDA, else MPS, else CPU. Raises ConfigError for one that is not here."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    here = [device for device, there in available.items() if there]
    try:
        device = torch.device(here[0] if name == "auto" else name)
    except RuntimeError:
        device = None
    if device is None or device.type not in here:
        raise ConfigError(f"device={name}: not available here. Take one of: {', '.join(here)}, or device=auto.")
    return device
