"""How many parameters each part of a model has."""

from seq2seq.model.translation import TranslationModel

_EMBEDDINGS = ("source_embedding", "decoder.embedding")
_ATTENTIONS = {"attention", "self_attention"}
"""Modules that are attention, wherever they stand."""


def parameters_by_part(model: TranslationModel) -> dict[str, int]:
    """Count the parameters of each part; attention within layers is attention, that to context is context.

    A parameter shared by several parts counts under its first name.
    """
    counts = dict.fromkeys(("embeddings", "encoder", "bridge", "attention", "decoder", "output", "context"), 0)
    for name, parameter in model.named_parameters():
        counts[_part(name)] += parameter.numel()
    return counts


def _part(name: str) -> str:
    if name.startswith(_EMBEDDINGS):
        return "embeddings"
    words = name.split(".")
    if words[0] == "context":
        return "context"
    return "attention" if _ATTENTIONS & set(words) else words[0]
