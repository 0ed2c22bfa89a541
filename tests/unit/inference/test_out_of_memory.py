"""What does not fit into memory is done in more parts: the same update, the same translations."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support import trainers
from support.searches import SOURCES
from support.sentences import write_pairs
from support.variants import DEFAULT, build_model
from torch import Tensor

from seq2seq.config import Decoding
from seq2seq.errors import ConfigError
from seq2seq.inference.forced_scores import SentencePair, score_pairs
from seq2seq.inference.measurement import measure_attention
from seq2seq.inference.out_of_memory import in_halves_that_fit, in_parts_that_fit, is_out_of_memory
from seq2seq.inference.shortlist_making import make_shortlist
from seq2seq.inference.windows import attention_windows
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch, make_batch
from seq2seq.training.loop import Trainer
from seq2seq.training.loss import Loss, TranslationLoss

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")
SETTINGS = ["training.batch_tokens=600", "model.dropout=0.3", "training.max_updates=6", "training.optimizer=sgd"]


def size(batch: Batch) -> int:
    return batch.source.numel() * batch.targets.size(1)


class Small(TranslationLoss):
    """There is memory for batches of so much; that there is no more is found out after some work was done."""

    memory = 1 << 60
    tried = 0

    def __call__(self, model: TranslationModel, batch: Batch, baseline: float = 0.0) -> Loss:
        loss = super().__call__(model, batch, baseline)
        Small.tried += 1
        if size(batch) > Small.memory:
            torch.autograd.backward(loss.total)  # a gradient that is not to be kept
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return loss


def make(directory: Path, run: str, *more: str) -> Trainer:
    trainer = trainers.make(directory, *SETTINGS, *more, run=run)
    trainer.gradient.loss = Small(0.1)
    return trainer


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Small, "memory", 1 << 60)
    monkeypatch.setattr(Small, "tried", 0)


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(tensor.equal(other[name]) for name, tensor in one.items())


def test_errors_of_memory_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 58)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))


def test_parts_double_until_they_fit() -> None:
    tried = []

    def work(parts: int) -> str:
        tried.append(parts)
        if parts < 5:
            raise MemoryError
        return "done"

    assert in_parts_that_fit(work, 1, 7) == ("done", 7)
    assert tried == [1, 2, 4, 7]
    with pytest.raises(ConfigError, match="not enough memory for a single pair"):
        in_parts_that_fit(work, 1, 4)
    with pytest.raises(ZeroDivisionError):
        in_parts_that_fit(lambda parts: 1 // 0, 1, 4)


def test_halves_are_halved_until_they_fit() -> None:
    tried = []

    def work(items: Sequence[int]) -> list[int]:
        tried.append(len(items))
        if len(items) > 2:
            raise MemoryError
        return [10 * item for item in items]

    assert in_halves_that_fit(work, range(7)) == [0, 10, 20, 30, 40, 50, 60]
    assert tried == [7, 3, 1, 2, 4, 2, 2]
    with pytest.raises(ZeroDivisionError):
        in_halves_that_fit(lambda items: [1 // 0], [1, 2])


def test_what_is_translated_and_scored_together_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = make(tmp_path, "run").translator
    lines = (tmp_path / "train.en").read_text().splitlines()[:5]
    original, options = TranslationModel.encode, Decoding(beam_size=2, batch_size=5, max_length=6)

    def said() -> list[tuple[str, float, list[float]]]:
        best = [ranked[0] for ranked in translator.translate_lines(lines, options)]
        pairs = [SentencePair(line, translation.text) for line, translation in zip(lines, best, strict=True)]
        forced = score_pairs(translator, pairs, batch_size=5)
        return [(t.text, t.score, f.token_scores) for t, f in zip(best, forced, strict=True)]

    def scarce(most: int) -> None:
        def encode(self: TranslationModel, source: Tensor, lengths: Tensor, *context: Any) -> Any:
            if len(source) > most:
                raise MemoryError("no more")
            return original(self, source, lengths, *context)

        monkeypatch.setattr(TranslationModel, "encode", encode)

    expected = said()
    scarce(2)
    for (text, score, scores), (same_text, same_score, same_scores) in zip(said(), expected, strict=True):
        assert text == same_text
        assert [score, *scores] == pytest.approx([same_score, *same_scores], rel=1e-5)
    scarce(0)
    with pytest.raises(ConfigError, match=r"not enough memory for a single sentence \(no more\)\. Use shorter lines"):
        said()


@pytest.mark.parametrize("task", ["pictures", "health", "shortlist"])
def test_every_teacher_forced_pass_is_split(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model({**DEFAULT, "window": "local_p"})
    targets = [[5, 6, 4, 3], [3], [4, 4, 3], [8, 7, 3], [6, 3]]
    original, sizes = TranslationModel.encode, []

    def encode(self: TranslationModel, source: Tensor, lengths: Tensor, *context: Any) -> Any:
        sizes.append(len(source))
        if len(source) > most:
            raise MemoryError("no more")
        return original(self, source, lengths, *context)

    def work() -> list[Any]:
        if task == "pictures":
            windows = attention_windows(model, SOURCES, targets, 5) or []
            return [(step.first, step.last, step.centre) for of_pair in windows for step in of_pair]
        if task == "health":
            health = measure_attention(model, SOURCES, targets, 5)
            assert health is not None
            return [tuple(health.together.values())]
        shortlist = make_shortlist(model, SOURCES, targets, 3, 5)
        return [*map(tuple, shortlist.candidates.tolist()), tuple(shortlist.frequent.tolist())]

    monkeypatch.setattr(TranslationModel, "encode", encode)
    most = 5
    expected = work()
    most = 2
    for row, same_row in zip(work(), expected, strict=True):
        assert row == pytest.approx(same_row)
    assert sizes == [5, 5, 2, 3, 1, 2]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=LINUX)])
def test_before_the_first_update_the_parts_are_found_and_training_is_that_of_as_many(
    tmp_path: Path, processes: int, caplog: pytest.LogCaptureFixture
) -> None:
    more = f"training.processes={processes}"
    expected = make(tmp_path, "expected", more, "training.accumulate=4")
    expected.run()
    assert not [record for record in caplog.records if "memory" in record.message]
    batches = [make_batch(expected.data.corpus, rows) for rows in expected.data.plan(None)]
    shares = [share for batch in batches for share in batch.split(processes)]
    Small.memory = max(size(part) for share in shares for part in share.split(4))
    assert max(size(part) for share in shares for part in share.split(2)) > Small.memory
    found = make(tmp_path, "found", more)
    assert found.gradient.micro_batches == 1
    found.run()
    assert found.gradient.micro_batches == 4
    assert same(weights(expected), weights(found))
    assert "from now on, each update is split into 4" in caplog.text
    # A machine with more memory goes on in the same parts.
    Small.memory = 1 << 60
    assert json.loads((found.run_dir / "last/state.json").read_text())["parts"] == 4
    again = make(tmp_path, "found", more)
    assert again.gradient.micro_batches == 4


def test_a_resumed_run_records_that_its_parts_are_smaller(tmp_path: Path) -> None:
    make(tmp_path, "run", "training.max_updates=2").run()
    Small.memory = 1000
    again = make(tmp_path, "run", "training.max_updates=4")
    again.run()
    assert again.gradient.micro_batches > 1
    for _ in range(2):
        machine = json.loads((again.run_dir / "last/config.json").read_text())["origin"]["machine"]
        assert machine["changed"] == f"micro_batches 1 until update 2, then {again.gradient.micro_batches}"
        again = make(tmp_path, "run", "training.max_updates=6")
        again.run()


def test_the_largest_batches_have_most_tokens_and_most_pairs_of_positions(tmp_path: Path) -> None:
    """A long source beside short targets, as in pairs that don't belong together, makes long rows of many pairs."""
    lengths = [(30, 30)] * 2 + [(3, 2)] * 30 + [(25, 2)]
    pairs = [(" ".join(["a"] * s), " ".join(["b"] * t)) for s, t in lengths]
    write_pairs(tmp_path / "train", pairs)
    data = make(tmp_path, "run", "data.vocab_size=300").data
    found = [batch.source.shape + batch.targets.shape[1:] for batch in data.largest()]
    plan = [make_batch(data.corpus, rows) for rows in data.plan(None)]
    sizes = [batch.source.shape + batch.targets.shape[1:] for batch in plan]
    assert len(found) == 2
    assert max(b * (s + t) for b, s, t in sizes) == max(b * (s + t) for b, s, t in found)
    assert max(b * s * t for b, s, t in sizes) == max(b * s * t for b, s, t in found)


def test_a_later_batch_is_split_alone_and_none_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make(tmp_path, "run", "model.dropout=0")
    expected = make(tmp_path, "expected", "model.dropout=0")
    batches, others = trainer.batches(), expected.batches()
    for update in range(1, 4):
        batch, same_batch = next(batches), next(others)
        Small.memory = 1 << 60
        loss, norm = expected.step(same_batch)
        if update == 2:
            Small.memory = max(size(part) for part in batch.split(2))
        found, found_norm = trainer.step(batch)
        torch.testing.assert_close(found.total, loss.total)
        torch.testing.assert_close(found_norm, norm)
        assert found.tokens == loss.tokens
    assert trainer.gradient.micro_batches == 1
    assert trainer.progress.update == 3
    assert [record.message for record in caplog.records if "memory" in record.message] == [
        "update 2: the batch did not fit into memory in 1 part(s) and is split into 2"
    ]
    for name, weight in weights(expected).items():
        torch.testing.assert_close(weights(trainer)[name], weight)


def test_looking_for_memory_changes_no_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = make(tmp_path, "one")
    with_it.run()
    assert Small.tried > 6
    without = make(tmp_path, "two")
    monkeypatch.setattr(without, "try_largest_batch", lambda: None)
    without.run()
    assert same(weights(with_it), weights(without))


def test_a_single_pair_that_does_not_fit_is_the_end(tmp_path: Path) -> None:
    trainer = make(tmp_path, "run")
    Small.memory = 0
    with pytest.raises(ConfigError, match=r"not enough memory for a single pair .* data.max_length"):
        trainer.run()
    assert not (trainer.run_dir / "last").exists()


def test_check_says_how_many_parts_it_takes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make(tmp_path, "run")
    Small.memory = 1000
    trainer.try_largest_batch()
    assert trainer.gradient.micro_batches > 1
    assert f"from now on, each update is split into {trainer.gradient.micro_batches}" in caplog.text
