"""The mean of the weights of several checkpoints.

For checkpoints of one training the mean translates better than each of them, and as fast (Junczys-Dowmunt 2016;
Vaswani 2017, section 6.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from seq2seq.checkpoint import Checkpoint
from seq2seq.config import to_plain
from seq2seq.errors import ConfigError
from seq2seq.training.run_directory import differences


def average(checkpoints: Sequence[Checkpoint], names: Sequence[str]) -> Checkpoint:
    """w = (w_1 + .. + w_n) / n, added up in double precision. All else but the scores is that of the first checkpoint,
    whose provenance then names them all.

    Changes the model of the first. Raises ConfigError, naming what differs, unless all have the same model and the
    same tokenizers.
    """
    first, *others = checkpoints
    for other, name in zip(others, names[1:], strict=True):
        if differing := list(_differences(first, other)):
            keys = "\n".join(f"  {key}" for key in differing)
            raise ConfigError(
                f"checkpoint=[{names[0]},{name}]: their models differ. From the first to the second:\n{keys}\n"
                "Average checkpoints of one training."
            )
    with torch.no_grad():
        for weights in zip(*(checkpoint.model.parameters() for checkpoint in checkpoints), strict=True):
            total = weights[0].to(torch.float64, copy=True)
            for weight in weights[1:]:
                total += weight
            weights[0].copy_(total / len(weights))
    origin = {key: value for key, value in first.origin.items() if key != "validation"}
    return replace(first, origin={**origin, "averaged": list(names)})


def _differences(one: Checkpoint, other: Checkpoint) -> Iterator[str]:
    yield from differences(to_plain(one.options), to_plain(other.options), "model")
    for key in ("source_lang", "target_lang", "reverse_source"):
        yield from differences(getattr(one.data, key), getattr(other.data, key), f"data.{key}")
    for side in ("source", "target"):
        if getattr(one, side).fingerprint != getattr(other, side).fingerprint:
            yield f"{side}.model: another tokenizer"
