"""Choosing rows of whatever holds tensors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.nn.rows import reorder, reversal, select


@dataclass(frozen=True)
class State:
    layers: tuple[tuple[Tensor, ...], ...]
    feed: Tensor | None
    first: int = 3


def test_rows_of_every_tensor_are_chosen() -> None:
    h = torch.arange(6).view(3, 2)
    chosen = select(State(((h,), (h, 10 * h)), None), torch.tensor([2, 0, 0, 1]))
    rows = h[[2, 0, 0, 1]]
    assert [[part.tolist() for part in layer] for layer in chosen.layers] == [
        [rows.tolist()],
        [rows.tolist(), (10 * rows).tolist()],
    ]
    assert (chosen.feed, chosen.first) == (None, 3)


def test_a_reversal_is_its_own_inverse() -> None:
    positions = reversal(torch.tensor([4, 1, 3]), 4)
    assert positions.tolist() == [[3, 2, 1, 0], [0, 1, 2, 3], [2, 1, 0, 3]]
    x = torch.arange(24).view(3, 4, 2)
    assert torch.equal(reorder(reorder(x, positions), positions), x)
