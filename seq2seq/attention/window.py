"""Windows: which positions a step may look at, and a gain on them. One class per row of the table of names.

A step sees the first `extent` positions: all of a source sentence, or those up to itself. Centres also stay within
the `max_position` positions that the score can tell apart, where it has such a limit.

Shapes: b batch, t target, s source, w width of a local window (2D+1), q query size.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seq2seq.nn.products import StepLinear

WIDTHS = 3
"""A memory of at most so many windows' widths is seen in order: on a CPU, gathering pays in longer ones."""
WIDTHS_AT_ONCE = 32
"""The same where several steps share their product with the memory in order."""


@dataclass(frozen=True)
class WindowView:
    """What a window shows at each step."""

    visible: Tensor
    """[b t w], or [b t s] where `index` is None: True where a position may be attended."""
    index: Tensor | None = None
    """[b t w]: the positions of the window; None: all of them in order."""
    log_gain: Tensor | None = None
    """[b t w]: logarithm of the factor on each position's weight; None: no factor."""
    centre: Tensor | None = None
    """[b t]: p_t, real-valued under `local_p`; None: the window has no centre."""


class Global(nn.Module):
    """All positions within the extent."""

    half_width = None

    def forward(
        self, query: Tensor, positions: Tensor, extent: Tensor, size: int, *, at_once: bool = False
    ) -> WindowView:
        """query [b t q], positions of the steps [b t], extent [b t], size of the memory -> what each step sees.

        `at_once`: the energies of all steps are one product with the memory, so that gathering seldom pays.
        """
        return WindowView(torch.arange(size, device=extent.device) < extent[..., None])


class LocalM(nn.Module):
    """|i − p_t| ≤ D around p_t = min(t, S−1) (Luong 2015, local-m), S the extent."""

    def __init__(self, half_width: int, max_position: int | None = None) -> None:
        super().__init__()
        self.half_width, self.max_position = half_width, max_position

    def forward(
        self, query: Tensor, positions: Tensor, extent: Tensor, size: int, *, at_once: bool = False
    ) -> WindowView:
        """As `Global.forward`."""
        extent = reachable(extent, self.max_position)
        return _around(torch.minimum(positions, extent - 1), self.half_width, extent, size, at_once)


class LocalP(nn.Module):
    """|i − ⌊p_t + ½⌋| ≤ D around p_t = (S−1) σ(v_pᵀ tanh(W_p q)), gain exp(−(i − p_t)²/2σ²), σ = D/2.

    Luong 2015, eq. 9 and 10 (local-p), with positions counted from 0; S is the extent.
    """

    def __init__(self, query_size: int, half_width: int, max_position: int | None = None) -> None:
        super().__init__()
        self.half_width, self.max_position = half_width, max_position
        self.hidden = StepLinear(query_size, query_size, bias=False)
        self.v = StepLinear(query_size, 1, bias=False)

    def forward(
        self, query: Tensor, positions: Tensor, extent: Tensor, size: int, *, at_once: bool = False
    ) -> WindowView:
        """As `Global.forward`."""
        portion = torch.sigmoid(self.v(torch.tanh(self.hidden(query)))).squeeze(-1)  # [b t]
        limit = reachable(extent, self.max_position)
        # bf16 can't count to 300: positions stay in the precision of the weights.
        p = torch.minimum((extent - 1) * portion.to(self.v.weight.dtype), limit - 1)
        view = _around(nearest(p), self.half_width, limit, size, at_once)
        index = torch.arange(size, device=p.device) if view.index is None else view.index
        sigma = self.half_width / 2
        return replace(view, log_gain=-((index - p[..., None]) ** 2) / (2 * sigma**2), centre=p)


def nearest(centre: Tensor) -> Tensor:
    """The position in the middle of the window around each centre."""
    return (centre + 0.5).floor().long()


def reachable(extent: Tensor, max_position: int | None) -> Tensor:
    """The part of an extent or of lengths that a score can tell apart; a limit of None is none."""
    return extent if max_position is None else extent.clamp(max=max_position)


def _around(centre: Tensor, half_width: int, extent: Tensor, size: int, at_once: bool) -> WindowView:
    """Positions within `half_width` of centre [b t]; those beyond the extent [b t] are there, but invisible.

    A short memory is seen in order, without gathering. An exported graph, which has one way for all sizes, sees any so.
    """
    widths = WIDTHS_AT_ONCE if at_once else WIDTHS
    if torch.compiler.is_exporting() or size <= widths * (2 * half_width + 1):
        index = torch.arange(size, device=centre.device)  # [s]
        near = (index - centre[..., None]).abs() <= half_width
        return WindowView(near & (index < extent[..., None]), centre=centre)
    index = centre[..., None] + torch.arange(-half_width, half_width + 1, device=centre.device)  # [b t w]
    visible = (index >= 0) & (index < extent[..., None])
    return WindowView(visible, index.clamp(0, size - 1), centre=centre)
