"""An encoder, a decoding step and the output layer as modules of tensors alone, which is what a graph can hold.

What they pass on is flattened into named tensors: `source.*` is what the decoder reads at every step, and `state.*`
what each step changes. The output layer is a graph of its own, since a shortlist takes its place.

Shapes: b sentences, s source, n decoder rows, r readout size, v vocabulary, h heads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.model.translation import Output, TranslationModel, normalise
from seq2seq.nn.rows import map_tensors
from seq2seq.text.tokenizer import BOS, EOS

LENGTHS = "lengths"
"""Name of the numbers of source tokens [b], which the encoder and the step take."""
FEATURES = "features"
"""Name of what the step returns and the output layer takes [n r]."""


class NamedTensor(NamedTuple):
    """A tensor that goes into a graph."""

    name: str
    example: Tensor
    axes: tuple[int | str, ...]
    """The size of each dimension, or what it counts: `rows`, `source` (words) or `steps`."""


class Graph(NamedTuple):
    """A module that takes and returns tensors in order."""

    module: nn.Module
    inputs: tuple[NamedTensor, ...]
    outputs: tuple[str, ...]


class Graphs(NamedTuple):
    """The graphs of a model."""

    encoder: Graph
    step: Graph
    output: Graph
    zeros: tuple[NamedTensor, ...]
    """States that the encoder does not make. Before the first step they are zeros, and have 0 `steps`."""


def take_apart(model: TranslationModel) -> Graphs:
    """Make the graphs of a model in evaluation mode. It runs on example batches to show its tensors."""
    with torch.inference_mode():
        # What differs between the two is not constant. No size is 0 or 1, which a graph takes for constants.
        example, other = _Example(model, sentences=3, words=5, steps=2), _Example(model, sentences=4, words=7, steps=3)
    tensors = example.named_like(other)
    made = tuple(dict.fromkeys([*example.source.names, *example.first.names]))
    made = tuple(name for name in made if name != LENGTHS)
    encoder = Graph(_Encoder(model, example, made), (tensors["tokens"], tensors[LENGTHS]), made)
    step = _Step(model, example)
    read = ("previous", *step.names)
    outputs = (FEATURES, *["attention"] * model.attends, *(f"next_{name}" for name in example.state.names))
    zeros = tuple(tensors[name] for name in example.state.names if name not in made)
    output = Graph(_Output(model.output), (tensors[FEATURES],), ("log_probs",))
    return Graphs(encoder, Graph(step, tuple(tensors[name] for name in read), outputs), output, zeros)


class _Layout:
    """The names of the tensors in a nested value."""

    def __init__(self, value: Any, name: str, lengths: Tensor) -> None:
        self.value = value
        self.names = [LENGTHS if tensor is lengths else path for path, tensor in _paths(value, name)]

    def flatten(self, value: Any) -> dict[str, Tensor]:
        """The tensors of another such value by name."""
        return dict(zip(self.names, (tensor for _, tensor in _paths(value, "")), strict=True))

    def fill(self, tensors: Mapping[str, Tensor]) -> Any:
        """Make such a value of named tensors."""
        names = iter(self.names)
        return map_tensors(self.value, lambda _: tensors[next(names)])


class _Example:
    """What a model makes of a batch, after some steps."""

    def __init__(self, model: TranslationModel, sentences: int, words: int, steps: int) -> None:
        self.words = words
        tokens, lengths = torch.full((sentences, words), EOS), torch.arange(words, words - sentences, -1)
        source, first = model.encode(tokens, lengths)
        state, previous = first, torch.full((sentences,), BOS)
        for _ in range(steps):
            decoded = model.advance(previous, source, state)
            state = decoded.state
        self.source, self.first, self.state = (
            _Layout(value, name, lengths) for value, name in ((source, "source"), (first, "state"), (state, "state"))
        )
        self.tensors = {"tokens": tokens, LENGTHS: lengths, "previous": previous, FEATURES: decoded.features}
        self.tensors |= self.source.flatten(source) | self.state.flatten(state)

    def named_like(self, other: "_Example") -> dict[str, NamedTensor]:
        """Name the tensors, with the axes that a comparison with the other example shows."""
        named = {}
        for name, tensor in self.tensors.items():
            axes: list[int | str] = list(tensor.shape)
            for dim, size in enumerate(other.tensors[name].shape):
                if axes[dim] != size:
                    axes[dim] = "rows" if dim == 0 else "source" if size == other.words else "steps"
            named[name] = NamedTensor(name, tensor, tuple(axes))
        return named


class _Encoder(nn.Module):
    """source tokens [b s], lengths [b] -> the `source` and the first `state`."""

    def __init__(self, model: TranslationModel, example: _Example, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.example, self.outputs = model, example, outputs

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        source, state = self.model.encode(tokens, lengths)
        made = self.example.source.flatten(source) | self.example.first.flatten(state)
        return tuple(made[name] for name in self.outputs)


class _Step(nn.Module):
    """Previous tokens [n], `source` and `state` -> features [n r], attention [n h s] if any, next `state`."""

    def __init__(self, model: TranslationModel, example: _Example) -> None:
        super().__init__()
        self.model, self.example = model, example
        self.names = tuple(dict.fromkeys([*example.source.names, *example.state.names]))

    def forward(self, previous: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        tensors = dict(zip(self.names, given, strict=True))
        source = self.example.source.fill(tensors)
        decoded = self.model.advance(previous, source, self.example.state.fill(tensors))
        weights = decoded.attended.to_dense(source.size)
        attention = [] if weights is None else [weights[:, :, 0]]
        return (decoded.features, *attention, *self.example.state.flatten(decoded.state).values())


class _Output(nn.Module):
    """Features [n r] -> log-probabilities [n v]."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.output = output

    def forward(self, features: Tensor) -> Tensor:
        return normalise(self.output.logits(features))


def _paths(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a nested value, in the order of `map_tensors`, and where they stand in it."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, tuple):
        for number, part in enumerate(value):
            yield from _paths(part, f"{name}.{number}")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _paths(getattr(value, field.name), f"{name}.{field.name}")
