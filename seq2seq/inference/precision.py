"""What `decoding.precision=auto` means for a checkpoint: a measurement by its training, kept beside its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seq2seq.text.storage import read_values, write_values

FILE = "precision.json"
FASTER: Mapping[str, str] = {"cpu": "int8", "cuda": "bf16"}
"""Kind of device -> the precision that may replace fp32 there."""
MIN_SENTENCES = 500
"""Sentences of a validation set below which BLEU says too little."""
_MAX_LOSS = 0.1
"""BLEU that a faster precision may lose."""
_MIN_SPEEDUP = 1.2
"""Ratio of speeds from which a faster precision is worth other bits."""


@dataclass(frozen=True)
class MeasuredPrecision:
    """What the validation set showed of fp32 and of the faster precision of a device."""

    device: str
    sentences: int
    bleu_fp32: float
    bleu: float
    speedup: float
    """Speed of the faster precision, as a multiple of fp32's"""

    def __post_init__(self) -> None:
        if self.device not in FASTER:
            raise ValueError(f"'device' is {self.device[:60]!r}, expected one of {', '.join(FASTER)}")

    @property
    def choice(self) -> str:
        """The faster precision if it is fast and accurate enough, else fp32."""
        pays = self.speedup >= _MIN_SPEEDUP and self.bleu >= self.bleu_fp32 - _MAX_LOSS
        return FASTER[self.device] if pays and self.sentences >= MIN_SENTENCES else "fp32"

    def __str__(self) -> str:
        faster = f"{FASTER[self.device]} has BLEU {self.bleu:.2f}, fp32 {self.bleu_fp32:.2f}, on {self.sentences:,}"
        return f"{self.choice} ({faster} validation sentences, and {self.speedup:.1f} times fp32's speed)"

    def save(self, directory: Path) -> None:
        """Write the measurement into a checkpoint. Raises DataError if it can't be written."""
        write_values(directory, FILE, self)

    @classmethod
    def load(cls, directory: Path) -> "MeasuredPrecision | None":
        """Load the measurement of a checkpoint; None without one. Raises DataError if it can't be read."""
        return read_values(cls, directory, FILE, "Delete it, and auto is fp32.")
