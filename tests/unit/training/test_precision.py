"""Training in 16 bits: what `auto` is, and the loss scale of fp16."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support import trainers
from torch import Tensor

from seq2seq import device
from seq2seq.cli.main import main
from seq2seq.errors import ConfigError
from seq2seq.model.recurrent import layers as recurrent
from seq2seq.training.loop import Trainer
from seq2seq.training.loss import ProjectedCrossEntropy

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")
CPU = torch.device("cpu")
FP16 = ["training.precision=fp16", "model.dropout=0", "training.optimizer=sgd", "training.learning_rate=0.5"]


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, "fp32"),
        ({"avx512_bf16": False, "avx2": True}, "fp32"),
        ({"amx_bf16": True}, "bf16"),
        ({"bf16": True}, "bf16"),
    ],
)
def test_auto_asks_the_processor(capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert device.fastest_precision(CPU) == expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert device.fastest_precision(CPU) == "fp32"


@pytest.mark.parametrize(
    ("capabilities", "error", "expected"),
    [
        ({}, 0.0, "highest"),
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, 0.0, "medium"),
        ({"cpu_name": "AMD EPYC", "avx512_f": False}, 0.0, "highest"),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_f": True}, 0.0, "highest"),
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, 0.01, "highest"),
    ],
)
def test_the_library_of_products_follows_from_the_processor(
    capabilities: dict[str, object], error: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from measured times, which other work on the machine would change, and with them the bits of a run."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    product = torch.Tensor.__matmul__

    def inexact(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What this machine gives does not matter: on some, `medium` is bf16."""
        exact = product(x.double(), y.double())
        return (exact * (1 + error * (x.dtype is torch.float32))).to(x.dtype)

    monkeypatch.setattr(torch.Tensor, "__matmul__", inexact)
    before = torch.get_float32_matmul_precision()
    assert device.fastest_fp32_products(CPU) == expected
    assert device.fastest_fp32_products(torch.device("cuda")) == "highest"
    assert torch.get_float32_matmul_precision() == before


def test_blocks_of_threads_that_overlap_leave_what_was_before_all() -> None:
    setting, before = torch.get_float32_matmul_precision, torch.get_float32_matmul_precision()
    one, other, third = (device.fp32_products(name) for name in ("medium", "high", "medium"))
    one.__enter__()
    other.__enter__()
    assert setting() == "high"
    one.__exit__(None, None, None)  # as another thread may, before the one that began later
    assert setting() == "high"
    third.__enter__()
    other.__exit__(None, None, None)
    assert setting() == "medium"
    third.__exit__(None, None, None)
    assert setting() == before


def test_products_are_chosen_for_a_training_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = []
    update = Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda *given: (seen.append(torch.get_float32_matmul_precision()), update(*given))[1]
    )
    monkeypatch.setattr("seq2seq.cli.training.fastest_fp32_products", lambda _: "medium")
    before = torch.get_float32_matmul_precision()
    command = ["train", *trainers.write_corpus(tmp_path), "training.max_updates=1"]
    assert main([*command, f"run_dir={tmp_path / 'fp32'}"]) == 0
    assert main([*command, f"run_dir={tmp_path / 'bf16'}", "training.precision=bf16"]) == 0
    assert seen == ["medium", "highest"]
    assert torch.get_float32_matmul_precision() == before
    said = [(tmp_path / name / "train.log").read_text().count("fp32 products: oneDNN") for name in ("fp32", "bf16")]
    assert said == [1, 0]
    assert "oneDNN" not in capfd.readouterr().err


def test_fp16_is_refused_where_it_is_slow() -> None:
    with pytest.raises(ConfigError, match=r"training.precision=fp16 and device=cpu: .* Use training.precision=auto"):
        device.check_precision("fp16", CPU)
    device.check_precision("fp16", torch.device("cuda"))
    device.check_precision("bf16", CPU)


@pytest.mark.parametrize(
    ("capabilities", "warns"), [({}, False), ({"avx2": True}, True), ({"avx2": True, "amx_bf16": True}, False)]
)
def test_emulated_bf16_is_warned_of(
    capabilities: dict[str, bool], warns: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    device.check_precision("bf16", CPU)
    assert ("no bf16 instructions" in caplog.text) == warns
    caplog.clear()
    device.check_precision("fp32", CPU)
    assert not caplog.text


def test_auto_is_settled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    capable = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capable)
    command = ["train", *trainers.write_corpus(tmp_path), f"run_dir={tmp_path / 'run'}"]
    assert main([*command, "training.precision=auto", "training.max_updates=1"]) == 0
    assert "training.precision=auto: bf16" in capfd.readouterr().err
    assert json.loads((tmp_path / "run/config.json").read_text())["training"]["precision"] == "bf16"
    capable["avx512_bf16"] = False
    assert main([*command, "training.precision=auto", "training.max_updates=2"]) == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["training"]["precision"] == "bf16"
    assert main([*command, "training.precision=fp32", "training.max_updates=3"]) == 2
    assert "training.precision: was 'bf16', now 'fp32'" in capfd.readouterr().err


def test_auto_goes_on_in_fp16_on_cuda_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["train", *trainers.write_corpus(tmp_path), f"run_dir={tmp_path / 'run'}", "training.max_updates=1"]
    assert main([*command, "training.precision=auto"]) == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["training"]["precision"] = "fp16"  # as if it had begun on another machine
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    capfd.readouterr()
    assert main([*command, "training.precision=auto"]) == 2
    assert "training.precision=fp16 and device=cpu" in capfd.readouterr().err


def gradients(trainer: Trainer) -> dict[str, Tensor]:
    """Of the first batch, as the optimizer saw them."""
    with trainer.gradient.sharing(trainer.optimizer):
        trainer.step(next(trainer.batches()))
    return {name: weight.grad.clone() for name, weight in trainer.model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("clip_norm", [0.0, 0.01])
def test_the_loss_scale_leaves_no_trace_in_the_gradient(tmp_path: Path, clip_norm: float) -> None:
    more = ["training.accumulate=2", f"training.clip_norm={clip_norm}"]
    expected = gradients(trainers.make(tmp_path, *FP16, "training.precision=fp32", *more))
    found = gradients(trainers.make(tmp_path, *FP16, *more))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=0.02 * float(gradient.abs().max()))
    if clip_norm:
        assert torch.cat([gradient.flatten() for gradient in found.values()]).norm() == pytest.approx(
            clip_norm, rel=1e-3
        )


def test_an_update_that_overflows_is_skipped_and_halves_the_scale(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, *FP16)
    trainer.options.clip_norm = 0.0
    scaler = trainer._scaler
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0**120})
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.step(next(trainer.batches()))
    assert trainer.progress.skipped == 1
    assert scaler.get_scale() == 2.0**119
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())


def test_the_scale_belongs_to_the_state(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, *FP16, "training.max_updates=2")
    assert trainer._scaler.get_scale() == 2.0**16
    trainer._scaler.load_state_dict({**trainer._scaler.state_dict(), "scale": 2.0**120})
    trainer.run()
    again = trainers.make(tmp_path, *FP16)
    assert again._scaler.state_dict() == trainer._scaler.state_dict()
    assert again._scaler.get_scale() == 2.0**118


def test_in_bf16_nearly_certain_tokens_have_the_gradient_of_fp32_to_rounding() -> None:
    weight, bias, targets = torch.randn(500, 128) / 128**0.5, torch.zeros(500), torch.randint(500, (64,))
    weight = weight.bfloat16().float()
    features = (14 * weight[targets] + 0.3 * torch.randn(64, 128)).bfloat16()

    def gradient(x: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        total, _ = ProjectedCrossEntropy.apply(x, weight, bias, targets, 0.0)
        (found,) = torch.autograd.grad(total, x)
        return found.float()

    exact = gradient(features.float())
    assert float((gradient(features) - exact).norm() / exact.norm()) < 0.05


def test_a_loss_in_autocast_is_that_of_rounded_features() -> None:
    """Layer normalisation gives fp32 features, as in a Transformer; their products are in bf16 nevertheless."""
    weight, bias, targets = torch.randn(50, 12, requires_grad=True), torch.zeros(50), torch.randint(50, (9,))
    features = torch.randn(9, 12).bfloat16()

    def loss_and_gradients(x: torch.Tensor) -> list[torch.Tensor]:
        x = x.clone().requires_grad_()
        total, _ = ProjectedCrossEntropy.apply(x, weight, bias, targets, 0.1)
        return [total, *(gradient.float() for gradient in torch.autograd.grad(total, (x, weight)))]

    rounded = loss_and_gradients(features)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss_and_gradients(features.float())
    for one, other in zip(found, rounded, strict=True):
        assert torch.equal(one, other)


def test_an_lstm_trains_in_bf16_where_no_fused_one_is_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "_bf16_is_supported", lambda: False)
    torch.manual_seed(1)
    layer = recurrent.LSTM(3, 4)
    x = torch.randn(2, 5, 3)
    exact, _ = layer.sequence(x)
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = layer.sequence(x.bfloat16(), tuple(torch.zeros(2, 4).bfloat16() for _ in range(2)))
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, exact, rtol=0, atol=0.02)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


@pytest.mark.parametrize(
    ("capabilities", "slow"),
    [
        ({"architecture": "x86_64", "avx2": True}, True),
        ({"architecture": "x86_64", "avx512_f": True}, False),
        ({"architecture": "x86_64", "avx_vnni": True}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_int8_that_is_slow_is_told_once(
    capabilities: dict[str, Any], slow: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    device.warn_of_slow_int8.cache_clear()
    for _ in range(2):
        device.warn_of_slow_int8()
    device.warn_of_slow_int8.cache_clear()
    assert [message[:24] for message in caplog.messages] == ["decoding.precision=int8:"] * slow
