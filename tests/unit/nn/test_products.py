"""One product for the gradients of all steps: equal to a product for each."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.model.recurrent.layers import GRU
from seq2seq.nn.dropout import Dropout
from seq2seq.nn.products import StepLinear, linear, shared_gradients


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def loop(product: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Five steps, each of which reads the one before."""
    total = x.new_zeros(())
    for step in range(5):
        x = torch.tanh(product(x + step, weight, bias))
        total = total + (x * (step + 1)).sum()
    return total


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_shared_gradients_are_the_sums_of_the_steps(with_bias: bool, again: bool) -> None:
    x, weight = leaf(3, 16), leaf(16, 16)
    bias = leaf(16) if with_bias else None
    wanted = [x, weight] + ([] if bias is None else [bias])
    with shared_gradients():
        total = loop(linear, x, weight, bias)
    if again:  # the graph can be walked back more than once, and not to its end
        torch.autograd.grad(total, wanted, retain_graph=True)
        torch.autograd.grad(total, x, retain_graph=True)
    actual = torch.autograd.grad(total, wanted)
    expected = torch.autograd.grad(loop(F.linear, x, weight, bias), wanted)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_matrix_for_each_sentence() -> None:
    query, keys = leaf(2, 3, 1, 4), leaf(2, 3, 5, 4)  # [b h t k], [b h s k]
    with shared_gradients():
        total = sum((linear(query * step, keys).softmax(-1) ** 2).sum() for step in range(4))
    expected = sum(((query * step @ keys.transpose(-1, -2)).softmax(-1) ** 2).sum() for step in range(4))
    for one, other in zip(
        torch.autograd.grad(total, (query, keys)), torch.autograd.grad(expected, (query, keys)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_views_of_one_parameter_share_and_parts_of_it_do_not() -> None:
    weight, x = leaf(2, 32, 8), leaf(3, 8)

    def steps(product: Callable[..., Tensor]) -> Tensor:
        parts = [product(x, weight[0, :16]), product(x, weight[0, 16:]), product(x * 2, weight[0, :16])]
        return sum((part**2).sum() * (n + 1) for n, part in enumerate(parts))  # type: ignore[return-value]

    with shared_gradients():
        total = steps(linear)
    torch.testing.assert_close(
        torch.autograd.grad(total, weight)[0], torch.autograd.grad(steps(F.linear), weight)[0], rtol=1e-12, atol=1e-12
    )


def test_steps_that_nothing_depends_on_have_no_part() -> None:
    weight, x = leaf(16, 16), leaf(3, 16)
    with shared_gradients():
        first, second = linear(x, weight), linear(2 * x, weight)
    torch.testing.assert_close(torch.autograd.grad(first.sum(), weight)[0], x.sum(0).expand(16, 16).detach())
    assert second.requires_grad


def test_shared_gradients_pass_gradcheck() -> None:
    def steps(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with shared_gradients():
            return loop(linear, x, weight, bias)

    assert torch.autograd.gradcheck(steps, (leaf(2, 16), leaf(16, 16), leaf(16)))


def test_one_product_for_all_steps() -> None:
    """What it is for: the gradient of the weight is made by one product, whatever the number of steps."""
    layer = StepLinear(16, 32).double()
    with shared_gradients():
        total = sum(layer(leaf(3, 16)).sum() for _ in range(7))
    with torch.profiler.profile(acc_events=True) as profile:
        torch.autograd.backward(total)
    assert sum(event.count for event in profile.key_averages() if event.key == "aten::mm") <= 7 + 1


def test_what_was_shared_is_freed_at_once() -> None:
    """Not by the garbage collector, which does not know how much memory a tensor has."""
    gc.disable()
    try:
        weight = leaf(16, 16) * 2
        with shared_gradients():
            total = loop(linear, leaf(3, 16), weight, None)
        torch.autograd.backward(total)
        there = weakref.ref(weight)
        del weight, total
        assert there() is None
    finally:
        gc.enable()


def test_bf16_is_near() -> None:
    x, weight, bias = (leaf(*shape).detach().float().requires_grad_() for shape in ((8, 16), (16, 16), (16,)))
    with torch.autocast("cpu", torch.bfloat16), shared_gradients():
        total = loop(linear, x, weight, bias)
    actual = torch.autograd.grad(total, (weight, bias))
    for one, other in zip(actual, torch.autograd.grad(loop(F.linear, x, weight, bias), (weight, bias)), strict=True):
        assert one.dtype is torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=0.05 * float(other.abs().max()))


@pytest.mark.parametrize("layers", [1, 2])
def test_grus_together_are_grus_alone(layers: int) -> None:
    grus = [GRU(5, 6).double() for _ in range(layers)]
    for gru in grus:
        for weight in gru.parameters():
            torch.nn.init.normal_(weight)
    inputs = [leaf(3, 4, 5) for _ in grus]
    weights = [weight for gru in grus for weight in gru.parameters()]
    together, alone = GRU.together(grus, inputs), [gru.sequence(x)[0] for gru, x in zip(grus, inputs, strict=True)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    actual = torch.autograd.grad(sum((h**2).sum() for h in together), [*inputs, *weights])
    expected = torch.autograd.grad(sum((h**2).sum() for h in alone), [*inputs, *weights])
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("p", [1 - 2**-16, 1 - 2**-18, 1 - 1e-9])
def test_dropout_next_to_1_drops_nearly_all(p: float) -> None:
    assert float((Dropout(p)(torch.ones(1000, 99)) == 0).double().mean()) > 0.999


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x = torch.ones(1001, 99, dtype=dtype, requires_grad=True)
    dropout = Dropout(p)
    y = dropout(x)
    assert y.dtype is dtype
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - p), dtype=dtype))}
    assert float((y == 0).double().mean()) == pytest.approx(p, abs=0.005)
    torch.autograd.backward(y.sum())
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())
    assert not torch.equal(dropout(x), y)
    assert torch.equal(dropout.eval()(x), x)
