"""How many parameters each part of a model has."""

from seq2seq.model.translation import TranslationModel

_PARTS = {"source_embedding": "embeddings", "decoder.embedding": "embeddings", "decoder.attention": "attention"}
"""Names that belong to another part than the one they begin with."""


def parameters_by_part(model: TranslationModel) -> dict[str, int]:
    """Count the parameters of each part. A parameter shared by several parts counts under its first name."""
    counts = dict.fromkeys(("embeddings", "encoder", "bridge", "attention", "decoder", "output"), 0)
    for name, parameter in model.named_parameters():
        part = next((part for prefix, part in _PARTS.items() if name.startswith(prefix)), name.partition(".")[0])
        counts[part] += parameter.numel()
    return counts
