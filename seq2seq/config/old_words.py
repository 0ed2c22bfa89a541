"""Compatibility: the words of earlier versions, in checkpoints, run directories, command lines and users' files."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any


def _both(word: str) -> tuple[str, ...]:
    return f"model.encoder.{word}", f"model.decoder.{word}"


RENAMED: dict[str, tuple[str, ...]] = {
    **{f"model.{word}": _both(word) for word in ("cell", "residual", "layer_norm", "recurrent_dropout")},
    "model.bidirectional": ("model.encoder.bidirectional",),
    "model.encoder_hidden_size": ("model.encoder.hidden_size",),
    "training.risk_sharpness": ("training.risk_alpha",),
    "training.halve_after": ("training.halving_start_epoch",),
}
"""Old key -> the keys that say the same today."""

REMOVED = (
    "model.word_dropout", "training.cuda_graphs", "training.ema", "training.sampled_inputs_half",
    "training.sampled_inputs_most", "training.scheduled_sampling", "training.scheduled_sampling_half",
    "training.scheduled_sampling_max",
)  # fmt: skip
"""Keys that are accepted and no longer do anything."""

_LOST = {"model.word_dropout": 0, "training.ema": None, "training.scheduled_sampling": "none"}
"""Removed keys that shaped a training, and the value with which they did not."""

_IMPLIED = {
    "model.encoder.name": "recurrent",
    "model.decoder.name": "recurrent",
    "model.positions.name": "none",
    "model.bridge.query": "learned",
}
"""Choices that earlier versions did not have to make."""


def upgrade(values: Any, given: Collection[str] = ()) -> Any:
    """Return a command's plain values in today's words. Keys in `given` keep their value whatever an old word says."""
    if not isinstance(values, Mapping):
        return values
    values = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    model = values.get("model")
    if isinstance(model, dict):
        for side in ("encoder", "decoder"):
            if isinstance(model.setdefault(side, {}), Mapping):
                model[side] = {"name": _IMPLIED[f"model.{side}.name"], **model[side]}
    for old, names in RENAMED.items():
        for value in _pop(values, old):
            for name in names:
                if name not in given:
                    path, _, last = name.rpartition(".")
                    _section(values, path)[last] = value
    for old in REMOVED:
        list(_pop(values, old))
    if isinstance(values.get("change"), list):
        values["change"] = [RENAMED.get(key, (key,))[0] if isinstance(key, str) else key for key in values["change"]]
    return values


def lost(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each setting of a stored training that this version can't repeat."""
    for key, harmless in _LOST.items():
        path, _, last = key.rpartition(".")
        if (value := _section(values, path).get(last, harmless)) != harmless:
            yield f"{key}={value}: this version no longer has it. Use the version that began this training."


def removed(values: Mapping[str, Any]) -> list[str]:
    """List the keys among these plain values that no longer do anything."""
    return [old for old in REMOVED if old.rpartition(".")[2] in _section(values, old.rpartition(".")[0])]


def _pop(values: Mapping[str, Any], key: str) -> Iterator[Any]:
    path, _, last = key.rpartition(".")
    section = _section(values, path)
    if last in section:
        yield section.pop(last)


def _section(values: Mapping[str, Any], path: str) -> Any:
    """The group of keys at this path; an empty one where there is none."""
    for name in path.split("."):
        inner = values.get(name)
        values = inner if isinstance(inner, Mapping) else {}
    return values


def oldest_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under the first names they had, as the hashes of default run directories want them."""
    words = {key: value for key, value in settings.items() if (key, value) not in _IMPLIED.items()}
    for old, names in RENAMED.items():
        held = [words[name] for name in names if name in words]
        if len(held) == len(names) and all(value == held[0] for value in held):
            words[old] = held[0]
            for name in names:
                del words[name]
    return words


def stored_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `data` section of a checkpoint or run, with what its version did where it doesn't say."""
    return {"raw_text": True, **values}
