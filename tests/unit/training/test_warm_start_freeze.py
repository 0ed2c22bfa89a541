"""Frozen parts: they have no gradient, and that of all others is what it would be without."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from support.variants import DEFAULT, Row, build_model, label, one_by_one_rows
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.model.translation import TranslationModel
from seq2seq.nn import products
from seq2seq.nn.products import linear, shared_gradients
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training.loss import ProjectedCrossEntropy, TranslationLoss
from seq2seq.training.warm_start import freeze

PARTS = ["source_embedding", "encoder", "bridge", "decoder.embedding", "decoder.placement", "decoder.layers",
         "decoder.attention", "output"]  # fmt: skip


def batch() -> Batch:
    targets = torch.tensor([[5, 6, 3], [7, 3, PAD]])
    inputs = torch.tensor([[2, 5, 6], [2, 7, PAD]])
    return Batch(torch.tensor([[4, 5, 3], [6, 3, PAD]]), torch.tensor([3, 2]), inputs, targets)


def trained(model: TranslationModel) -> dict[str, Tensor]:
    """The gradients of one update."""
    model.train()
    torch.manual_seed(1)  # of attention that is drawn
    torch.autograd.backward(TranslationLoss(0.1, 0.7, 0.2)(model, batch()).total)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def has_part(model: TranslationModel, part: str) -> bool:
    return any(name.startswith(f"{part}.") for name, _ in model.named_parameters(remove_duplicate=False))


@pytest.mark.parametrize("row", one_by_one_rows(), ids=label)
def test_the_gradients_of_all_other_parts_are_the_same(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_WORTH_STACKING", 1)
    model = build_model(row)
    expected = trained(model)
    parts = [part for part in PARTS if has_part(model, part)]
    for frozen in [[part] for part in parts] + [parts[:3], parts[3:]]:
        model = build_model(row)
        freeze(model, frozen)
        actual = trained(model)
        fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert fixed
        assert actual.keys() == expected.keys() - fixed
        for name, gradient in actual.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("wanted", list(itertools.product([False, True], repeat=3)), ids=str)
def test_steps_give_the_gradients_that_are_wanted(wanted: tuple[bool, ...]) -> None:
    torch.manual_seed(1)
    shapes = (3, 16), (16, 16), (16,)
    tensors = [torch.randn(*shape, dtype=torch.float64, requires_grad=on)
               for shape, on in zip(shapes, wanted, strict=True)]  # fmt: skip
    totals = []
    for product in (linear, F.linear):
        x, total = tensors[0], torch.zeros((), dtype=torch.float64)
        with shared_gradients():
            for step in range(4):
                x = torch.tanh(product(x + step, *tensors[1:]))
                total = total + (x * (step + 1)).sum()
        totals.append(total)
    asked = [tensor for tensor, on in zip(tensors, wanted, strict=True) if on]
    torch.testing.assert_close(*totals)
    if asked:
        actual, expected = (torch.autograd.grad(total, asked) for total in totals)
        for one, other in zip(actual, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wanted", list(itertools.product([False, True], repeat=3))[1:], ids=str)
def test_the_loss_gives_the_gradients_that_are_wanted(wanted: tuple[bool, ...]) -> None:
    torch.manual_seed(1)
    shapes = (5, 3), (7, 3), (7,)
    tensors = [torch.randn(*shape, dtype=torch.float64, requires_grad=on)
               for shape, on in zip(shapes, wanted, strict=True)]  # fmt: skip
    targets = torch.arange(5)
    total, _ = ProjectedCrossEntropy.apply(*tensors, targets, 0.1)
    expected = F.cross_entropy(F.linear(*tensors), targets, label_smoothing=0.1, reduction="sum")
    asked = [tensor for tensor, on in zip(tensors, wanted, strict=True) if on]
    pairs = zip(torch.autograd.grad(2 * total, asked), torch.autograd.grad(2 * expected, asked), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_fixed_matrix_keeps_nothing_of_its_steps() -> None:
    weight, x = torch.randn(16, 16), torch.randn(3, 16, requires_grad=True)
    saved: list[Tensor] = []
    with shared_gradients(), torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        linear(linear(x, weight), weight)
    assert not saved


@pytest.mark.parametrize(
    ("prefix", "complaint"),
    [
        ("encodr", r"'encodr': no such part in this model\. Did you mean 'encoder'"),
        ("embedding", r"'source_embedding'"),
        ("enc", r"Parts: source_embedding, encoder, bridge, decoder\.embedding, decoder\.placement"),
        ("encoder.layers.0.0.rnn.weight_ih", r"'encoder\.layers\.0\.0\.rnn\.weight_ih_l0'"),
    ],
)
def test_a_name_that_nothing_has_is_refused(prefix: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        freeze(build_model(DEFAULT), ["bridge", prefix])


def test_the_decoder_does_not_include_the_bridge() -> None:
    model = build_model(DEFAULT)
    freeze(model, ["decoder"])
    fixed = {name.partition(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert fixed == {"decoder"}
    with pytest.raises(ConfigError, match="no such part in this model"):
        freeze(model, ["decoder.bridge"])


def test_something_has_to_be_left() -> None:
    with pytest.raises(ConfigError, match="nothing is left to train"):
        freeze(build_model(DEFAULT), ["source_embedding", "encoder", "bridge", "decoder", "output"])


def test_one_tensor_by_its_name_and_a_tied_one_by_any() -> None:
    model = build_model({**DEFAULT, "tied_embeddings": "all"})
    freeze(model, ["output.weight", "bridge"])
    fixed = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert fixed[0] == "source_embedding.weight"
    assert all(name.startswith("bridge.") for name in fixed[1:])
    assert model.decoder.embedding.weight is model.output.weight
