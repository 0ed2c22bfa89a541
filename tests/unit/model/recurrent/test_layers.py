"""Layer normalisation within recurrent layers (whole models with it are in the pairwise array)."""

import pytest
import torch
from reference.parameters import parameters_of
from reference.recurrent import cell_parameters, run_sentences
from support.variants import DEFAULT, assert_same, batch, build_model, fill, gradients, mixed, numbers
from torch import nn

from seq2seq.model.quantised import Bf16Product, Int8Product, quantise
from seq2seq.model.recurrent.layers import CELLS

every_cell = pytest.mark.parametrize("cell", CELLS)


@every_cell
@pytest.mark.parametrize("dropped", [False, True])
def test_cell(cell: str, dropped: bool) -> None:
    layer = fill(CELLS[cell](3, 4, recurrent_dropout=0.5 if dropped else 0.0, layer_norm=True).double())
    x, state = numbers(6, 5, 3).requires_grad_(), tuple(numbers(6, 4, offset=n) for n in range(layer.state_parts))
    torch.manual_seed(1)
    hidden, last = layer.sequence(x, state)
    torch.manual_seed(1)
    mask = layer.state_mask(x)
    assert (mask is not None) == dropped
    outer = nn.ModuleDict({"layer": layer})
    p = cell_parameters(parameters_of(outer), "layer")
    each = [p] * 6 if mask is None else [{**p, "weight_hh_l0": p["weight_hh_l0"] * mask[b]} for b in range(6)]
    expected = run_sentences(cell, each, x, state)
    assert_same(dict(enumerate([hidden, *last])), dict(enumerate(expected)))
    assert_same(gradients(mixed([hidden, *last]), layer, x), gradients(mixed(expected), layer, x))


@every_cell
def test_the_size_of_the_matrices_means_nothing(cell: str) -> None:
    """Ba 2016, section 5.1: invariant to a scaling of all weights, and of the input."""
    layer = fill(CELLS[cell](3, 40, layer_norm=True).double())
    x = numbers(2, 5, 3)
    before, _ = layer.sequence(x)
    for weight in layer.rnn.all_weights[0]:
        weight.data.mul_(1000)
    torch.testing.assert_close(layer.sequence(x)[0], before, rtol=0, atol=1e-3)


@every_cell
@pytest.mark.parametrize(("precision", "product"), [("bf16", Bf16Product), ("int8", Int8Product)])
def test_its_products_take_fewer_bits_too(cell: str, precision: str, product: type) -> None:
    model = build_model({**DEFAULT, "cell": cell, "layer_norm": True}).float()
    twin = quantise(model, precision)
    for layer in [*twin.encoder.layers[0], *twin.decoder.placement.stack.layers]:
        assert isinstance(layer.from_input, product)
        assert isinstance(layer.from_state, product)
    source, lengths, inputs, _ = batch()
    exact, rounded = (m(source, lengths, inputs).features for m in (model, twin))
    assert not torch.equal(exact, rounded)
    assert (exact - rounded).abs().mean() < 0.1 * exact.abs().mean()


@every_cell
def test_it_trains_in_bf16(cell: str) -> None:
    model = build_model({**DEFAULT, "cell": cell, "layer_norm": True}).float().train()
    source, lengths, inputs, _ = batch()
    exact = model(source, lengths, inputs).features
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(source, lengths, inputs).features
    assert (exact - rounded).abs().mean() < 0.1 * exact.abs().mean()
    assert all(gradient.isfinite().all() for gradient in gradients(rounded.float().sum(), model).values())
