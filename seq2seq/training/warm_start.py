"""Initialising parts of a model from another model, and freezing parts."""

import difflib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seq2seq.errors import ConfigError

logger = logging.getLogger(__name__)


def part_of(name: str) -> str:
    """Return the part that a tensor belongs to: its first name, or its first two within the decoder."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if first == "decoder" else first


@dataclass(frozen=True)
class Reuse:
    """The tensors that one model took over from another, by name; tied ones have their first name."""

    reused: Mapping[str, Tensor]
    new: Mapping[str, Tensor]
    dropped: Mapping[str, Tensor]
    """Tensors of the other model that were not used."""

    def __str__(self) -> str:
        """Describe each part in a line; parts with several fates list their tensors."""
        parts: dict[str, dict[str, list[tuple[str, Tensor]]]] = {}
        for fate, tensors in vars(self).items():
            for name, tensor in tensors.items():
                part = part_of(name)
                parts.setdefault(part, {}).setdefault(fate, []).append((name.removeprefix(f"{part}."), tensor))
        lines = []
        for part, fates in parts.items():
            for fate, named in fates.items():
                size = sum(tensor.numel() for _, tensor in named)
                names = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in named)
                plural, listed = "s" * (len(named) > 1), f": {names}" if len(fates) > 1 else ""
                lines.append(f"  {part}: {fate} {len(named)} tensor{plural}, {size:,} parameters{listed}")
        return "\n".join(lines)


@torch.no_grad()
def reuse(model: nn.Module, trained: nn.Module, wanted: Mapping[str, Tensor] | None = None) -> Reuse:
    """Copy the weights of a trained model wherever a tensor has the same name and shape.

    `wanted` are the tensors of the model to look for, by name; None: all.
    """
    given = dict(trained.named_parameters(remove_duplicate=False))
    reused, new = {}, {}
    for name, parameter in dict(model.named_parameters() if wanted is None else wanted).items():
        if name in given and given[name].shape == parameter.shape:
            parameter.copy_(given[name])
            reused[name] = parameter
        else:
            new[name] = parameter
    taken = {id(given[name]) for name in reused}
    dropped = {name: tensor for name, tensor in trained.named_parameters() if id(tensor) not in taken}
    return Reuse(reused, new, dropped)


def start_from(model: nn.Module, names: Sequence[str], load: Callable[[str], nn.Module]) -> None:
    """Take each weight from the first of these trained models that has it, and log which come from where.

    Raises ConfigError if one of them gives nothing.
    """
    missing: Mapping[str, Tensor] = dict(model.named_parameters())
    for number, name in enumerate(names):
        result = reuse(model, load(name), missing)
        if not result.reused:
            earlier = "" if number == 0 else " that the checkpoints before it lack"
            raise ConfigError(
                f"training.start_from={name}: none of its tensors has the name and shape of one of this model's"
                f"{earlier}. Use the sizes of that model, or leave it out: training.start_from=null."
            )
        missing, last = result.new, number == len(names) - 1
        logger.info("training.start_from=%s:\n%s", name, result if last else replace(result, new={}))


def freeze(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Freeze all tensors under these names: `encoder`, `decoder.attention`, or the full name of a tensor.

    A tied tensor is frozen under any of its names. Raises ConfigError for unknown names, and if nothing is left to
    train.
    """
    first_names = dict(model.named_parameters())
    parameters = {
        name: tensor
        for name, tensor in model.named_parameters(remove_duplicate=False)
        if not name.startswith("decoder.bridge.")  # a second name of the bridge, which is a part of its own
    }
    for prefix in prefixes:
        tensors = [tensor for name, tensor in parameters.items() if f"{name}.".startswith(f"{prefix}.")]
        if not tensors:
            raise ConfigError(
                f"training.freeze: {prefix!r}: no such part in this model.{_nearest(prefix, first_names)}"
            )
        for tensor in tensors:
            tensor.requires_grad_(False)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    if not any(p.requires_grad for p in model.parameters()):
        raise ConfigError(f"training.freeze={list(prefixes)}: nothing is left to train. Leave out a part.")
    if prefixes:
        logger.info("training.freeze: %s parameters are frozen", f"{frozen:,}")


def _nearest(prefix: str, names: Iterable[str]) -> str:
    """List the parts, and the names and beginnings of names most like this one."""
    known = {".".join(words[: n + 1]) for words in (name.split(".") for name in names) for n in range(len(words))}
    close = difflib.get_close_matches(prefix, sorted(known), n=3)
    parts = ", ".join(dict.fromkeys(part_of(name) for name in names))
    return (f" Did you mean {' or '.join(map(repr, close))}?" if close else "") + f" Parts: {parts}."
