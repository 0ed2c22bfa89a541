"""How many parameters each part of a model has."""

import re

from seq2seq.model.translation import TranslationModel

_PARTS = {
    "source_embedding": "embeddings",
    r"decoder\.embedding": "embeddings",
    r"decoder\.(layers\.\d+\.)?attention\.": "attention",
}
"""Beginnings of names, as patterns, that belong to another part than the one they name."""


def parameters_by_part(model: TranslationModel) -> dict[str, int]:
    """Count the parameters of each part. A parameter shared by several parts counts under its first name."""
    counts = dict.fromkeys(("embeddings", "encoder", "bridge", "attention", "decoder", "output"), 0)
    for name, parameter in model.named_parameters():
        part = next((part for start, part in _PARTS.items() if re.match(start, name)), name.partition(".")[0])
        counts[part] += parameter.numel()
    return counts
