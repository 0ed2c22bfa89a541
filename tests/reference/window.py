"""The positions that step t of one sentence sees, and the gain on each of them."""

import math

import torch
from torch import Tensor

from reference.parameters import Parameters
from seq2seq import config


def window(
    options: config.Window, p: Parameters, q: Tensor, t: int, size: int, limit: int | None
) -> tuple[list[int], list[Tensor] | None]:
    """Visible positions and their gains (None: no gain) in a source of `size` = S words.

    `limit` is the L of a `location` score, which can tell no more positions apart.
    """
    reach = size if limit is None else min(size, limit)
    if options.name == "global":
        return list(range(reach)), None
    half_width = options.half_width
    if options.name == "local_m":
        # Luong 2015, section 3.2, local-m: p_t = t, held to the last word there is.
        centre = min(t, reach - 1)
        return [i for i in range(reach) if abs(i - centre) <= half_width], None
    if options.name == "local_p":
        # Luong 2015, eq. 9 and 10: p_t = S σ(v_pᵀ tanh(W_p q)), here with S − 1 since positions count from 0.
        p_t = (size - 1) * torch.sigmoid(p["v.weight"][0] @ torch.tanh(p["hidden.weight"] @ q))
        if p_t.item() > reach - 1:
            p_t = torch.tensor(reach - 1.0, dtype=q.dtype)
        centre = math.floor(p_t.item() + 0.5)
        sigma = half_width / 2
        visible = [i for i in range(reach) if abs(i - centre) <= half_width]
        return visible, [torch.exp(-((i - p_t) ** 2) / (2 * sigma**2)) for i in visible]
    raise KeyError(options.name)
