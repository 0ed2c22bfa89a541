"""The energies of an additive attention: one formula, made in parts, and made again for the gradient."""

import pytest
import torch
from torch import Tensor

from seq2seq.attention import tanh_energies as module
from seq2seq.attention.tanh_energies import tanh_energies


def parts(heads: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(heads)
    shapes = (3, heads, steps, 4), (3, heads, 5, 4), (heads, 1, 4)
    query, keys, v = (torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)
    return query, keys, v


def plain(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    """vᵀ tanh(q + k)"""
    return (torch.tanh(query[:, :, :, None] + keys[:, :, None]) * v[:, None]).sum(-1)


@pytest.mark.parametrize("hidden", [1, 40, 100_000])
@pytest.mark.parametrize(("heads", "steps"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_it_is_the_formula(heads: int, steps: int, hidden: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HIDDEN", hidden)  # one sentence at a time, two, all
    query, keys, v = parts(heads, steps)
    expected = plain(query, keys, v)
    found = tanh_energies(2 * query, 2 * keys, v)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(tanh_energies(2 * query, 2 * keys, v), expected, rtol=0, atol=1e-12)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = torch.autograd.grad((expected * weights).sum(), (query, keys, v))
    for ours, theirs in zip(torch.autograd.grad((found * weights).sum(), (query, keys, v)), wanted, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("heads", [1, 2])
def test_it_passes_gradcheck(heads: int) -> None:
    assert torch.autograd.gradcheck(tanh_energies, parts(heads, 2))


def test_the_hidden_layer_is_not_kept() -> None:
    saved: list[int] = []
    query, keys, v = parts(1, 2)

    def note(x: Tensor) -> Tensor:
        saved.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        tanh_energies(query, keys, v)
    assert sorted(saved) == sorted([query.numel(), keys.numel(), v.numel()])
