"""How many parameters each part of a model has."""

from torch import nn

from seq2seq.model.translation import TranslationModel


def parameters_by_part(model: TranslationModel) -> dict[str, int]:
    """Count the parameters of each part. A parameter shared by several parts counts in the first of them."""
    parts: dict[str, list[nn.Module | None]] = {
        "embeddings": [model.source_embedding, model.decoder.embedding],
        "encoder": [model.encoder],
        "bridge": [model.bridge],
        "attention": [model.attention],
        "decoder": [model.decoder],
        "output": [model],
    }
    seen: set[nn.Parameter] = set()
    counts = {}
    for name, modules in parts.items():
        new = {parameter for module in modules if module is not None for parameter in module.parameters()} - seen
        counts[name] = sum(parameter.numel() for parameter in new)
        seen |= new
    return counts
