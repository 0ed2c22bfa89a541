"""Windows: which source positions a step may look at, and a gain on them. One class per row of the table of names.

A source has `lengths` positions of its own, S, and `reach` of them that the score can tell apart, min(S, L): centres
and what is visible stay within reach.

Shapes: b batch, t target, s source, w width of a local window (2D+1), q query size.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seq2seq.nn.products import Linear


@dataclass(frozen=True)
class WindowView:
    """What a window shows of the source at each step."""

    visible: Tensor
    """[b t w], or [b 1 s] where `index` is None: True where a position may be attended."""
    index: Tensor | None = None
    """[b t w]: the source positions of the window; None: all of them in order."""
    log_gain: Tensor | None = None
    """[b t w]: logarithm of the factor on each position's weight; None: no factor."""
    centre: Tensor | None = None
    """[b t]: p_t, real-valued under `local_p`; None: the window has no centre."""


class Global(nn.Module):
    """All real positions."""

    def forward(self, query: Tensor, positions: Tensor, lengths: Tensor, reach: Tensor, source_size: int) -> WindowView:
        """query [b t q], positions of the steps [b t], lengths [b], reach [b] -> what each step sees."""
        return WindowView(torch.arange(source_size, device=reach.device) < reach[:, None, None])


class LocalM(nn.Module):
    """|i − p_t| ≤ D around p_t = min(t, S−1) (Luong 2015, local-m)."""

    def __init__(self, half_width: int) -> None:
        super().__init__()
        self.half_width = half_width

    def forward(self, query: Tensor, positions: Tensor, lengths: Tensor, reach: Tensor, source_size: int) -> WindowView:
        centre = torch.minimum(positions, reach[:, None] - 1)
        return _around(centre, self.half_width, reach, source_size)


class LocalP(nn.Module):
    """|i − ⌊p_t + ½⌋| ≤ D around p_t = (S−1) σ(v_pᵀ tanh(W_p q)), gain exp(−(i − p_t)²/2σ²), σ = D/2.

    Luong 2015, eq. 9 and 10 (local-p), with positions counted from 0.
    """

    def __init__(self, query_size: int, half_width: int) -> None:
        super().__init__()
        self.half_width = half_width
        self.hidden = Linear(query_size, query_size, bias=False)
        self.v = Linear(query_size, 1, bias=False)

    def forward(self, query: Tensor, positions: Tensor, lengths: Tensor, reach: Tensor, source_size: int) -> WindowView:
        portion = torch.sigmoid(self.v(torch.tanh(self.hidden(query)))).squeeze(-1)  # [b t]
        # bf16 can't count to 300: positions stay in the precision of the weights.
        p = torch.minimum((lengths[:, None] - 1) * portion.to(self.v.weight.dtype), reach[:, None] - 1)
        view = _around((p + 0.5).floor().long(), self.half_width, reach, source_size)
        sigma = self.half_width / 2
        assert view.index is not None
        return replace(view, log_gain=-((view.index - p[..., None]) ** 2) / (2 * sigma**2), centre=p)


def _around(centre: Tensor, half_width: int, reach: Tensor, source_size: int) -> WindowView:
    """The positions within `half_width` of centre [b t]; those outside the sentence are there, but invisible."""
    index = centre[..., None] + torch.arange(-half_width, half_width + 1, device=centre.device)  # [b t w]
    visible = (index >= 0) & (index < reach[:, None, None])
    return WindowView(visible, index.clamp(0, source_size - 1), centre=centre)
