"""Exported graphs as search sees a model.

Shapes: b sentences, n rows (hypotheses), h heads, s source, u columns (the vocabulary, or a shortlist's part of it).
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.checkpoint import weights_hash
from seq2seq.errors import ConfigError
from seq2seq.model.translation import Output, TranslationModel, normalise
from seq2seq.search.protocol import Integers
from seq2seq.search.shortlist import Selection
from seq2seq.search.stepper import Columns
from seq2seq.text.json_io import read_json
from seq2seq.text.storage import within
from seq2seq.version import install_command

Arrays = dict[str, NDArray[Any]]

FORMAT = 2
"""Format of a directory of graphs. In format 1, the step computed log-probabilities, and there was no third graph."""


@dataclass(frozen=True)
class GraphState:
    """The tensors that each row reads, and those that each step changes."""

    source: Arrays
    state: Arrays
    sentences: Integers
    """[n]: the sentence of each row. Its rows have copies of what they read."""
    attention: Tensor | None = None
    """[n h s]: weights of the last step."""
    vocabulary: Integers | None = None

    def select(self, rows: Tensor) -> "GraphState":
        """Take these rows [m], in that order."""
        chosen = rows.numpy()
        state = {name: value[chosen] for name, value in self.state.items()}
        sentences = self.sentences[chosen]
        if np.array_equal(sentences, self.sentences):
            return replace(self, state=state)
        source = {name: value[chosen] for name, value in self.source.items()}
        return replace(self, source=source, state=state, sentences=sentences)


class GraphStepper:
    """The graphs in a directory, run by onnxruntime in as many threads as torch uses."""

    def __init__(self, directory: Path) -> None:
        # Imported here, since most translations need no onnxruntime.
        from seq2seq.export.translate_onnx import Model

        self._directory = directory
        self._model = Model(directory, torch.get_num_threads())
        self._columns: Columns | None = None
        """None: the whole vocabulary, by the graph"""
        self._device = torch.device("cpu")
        """Device of the columns"""

    def restricted_to(self, selection: Selection, output: Output) -> Self:
        """Return the same graphs with a part of the vocabulary, which the model's own output layer computes."""
        other = copy.copy(self)
        other._device = output.weight.device
        other._columns = Columns.select(output, selection, other._device)
        return other

    def check(self, model: TranslationModel) -> None:
        """Raise ConfigError if attention is to be read from another layer than that whose weights the graphs return."""
        layer, exported = model.decoder.alignment_layer, self._model.config.get("layer")
        if layer != exported:
            raise ConfigError(
                f"decoding.engine=onnx: {self._directory} returns the attention of another layer than the chosen one. "
                "Use decoding.engine=torch."
            )

    def start(self, sources: Sequence[Sequence[int]]) -> GraphState:
        """Source tokens, EOS included -> the state before the first step."""
        source, state = self._model.start(sources)
        vocabulary = None if self._columns is None else self._columns.vocabulary
        return GraphState(source, state, np.arange(len(sources)), vocabulary=vocabulary)

    def step(self, tokens: Tensor, state: GraphState) -> tuple[Tensor, GraphState]:
        """The previous tokens [n] -> log-probabilities of the next [n u], the next state."""
        features, attention, new = self._model.step(tokens.numpy(), state.source, state.state)
        weights = None if attention is None else torch.from_numpy(attention)
        return self._log_probs(features, state.sentences), replace(state, state=new, attention=weights)

    def _log_probs(self, features: NDArray[Any], sentences: Integers) -> Tensor:
        if self._columns is None:
            return torch.from_numpy(self._model.log_probs(features))
        logits = self._columns.project(torch.from_numpy(features).to(self._device))
        if self._columns.absent is not None:
            logits += self._columns.absent[torch.from_numpy(sentences).to(self._device)]
        return normalise(logits)


def directory_name(precision: str) -> str:
    """Return the name that a directory of graphs has in its checkpoint."""
    return f"onnx-{precision}"


def find_graphs(checkpoint_dir: Path, precision: str) -> Path:
    """Return the directory of a checkpoint's graphs.

    Raises ConfigError if they are missing, of other weights, or of another version of the program.
    """
    way_out = f"Make them: seq2seq export checkpoint={checkpoint_dir} precision={precision}"
    if find_spec("onnxruntime") is None:
        raise ConfigError(f"decoding.engine=onnx needs onnxruntime. Install it: {install_command('onnx')}")
    directory = within(checkpoint_dir, directory_name(precision))
    try:
        found = read_json(within(directory, "config.json"))
        made_from, version = found["weights"], found["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"decoding.engine=onnx: {directory} has no graphs. {way_out}") from error
    if made_from != weights_hash(checkpoint_dir):
        raise ConfigError(f"decoding.engine=onnx: {directory} has graphs of other weights. Delete it. {way_out}")
    if version != FORMAT:
        raise ConfigError(
            f"decoding.engine=onnx: {directory} has graphs of format {version}, expected {FORMAT}. Delete it. {way_out}"
        )
    return directory
