"""What the default tests show on a CPU, on a GPU (scripts/gpu.sh). Without one they run on the CPU, as a rehearsal."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from support import trainers
from support.searches import LIMITS, RANKING, SOURCES
from support.sentences import PAIRS, write_pairs
from support.variants import Row, batch, build_model, gradients, label, log_probs, pairwise_rows
from torch import Tensor, nn

from seq2seq.cli.main import main
from seq2seq.config import Decoding
from seq2seq.inference.loading import load_translator
from seq2seq.model.translation import TranslationModel
from seq2seq.search.beam import beam
from seq2seq.search.greedy import greedy
from seq2seq.search.stepper import ModelStepper
from seq2seq.training.corpora import prepare_data
from seq2seq.training.loop import Trainer
from seq2seq.training.process_group import ProcessGroup, group_of_store
from seq2seq.training.setup import make_trainer

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS")]

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CPU = torch.device("cpu")
PRECISIONS = ["fp32", "bf16", *(["fp16"] if DEVICE.type == "cuda" else [])]
CHOOSING = ("hard", "gumbel", "reinforce")
"""Normalisers that choose a position, which rounding may decide."""
every_model = pytest.mark.parametrize("row", pairwise_rows(), ids=label)


def outputs(model: TranslationModel, device: torch.device) -> list[Tensor]:
    """Log-probabilities of the batch, and their gradients, computed on the device."""
    model = model.to(device)
    for part in model.modules():
        if isinstance(part, nn.RNNBase):
            part.train()  # without which cuDNN has no gradient; there is no dropout
    source, lengths, inputs, target_lengths = (tensor.to(device) for tensor in batch())
    real = torch.arange(inputs.size(1), device=device) < target_lengths[:, None]
    found = log_probs(model, source, lengths, inputs)[real]
    return [each.detach().cpu() for each in (found, *gradients(found[:, 3:].square().sum(), model).values())]


@every_model
def test_the_numbers_are_those_of_the_cpu(row: Row) -> None:
    expected = outputs(build_model(row), CPU)
    for actual, wanted in zip(outputs(build_model(row), DEVICE), expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-8, atol=1e-10)
    if row["normaliser"] not in CHOOSING and row["self_normaliser"] not in CHOOSING:
        single = outputs(build_model(row).float(), DEVICE)
        scale = max(float(wanted.abs().max()) for wanted in expected)
        for actual, wanted in zip(single, expected, strict=True):
            torch.testing.assert_close(actual.double(), wanted.double(), rtol=1e-3, atol=1e-4 * scale)


@every_model
def test_searches_find_what_they_find_on_the_cpu(row: Row) -> None:
    found = []
    for device in (CPU, DEVICE):
        stepper = ModelStepper(build_model(row).to(device), device)
        hypotheses = [*greedy(stepper, SOURCES, LIMITS, RANKING), *beam(stepper, SOURCES, LIMITS, RANKING, 3, 2)]
        found.append([(each.tokens, each.score) for ranked in hypotheses for each in ranked])
    assert [tokens for tokens, _ in found[0]] == [tokens for tokens, _ in found[1]]
    assert [score for _, score in found[0]] == pytest.approx([score for _, score in found[1]], rel=1e-8)


def make(directory: Path, run: str, *more: str, group: ProcessGroup | None = None) -> Trainer:
    """Make a trainer on the device, resumed from its run directory."""
    config = trainers.settings([*trainers.told(directory), "training.max_updates=6", "model.dropout=0.2", *more])
    (directory / run).mkdir(exist_ok=True)
    trainer = make_trainer(config, prepare_data(config), directory / run, DEVICE, *([group] if group else []))
    trainer.resume()
    return trainer


def weights(trainer: Trainer) -> list[Tensor]:
    return [weight.detach().clone().cpu() for weight in trainer.model.parameters()]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", ["recurrent", "transformer"])
def test_a_resumed_training_has_the_same_bits(tmp_path: Path, precision: str, model: str) -> None:
    words = ["train", *trainers.write_corpus(tmp_path), f"device={DEVICE.type}", f"training.precision={precision}"]
    words += ["model.dropout=0.2", "training.save_every=3"]
    words += ["model=vaswani2017_tiny", "model.hidden_size=16"] if model == "transformer" else []
    assert main([*words, f"run_dir={tmp_path}/whole", "training.max_updates=6"]) == 0
    assert main([*words, f"run_dir={tmp_path}/halves", "training.max_updates=3"]) == 0
    assert main([*words, f"run_dir={tmp_path}/halves", "training.max_updates=6"]) == 0
    whole, halves = (trainers.weights(tmp_path / run / "last") for run in ("whole", "halves"))
    assert all(tensor.equal(halves[name]) for name, tensor in whole.items())
    assert json.loads((tmp_path / "whole/last/state.json").read_text())["position"]["skipped"] < 6


def test_a_group_of_one_makes_the_update_of_a_single_process(tmp_path: Path) -> None:
    """Over nccl on a GPU, where sums of one process change no bit."""
    trainers.make(tmp_path)  # which writes the corpus
    alone = make(tmp_path, "alone")
    alone.step(next(alone.batches()))
    with group_of_store(dist.FileStore(str(tmp_path / "store"), 1), 0, 1, DEVICE) as group:
        one = make(tmp_path, "one", group=group)
        group.broadcast_parameters(one.model)
        one.step(next(one.batches()))
        assert group.all_reduce([1.0], "MAX") == [1.0]
    assert all(a.equal(b) for a, b in zip(weights(alone), weights(one), strict=True))


@pytest.fixture
def _little_memory() -> Iterator[None]:
    """Leave CUDA only a little more memory than is in use."""
    torch.cuda.empty_cache()
    limit = torch.cuda.memory_reserved() + (400 << 20)
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(DEVICE).total_memory)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.skipif(DEVICE.type == "cpu", reason="only CUDA can be given less memory")
@pytest.mark.usefixtures("_little_memory")
def test_what_does_not_fit_is_done_in_parts(tmp_path: Path) -> None:
    chosen = [[PAIRS[(7 * n + k * k) % len(PAIRS)] for k in range(4)] for n in range(2000)]
    pairs = [tuple(" ".join(side) for side in zip(*four, strict=True)) for four in chosen]
    write_pairs(tmp_path / "train", pairs)
    write_pairs(tmp_path / "valid", pairs[:8])
    trainer = make(tmp_path, "run", "training.batch_tokens=40000", "model.hidden_size=512", "decoding.max_length=null")
    trainer.try_largest_batch()
    assert trainer.gradient.micro_batches > 1
    trainer.step(next(trainer.batches()))
    trainer.model.double()  # else rounding decides between hypotheses that are nearly as good
    lines = [source for source, _ in pairs[:1500]]
    few, many = (
        [best.text for best, *_ in trainer.translator.translate_lines(lines, Decoding(beam_size=20, batch_size=size))]
        for size in (4, 1500)
    )
    assert few == many


def test_the_commands(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["train", *trainers.write_corpus(tmp_path), f"device={DEVICE.type}", "training.precision=auto"]
    assert main([*words, "training.max_updates=30", f"run_dir={tmp_path}/run"]) == 0
    here = [f"checkpoint={tmp_path}/run", f"device={DEVICE.type}"]
    pair = [f"source={tmp_path}/valid.en", f"reference={tmp_path}/valid.de"]
    for precision in ("fp32", "bf16"):
        assert main(["translate", *here, f"input={tmp_path}/valid.en", f"decoding.precision={precision}"]) == 0
    assert main(["evaluate", *here, *pair, f"report={tmp_path}/report.html"]) == 0
    for command in ("score", "align"):
        assert main([command, *here, pair[0], f"target={tmp_path}/valid.de"]) == 0
    assert main(["translate", *here, f"input={tmp_path}/valid.en", "decoding.search=sample", "decoding.n_best=2"]) == 0
    refused = main(["translate", *here, f"input={tmp_path}/valid.en", "decoding.precision=int8"])
    assert refused == (0 if DEVICE.type == "cpu" else 2)
    assert ("int8 needs a CPU" in capfd.readouterr().err) == bool(refused)
    on_cpu = load_translator(tmp_path / "run", CPU)  # a checkpoint knows no device
    lines = (tmp_path / "valid.en").read_text().splitlines()
    there = load_translator(tmp_path / "run", DEVICE)
    for translator in (on_cpu, there):
        translator.model.double()
    assert [each.text for each in on_cpu.translate(lines)] == [each.text for each in there.translate(lines)]
    assert (tmp_path / "report.html").stat().st_size
