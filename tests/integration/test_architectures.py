"""Transformers and convolutions are trained, stopped, mixed and reused as recurrent models are."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support import trainers
from support.sentences import FEW_PAIRS, PAIRS, write_pairs
from support.trainers import SMALL, weights
from torch import Tensor

from seq2seq.cli.main import main

ARCHITECTURES = {
    "transformer": [
        "model/encoder=transformer", "model/decoder=transformer", "model/attention/placement=between",
        "model.encoder.attention.heads=2", "model.decoder.attention.heads=2", "model.attention.heads=2",
        "model.decoder_layers=2",
    ],
    "convolutional": [
        "model/encoder=convolutional", "model/decoder=convolutional", "model/attention/placement=between",
        "model/positions=learned", "model.decoder_layers=2",
    ],
}  # fmt: skip
every = pytest.mark.parametrize("kind", ARCHITECTURES)
TINY = [*SMALL, "data.valid=train", "data.train=train", "training.validate_every=100", "decoding.max_length=5"]
TWO = ["training.processes=2"] if sys.platform.startswith("linux") else []
BACKWARDS = "".join(f"{' '.join(f'{len(s.split()) - 1 - j}-{j}' for j in range(len(s.split())))}\n" for s, _ in PAIRS)
GUIDED = ["data.alignments=train.align", "training.guided_alignment=1"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)
    Path("train.align").write_text(BACKWARDS)
    return tmp_path


def train(kind: str, *more: str) -> int:
    return main(["train", *TINY, *ARCHITECTURES.get(kind, []), *more])


def records(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@every
@pytest.mark.parametrize(
    "options",
    [
        [*TWO, "training.accumulate=2", *GUIDED],
        [*TWO, "training.loss=minimum_risk", "training.risk_samples=2", "training.batch_tokens=32"],
    ],
    ids=["guided", "risk"],
)
def test_a_run_that_was_stopped_ends_like_one_that_was_not(corpus: Path, kind: str, options: list[str]) -> None:
    assert train(kind, "run_dir=whole", *options, "training.max_updates=4") == 0
    assert train(kind, "run_dir=parts", *options, "training.max_updates=2") == 0
    before = weights("parts/last")
    assert train(kind, "run_dir=parts", *options, "training.max_updates=4") == 0
    whole, parts = weights("whole/last"), weights("parts/last")
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert any(not torch.equal(tensor, parts[name]) for name, tensor in before.items())


def after_two_updates(directory: Path, *options: str) -> tuple[list[float], dict[str, Tensor]]:
    """The losses and the gradients' norms, and the weights they end in."""
    plain = ["training.batch_tokens=200", "model.dropout=0", "training.optimizer=sgd", "training.learning_rate=1"]
    trainer = trainers.make(directory, *plain, *options, precise=True)
    numbers, batches = [], trainer.batches()
    with trainer.gradient.sharing(trainer.optimizer):
        for _ in range(2):
            loss, norm = trainer.step(next(batches))
            numbers += [float(loss.total), loss.tokens, float(norm)]
    return numbers, {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


@every
def test_parts_and_processes_make_the_update_of_the_whole(tmp_path: Path, kind: str) -> None:
    expected, whole = after_two_updates(tmp_path, *ARCHITECTURES[kind])
    found, shared = after_two_updates(tmp_path, *ARCHITECTURES[kind], *TWO, "training.accumulate=3")
    assert found == pytest.approx(expected, rel=1e-6)  # losses cross in fp32
    for name, weight in whole.items():
        torch.testing.assert_close(shared[name], weight, rtol=1e-10, atol=1e-12)


@every
def test_in_bf16_the_loss_is_nearly_that_of_fp32(corpus: Path, kind: str) -> None:
    options = [*ARCHITECTURES[kind], "model.dropout=0"]
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = trainers.make(corpus, *options, f"training.precision={precision}", run=precision)
        losses.append(float(trainer.step(next(trainer.batches()))[0].total))
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@every
def test_attention_learns_the_alignments_it_is_given(corpus: Path, kind: str) -> None:
    assert train(kind, "run_dir=guided", *GUIDED, "training.max_updates=60", "training.log_every=10") == 0
    guided = [line["guided_alignment"] for line in records("guided/metrics.jsonl") if line["event"] == "train"]
    assert guided[-1] < 0.7 * guided[0]
    given = ["source=train.en", "target=train.de", "gold=train.align", "output_format=json", "output=found.json"]
    assert main(["align", "checkpoint=guided/last", *given]) == 0
    assert json.loads(Path("found.json").read_text())["aer"] < 0.6


def test_recurrent_and_other_models_translate_score_and_align_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", FEW_PAIRS * 3)
    for kind in ("recurrent", *ARCHITECTURES):
        assert train(kind, f"run_dir={kind}", "data.vocab_size=350", "training.max_updates=30") == 0
    say = [f"checkpoint=[recurrent,{','.join(ARCHITECTURES)}]", "output_format=jsonl"]
    search = ["decoding.beam_size=3", "decoding.n_best=2"]
    assert main(["translate", *say, *search, "input=train.en", "output=said", "alignments=links"]) == 0
    assert main(["score", *say, "source=said", "target=said", "output=forced"]) == 0
    assert main(["align", say[0], "source=said", "target=said", "output=aligned"]) == 0
    said, forced = records("said"), records("forced")
    assert len(said) == len(forced) == 6 * len(FEW_PAIRS)
    for one, other in zip(said, forced, strict=True):
        assert other["token_scores"] == pytest.approx(one["token_scores"], abs=1e-4)
        assert one["alignment"] == other["alignment"] is not None
    assert Path("aligned").read_text() == Path("links").read_text()
    alone = ["checkpoint=transformer", "output_format=jsonl", "source=said", "target=said", "output=alone"]
    assert main(["score", *alone]) == 0
    assert any(a["score"] != pytest.approx(b["score"], abs=1e-3) for a, b in zip(records("alone"), said, strict=True))


def test_a_hybrid_begins_with_the_encoder_of_a_transformer(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("transformer", "run_dir=parent", "training.max_updates=1") == 0
    hybrid = ["model/encoder=transformer", "model.encoder.attention.heads=2", "model/bridge=mean"]
    start = ["training.start_from=parent/last", "training.max_updates=1", "training.learning_rate=1e-30"]
    capfd.readouterr()
    assert train("hybrid", "run_dir=hybrid", *hybrid, *start) == 0
    said = capfd.readouterr().err
    assert re.search(r"^  encoder: reused \d+ tensors", said, re.M)
    assert not re.search(r"^  encoder: (new|dropped)", said, re.M)
    assert re.search(r"^  decoder.placement: new", said, re.M)
    assert re.search(r"^  decoder.layers: dropped", said, re.M)
    parent, child = weights("parent/last"), weights("hybrid/last")
    shared = [name for name in child if name.startswith(("encoder.", "source_embedding."))]
    assert len(shared) > 10
    assert all(torch.allclose(child[name], parent[name], rtol=0, atol=1e-20) for name in shared)  # biases were 0
