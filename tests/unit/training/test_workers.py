"""Processes that share a batch: as one process, to rounding."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from support import trainers
from support.variants import build_model, one_by_one_rows
from torch import nn

from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training.loss import Loss, TranslationLoss
from seq2seq.training.process_group import ProcessLost
from seq2seq.training.workers import Workers, can_fork, default_processes, working

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


def test_two_processes_make_the_gradient_of_one() -> None:
    whole, loss = batch(), TranslationLoss(0.1)
    row = next(row for row in one_by_one_rows() if row["normaliser"] == "softmax")
    model = build_model(row).eval()  # no dropout: each share would draw its own

    def work(share: dict[str, object]) -> tuple[dict[str, object], int]:
        model.zero_grad()
        found = loss(model, Batch.of_arrays(share))  # type: ignore[arg-type]
        torch.autograd.backward(found.total)
        return found.arrays()

    alone = Loss.of_arrays(*work(whole.arrays()))
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    with working(model, work, 3) as workers:
        for update in range(2):  # the processes go on, and see weights that change
            shares = whole.split(3)
            parts = workers.gradient(
                model,
                shares,
                lambda number: Loss.of_arrays(*work(shares[number].arrays())),  # noqa: B023
                lambda number: shares[number].arrays(),  # noqa: B023
            )
            found = Loss.of_parts(parts)
            if not update:
                assert found.tokens == alone.tokens
                torch.testing.assert_close(found.total, alone.total)
                torch.testing.assert_close(found.terms["nll"], alone.terms["nll"])
                for name, parameter in model.named_parameters():
                    if parameter.grad is not None:
                        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-6)
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.mul_(0.5)
        torch.testing.assert_close(found.terms["nll"], loss(model, whole).terms["nll"])
        assert not torch.isclose(found.terms["nll"], alone.terms["nll"])


def alone(number: int) -> Loss:
    """The share of the first process, without a gradient."""
    return Loss({}, 0)


def test_a_worker_that_fails_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    def work(message: str) -> None:
        raise ValueError(message)

    model = nn.Linear(1, 1)
    workers = Workers(model, work, 1)
    with pytest.raises(ProcessLost, match=r"shares the batches ended \(exit code 1\); see its message"):
        workers.gradient(model, [batch()] * 2, alone, lambda number: "broken")
    assert "ValueError: broken" in capfd.readouterr().err
    workers.close()


def test_a_worker_that_is_killed_is_noticed() -> None:
    model = nn.Linear(1, 1)
    workers = Workers(model, lambda message: os.kill(os.getpid(), signal.SIGKILL), 2)
    with pytest.raises(ProcessLost, match=r"\(exit code -9\); it was killed, as the system does when memory runs out"):
        workers.gradient(model, [batch()] * 3, alone, lambda number: 0)
    with pytest.raises(ProcessLost, match=r"exit code -9"):  # there is nobody to read another message
        workers.gradient(model, [batch()] * 2, pytest.fail, lambda number: 0)
    workers.close()


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
