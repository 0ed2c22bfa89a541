"""Decoding in fewer bits: each product within its bound, whole models near what they are in fp32."""

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import searches
from support.variants import BASES, DEFAULT, batch, build_model, label, numbers, one_by_one_rows
from torch import Tensor, nn

from seq2seq.attention.score import HeadLinear
from seq2seq.errors import ConfigError
from seq2seq.inference.forced_scores import force_tokens
from seq2seq.model.quantised import Bf16Product, Int8Product, QuantisedModels, largest_weight, quantise
from seq2seq.model.recurrent.layers import Recurrent
from seq2seq.model.translation import TranslationModel

ROWS = one_by_one_rows()
FEWER = ("bf16", "int8")
SOURCES = searches.SOURCES[:3]
LIMITS = dataclasses.replace(searches.LIMITS, max_length=4)


# --- a product -------------------------------------------------------------------------------------------------------

SHAPES = [(1, 1, 2), (1, 40, 7), (3, 33, 65), (70, 16, 5)]
"""rows, inputs, outputs"""


def parts(n: int, i: int, o: int) -> tuple[Tensor, Tensor, Tensor]:
    """x [n i] of rows of all sizes, one of zeros, W [o i], b [o], in float64."""
    x = numbers(n, i) * torch.logspace(-3, 3, n, dtype=torch.float64)[:, None]
    x[n // 2] = 0 if n > 1 else x[n // 2]
    return x, numbers(o, i, offset=1.0) * torch.logspace(-2, 1, o, dtype=torch.float64)[:, None], numbers(o, offset=2.0)


@pytest.mark.parametrize("most", [127, 63])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_int8_product_keeps_its_bound(
    shape: tuple[int, int, int], biased: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.model.quantised.largest_weight", lambda: min(most, largest_weight()))
    x, weight, bias = parts(*shape)
    exact = F.linear(x, weight, bias if biased else None)
    found = Int8Product(weight.float(), bias.float() if biased else None)(x.float())
    assert found.dtype is torch.float32
    of_row, of_output = x.abs().amax(-1, keepdim=True) / 127, weight.abs().amax(-1) / min(most, largest_weight())
    bound = (of_output * x.abs().sum(-1, keepdim=True) + of_row * weight.abs().sum(-1)) / 2
    bound = bound + x.size(1) * of_row * of_output / 4
    assert ((found - exact).abs() <= bound + 1e-5 * (1 + exact.abs())).all()
    assert (found - exact).abs().max() > 0 or shape[1] == 1


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_bf16_product_keeps_its_bound(shape: tuple[int, int, int], biased: bool) -> None:
    x, weight, bias = parts(*shape)
    exact = F.linear(x, weight, bias if biased else None)
    found = Bf16Product(weight.float(), bias.float() if biased else None)(x.float())
    assert found.dtype is torch.float32
    unit = 2.0**-8  # half of the distance between neighbours, relative to them
    terms = x.abs() @ weight.abs().T + (bias.abs() if biased else 0)
    assert ((found - exact).abs() <= unit * (2.01 * terms + 1.01 * exact.abs()) + 1e-6).all()


def test_an_int8_product_of_small_integers_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.model.quantised.largest_weight", lambda: 63)
    x, weight = torch.tensor([[127.0, -3, 0], [0, 0, 0], [1, 2, -127]]), torch.tensor([[5.0, 63, -8], [-63, 0, 0]])
    torch.testing.assert_close(Int8Product(weight, None)(x), x @ weight.T, rtol=1e-6, atol=1e-5)


def test_a_row_of_an_int8_product_does_not_depend_on_the_others() -> None:
    x, weight, bias = (part.float() for part in parts(70, 16, 5))
    product = Int8Product(weight, bias)
    together = product(x)
    assert torch.cat([product(row[None]) for row in x]).equal(together)
    assert product(x.view(7, 2, 5, 16)).equal(together.view(7, 2, 5, 5))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (3, 64, 33), (70, 130, 48)])
def test_packed_weights_give_the_same_bits(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    rows, inputs, outputs = shape
    x, weight, bias = torch.randn(rows, inputs) * 9, torch.randn(outputs, inputs), torch.randn(outputs)
    packed = Int8Product(weight, bias)
    monkeypatch.setattr("seq2seq.model.quantised._can_pack", lambda: False)
    plain = Int8Product(weight, bias)
    assert plain.packed is None
    for product in (packed, plain):
        assert torch.equal(product(x), plain(x))
        assert torch.equal(product(x[:1]), plain(x)[:1])
        assert torch.equal(product.restricted_to(torch.arange(outputs))(x), plain(x))


@pytest.mark.parametrize("kind", [Bf16Product, Int8Product])
@pytest.mark.parametrize("shape", SHAPES)
def test_some_outputs_alone_are_what_they_are_among_all(
    shape: tuple[int, int, int], kind: type[Bf16Product] | type[Int8Product]
) -> None:
    x, weight, bias = (part.float() for part in parts(*shape))
    some = torch.tensor([shape[2] - 1, 0])
    for product in (kind(weight, bias), kind(weight, None)):
        every = product(x)
        tolerance = 0 if kind is Int8Product else 2.0**-7
        torch.testing.assert_close(product.restricted_to(some)(x), every[:, some], rtol=tolerance, atol=tolerance)
        assert product(x).equal(every)


# --- a model ---------------------------------------------------------------------------------------------------------


def said(model: TranslationModel) -> Tensor:
    """Log-probabilities of the tokens after each real one of `batch` [n v]."""
    source, lengths, inputs, target_lengths = batch()
    with torch.inference_mode():
        found = model.output.logits(model(source, lengths, inputs).features).log_softmax(-1)
    return found[torch.arange(found.size(1)) < target_lengths[:, None]]


@pytest.mark.parametrize("precision", FEWER)
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_a_copy_has_other_products_and_the_model_stays_what_it_is(row: dict[str, Any], precision: str) -> None:
    model = build_model(row).float()
    names, before = [name for name, _ in model.named_modules()], said(model)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    twin = quantise(model, precision)
    found = said(twin)

    kind = Bf16Product if precision == "bf16" else Int8Product
    assert not [m for m in twin.modules() if isinstance(m, nn.Linear) and m.out_features > 1]
    assert not [m for m in twin.modules() if isinstance(m, HeadLinear) and len(m.weight) == 1 < m.weight.size(1)]
    assert isinstance(twin.output.projection, kind)
    recurrent = [layer for layer in twin.modules() if isinstance(layer, Recurrent)]
    assert bool(recurrent) == ("recurrent" in (row["encoder"], row["decoder"]))
    for layer in recurrent:
        assert isinstance(layer.from_input, kind)
        assert isinstance(layer.from_state, kind)

    assert before.std() > 0.5
    assert not found.equal(before)
    soft = {row["normaliser"], row["self_normaliser"]} <= {"softmax", "sparsemax", "entmax"}
    if soft and "local_p" not in (row["window"], row["self_window"]):
        # Elsewhere a little more or less can move attention to another position.
        torch.testing.assert_close(found, before, rtol=0, atol=0.1)

    assert [name for name, _ in model.named_modules()] == names
    assert all(weight.equal(weights[name]) for name, weight in model.state_dict().items())
    assert said(model).equal(before)
    assert twin.source_embedding.weight is model.source_embedding.weight


@pytest.mark.parametrize("precision", FEWER)
def test_a_narrowed_vocabulary_has_the_same_logits(precision: str) -> None:
    output, some = quantise(build_model(DEFAULT).float(), precision).output, torch.tensor([3, 8, 4])
    assert isinstance(output.restricted_to(some), type(output.projection))
    features = numbers(2, 4).float()
    tolerance = 0 if precision == "int8" else 2.0**-7
    torch.testing.assert_close(
        output.restricted_to(some)(features), output.logits(features)[:, some], rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("precision", FEWER)
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_search_and_forced_decoding_agree(row: dict[str, Any], precision: str) -> None:
    model = quantise(build_model(row).float(), precision)
    found = searches.search(model, SOURCES, 1 if precision == "bf16" else 3, limits=LIMITS)
    pairs = [(source, hypothesis) for source, ranked in zip(SOURCES, found, strict=True) for hypothesis in ranked]
    forced = force_tokens(model, [source for source, _ in pairs], [h.tokens for _, h in pairs], batch_size=64)
    for (_, hypothesis), (scores, attention) in zip(pairs, forced, strict=True):
        # Bytes are summed exactly, and bf16 in any order.
        assert scores == pytest.approx(hypothesis.token_scores, abs=1e-4 if precision == "int8" else 0.05)
        assert (attention is None) == (hypothesis.attention is None)


def test_int8_leaves_small_products_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(DEFAULT).float()
    layers = [layer.products[1][0].numel() for layer in model.modules() if isinstance(layer, Recurrent)]
    for least in sorted({*layers, model.output.weight.numel()}):
        monkeypatch.setattr("seq2seq.model.quantised.LEAST_BYTES", least)
        twin = quantise(model, "int8")
        assert (type(twin.output) is type(model.output)) == (model.output.weight.numel() < least)
        found = [hasattr(layer, "from_state") for layer in twin.modules() if isinstance(layer, Recurrent)]
        assert found == [size >= least for size in layers]
    monkeypatch.setattr("seq2seq.model.quantised.LEAST_BYTES", 1 << 18)
    assert said(quantise(model, "int8")).equal(said(model))


def test_fp32_is_the_model() -> None:
    model = build_model(DEFAULT)
    assert quantise(model, "fp32") is model
    assert QuantisedModels(model).at("fp32") is model


def test_conversions_are_kept_until_the_weights_change() -> None:
    model = build_model(DEFAULT).float()
    conversions = QuantisedModels(model)
    first, other = conversions.at("int8"), conversions.at("bf16")
    assert conversions.at("int8") is first
    assert conversions.at("bf16") is other
    before = said(first)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model.output.bias.grad = numbers(*model.output.bias.shape).float()
    optimizer.step()
    assert conversions.at("int8") is not first
    assert not said(conversions.at("int8")).equal(before)
    model.load_state_dict({name: 2 * weight for name, weight in model.state_dict().items()})
    assert not said(conversions.at("bf16")).equal(said(other))


def test_models_that_were_loaded_for_inference_alone_are_converted() -> None:
    with torch.inference_mode():
        model = build_model(DEFAULT).float()
    conversions = QuantisedModels(model)
    assert conversions.at("int8") is conversions.at("int8")


def test_int8_is_for_cpus() -> None:
    model = build_model(DEFAULT).to("meta")
    with pytest.raises(ConfigError, match=r"precision=int8 and device=meta.*Use precision=bf16"):
        quantise(model, "int8")
    assert quantise(model, "bf16").output.projection.weight.dtype is torch.bfloat16  # type: ignore[union-attr]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_view_of_a_model_shares_its_copies(precision: str) -> None:
    model = build_model({**BASES[4], "decoder_layers": 2}).float()
    model.choose_layer(1)
    conversions = QuantisedModels(model)
    made = conversions.at(precision)
    view = model.with_own_decoder()
    view.choose_layer(2)
    other = conversions.of_view(view).at(precision)
    assert (made.decoder.alignment_layer, other.decoder.alignment_layer) == (0, 1)
    assert conversions.at(precision) is made
    assert {id(part) for part in other.output.modules()} == {id(part) for part in made.output.modules()}
