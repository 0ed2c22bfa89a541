"""An update beside its gradient: what it draws, in which order batches come, and what a resumed run knows of it."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support import trainers

from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch, make_batch
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.tokenizer import PAD
from seq2seq.training.gradient import GradientStep
from seq2seq.training.loop import Trainer
from seq2seq.training.loss import Loss
from seq2seq.training.process_group import ProcessGroup


class Shared(ProcessGroup):
    """A team whose shares this process works on, one after the other."""

    def __init__(self, shares: int) -> None:
        self._shares = shares

    @property
    def shares(self) -> int:
        return self._shares


def drawn(seed: int, update: int, batch: Batch, model: TranslationModel) -> list[float]:
    """What the loss would draw in each of two parts of each of three shares."""
    numbers = []

    def loss(model: TranslationModel, batch: Batch, baseline: float = 0.0) -> Loss:
        assert model.training
        numbers.append(float(torch.rand(())))
        return Loss({"loss": model.output.bias.sum()}, batch.tokens)

    model.eval()  # as a validation leaves it
    GradientStep(model, loss, "fp32", seed, micro_batches=2, group=Shared(3))(batch, update)
    return numbers


def test_every_seed_update_share_and_part_draws_its_own(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path)
    batch = make_batch(trainer.data.corpus, range(12))
    everything = [
        number for seed in range(3) for update in range(1, 4) for number in drawn(seed, update, batch, trainer.model)
    ]
    assert len(set(everything)) == len(everything) == 3 * 3 * 3 * 2
    assert drawn(1, 2, batch, trainer.model) == drawn(1, 2, batch, trainer.model)


def order(trainer: Trainer, epochs: int) -> list[list[list[list[int]]]]:
    """The targets of each batch of each epoch."""
    batches, count = trainer.batches(), trainer.data.per_epoch
    return [[batch.targets.tolist() for batch in itertools.islice(batches, count)] for _ in range(epochs)]


def words(epoch: list[list[list[int]]]) -> list[list[int]]:
    """The sentences of an epoch without their order."""
    return sorted([token for token in row if token != PAD] for batch in epoch for row in batch)


def test_every_epoch_and_every_seed_has_an_order_of_its_own(tmp_path: Path) -> None:
    first, second = order(trainers.make(tmp_path), 2)
    (other,) = order(trainers.make(tmp_path, "seed=2"), 1)
    assert first != second != other != first
    assert words(first) == words(second) == words(other)
    assert order(trainers.make(tmp_path), 2) == [first, second]


def test_sub_words_are_cut_anew_for_every_batch_of_every_epoch(tmp_path: Path) -> None:
    @dataclass
    class Noting:
        seeds: list[tuple[int, ...]] = field(default_factory=list)

        def batch(self, corpus: EncodedCorpus, rows: Sequence[int], seed: tuple[int, ...]) -> Batch:
            self.seeds.append(seed)
            return make_batch(corpus, rows)

    noting = Noting()
    for seed in (1, 2):
        trainer = trainers.make(tmp_path, f"seed={seed}")
        trainer.data.sampling = noting  # type: ignore[assignment]
        order(trainer, 2)
    assert len(set(noting.seeds)) == len(noting.seeds) == 2 * 2 * trainer.data.per_epoch


def test_the_baseline_goes_a_tenth_of_the_way_to_each_reward(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, "model/attention/normaliser=reinforce")
    expected = 0.0
    for batch in itertools.islice(trainer.batches(), 3):
        loss, _ = trainer.step(batch)
        expected += (loss.mean("reward") - expected) / 10
        assert trainer.progress.baseline == pytest.approx(expected)


def test_every_update_has_the_rate_of_its_number(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, "training.warmup_updates=4")
    for number, batch in enumerate(itertools.islice(trainer.batches(), 3), 1):
        trainer.step(batch)
        assert [group["lr"] for group in trainer.optimizer.param_groups] == [pytest.approx(0.01 * number / 4)] * 2


@dataclass
class Told:
    """A validation that has these losses and BLEUs, one after the other."""

    losses: list[float]
    bleus: list[float]
    done: int = 0
    corpus: EncodedCorpus | None = None

    def run(self, *_: object) -> tuple[dict[str, float], list[object]]:
        self.done += 1
        loss, bleu = (values[self.done - 1] for values in (self.losses, self.bleus))
        return {"loss": loss, "perplexity": math.exp(loss), "bleu": bleu, "chrf": 0.0}, []

    def texts(self, *_: object) -> list[object]:
        return []

    def attention(self, *_: object) -> None:
        return None


def heard(directory: Path, validation: Told, *more: str, run: str = "run") -> tuple[Trainer, list[bool]]:
    """A training that was validated so, and what the schedule heard of each validation."""
    trainer, progress = trainers.make(directory, "training.validate_every=1", *more, run=run), []
    validation.corpus = trainer.validation.corpus
    trainer.validation = validation  # type: ignore[assignment]
    trainer.schedule.validated = progress.append  # type: ignore[method-assign]
    trainer.run()
    return trainer, progress


@pytest.mark.parametrize(
    ("metric", "losses", "bleus", "progress"),
    [
        ("bleu", [5, 4, 4.5, 4.5, 4.5, 3], [1, 0, 0, 5, 4, 4], [True, True, False, True, False, True]),
        ("loss", [5, 4, 4.5, 3], [1, 0, 5, 4], [True, True, False, True]),
    ],
)
def test_progress_is_a_better_metric_or_a_lower_loss(
    tmp_path: Path, metric: str, losses: list[float], bleus: list[float], progress: list[bool]
) -> None:
    more = [f"training.metric={metric}", f"training.max_updates={len(losses)}"]
    trainer, found = heard(tmp_path, Told(losses, bleus), *more)
    assert found == progress
    assert trainer.progress.best == (max(bleus) if metric == "bleu" else min(losses))


def test_patience_counts_validations_that_are_due(tmp_path: Path) -> None:
    same = Told([2.0] * 9, [3.0] * 9)
    trainer, found = heard(tmp_path, same, "training.patience=2", "training.max_updates=9")
    assert trainer.progress.update == same.done == len(found) == 3
    end = Told([2.0] * 9, [3.0] * 9)
    trainer, found = heard(tmp_path, end, "training.validate_every=2", "training.max_updates=3", run="other")
    assert end.done == 2
    assert found == [True]  # the one at the end was not due


def test_a_resumed_run_has_waited_as_long_and_knows_all_that_was_counted(tmp_path: Path) -> None:
    options = ["training.schedule=plateau", "training.plateau_patience=5", "training.max_updates=1"]
    options += ["training.validate_every=1", "model/attention/normaliser=reinforce"]
    trainer = trainers.make(tmp_path, *options)
    trainer.schedule.factor, trainer.schedule.waited = 0.25, 2
    progress = trainer.progress
    progress.best_values = {"bleu": 1000.0, "loss": -1.0}  # nothing gets better
    progress.without_progress, progress.skipped, progress.baseline = 3, 4, -1.5
    trainer.run()
    again = trainers.make(tmp_path, *options)
    assert (again.schedule.factor, again.schedule.waited) == (0.25, 3)
    assert vars(again.progress) == vars(trainer.progress)
    assert (again.progress.without_progress, again.progress.skipped) == (4, 4)
    assert again.scores == trainer.scores != {}


@pytest.mark.parametrize("normaliser", ["softmax", "reinforce"])
def test_the_loss_of_a_validation_is_the_likelihood_alone(tmp_path: Path, normaliser: str) -> None:
    """Without dropout, smoothed targets, and terms for the attention: runs of different settings compare."""
    more = ["training.label_smoothing=0.3", "model.dropout=0.5", f"model/attention/normaliser={normaliser}"]
    trainer = trainers.make(tmp_path, *more)
    model, corpus, total, tokens = trainer.model, trainer.validation.corpus, 0.0, 0
    found = trainer.validation.loss(trainer.translator, trainer.group)
    trainer.model.train()
    assert trainer.validation.loss(trainer.translator, trainer.group) == found
    for row in range(len(corpus)):
        batch = make_batch(corpus, [row])
        with torch.no_grad():
            logits = model.eval().output.logits(model(batch.source, batch.source_lengths, batch.inputs).features)
        total += float(F.cross_entropy(logits[0], batch.targets[0], reduction="sum"))
        tokens += batch.targets.size(1)
    assert found == pytest.approx(total / tokens, rel=1e-5)
