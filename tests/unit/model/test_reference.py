"""The model agrees with the papers' loops: its parts one by one, and whole models over the pairwise array, forward
and gradient, on a padded batch against each pair of sentences alone."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from reference.bridge import bridge as reference_bridge
from reference.decoder import translate
from reference.encoder import encode
from reference.parameters import parameters_of, under
from reference.placement import readout as reference_readout
from reference.recurrent import run_layers, run_sentences
from support.variants import (
    DEFAULT,
    Row,
    assert_same,
    assert_translated,
    batch,
    build_model,
    fill,
    gradients,
    label,
    made_up_context,
    mixed,
    model_options,
    names,
    numbers,
    pairwise_rows,
)

from seq2seq import config
from seq2seq.model.recurrent.layers import CELLS, Stack
from seq2seq.model.recurrent.placement import Readout
from seq2seq.nn.dropout import Dropout

ROWS = [*pairwise_rows(), {**DEFAULT, "placement": "before-bottom", "decoder_layers": 1}]
LENGTHS = torch.tensor([5, 1, 3])


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_model_is_the_papers(row: Row) -> None:
    options, model = model_options(row), build_model(row)
    source, lengths, inputs, target_lengths = batch()
    decoded = model(source, lengths, inputs)
    logits = F.linear(decoded.features, model.output.weight, model.output.bias)
    dense = decoded.attended.to_dense(source.size(1))
    p, alone = parameters_of(model), []
    for b, (s, t) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True)):
        words = source[b, :s].tolist()
        expected = translate(options, p, words, inputs[b, :t].tolist(), made_up_context(words))
        alone.append(torch.stack(expected.logits))
        if dense is not None:
            expected_weights = torch.stack([torch.stack(heads) for heads in expected.weights], 1)  # [h t s]
            torch.testing.assert_close(dense[b, :, :t, :s], expected_weights, rtol=1e-10, atol=1e-10)
    assert_translated(model, logits, alone)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("whole", [False, True], ids=["step", "sequence"])
def test_cell(cell: str, whole: bool) -> None:
    layer = fill(CELLS[cell](3, 4).double())
    x, state = numbers(2, 5, 3).requires_grad_(), tuple(numbers(2, 4, offset=n) for n in range(layer.state_parts))
    if whole:
        hidden, last = layer.sequence(x, state)
    else:
        states = [state]
        for step in layer.gates(x).unbind(1):
            states.append(layer.step(step, states[-1]))
        hidden, last = torch.stack([s[0] for s in states[1:]], 1), states[-1]
    expected = run_sentences(cell, [under(parameters_of(layer), "rnn")] * 2, x, state)
    actual = [hidden, *last]
    assert_same(dict(enumerate(actual)), dict(enumerate(expected)))
    assert_same(gradients(mixed(actual), layer, x), gradients(mixed(expected), layer, x))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_stack(cell: str, layers: int, residual: bool) -> None:
    """One step and a whole sequence of a stack; the query is the top layer's own hidden state, not its output."""
    stack = fill(
        Stack(partial(CELLS[cell], hidden_size=4), 3, layers, residual=residual, dropout=Dropout(0.0)).double()
    )
    parts = CELLS[cell].state_parts
    first = [tuple(numbers(1, 4, offset=n + layer) for n in range(parts)) for layer in range(layers)]
    x = numbers(1, 3, 3).requires_grad_()
    outputs, hidden, last = stack.sequence(x, first)
    stepped, states = [], first
    for gates in stack.first.gates(x).unbind(1):
        output, states = stack.step(gates, states)
        stepped.append(output)
    p = [under(parameters_of(stack), f"layers.{layer}.rnn") for layer in range(layers)]
    now, expected, tops = [tuple(part[0] for part in state) for state in first], [], []
    for t in range(3):
        output, now = run_layers(cell, p, x[0, t], now, residual=residual)
        expected.append(output)
        tops.append(now[-1][0])
    wanted = {0: torch.stack(expected)[None], 1: torch.stack(tops)[None], 2: now[0][-1][None], 3: now[-1][0][None]}
    assert_same({0: outputs, 1: hidden, 2: last[0][-1], 3: last[-1][0]}, wanted)
    assert_same({0: torch.stack(stepped, 1), 2: states[0][-1]}, {0: wanted[0], 2: wanted[2]})
    assert_same(gradients(mixed([outputs]), stack, x), gradients(mixed([wanted[0]]), stack, x))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_encoder(cell: str, bidirectional: bool, layers: int, residual: bool) -> None:
    row = {**DEFAULT, "cell": cell, "bidirectional": bidirectional, "residual": residual, "encoder_layers": layers}
    options, encoder = model_options(row), build_model(row).encoder
    x = numbers(3, 5, row["embedding_size"]).requires_grad_()
    states = encoder(x, LENGTHS).keys
    actual, expected = [], []
    for b, length in enumerate(LENGTHS.tolist()):
        actual.append(states[b, :length])
        expected.append(torch.stack(encode(options, parameters_of(encoder), list(x[b, :length])).keys))
    assert_same(dict(enumerate(actual)), dict(enumerate(expected)))
    assert_same(gradients(mixed(actual), encoder, x), gradients(mixed(expected), encoder, x))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", names(config.Bridge))
def test_bridge(name: str, cell: str, layers: int, bidirectional: bool) -> None:
    row = {**DEFAULT, "bridge": name, "cell": cell, "decoder_layers": layers, "bidirectional": bidirectional}
    row["memory_size"] = 6
    options, bridge = model_options(row), build_model(row).bridge
    states, embedded = numbers(3, 5, 6).requires_grad_(), numbers(3, 5, row["embedding_size"]).requires_grad_()
    summary, first = bridge(states, LENGTHS, embedded)
    actual = [summary, *(part for layer in first for part in layer)]
    assert len(actual) == 1 + layers * CELLS[cell].state_parts
    sentences = []
    for b, length in enumerate(LENGTHS.tolist()):
        sentence = list(states[b, :length]), list(embedded[b, :length])
        x, layers_first = reference_bridge(options, parameters_of(bridge), *sentence)
        sentences.append([x, *(part for layer in layers_first for part in layer)])
    expected = [torch.stack(part) for part in zip(*sentences, strict=True)]
    assert_same(dict(enumerate(actual)), dict(enumerate(expected)))
    inputs = bridge, states, embedded
    assert_same(gradients(mixed(actual), *inputs), gradients(mixed(expected), *inputs))


@pytest.mark.parametrize("context_size", [0, 6])
@pytest.mark.parametrize("kind", ["maxout", "tanh"])
def test_readout(kind: str, context_size: int) -> None:
    read = fill(Readout(kind, 4, 3, context_size, 5).double())
    s, y, a = numbers(2, 3, 4), numbers(2, 3, 3, offset=1.0), numbers(2, 3, 6, offset=2.0)
    actual = read(y, s, a)
    p = parameters_of(read)
    flat = zip(s.flatten(0, 1), y.flatten(0, 1), a.flatten(0, 1), strict=True)
    expected = torch.stack([reference_readout(kind, p, *x, c if context_size else None) for *x, c in flat])
    expected = expected.unflatten(0, (2, 3))
    assert actual.shape == (2, 3, 5)
    assert_same({0: actual}, {0: expected})
    assert_same(gradients(mixed([actual]), read), gradients(mixed([expected]), read))
