"""Export to ONNX: three graphs, the tokenizers, and a program that translates with them, in one directory."""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor

from seq2seq.checkpoint import Checkpoint
from seq2seq.config import Decoding, several
from seq2seq.errors import ConfigError
from seq2seq.export import translate_onnx
from seq2seq.export.graphs import Graph, Graphs, take_apart
from seq2seq.export.stepper import FORMAT
from seq2seq.model.translation import TranslationModel
from seq2seq.search.protocol import MARGIN
from seq2seq.text.batches import pad
from seq2seq.text.cleaning import portable_patterns
from seq2seq.text.protection import Protection
from seq2seq.text.tokenizer import BOS, EOS
from seq2seq.version import __version__

PROGRAM = "translate_onnx.py"
"""Name of the program that translates with the graphs."""
OPSET = 20
"""Version of the operators."""
TOLERANCE = 1e-5
"""Greatest accepted difference from the model, in log-probabilities and attention weights."""
_CHECKED = ((1, 1), (2, 6), (5, 9))
"""Sentences and words of the batches that are compared."""
_STEPS = 4
"""Steps that are compared; the first one has no past."""


def write(checkpoint: Checkpoint, directory: Path, precision: str, weights: str) -> float:
    """Write a model, whose weights have this SHA-256, and return how far the graphs are from it.

    Raises ConfigError for a model that can't be exported, RuntimeError if graphs in fp32 differ by more than TOLERANCE.
    """
    if checkpoint.data.context:
        raise ConfigError(
            f"data.context={checkpoint.data.context}: this model reads the sentences before each one, which the "
            "exported graphs do not take. Export a model that was trained with data.context=0."
        )
    graphs = take_apart(checkpoint.model.eval())
    paths = [directory / f"{name}.onnx" for name in translate_onnx.GRAPHS]
    for graph, path in zip((graphs.encoder, graphs.step, graphs.output), paths, strict=True):
        onnx.save(_convert(graph), path)
    for side, tokenizer in (("source", checkpoint.source), ("target", checkpoint.target)):
        (directory / f"{side}.model").write_bytes(tokenizer.model)
    (directory / "config.json").write_text(json.dumps(_config(checkpoint, graphs, precision, weights), indent=2) + "\n")
    shutil.copyfile(translate_onnx.__file__, directory / PROGRAM)
    difference = _largest_difference(checkpoint.model, translate_onnx.Model(directory))
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"the graphs differ from the model by {difference:.1e}, expected at most {TOLERANCE:.0e}. Please report "
            "this with the config.json of the checkpoint."
        )
    if precision == "int8":
        for path in paths:
            _quantise(path)
        difference = _largest_difference(checkpoint.model, translate_onnx.Model(directory))
    return difference


def _config(checkpoint: Checkpoint, graphs: Graphs, precision: str, weights: str) -> dict[str, Any]:
    """Return what the graphs do not say, as plain values."""
    decoding, data = Decoding(), checkpoint.data
    limits = checkpoint.lengths.limits(checkpoint.target.forbidden(), None, None)
    visible, unusual = portable_patterns()
    protection = Protection(several(data.protect))
    return {
        "format": FORMAT,
        "made_by": f"seq2seq {__version__}",
        "languages": [data.source_lang, data.target_lang],
        "precision": precision,
        "opset": OPSET,
        "weights": weights,
        "layer": checkpoint.model.decoder.alignment_layer,
        "zeros": [
            {"name": zero.name, "dtype": str(zero.example.numpy().dtype), "axes": zero.axes} for zero in graphs.zeros
        ],
        "search": {
            "beam_size": decoding.beam_size,
            "length_penalty": decoding.length_penalty,
            "forbidden": list(limits.forbidden),
            "max_length": limits.max_length,
            "max_length_ratio": limits.max_length_ratio,
            "margin": MARGIN,
        },
        "text": {
            "raw": checkpoint.source.raw_text,
            "visible": visible,
            "unusual": unusual,
            "protect": protection.pattern,
        },
    }


def _convert(graph: Graph) -> onnx.ModelProto:
    inputs = graph.inputs
    shapes = [_dynamic(named.axes) for named in inputs]
    names, outputs = [named.name for named in inputs], list(graph.outputs)
    # The forward method of a step takes its first input by name and the others as a tuple.
    dynamic = tuple(shapes) if len(inputs) <= 2 else (shapes[0], tuple(shapes[1:]))
    with _quiet(), torch.no_grad():
        program = torch.export.export(graph.module, tuple(one.example for one in inputs), dynamic_shapes=dynamic)
        made = torch.onnx.export(
            program,
            input_names=names,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            custom_translation_table={torch.ops.aten.lerp.Tensor: _lerp},
        )
    assert made is not None
    return made.model_proto


def _lerp(start: Any, end: Any, weight: Any) -> Any:
    """Interpolate as 3 nodes; the usual translation has 9, for weights far from [0, 1]."""
    op = onnxscript.opset20
    return op.Add(start, op.Mul(weight, op.Sub(end, start)))


def _dynamic(axes: tuple[int | str, ...]) -> dict[int, Any]:
    return {dim: torch.export.Dim.DYNAMIC for dim, axis in enumerate(axes) if isinstance(axis, str)}


def _quantise(path: Path) -> None:
    """Store matrices in 8 bits; what they are multiplied with is quantised when it comes."""
    graph = onnx.load(path).graph
    matrices = {weight.name for weight in graph.initializer if len(weight.dims) == 2 and min(weight.dims) > 1}
    others = [node.name for node in _nodes(graph) if node.op_type == "MatMul" and not matrices & {*node.input}]
    options = {"EnableSubgraph": True}
    with _quiet():
        quantize_dynamic(
            path, path, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=others, extra_options=options
        )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of the loops in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what libraries say of their own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


# --- the check -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def _largest_difference(model: TranslationModel, exported: translate_onnx.Model) -> float:
    """Compare log-probabilities and attention of both on random sentences."""
    random, worst = Random(1), 0.0
    words = range(EOS + 1, model.source_embedding.num_embeddings)
    for sentences, longest in _CHECKED:
        sources = [[*random.choices(words, k=max(longest - 1 - row, 0)), EOS] for row in range(sentences)]
        source, state = exported.start(sources)
        read, expected = model.encode(*pad(sources))
        previous = torch.full((sentences,), BOS)
        for _ in range(_STEPS):
            features, attention, state = exported.step(previous.numpy(), source, state)
            log_probs = exported.log_probs(features)
            expected_log_probs, attended, expected = model.step(previous, read, expected)
            worst = max(worst, _difference(log_probs, expected_log_probs))
            weights = attended.to_dense(read.size)
            if weights is not None:
                assert attention is not None
                worst = max(worst, _difference(attention, weights[:, :, 0]))
            previous = expected_log_probs.argmax(-1)
    return worst


def _difference(found: NDArray[Any], expected: Tensor) -> float:
    """The greatest difference, as a part of the value where that is more than 1."""
    return float((np.abs(found - expected.numpy()) / expected.abs().clamp(min=1).numpy()).max())
