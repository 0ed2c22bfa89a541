"""Processes that share a batch: as one process, to rounding."""

import math
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from support import ranks, trainers
from support.variants import build_model, one_by_one_rows
from torch import Tensor, nn

from seq2seq.checkpoint import optimizer_tensors
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training.loss import Loss, TranslationLoss
from seq2seq.training.optimizer import MOMENTS, make_optimizer
from seq2seq.training.process_group import ProcessGroup, ProcessLost
from seq2seq.training.workers import Workers, can_fork, default_processes, owners_of, working

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")


def batch(links: bool = False) -> Batch:
    lengths, target_lengths = torch.tensor([2, 5, 3, 4, 1]), torch.tensor([3, 2, 6, 4, 1])
    source, targets = torch.full((5, 5), PAD), torch.full((5, 6), PAD)
    for row, (s, t) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True)):
        source[row, :s] = torch.arange(s) % 3 + 4
        targets[row, :t] = torch.arange(t) % 3 + 4
    inputs = targets.roll(1, 1)
    return Batch(source, lengths, inputs, targets, torch.rand(5, 6, 5) if links else None)


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("links", [False, True])
def test_shares_are_the_batch(parts: int, links: bool) -> None:
    whole = batch(links)
    shares = whole.split(parts)
    assert len(shares) == min(parts, 5)
    assert sum(share.tokens for share in shares) == whole.tokens
    for number, share in enumerate(shares):
        assert share.source.size(1) == int(share.source_lengths.max()) or parts == 1
        for row in range(len(share.source)):
            original = number + row * parts
            s, t = share.source.size(1), share.targets.size(1)
            assert torch.equal(share.source[row], whole.source[original, :s])
            assert torch.equal(share.targets[row], whole.targets[original, :t])
            assert torch.equal(share.inputs[row], whole.inputs[original, :t])
            assert not (whole.targets[original, t:] != PAD).any()
            if whole.links is not None and share.links is not None:
                assert torch.equal(share.links[row], whole.links[original, :t, :s])
        again = Batch.of_arrays(share.arrays())
        assert torch.equal(again.inputs, share.inputs)


Updated = tuple[list[float], list[float], list[Tensor], dict[str, Tensor]]
"""Losses and norms of some updates; weights and moments after them."""


def updated(name: str, limit: float, processes: int) -> Updated:
    """Make three updates by the batch, the last of which has work for two processes at most."""
    row = next(row for row in one_by_one_rows() if row["normaliser"] == "softmax")
    model = build_model(row).eval()  # no dropout: each share would draw its own
    optimizer = make_optimizer(name, model, learning_rate=0.1, weight_decay=0.1)
    whole, loss = batch(), TranslationLoss(0.1)
    losses, norms = [], []

    def work(share: Any) -> Any:
        model.zero_grad()
        found = loss(model, Batch.of_arrays(share))
        torch.autograd.backward(found.total)
        return found.arrays()

    sharing = nullcontext(ProcessGroup()) if processes == 1 else working(model, optimizer, work, processes)
    with sharing as group:
        for most in (9, 9, 2):
            shares = [share.arrays() for share in whole.split(min(group.shares, most))]
            parts = group.gradient(
                model,
                [whole] * len(shares),
                lambda number: Loss.of_arrays(*work(shares[number])),  # noqa: B023
                lambda number: shares[number],  # noqa: B023
            )
            losses.append(float(Loss.of_parts(parts).total))
            versions = [parameter._version for parameter in model.parameters()]
            norms.append(float(group.update(model, optimizer, limit)))
            assert all(p._version > before for p, before in zip(model.parameters(), versions, strict=True))
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    return losses, norms, weights, optimizer_tensors(optimizer, model.parameters())


@pytest.mark.parametrize("limit", [math.inf, 0.5])
@pytest.mark.parametrize("name", list(MOMENTS))
def test_processes_make_the_updates_of_one(name: str, limit: float) -> None:
    expected = updated(name, limit, 1)
    assert expected[1][0] > 0.5
    for processes in (2, 3):
        found = updated(name, limit, processes)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        assert found[3].keys() == expected[3].keys()
        assert len(found[3]) == len(found[2]) * {"sgd": 0}.get(name, 3)


def test_no_process_makes_a_step_by_a_gradient_that_is_not_finite() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())

    def work(share: Any) -> Any:
        model.zero_grad()
        torch.autograd.backward(model(torch.full((1, 2), share)).sum())
        return {}, 1

    before = [parameter.detach().clone() for parameter in model.parameters()]
    with working(model, optimizer, work, 2) as workers:
        workers.gradient(model, [batch()] * 2, lambda number: Loss.of_arrays(*work(1.0)), lambda number: math.inf)
        assert workers.update(model, optimizer, 1.0).isinf()
        assert all(p.equal(old) for p, old in zip(model.parameters(), before, strict=True))
        workers.gradient(model, [batch()] * 2, lambda number: Loss.of_arrays(*work(1.0)), lambda number: 1.0)
        assert workers.update(model, optimizer, 1.0).isfinite()
        assert not any(p.equal(old) for p, old in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("processes", ["forked", "ranks"])
def test_parameters_that_not_every_share_uses(tmp_path: Path, processes: str) -> None:
    """As those of an attention to the context, which beginnings of documents do not have."""

    def steps(group: ProcessGroup, model: nn.ModuleList, optimizer: torch.optim.Optimizer, work: Any) -> Any:
        for _ in range(2):
            group.gradient(model, [batch()] * 2, lambda number: Loss.of_arrays(*work(number)), lambda number: number)
            group.update(model, optimizer, math.inf)
        return [parameter.tolist() for parameter in model.parameters()]

    def made() -> tuple[Any, ...]:
        torch.manual_seed(1)
        model = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1), nn.Linear(2, 1)])

        def work(number: int) -> Any:
            model.zero_grad()
            used = model[: number + 1]  # no share uses the last one
            torch.autograd.backward(sum(part(torch.ones(1, 2)).sum() for part in used))
            return {"loss": torch.zeros(()).numpy()}, 1

        return model, torch.optim.AdamW(model.parameters(), weight_decay=0.5), work

    model, optimizer, work = made()
    unused = [parameter.tolist() for parameter in model[2].parameters()]
    if processes == "forked":
        with working(model, optimizer, work, 2) as workers:
            found = steps(workers, model, optimizer, work)
    else:
        found, other = ranks.together(tmp_path, 2, lambda team: steps(team, *made()))
        assert found == other
    assert found[4:] == unused
    fresh = [parameter.tolist() for parameter in made()[0].parameters()]
    for place in range(4):
        assert found[place] != fresh[place]


def test_each_process_owns_about_as_much() -> None:
    sizes = [50, 100, 1, 40, 10, 1]
    owners = owners_of(sizes, 2)
    loads = [sum(size for size, owner in zip(sizes, owners, strict=True) if owner == process) for process in (0, 1)]
    assert loads == [101, 101]
    assert owners_of(sizes, 1) == [0] * 6


def alone(number: int) -> Loss:
    """The share of the first process, without a gradient."""
    return Loss({}, 0)


def test_a_worker_that_fails_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    def work(message: str) -> None:
        raise ValueError(message)

    model = nn.Linear(1, 1)
    workers = Workers(model, torch.optim.SGD(model.parameters()), work, 1)
    with pytest.raises(ProcessLost, match=r"shares the batches ended \(exit code 1\); see its message"):
        workers.gradient(model, [batch()] * 2, alone, lambda number: "broken")
    assert "ValueError: broken" in capfd.readouterr().err
    workers.close()


def test_a_worker_that_is_killed_is_noticed() -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters())
    workers = Workers(model, optimizer, lambda message: os.kill(os.getpid(), signal.SIGKILL), 2)
    with pytest.raises(ProcessLost, match=r"\(exit code -9\); it was killed, as the system does when memory runs out"):
        workers.gradient(model, [batch()] * 3, alone, lambda number: 0)
    with pytest.raises(ProcessLost, match=r"exit code -9"):  # there is nobody to read another message
        workers.gradient(model, [batch()] * 2, pytest.fail, lambda number: 0)
    workers.close()


def test_what_ends_the_block_does_not_wait_for_the_others() -> None:
    """As a repeated Ctrl-C does; the worker here would never be done."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters())
    waits, _writes = os.pipe()
    with pytest.raises(KeyboardInterrupt), working(model, optimizer, lambda _: os.read(waits, 1), 2) as workers:
        workers.gradient(model, [batch()] * 2, interrupted, lambda number: 0)


def interrupted(number: int) -> Loss:
    raise KeyboardInterrupt


def test_the_number_of_processes_follows_the_batch() -> None:
    assert default_processes(torch.device("cpu"), 255) == 1
    assert default_processes(torch.device("cpu"), 1 << 20) == torch.get_num_threads()
    assert default_processes(torch.device("cuda"), 1 << 20) == 1


def test_other_threads_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = trainers.make(tmp_path, "training.max_updates=1")
    threads = torch.get_num_threads()
    begun.run()
    with caplog.at_level("INFO"):
        trainers.make(tmp_path)
        assert "OMP_NUM_THREADS" not in caplog.text
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 2)
        trainers.make(tmp_path)
    assert f"saved with {threads} threads and continues with {threads + 2} (OMP_NUM_THREADS)" in caplog.text


def test_a_run_goes_on_in_one_process_where_there_can_be_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one does that was begun on a CPU and goes on on a GPU."""
    monkeypatch.setattr("seq2seq.training.setup.default_processes", lambda device, tokens: 2)
    begun = trainers.make(tmp_path, "training.processes=null", "training.max_updates=2")
    assert begun.gradient.processes == 2
    begun.run()
    monkeypatch.setattr("seq2seq.training.setup.default_processes", lambda device, tokens: 1)
    assert trainers.make(tmp_path, "training.processes=null").gradient.processes == 2
    for module in ("setup", "loop"):
        monkeypatch.setattr(f"seq2seq.training.{module}.can_fork", lambda device: False)
    assert trainers.make(tmp_path, "training.processes=null").gradient.processes == 1
    with caplog.at_level("INFO"):
        assert trainers.make(tmp_path, "training.processes=2", run="other").gradient.processes == 1
    assert "training.processes=2: only CPUs under Linux can share batches; using one process" in caplog.text
    assert not can_fork(torch.device("cuda"))


@pytest.mark.parametrize("processes", [1, 2])
def test_copies_in_int8_follow_the_weights(tmp_path: Path, processes: int) -> None:
    trainer = trainers.make(tmp_path, f"training.processes={processes}")
    batches = trainer.batches()
    with trainer.gradient.sharing(trainer.optimizer):
        for _ in range(2):
            (before,) = trainer.translator.models("int8")
            assert trainer.translator.models("int8") == [before]
            trainer.step(next(batches))
            assert trainer.translator.models("int8") != [before]
