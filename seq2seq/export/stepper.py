"""Exported graphs as search sees a model.

Shapes: b sentences, n rows (hypotheses), h heads, s source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.checkpoint import weights_hash
from seq2seq.errors import ConfigError
from seq2seq.model.translation import TranslationModel
from seq2seq.search.protocol import Integers
from seq2seq.text.json_io import read_json
from seq2seq.text.storage import within
from seq2seq.version import install_command

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class GraphState:
    """The tensors that each row reads, and those that each step changes."""

    source: Arrays
    state: Arrays
    sentences: Integers
    """[n]: the sentence of each row. Its rows have copies of what they read."""
    attention: Tensor | None = None
    """[n h s]: weights of the last step."""
    vocabulary: None = None

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
        return GraphState(source, state, np.arange(len(sources)))

    def step(self, tokens: Tensor, state: GraphState) -> tuple[Tensor, GraphState]:
        """The previous tokens [n] -> log-probabilities of the next [n v], the next state."""
        log_probs, attention, new = self._model.step(tokens.numpy(), state.source, state.state)
        weights = None if attention is None else torch.from_numpy(attention)
        return torch.from_numpy(log_probs), replace(state, state=new, attention=weights)


def directory_name(precision: str) -> str:
    """Return the name that a directory of graphs has in its checkpoint."""
    return f"onnx-{precision}"


def find_graphs(checkpoint_dir: Path, precision: str) -> Path:
    """Return the directory of a checkpoint's graphs. Raises ConfigError if they are missing, or of other weights."""
    way_out = f"Make them: seq2seq export checkpoint={checkpoint_dir} precision={precision}"
    if find_spec("onnxruntime") is None:
        raise ConfigError(f"decoding.engine=onnx needs onnxruntime. Install it: {install_command('onnx')}")
    directory = within(checkpoint_dir, directory_name(precision))
    try:
        made_from = read_json(within(directory, "config.json"))["weights"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"decoding.engine=onnx: {directory} has no graphs. {way_out}") from error
    if made_from != weights_hash(checkpoint_dir):
        raise ConfigError(f"decoding.engine=onnx: {directory} has graphs of other weights. Delete it. {way_out}")
    return directory
