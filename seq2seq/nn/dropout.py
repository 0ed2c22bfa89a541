"""Dropout whose random numbers cost little on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Zero each element with probability p (to within 2⁻¹⁶) and divide the rest by 1 − p (Srivastava 2014).

    `variational`: one draw for all steps of a sequence (Gal & Ghahramani 2016, section 4).
    """

    def __init__(self, p: float, *, variational: bool = False) -> None:
        super().__init__()
        self.p = p
        self.variational = variational

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape; [b t d] if `variational`."""
        if not self.training or not self.p:
            return x
        return x * self._drop(torch.ones_like(x[:, :1])) if self.variational else self._drop(x)

    def mask(self, like: Tensor, *shape: int) -> Tensor | None:
        """Draw factors of this shape, 0 or 1/(1 − p), in the type of `like`; None when nothing is dropped."""
        return self._drop(like.new_ones(shape)) if self.training and self.p else None

    def _drop(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        # torch draws one number per element; each has enough bits for four elements.
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)
        kept = bits[: x.numel()].view(x.shape) >= min(round(self.p * _LEVELS), _LEVELS - 1) - _LEVELS // 2
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}" + (", variational" if self.variational else "")


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Multiply x with the mask, if there is one."""
    return x if mask is None else x * mask
