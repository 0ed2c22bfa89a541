"""The parts of a model by name: which of them begin with the weights of another model, and which of them stay fixed."""

import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq.errors import ConfigError

logger = logging.getLogger(__name__)


def part_of(name: str) -> str:
    """The part that a tensor belongs to: its first name, within the decoder its first two."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if first == "decoder" else first


@dataclass(frozen=True)
class Reuse:
    """What one model took over from another: its tensors by name; tied ones have their first name."""

    reused: Mapping[str, Tensor]
    new: Mapping[str, Tensor]
    dropped: Mapping[str, Tensor]
    """Of the other model."""

    def __str__(self) -> str:
        """A line for each part and what became of it; tensors are named where a part has not one fate."""
        fates = {"reused": self.reused, "new": self.new, "dropped": self.dropped}
        parts = dict.fromkeys(part_of(name) for tensors in fates.values() for name in tensors)
        return "\n".join(line for part in parts for line in self._lines(part, fates))

    @staticmethod
    def _lines(part: str, fates: Mapping[str, Mapping[str, Tensor]]) -> Iterator[str]:
        found = {
            fate: {name: tensor for name, tensor in tensors.items() if part_of(name) == part}
            for fate, tensors in fates.items()
        }
        mixed = sum(map(bool, found.values())) > 1
        for fate, tensors in found.items():
            if tensors:
                size = sum(tensor.numel() for tensor in tensors.values())
                names = (f"{name.removeprefix(f'{part}.')} {list(tensor.shape)}" for name, tensor in tensors.items())
                named = f": {', '.join(names)}" if mixed else ""
                yield f"  {part}: {fate} {len(tensors)} tensor{'s' * (len(tensors) > 1)}, {size:,} parameters{named}"


@torch.no_grad()
def reuse(model: nn.Module, trained: nn.Module) -> Reuse:
    """Give the model the weights of a trained one, wherever a tensor has the same name and shape."""
    given = dict(trained.named_parameters(remove_duplicate=False))
    reused, new = {}, {}
    for name, parameter in model.named_parameters():
        if name in given and given[name].shape == parameter.shape:
            parameter.copy_(given[name])
            reused[name] = parameter
        else:
            new[name] = parameter
    taken = {id(given[name]) for name in reused}
    dropped = {name: tensor for name, tensor in trained.named_parameters() if id(tensor) not in taken}
    return Reuse(reused, new, dropped)


def start_from(model: nn.Module, trained: nn.Module, name: str) -> None:
    """`reuse`, and say what was. Raises ConfigError where nothing fits; `name` is the trained model's."""
    found = reuse(model, trained)
    if not found.reused:
        raise ConfigError(
            f"training.start_from={name}: none of its tensors has the name and shape of one of this model's. Take the "
            "sizes of that model, or training.start_from=null."
        )
    logger.info("training.start_from=%s:\n%s", name, found)


def freeze(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Keep all tensors under these names as they are: `encoder`, `decoder.attention`, or one tensor's whole name.

    A tied tensor is fixed by any of its names. Raises ConfigError for a name that nothing has, and where nothing would
    be left to train.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    first_names = dict(model.named_parameters())
    for prefix in prefixes:
        found = [tensor for name, tensor in parameters.items() if f"{name}.".startswith(f"{prefix}.")]
        if not found:
            raise ConfigError(f"training.freeze: {prefix!r}: no part of this model.{_nearest(prefix, first_names)}")
        for tensor in found:
            tensor.requires_grad_(False)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    if all(not p.requires_grad for p in model.parameters()):
        raise ConfigError(f"training.freeze={list(prefixes)}: nothing is left to train. Leave out a part.")
    if prefixes:
        logger.info("training.freeze: %s parameters stay as they are", f"{frozen:,}")


def _nearest(prefix: str, names: Iterable[str]) -> str:
    """The parts, and of all names, whole or not, those that are most like this one."""
    known = {".".join(words[: n + 1]) for words in (name.split(".") for name in names) for n in range(len(words))}
    close = difflib.get_close_matches(prefix, sorted(known), n=3)
    parts = ", ".join(dict.fromkeys(part_of(name) for name in names))
    return (f" Did you mean {' or '.join(map(repr, close))}?" if close else "") + f" Parts: {parts}."
