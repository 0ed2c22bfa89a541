"""The best columns of many, found by blocks: as torch finds them in one go."""

import pytest
import torch
from torch import Tensor

from seq2seq.search import beam, largest
from seq2seq.search.largest import block_maxima, within_blocks

WIDTHS = [1, 63, 64, 65, 128, 200]


def values(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(columns), dtype=torch.float64)


@pytest.mark.parametrize("columns", WIDTHS)
def test_blocks_hold_every_column_once(columns: int) -> None:
    x = values(3, columns)
    maxima = block_maxima(x)
    rows, blocks = (index.flatten() for index in torch.meshgrid(*map(torch.arange, maxima.shape), indexing="ij"))
    found, where = within_blocks(x, rows, blocks)
    assert found.amax(-1).equal(maxima.flatten())
    there = found > -torch.inf
    assert there.sum() == x.numel()
    rebuilt = torch.full_like(x, torch.nan)
    rebuilt[rows[:, None].expand_as(where)[there], where[there]] = found[there]
    assert rebuilt.equal(x)


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_largest_is_the_first_of_equals(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(largest, "_MANY", 0)
    for x in (values(5, columns), values(5, columns).round(), torch.zeros(2, columns)):
        best, where = largest.largest(x)
        assert best.equal(x.amax(-1))
        assert where.equal(torch.max(x, -1).indices)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("k", [1, 3, 70])
@pytest.mark.parametrize("counts", [[1], [2, 2], [3, 1, 2]])
def test_the_best_continuations_are_the_same_with_blocks(
    counts: list[int], k: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = sum(counts)
    log_probs, totals = values(n, columns), values(n, 1)[:, 0]
    log_probs[:, 1::3] = -torch.inf
    found = []
    for many in (0, 1 << 30):
        monkeypatch.setattr(largest, "_MANY", many)
        found.append(beam._continue(log_probs.clone(), totals.numpy(), torch.tensor(counts).numpy(), k))
    first = 0
    for sentence, count in enumerate(counts):
        flat = (log_probs + totals[:, None])[first : first + count].flatten()
        expected = flat[flat > -torch.inf].sort(descending=True).values[:k]
        for one in found:
            sums = torch.from_numpy(one.sums[sentence])
            assert sums[: len(expected)].tolist() == pytest.approx(expected.tolist(), abs=1e-12)
            assert (sums[len(expected) :] == -torch.inf).all()
            rows, places = one.parents[sentence][: len(expected)], one.columns[sentence][: len(expected)]
            assert log_probs[rows, places].tolist() == one.scores[sentence][: len(expected)].tolist()
            assert (log_probs + totals[:, None])[rows, places].tolist() == sums[: len(expected)].tolist()
        first += count
