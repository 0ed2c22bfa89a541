"""An update in parts is the whole update, to rounding and in less memory."""

import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from support import trainers
from torch import Tensor

WHOLE = ["training.batch_tokens=200", "model.dropout=0", "training.optimizer=sgd", "training.learning_rate=1"]
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")


def weights_after(directory: Path, updates: int, *more: str) -> tuple[list[float], dict[str, Tensor]]:
    """The losses and the gradients' norms of so many updates, and the weights they end in."""
    trainer = trainers.make(directory, *WHOLE, *more, precise=True)
    numbers, batches = [], trainer.batches()
    with trainer.gradient.sharing(trainer.optimizer):
        for _ in range(updates):
            loss, norm = trainer.step(next(batches))
            numbers += [float(loss.total), float(loss.terms["nll"]), loss.tokens, float(norm)]
    return numbers, {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=LINUX)])
@pytest.mark.parametrize("parts", [2, 3, 100])
def test_parts_make_the_update_of_the_whole(tmp_path: Path, parts: int, processes: int) -> None:
    expected, whole = weights_after(tmp_path, 3)
    found, added = weights_after(
        tmp_path, 3, f"training.accumulate={parts}", f"training.processes={processes}"
    )  # of a hundred parts most are empty: they are left out
    assert found == pytest.approx(expected, rel=1e-6 if processes > 1 else 1e-12)  # losses cross in fp32
    for name, weight in whole.items():
        torch.testing.assert_close(added[name], weight, rtol=1e-10, atol=1e-12)


def test_an_epoch_has_as_many_updates_in_parts(tmp_path: Path) -> None:
    whole, parts = (trainers.make(tmp_path, *WHOLE, f"training.accumulate={n}") for n in (1, 4))
    assert whole.data.per_epoch == parts.data.per_epoch
    one, other = (next(trainer.batches()) for trainer in (whole, parts))
    assert torch.equal(one.targets, other.targets)


@contextmanager
def saved_for_backward() -> Iterator[list[int]]:
    """Bytes of activations that wait for backward: now, and at most."""
    counted = [0, 0]

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor
            size = 0 if tensor.is_leaf and tensor.requires_grad else tensor.nbytes
            counted[0] += size
            counted[1] = max(counted)
            weakref.finalize(self, release, size)

    def release(size: int) -> None:
        counted[0] -= size

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        yield counted


def test_parts_take_less_memory(tmp_path: Path) -> None:
    peaks = []
    for parts in (1, 4):
        trainer = trainers.make(tmp_path, "training.batch_tokens=2000", f"training.accumulate={parts}")
        with saved_for_backward() as counted:
            trainer.try_largest_batch()
        peaks.append(counted[1])
    assert peaks[1] < 0.4 * peaks[0]
