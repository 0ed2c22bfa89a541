"""Where a model's parameters are."""

from torch import nn

from seq2seq.model.translation import TranslationModel


def parameters_by_part(model: TranslationModel) -> dict[str, int]:
    """Part -> how many numbers are learned in it. What several parts share counts in the first of them."""
    parts: dict[str, list[nn.Module]] = {
        "embeddings": [model.source_embedding, model.decoder.embedding],
        "encoder": [model.encoder],
        "bridge": [model.bridge],
        "attention": [model.decoder.attention],
        "decoder": [model.decoder],
        "output": [model],
    }
    seen: set[nn.Parameter] = set()
    counts = {}
    for name, modules in parts.items():
        new = {parameter for module in modules for parameter in module.parameters()} - seen
        counts[name] = sum(parameter.numel() for parameter in new)
        seen |= new
    return counts
