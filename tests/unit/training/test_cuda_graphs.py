"""Captured steps: padding to few shapes, static tensors, nothing that asks for a value; on a CPU, where an engine that
does the work again stands in for CUDA's."""

import contextlib
import inspect
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.sentences import PAIRS, write_pairs
from support.trainers import TINY, weights
from support.variants import Row, assert_same, build_model, label, numbers, one_by_one_rows, pairwise_rows
from support.variants import batch as tokens
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seq2seq import config
from seq2seq.attention import normaliser
from seq2seq.cli.main import main
from seq2seq.errors import ConfigError
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training import corpora, loss, setup
from seq2seq.training.cuda_graphs import CapturedStep, bucket, cuda_graphs, pad_batch
from seq2seq.training.loss import ProjectedCrossEntropy, Terms, TranslationLoss

CPU = torch.device("cpu")
LOSS = TranslationLoss(0.1, reward_weight=0.7, entropy_weight=0.2, guided_weight=0.5)


def again(work: Callable[[], Terms]) -> Callable[[], Terms]:
    """An engine that warms up and does the work again."""
    work()
    return work


def batch(row: Row) -> Batch:
    source, lengths, inputs, target_lengths = tokens()
    targets = inputs.roll(-1, 1)
    targets[torch.arange(3), target_lengths - 1] = 3
    links = None
    if row["normaliser"] == "softmax" and row["placement"] not in ("none", "none-fed"):
        links = numbers(3, 4, 6).abs() * (source != PAD)[:, None] * (targets != PAD)[..., None]
    return Batch(source, lengths, inputs, targets, links)


def noise_by_place(energies: Tensor) -> Tensor:
    """That of a row and a source position does not change with the size of what is drawn for."""
    b, h, t, s = (torch.arange(size, dtype=energies.dtype) for size in energies.shape)
    place = 1.7 * b[:, None, None, None] + 0.9 * h[:, None, None] + 0.0 * t[:, None] + 2.3 * s
    return 2 * torch.sin(3 * place)


# --- buckets ---------------------------------------------------------------------------------------------------------


def sized(rows: int, source: int, target: int) -> Batch:
    x, y = torch.ones(rows, source, dtype=torch.long), torch.ones(rows, target, dtype=torch.long)
    return Batch(x, torch.full((rows,), source), y, y)


def test_few_shapes_hold_all_sizes() -> None:
    found = [bucket(sized(size, 1, 1))[0] for size in range(1, 129)]
    assert found == sorted(found)
    assert all(size <= padded for size, padded in enumerate(found, 1))
    assert all(padded < 1.25 * size for size, padded in enumerate(found, 1) if size > 12)
    assert len(set(found)) == 16
    assert bucket(sized(3, 33, 200)) == (4, 40, 224)


def test_padding_is_padding() -> None:
    whole = Batch(*(x.clone() for x in vars(batch(one_by_one_rows()[0])).values()))
    padded = pad_batch(whole, (4, 8, 12))
    assert [tuple(x.shape) for x in vars(padded).values()] == [(4, 8), (4,), (4, 12), (4, 12), (4, 12, 8)]
    for name, value in vars(whole).items():
        inside = tuple(slice(size) for size in value.shape)
        assert torch.equal(getattr(padded, name)[inside], value), name
        more = name == "source_lengths"  # of the row that is added, 1; PAD is 0
        assert getattr(padded, name).count_nonzero() == value.count_nonzero() + more, name
    assert padded.source_lengths[3] == 1
    assert padded.tokens == whole.tokens


def gradients_of(work: Callable[[], Terms], parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of the parameters that have one, and the terms."""
    for parameter in parameters.values():
        parameter.grad = None
    terms = work()
    terms.total.backward()
    values = {name: term.detach() for name, term in terms._asdict().items() if term is not None}
    return {name: p.grad for name, p in parameters.items() if p.grad is not None} | values


@pytest.mark.parametrize("row", pairwise_rows(), ids=label)
def test_padding_changes_neither_loss_nor_gradient(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normaliser, "gumbel_noise", noise_by_place)
    model, whole = build_model(row).train(), batch(row)
    parameters = dict(model.named_parameters())
    b = torch.tensor(-1.5)
    expected = gradients_of(lambda: LOSS.terms(model, whole, -1.5), parameters)
    assert ("reward" in expected) == (row["normaliser"] == "reinforce" and not row["placement"].startswith("none"))
    padded = pad_batch(whole, (5, 8, 7))
    assert_same(gradients_of(lambda: LOSS.terms(model, padded, b, packed=False), parameters), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_positions_that_are_not_real_count_for_nothing(smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "_LOGITS", 15)  # two rows of a vocabulary of seven at a time
    monkeypatch.setattr(loss, "_LEAST_ROWS", 1)
    x, weight, bias = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((5, 3), (7, 3), (7,)))
    targets, real = torch.arange(5), torch.tensor([True, False, False, True, True])
    total, nll = ProjectedCrossEntropy.apply(x, weight, bias, targets, smoothing, real)
    logits = F.linear(x, weight, bias)[real]
    expected = F.cross_entropy(logits, targets[real], label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(nll[real], F.cross_entropy(logits, targets[real], reduction="none"))
    assert not nll[~real].any()
    actual = torch.autograd.grad(2 * total, (x, weight, bias))
    for one, other in zip(actual, torch.autograd.grad(2 * expected, (x, weight, bias)), strict=True):
        torch.testing.assert_close(one, other)


# --- nothing depends on values ---------------------------------------------------------------------------------------


class NothingOfTheHosts(TorchDispatchMode):
    """Refuses operations on tensors of the CPU, which a graph would have to copy; single numbers are arguments."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for x in tree_leaves((args, kwargs)):
            assert not isinstance(x, Tensor) or not x.dim() or x.device.type == "meta", func
        return func(*args, **(kwargs or {}))


@pytest.fixture
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device=None: False)  # of "meta" it knows nothing


@pytest.mark.parametrize("row", one_by_one_rows(), ids=label)
@pytest.mark.usefixtures("no_autocast")
def test_a_step_asks_for_no_value(row: Row) -> None:
    """Tensors without memory have none; other than the CPU's, they take the ways of the GPU's."""
    meta = torch.device("meta")
    model, padded = build_model(row).train().to(meta), pad_batch(batch(row), (4, 8, 4)).to(meta)
    for part in model.modules():
        if hasattr(part, "p"):
            part.p = 0.1
    with NothingOfTheHosts():
        terms = LOSS.terms(model, padded, torch.zeros((), device=meta), packed=False)
        torch.autograd.backward(terms.total * torch.zeros((), device=meta))
    assert all(term is None or term.shape == () for term in terms)


@pytest.mark.usefixtures("no_autocast")
def test_a_packed_step_asks_for_values() -> None:
    meta, row = torch.device("meta"), one_by_one_rows()[0]
    with pytest.raises(NotImplementedError, match="nonzero"):
        LOSS.terms(build_model(row).to(meta), batch(row).to(meta))


# --- static tensors --------------------------------------------------------------------------------------------------


def step_of(row: Row) -> tuple[CapturedStep, torch.nn.Module]:
    model = build_model(row).eval()

    def work(given: Batch, scale: Tensor, baseline: Tensor) -> Terms:
        terms = LOSS.terms(model, given, baseline, packed=False)
        (terms.total * scale).backward()
        return terms._replace(total=terms.total.detach())

    return CapturedStep(work, list(model.parameters()), CPU, again), model


def part(whole: Batch, rows: int) -> Batch:
    return Batch(*(None if x is None else x[:rows] for x in vars(whole).values()))


@pytest.mark.parametrize("to_none", [True, False])
def test_gradients_add_up_in_tensors_that_stay(to_none: bool) -> None:
    row = one_by_one_rows()[0]
    step, model = step_of(row)
    whole = batch(row)
    long = pad_batch(whole, (3, 6, 9))  # of another bucket, which is captured while there are gradients
    assert bucket(long) != bucket(whole)
    kept: list[Tensor | None] = []
    for scale in (0.5, 2.0):
        model.zero_grad(set_to_none=to_none)
        found = [step(one, scale, 0.0) for one in (whole, long, part(whole, 1))]
        grads = {name: p.grad for name, p in model.named_parameters()}
        assert not kept or all(one is other for one, other in zip(kept, grads.values(), strict=True))
        kept = list(grads.values())
        actual = {name: gradient.clone() for name, gradient in grads.items() if gradient is not None}
        copy = build_model(row).eval()
        expected = [LOSS(copy, one) for one in (whole, long, part(whole, 1))]
        sum(scale * one.total for one in expected).backward()
        assert_same(actual, {name: p.grad for name, p in copy.named_parameters() if p.grad is not None})
        for one, other in zip(found, expected, strict=True):
            assert one.numbers() == pytest.approx(other.numbers())
            assert not one.total.requires_grad


def test_a_gradient_of_another_step_is_gone_on_with() -> None:
    row = one_by_one_rows()[0]
    step, model = step_of(row)
    step(batch(row), 1.0, 0.0)
    once = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    for parameter in model.parameters():
        parameter.grad = None if parameter.grad is None else 3 * parameter.grad
    step(batch(row), 1.0, 0.0)
    assert_same({name: model.get_parameter(name).grad for name in once}, {name: 4 * g for name, g in once.items()})


# --- whole trainings -------------------------------------------------------------------------------------------------

SHORT = [
    *TINY, "data.train=train", "data.valid=train", "training.batch_tokens=96", "training.learning_rate=0.001",
    "training.log_every=1", "training.validate_every=6",
]  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)


def train(run: str, updates: int, *more: str) -> None:
    assert main(["train", *SHORT, f"run_dir={run}", f"training.max_updates={updates}", *more]) == 0


def losses(run: str) -> list[float]:
    lines = [json.loads(line) for line in Path(f"{run}/metrics.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if line["event"] == "train" for key in ("loss", "nll", "gradient_norm")]


@pytest.fixture
def captures(corpus: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes `training.cuda_graphs` do its work again instead; one word for each capture."""
    made: list[str] = []

    def counted(work: Callable[[], Terms]) -> Callable[[], Terms]:
        made.append("captured")
        return again(work)

    monkeypatch.setattr(setup, "cuda_graphs", lambda device: counted)
    return made


@pytest.mark.parametrize("normaliser", ["softmax", "reinforce"])
def test_a_captured_training_is_the_training(
    normaliser: str, captures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.attention.normaliser.gumbel_noise", noise_by_place)
    same = ["model.dropout=0", "training.optimizer=sgd", "training.learning_rate=0.5", "training.schedule=constant"]
    same.append(f"model/attention/normaliser={normaliser}")
    train("eager", 12, *same)
    assert not captures
    train("captured", 12, *same, "training.cuda_graphs=true")
    assert 1 < len(captures) < 12
    assert losses("captured") == pytest.approx(losses("eager"), rel=1e-4)
    assert_same(weights("captured/last"), weights("eager/last"), tolerance=1e-4)


@pytest.mark.parametrize("variant", [[], ["model/attention/normaliser=gumbel", "training.schedule=plateau"]])
def test_a_captured_run_that_was_stopped_ends_like_one_that_was_not(variant: list[str], captures: list[str]) -> None:
    same = ["training.cuda_graphs=true", "training.schedule=constant", *variant]
    train("whole", 13, *same)
    train("parts", 7, *same)
    train("parts", 13, *same)
    for name, tensor in weights("whole/last").items():
        assert torch.equal(tensor, weights("parts/last")[name]), name
    assert losses("whole") == losses("parts")


def test_each_update_draws_anew(captures: list[str]) -> None:
    """The same batch with the same weights, twice."""
    train("run", 1, "training.cuda_graphs=true")  # what is learned of the corpus is cached
    values = json.loads(Path("run/config.json").read_text())
    parsed = config.parse("train", values)
    trainer = setup.make_trainer(parsed, corpora.prepare_data(parsed), Path("run"), CPU)
    given = next(trainer.batches())
    found = [float(trainer.gradient(given, update).total) for update in (1, 2, 1)]
    assert found[0] == found[2] != found[1]


def test_capturing_moves_no_generator(captures: list[str]) -> None:
    """A part of an update whose shape is new draws what it would if it were not."""
    train("run", 1, "training.cuda_graphs=true", "training.accumulate=2", "data.vocab_size=330")  # of several lengths
    parsed = config.parse("train", json.loads(Path("run/config.json").read_text()))
    trainer = setup.make_trainer(parsed, corpora.prepare_data(parsed), Path("run"), CPU)
    some = itertools.islice(trainer.batches(), 12)
    differing = [given for given in some if len(set(map(bucket, given.split(2)))) == 2]
    before = len(captures)
    first, again = (float(trainer.gradient(differing[0], 0).total) for _ in range(2))
    assert len(captures) == before + 2
    assert first == again


# --- CUDA's engine ---------------------------------------------------------------------------------------------------


def test_only_cuda_has_graphs(corpus: None, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"training.cuda_graphs=true and device=cpu"):
        cuda_graphs(CPU)
    assert main(["train", *SHORT, "run_dir=run", "training.cuda_graphs=true"]) == 2
    assert "Take device=cuda, or training.cuda_graphs=false" in capfd.readouterr().err
    assert not Path("run").exists()


def test_processes_share_no_graphs(corpus: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SHORT, "training.cuda_graphs=true", "training.processes=2"]) == 2
    said = capfd.readouterr().err
    assert "training.cuda_graphs=true and training.processes=2" in said
    assert "Take training.processes=null" in said


def test_work_is_warmed_up_and_captured_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls alone, against the signatures of torch's own: there is no CUDA here."""
    said: list[str] = []
    bind = inspect.signature(torch.cuda.graph.__init__).bind

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = "default" if name == "default" else "side"

        def wait_stream(self, other: "Stream") -> None:
            said.append(f"{self.name} waits for {other.name}")

    class Graph:
        def replay(self) -> None:
            said.append("replay")

    @contextlib.contextmanager
    def on(stream: Stream) -> Iterator[None]:
        said.append(f"on {stream.name}")
        yield
        said.append("off")

    @contextlib.contextmanager
    def graph(*args: Any, **options: Any) -> Iterator[None]:
        bind(None, *args, **options)
        said.append(f"capture on {options['stream'].name} into {options['pool']}")
        yield
        said.append("captured")

    fakes = {"Stream": Stream, "CUDAGraph": Graph, "graph": graph, "stream": on, "graph_pool_handle": lambda: "pool"}
    for name, fake in {**fakes, "current_stream": lambda device: Stream("default")}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    value = torch.zeros(())

    def work() -> Terms:
        said.append("work")
        return Terms(value, value)

    replay = cuda_graphs(torch.device("cuda"))(work)
    once = ["side waits for default", "on side", *["work"] * 3, "off", "default waits for side"]
    assert said == [*once, "capture on side into pool", "work", "captured"]
    first = replay()
    assert said[-1] == "replay"
    value.fill_(5)  # what the next replay leaves there
    assert float(first.total) == 0
    assert float(replay().nll) == 5
