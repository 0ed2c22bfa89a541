"""Energies of the visible positions of one step and head -> weights. Noise is an argument."""

import itertools

import torch
from torch import Tensor

HARD = ("hard", "gumbel", "reinforce")
"""Normalisers of which one position gets everything; the window's log gain joins their energies."""


def softmax(energies: list[Tensor]) -> list[Tensor]:
    """exp e_i / Σ_j exp e_j."""
    exponentials = [torch.exp(e) for e in energies]
    return [x / sum(exponentials) for x in exponentials]


def sparsemax(energies: list[Tensor]) -> list[Tensor]:
    """argmin_p ‖p − e‖² over the simplex (Martins & Astudillo 2016, eq. 2), by trying every support.

    On the support A, p_i = e_i − τ with Σ_A p_i = 1; it is the right one where p > 0 inside and e ≤ τ outside.
    """
    e = [x.item() for x in energies]
    everything = range(len(e))
    for size in range(1, len(e) + 1):
        for support in itertools.combinations(everything, size):
            tau = (sum(e[i] for i in support) - 1) / size
            if all((e[i] > tau) if i in support else (e[i] <= tau) for i in everything):
                threshold = (sum(energies[i] for i in support) - 1) / size
                return [energies[i] - threshold if i in support else 0 * energies[i] for i in everything]
    raise AssertionError("some support always fits")


def entmax(energies: list[Tensor]) -> list[Tensor]:
    """argmax_p pᵀe + H_1.5(p) over the simplex (Peters 2019, eq. 9), by trying every support.

    On the support A, p_i = (e_i/2 − τ)² with Σ_A p_i = 1; it is the right one where e/2 > τ inside and e/2 ≤ τ outside.
    """
    everything = range(len(energies))
    for size in range(1, len(energies) + 1):
        for support in itertools.combinations(everything, size):
            halves = [energies[i] / 2 for i in support]
            mean = sum(halves) / size
            left = (1 - sum((x - mean) ** 2 for x in halves)) / size
            if left < 0:
                continue
            tau = mean - torch.sqrt(left)
            if all((e.item() / 2 > tau) if i in support else (e.item() / 2 <= tau) for i, e in enumerate(energies)):
                return [(e / 2 - tau) ** 2 if i in support else 0 * e for i, e in enumerate(energies)]
    raise AssertionError("some support always fits")


def hard(energies: list[Tensor]) -> list[Tensor]:
    """The value of the one-hot arg max (ties: the lowest index), the gradient of softmax."""
    return _straight_through(_arg_max(energies), softmax(energies))


def gumbel(energies: list[Tensor], noise: list[Tensor] | None, temperature: float) -> list[Tensor]:
    """Straight-through softmax((e + g)/τ) (Jang 2017, eq. 2 and section 2.2); g = 0 outside training."""
    if noise is not None:
        energies = [e + g for e, g in zip(energies, noise, strict=True)]
    return _straight_through(_arg_max(energies), softmax([e / temperature for e in energies]))


def reinforce(energies: list[Tensor], noise: list[Tensor] | None) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
    """One-hot weights, and in training log π of the position drawn and H(π) (Xu 2015, section 4.1; Mnih 2014).

    The arg max of e + Gumbel noise is a draw from π = softmax(e).
    """
    if noise is None:
        return _one_hot(_arg_max(energies), energies), None, None
    drawn = _arg_max([e + g for e, g in zip(energies, noise, strict=True)])
    pi = softmax(energies)
    return _one_hot(drawn, energies), torch.log(pi[drawn]), -sum(x * torch.log(x) for x in pi)


def _arg_max(energies: list[Tensor]) -> int:
    values = [e.item() for e in energies]
    return values.index(max(values))


def _one_hot(chosen: int, like: list[Tensor]) -> list[Tensor]:
    return [torch.tensor(float(i == chosen), dtype=e.dtype) for i, e in enumerate(like)]


def _straight_through(chosen: int, soft: list[Tensor]) -> list[Tensor]:
    return [value + x - x.detach() for value, x in zip(_one_hot(chosen, soft), soft, strict=True)]
