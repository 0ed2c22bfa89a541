"""The loss, the schedules, checkpoints."""

import itertools
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support.variants import build_model, one_by_one_rows
from torch.utils.flop_counter import FlopCounterMode

from seq2seq import checkpoint
from seq2seq.errors import DataError
from seq2seq.nn.dropout import Dropout
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training import loss
from seq2seq.training.loss import Loss, ProjectedCrossEntropy, TranslationLoss, rewards_to_go
from seq2seq.training.optimizer import Halving, Schedule


def projected(rows: int = 5) -> tuple[torch.Tensor, ...]:
    x, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((rows, 3), (7, 3), (7,))
    )
    return x, weight, bias, torch.arange(rows) % 7


def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of three rows of a vocabulary of seven, their softmax of two rows: the last piece of each is short."""
    monkeypatch.setattr(loss, "LOGITS", 22)
    monkeypatch.setattr(loss, "_LEAST_ROWS", 1)
    monkeypatch.setattr(loss, "_CACHED", 15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_projected_cross_entropy_is_torchs(smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pieces(monkeypatch)
    x, weight, bias, targets = projected(rows)
    total, nll = ProjectedCrossEntropy.apply(x, weight, bias, targets, smoothing)
    logits = F.linear(x, weight, bias)
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(nll, F.cross_entropy(logits, targets, reduction="none"), rtol=1e-12, atol=1e-12)
    actual = torch.autograd.grad(3 * total, (x, weight, bias))
    wanted = torch.autograd.grad(3 * expected, (x, weight, bias))
    for one, other in zip(actual, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_projected_cross_entropy_passes_gradcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pieces(monkeypatch)
    x, weight, bias, targets = projected()
    assert torch.autograd.gradcheck(
        lambda *args: ProjectedCrossEntropy.apply(*args, targets, 0.1)[0], (x, weight, bias)
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 5])
def test_two_passes_add_half_of_r_drops_divergence(
    smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-Drop's loss is the sum of both passes and α/2 of the divergence (Liang 2021, eq. 2 to 4); ours is half."""
    small_pieces(monkeypatch)
    x, weight, bias, targets = projected(rows)
    both = torch.stack([x, x.flip(1) + 0.3]).detach().requires_grad_()
    total, nll = ProjectedCrossEntropy.apply(both, weight, bias, targets, smoothing, 0.7)
    logits = [F.linear(each, weight, bias) for each in both]
    entropies = [F.cross_entropy(each, targets, label_smoothing=smoothing, reduction="sum") for each in logits]
    p, q = (each.log_softmax(-1) for each in logits)
    divergence = (p.exp() * (p - q)).sum() + (q.exp() * (q - p)).sum()
    expected = (sum(entropies) + 0.7 / 2 * divergence) / 2
    torch.testing.assert_close(total, expected, rtol=1e-12, atol=1e-12)
    plain = [F.cross_entropy(each, targets, reduction="none") for each in logits]
    torch.testing.assert_close(nll, sum(plain) / 2, rtol=1e-12, atol=1e-12)
    actual = torch.autograd.grad(3 * total, (both, weight, bias))
    wanted = torch.autograd.grad(3 * expected, (both, weight, bias))
    for one, other in zip(actual, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda *args: ProjectedCrossEntropy.apply(*args, targets, smoothing, 0.7)[0], (both, weight, bias)
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_projected_cross_entropy_in_bf16_is_near(smoothing: float) -> None:
    x, weight, bias, targets = projected(64)
    rounded = x.detach().bfloat16().requires_grad_()
    single = [tensor.detach().float().requires_grad_() for tensor in (weight, bias)]
    total, nll = ProjectedCrossEntropy.apply(rounded, *single, targets, smoothing)
    assert total.dtype is nll.dtype is torch.float32
    expected = F.cross_entropy(F.linear(x, weight, bias), targets, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(total, expected.float(), rtol=5e-3, atol=0)
    actual = torch.autograd.grad(total, (rounded, *single))
    for one, other in zip(actual, torch.autograd.grad(expected, (x, weight, bias)), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=0.02 * float(other.abs().max()))


def test_a_certain_token_has_a_finite_loss() -> None:
    weight = torch.tensor([[300.0], [0.0], [-300.0]])
    _, nll = ProjectedCrossEntropy.apply(torch.ones(2, 1), weight, torch.zeros(3), torch.tensor([0, 2]), 0.0)
    assert nll.tolist() == [0.0, 600.0]


def test_rewards_are_means_of_what_is_still_to_come() -> None:
    real = torch.tensor([[True, True, True], [True, False, False]])
    rewards = rewards_to_go(torch.tensor([[1.0, 2.0, 6.0], [5.0, 0.0, 0.0]]), real)
    assert rewards.tolist() == [[-3.0, -4.0, -6.0], [-5.0, 0.0, 0.0]]


def test_the_reward_of_a_batch_is_the_mean_over_the_tokens_of_its_parts() -> None:
    parts = [
        Loss({"loss": torch.tensor(2.0), "reward": torch.tensor(tokens * reward)}, tokens)
        for tokens, reward in ((3, -1.0), (1, -5.0))
    ]
    whole = Loss.of_parts(parts)
    assert (whole.tokens, whole.mean("loss"), whole.mean("reward")) == (4, 1.0, -2.0)


def batch() -> Batch:
    targets = torch.tensor([[5, 6, 3], [7, 3, PAD]])
    inputs = torch.tensor([[2, 5, 6], [2, 7, PAD]])
    return Batch(torch.tensor([[4, 5, 3], [6, 3, PAD]]), torch.tensor([3, 2]), inputs, targets)


def reinforce_row() -> dict[str, object]:
    return next(row for row in one_by_one_rows() if row["normaliser"] == "reinforce")


def test_reinforce_loss_is_written_out() -> None:
    model = build_model(reinforce_row()).train()
    torch.manual_seed(3)
    found = TranslationLoss(0.0, reward_weight=0.7, entropy_weight=0.2)(model, batch(), baseline=-1.5)
    torch.manual_seed(3)
    b = batch()
    decoded = model(b.source, b.source_lengths, b.inputs)
    logits = F.linear(decoded.features, model.output.weight, model.output.bias)
    log_p = logits.log_softmax(-1).gather(-1, b.targets[..., None]).squeeze(-1)
    assert decoded.attended.log_prob is not None
    assert decoded.attended.entropy is not None
    expected, rewards = torch.zeros((), dtype=torch.float64), []
    for row, length in ((0, 3), (1, 2)):
        for t in range(length):
            reward = log_p[row, t:length].mean().detach()
            rewards.append(float(reward))
            expected = expected - log_p[row, t]
            expected = expected - 0.7 * (reward + 1.5) * decoded.attended.log_prob[row, t]
            expected = expected - 0.2 * decoded.attended.entropy[row, t]
    torch.testing.assert_close(found.total, expected, rtol=1e-12, atol=1e-12)
    assert found.mean("reward") == pytest.approx(sum(rewards) / 5)
    assert found.tokens == 5


def test_r_drop_passes_twice_in_training_alone() -> None:
    model, b = build_model(one_by_one_rows()[0]), batch()
    plain, with_r_drop = TranslationLoss(0.1), TranslationLoss(0.1, r_drop=5.0)
    assert torch.equal(with_r_drop(model, b).total, plain(model, b).total)
    model.train()
    torch.testing.assert_close(with_r_drop(model, b).total, plain(model, b).total)  # without dropout: no divergence
    model.decoder.dropout = Dropout(0.5)
    torch.manual_seed(4)
    found = with_r_drop(model, b)
    torch.manual_seed(4)
    passes = [model(b.source, b.source_lengths, b.inputs).features[b.targets != PAD] for _ in range(2)]
    output, targets = model.output, b.targets[b.targets != PAD]
    expected, nll = ProjectedCrossEntropy.apply(torch.stack(passes), output.weight, output.bias, targets, 0.1, 5.0)
    assert torch.equal(found.total, expected)
    assert torch.equal(found.terms["nll"], nll.sum())


def test_reinforce_gradient_is_the_exact_expected_gradient() -> None:
    """Averaged over many draws, the score function's gradient is that of the expected reward, by enumeration."""
    energies = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([-1.0, -0.4, -2.0], dtype=torch.float64)
    pi = energies.softmax(-1)
    (exact,) = torch.autograd.grad((pi * reward).sum(), energies)
    surrogate = sum(
        p * (r + 1.5) * energies.log_softmax(-1)[i] for i, (p, r) in enumerate(zip(pi.detach(), reward, strict=True))
    )
    (estimated,) = torch.autograd.grad(surrogate, energies)
    torch.testing.assert_close(estimated, exact, rtol=1e-12, atol=1e-12)


def schedule(name: str, warmup_updates: int = 4, halving: Halving = Halving()) -> Schedule:  # noqa: B008
    return Schedule(name, 2.0, warmup_updates, 0.5, 1, 12, halving)


def test_schedules_warm_up_and_then_go_their_ways() -> None:
    for name in ("constant", "plateau", "inverse_sqrt", "cosine"):
        assert [schedule(name).rate(update) for update in range(1, 5)] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert schedule("constant").rate(1000) == 2.0
    assert schedule("inverse_sqrt").rate(16) == pytest.approx(1.0)
    assert schedule("cosine").rate(8) == pytest.approx(1.0)
    assert schedule("cosine").rate(12) == pytest.approx(0.0)


def test_a_schedule_with_an_end_reaches_it_when_the_time_is_up() -> None:
    cosine = schedule("cosine")
    assert cosine.rate(8, time_used=1.0) == pytest.approx(0.0)
    assert cosine.rate(5, time_used=8 / 12) == pytest.approx(cosine.rate(8))
    assert cosine.rate(2, time_used=0.9) == cosine.rate(2)  # it still warms up
    for update in range(1, 13):  # the time is not what ends it: it changes no bit
        assert cosine.rate(update, time_used=update / 12) == cosine.rate(update)
    for name in ("constant", "plateau", "inverse_sqrt", "halving"):
        endless = schedule(name, halving=Halving(1))
        assert endless.rate(8, time_used=0.9) == endless.rate(8)


def test_plateau_waits_its_patience_then_multiplies() -> None:
    plateau = schedule("plateau", warmup_updates=0)
    rates = []
    for improved in (True, False, True, False, False, False, False):
        plateau.validated(improved)
        rates.append(plateau.rate(50))
    assert rates == [2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.5]


def test_halving_begins_after_so_many_epochs_and_goes_on_every_so_many() -> None:
    luong = schedule("halving", warmup_updates=0, halving=Halving(2, 1, 3))
    assert [luong.rate(update) for update in range(1, 13)] == [2.0] * 6 + [1.0] * 3 + [0.5] * 3
    half_epochs = schedule("halving", warmup_updates=0, halving=Halving(0.5, 1.5, 4))
    assert [half_epochs.rate(update) for update in range(1, 10)] == [2.0] * 2 + [1.0] * 6 + [0.5]
    at_once = schedule("halving", warmup_updates=3, halving=Halving(0, 1, 2))
    assert [at_once.rate(update) for update in range(3, 7)] == [2.0, 0.5, 0.25, 0.25]


def test_only_plateau_listens() -> None:
    constant = schedule("constant")
    for _ in itertools.repeat(None, 5):
        constant.validated(False)
    assert constant.rate(50) == 2.0


def broken(path: Path, name: str, content: bytes) -> Path:
    (path / name).write_bytes(content)
    return path


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    with pytest.raises(DataError, match="no checkpoint here"):
        checkpoint.load(tmp_path, cpu)
    broken(tmp_path, "model.safetensors", b"\x80\x04cos\nsystem\n")
    with pytest.raises(DataError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path, cpu)
    broken(tmp_path, "config.json", json.dumps({"format": 99}).encode())
    with pytest.raises(DataError, match="format 99, this version reads 1"):
        checkpoint.load(tmp_path, cpu)


@pytest.mark.parametrize("rows", [2, 5])
def test_a_validation_computes_no_gradient(rows: int) -> None:
    x, weight, bias, targets = projected(rows)
    expected, _ = ProjectedCrossEntropy.apply(x, weight, bias, targets, 0.1)
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        found, _ = ProjectedCrossEntropy.apply(x, weight, bias, targets, 0.1)
    assert found == expected
    assert counted.get_total_flops() == 2 * rows * weight.numel()  # the logits alone
