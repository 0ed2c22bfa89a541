"""Normalisers: energies -> weights over the visible positions. One class per row of the table of names.

Energies are −∞ at invisible positions and finite somewhere in every row. The weights of soft normalisers are multiplied
by the window's gain afterwards; hard ones find the log gain in their energies already (`hard` tells which is which).
In training, `gumbel` and `reinforce` draw Gumbel noise, −log −log u.

Shapes: b batch, h heads, t target, s source.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.score import full_precision


class Normalised(NamedTuple):
    """What a normaliser makes of the energies, and terms for the loss."""

    weights: Tensor
    """[b h t s]"""
    log_prob: Tensor | None = None
    """[b t]: log π of the positions drawn, summed over heads (`reinforce` in training)."""
    entropy: Tensor | None = None
    """[b t]: H(π), summed over heads (`reinforce` in training)."""


class Softmax(nn.Module):
    """Soft attention: α = softmax(e)."""

    hard = False

    def forward(self, energies: Tensor) -> Normalised:
        """energies [b h t s] -> weights [b h t s]."""
        return Normalised(energies.softmax(-1))


class Sparsemax(nn.Module):
    """argmin_p ‖p − e‖² over the simplex (Martins & Astudillo 2016, algorithm 1)."""

    hard = False

    def forward(self, energies: Tensor) -> Normalised:
        # Anything 1 or more below the maximum has weight 0: clamping at 2 below changes nothing and is finite.
        z = full_precision(energies)
        z = (z - z.amax(-1, keepdim=True)).clamp(min=-2)
        ordered = z.sort(-1, descending=True).values
        size = torch.arange(1, z.size(-1) + 1, device=z.device, dtype=z.dtype)
        cumulated = ordered.cumsum(-1)
        support = (1 + size * ordered > cumulated).sum(-1, keepdim=True)  # k(z), 1 or more
        tau = (cumulated.gather(-1, support - 1) - 1) / support
        return Normalised((z - tau).clamp(min=0))


class Entmax(nn.Module):
    """argmax_p pᵀe + H_1.5(p) over the simplex: p = [e/2 − τ]₊² (Peters, Niculae & Martins 2019, algorithm 2)."""

    hard = False

    def forward(self, energies: Tensor) -> Normalised:
        weights: Tensor = _Entmax15.apply(full_precision(energies))  # type: ignore[no-untyped-call]
        return Normalised(weights)


class _Entmax15(torch.autograd.Function):
    """1.5-entmax of the last dimension. Its Jacobian is diag(s) − ssᵀ/Σs, s = √p (section 3.3)."""

    @staticmethod
    def forward(ctx: Any, energies: Tensor) -> Tensor:
        # √p is 0 where e/2 is 1 or more below its maximum: clamping at 2 below changes nothing and is finite.
        z = ((energies - energies.amax(-1, keepdim=True)) / 2).clamp(min=-2)
        ordered = z.sort(-1, descending=True).values
        size = torch.arange(1, z.size(-1) + 1, device=z.device, dtype=z.dtype)
        mean = ordered.cumsum(-1) / size
        scatter = ordered.square().cumsum(-1) - size * mean.square()
        taus = mean - ((1 - scatter) / size).clamp(min=0).sqrt()  # τ if that many had weight
        support = (taus <= ordered).sum(-1, keepdim=True)  # 1 or more
        root = (z - taus.gather(-1, support - 1)).clamp(min=0)
        ctx.save_for_backward(root)
        return root.square()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        weighted = root * grad_outputs[0]
        return weighted - root * weighted.sum(-1, keepdim=True) / root.sum(-1, keepdim=True)


class Hard(nn.Module):
    """One-hot arg max (ties: the lowest index), with the gradient of the softmax (straight-through)."""

    hard = True

    def forward(self, energies: Tensor) -> Normalised:
        return Normalised(_straight_through(energies.softmax(-1), energies))


class Gumbel(nn.Module):
    """Straight-through Gumbel-softmax (Jang 2017, eq. 2): softmax((e + g)/τ), hardened. Arg max outside training."""

    hard = True

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, energies: Tensor) -> Normalised:
        if self.training:
            energies = energies + gumbel_noise(energies)
        return Normalised(_straight_through((energies / self.temperature).softmax(-1), energies))


class Reinforce(nn.Module):
    """One position drawn from π = softmax(e) per step and head (Xu 2015, section 4.1). Arg max outside training.

    The weights carry no gradient; log π (the score function) and the entropy do, through the loss.
    """

    hard = True

    def forward(self, energies: Tensor) -> Normalised:
        if not self.training:
            return Normalised(_one_hot(energies))
        weights = _one_hot(energies + gumbel_noise(energies))  # the Gumbel-max trick draws from softmax(e)
        log_pi = energies.log_softmax(-1).masked_fill(energies.isneginf(), 0)
        log_prob = (weights * log_pi).sum((1, 3))  # [b t]
        entropy = -(energies.softmax(-1) * log_pi).sum((1, 3))  # [b t]
        return Normalised(weights, log_prob, entropy)


def gumbel_noise(like: Tensor) -> Tensor:
    """Draw standard Gumbel noise in the shape of `like`."""
    return -torch.empty_like(like).exponential_().log()


def _one_hot(energies: Tensor) -> Tensor:
    return torch.zeros_like(energies).scatter(-1, energies.argmax(-1, keepdim=True), 1.0)


def _straight_through(soft: Tensor, energies: Tensor) -> Tensor:
    """The value of the one-hot arg max of the energies, the gradient of `soft`."""
    return _one_hot(energies).to(soft.dtype) + (soft - soft.detach())
