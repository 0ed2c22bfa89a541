"""Laws of the encodings of positions."""

import math

import pytest
import torch
from reference.positions import rotated, sinusoid
from support.variants import fill, numbers

from seq2seq.attention.positions import Learned, Rotary, Sinusoidal


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_sinusoidal_is_its_equation(size: int) -> None:
    """Odd sizes too, which end with a sine; positions need not begin at 0."""
    positions, x = torch.tensor([[0, 1, 2], [7, 300, 5000]]), numbers(2, 3, size)
    expected = torch.stack([torch.stack([sinusoid(i, size) for i in row]) for row in positions.tolist()])
    torch.testing.assert_close(Sinusoidal()(x, positions), x + expected, rtol=1e-10, atol=1e-10)


def test_sinusoidal_in_low_precision_tells_far_positions_apart() -> None:
    """The angles are computed in fp32 and only the waves are rounded."""
    positions, x = torch.tensor([[4095, 4096, 4097]]), torch.zeros(1, 3, 8)
    coarse = Sinusoidal()(x.bfloat16(), positions)
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(coarse.float(), Sinusoidal()(x, positions), rtol=0, atol=2**-8)


def test_learned_positions_beyond_the_last_share_its_vector() -> None:
    learned, x = fill(Learned(3, 4).double()), numbers(1, 6, 4)
    added = learned(x, torch.arange(6)) - x
    vectors = learned.embedding.weight
    torch.testing.assert_close(added[0], vectors[[0, 1, 2, 2, 2, 2]], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(vectors[1], vectors[2])


def test_learned_positions_all_get_a_gradient() -> None:
    learned = Learned(3, 4)
    learned(torch.zeros(1, 5, 4), torch.arange(5)).sum().backward()
    assert learned.embedding.weight.grad.sum(1).tolist() == [4, 4, 12]


@pytest.mark.parametrize("size", [2, 6, 8])
def test_rotary_is_its_equation(size: int) -> None:
    positions, x = torch.tensor([[0, 1, 9], [4, 100, 101]]), numbers(2, 3, 3, size)
    turned = Rotary()(x, positions[:, None])
    for b, row in enumerate(positions.tolist()):
        for t, i in enumerate(row):
            expected = torch.stack([rotated(head, i) for head in x[b, :, t]])
            torch.testing.assert_close(turned[b, :, t], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [2, 6, 8])
def test_rotary_product_depends_on_the_distance_alone(size: int) -> None:
    """(R_i q)ᵀ R_j k = qᵀ R_{j−i} k (Su 2021, eq. 16)."""
    query, key, rotary = numbers(1, 1, 1, size), numbers(1, 1, 1, size, offset=2.0), Rotary()

    def product(i: int, j: int) -> float:
        return (rotary(query, torch.tensor([i])) * rotary(key, torch.tensor([j]))).sum().item()

    for distance in range(-4, 5):
        found = [product(i, i + distance) for i in (4, 5, 17, 400)]
        assert found == pytest.approx([product(0, distance)] * 4, rel=1e-9, abs=1e-9)
    distances = [product(0, distance) for distance in range(5)]
    assert len({round(value, 6) for value in distances}) == 5


def test_rotary_keeps_lengths() -> None:
    x = numbers(2, 3, 5, 8)
    turned = Rotary()(x, torch.arange(5))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0], rtol=0, atol=0)


def test_wavelengths_of_sinusoids() -> None:
    """The first number has a wavelength of 2π positions: three positions on, it has turned by 3."""
    waves = Sinusoidal()(torch.zeros(1, 2, 4, dtype=torch.float64), torch.tensor([[0, 3]]))[0]
    assert waves[0].tolist() == [0, 1, 0, 1]
    assert waves[1].tolist() == pytest.approx([math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)])
