"""Processes of torch.distributed that train together: as one process, to rounding, in whatever happens to them."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support import ranks, trainers

from seq2seq.errors import ConfigError
from seq2seq.model import quantised
from seq2seq.training.loop import Trainer
from seq2seq.training.process_group import ProcessGroup, ProcessLost, store_of_this_start
from seq2seq.training.setup import check_alike
from seq2seq.training.stopping import StoppedBySignal
from seq2seq.training.validation import Validation

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")

STEPS = 5


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("prepared")
    trainers.make(directory)  # which fills the cache
    return directory


@pytest.fixture
def corpus(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)


def weights(trainer: Trainer) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in trainer.model.state_dict().items()}


def stepped(trainer: Trainer) -> tuple[list[list[float]], dict[str, Any]]:
    """The losses of some updates and the norms of their gradients, and the weights afterwards."""
    said, batches = [], trainer.batches()
    with trainer.gradient.sharing(trainer.optimizer):
        for _ in range(STEPS):
            loss, norm = trainer.step(next(batches))
            rest = [loss.mean("reward"), trainer.progress.baseline] if "reward" in loss.terms else []
            said.append([float(loss.total), float(loss.terms["nll"]), float(loss.tokens), float(norm), *rest])
    return said, weights(trainer)


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(expected[0]), rtol=1e-4, atol=1e-5)
    for name, values in expected[1].items():
        torch.testing.assert_close(torch.tensor(found[1][name]), torch.tensor(values), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("count", "more"),
    [
        (2, []),
        (4, ["training.accumulate=2"]),
        (4, ["training.batch_sentences=3", "model.tied_embeddings=all"]),  # fewer pairs than processes
        (2, ["data.subword_sampling=0.2", 'training.freeze=["encoder"]']),
    ],
)
def test_several_ranks_make_the_updates_of_one(corpus: Path, count: int, more: list[str]) -> None:
    # under sgd gradients keep their size
    more = [*more, "model.dropout=0", "training.optimizer=sgd", "training.learning_rate=0.5"]
    expected = stepped(ranks.make(corpus, ProcessGroup(), *more, run="one"))
    found = ranks.together(corpus, count, lambda team: stepped(ranks.make(corpus, team, *more, run="several")))
    assert all(one == found[0] for one in found), found
    close(found[0], expected)
    assert expected[1] != weights(ranks.make(corpus, ProcessGroup(), *more, run="one"))


@pytest.mark.parametrize(
    "more",
    [
        ["model.dropout=0.3"],
        ["model/attention/normaliser=reinforce"],
        ["training.loss=minimum_risk", "training.risk_samples=3", "training.label_smoothing=0.1"],
    ],
)
def test_they_draw_what_forked_processes_draw(corpus: Path, more: list[str]) -> None:
    forked = stepped(ranks.make(corpus, ProcessGroup(), *more, "training.processes=2", run="forked"))
    found = ranks.together(corpus, 2, lambda team: stepped(ranks.make(corpus, team, *more, run="ranks")))
    assert found[0] == found[1]
    close(found[0], forked)


LONG = ["training.max_updates=12", "training.validate_every=4", "training.log_every=1", "model.dropout=0.2"]


def outcome(trainer: Trainer) -> tuple[int, dict[str, Any], dict[str, float]]:
    """Runs it to its end or to a signal; the signal's exit code, the weights, and what all have to agree on."""
    code = 0
    try:
        trainer.run()
    except StoppedBySignal as stopped:
        code = stopped.exit_code
    return code, weights(trainer), {**trainer.scores, "update": trainer.progress.update}


def test_one_writes_and_all_have_the_scores_of_one(corpus: Path) -> None:
    still = [*LONG, "model.dropout=0", "training.learning_rate=1e-3", "training.keep_best=2"]
    alone = ranks.make(corpus, ProcessGroup(), *still, run="alone")
    _, _, expected = outcome(alone)
    found = ranks.together(corpus, 2, lambda team: outcome(ranks.make(corpus, team, *still, run=f"run{team.rank}")))
    assert found[0] == found[1]
    assert found[0][2] == pytest.approx(expected, rel=1e-4)
    assert list((corpus / "run1").iterdir()) == []
    names = {path.name for path in (corpus / "alone").iterdir()}
    assert {path.name for path in (corpus / "run0").iterdir()} == names >= {"best", "last", "metrics.jsonl"}
    ours, theirs = (
        [json.loads(line) for line in (corpus / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("run0", "alone")
    )
    assert [(line["event"], line["update"]) for line in ours] == [(line["event"], line["update"]) for line in theirs]
    for one, other in zip(ours, theirs, strict=True):
        changing = {"event", "tokens_per_second", "peak_memory_mb"}
        assert {k: v for k, v in one.items() if k not in changing} == pytest.approx(
            {k: v for k, v in other.items() if k not in changing}, rel=1e-3, abs=1e-4
        )


def test_a_signal_to_one_stops_all_and_they_go_on_as_if_nothing_was(corpus: Path) -> None:
    whole = ranks.together(corpus, 2, lambda team: outcome(ranks.make(corpus, team, *LONG, run="whole")))

    def interrupted(team: ProcessGroup) -> Any:
        trainer = ranks.make(corpus, team, *LONG, run="parts")
        if team.rank:
            _at(trainer, 6, lambda: os.kill(os.getpid(), signal.SIGTERM))
        return outcome(trainer)

    stopped = ranks.together(corpus, 2, interrupted)
    assert stopped[0] == stopped[1]
    assert (stopped[0][0], stopped[0][2]["update"]) == (128 + signal.SIGTERM, 6)
    again = ranks.together(corpus, 2, lambda team: outcome(ranks.make(corpus, team, *LONG, run="parts")))
    assert again == whole


def test_a_run_goes_on_with_another_number_of_processes(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    still = [*LONG, "model.dropout=0", "training.optimizer=sgd"]
    _, expected, _ = outcome(ranks.make(corpus, ProcessGroup(), *still, run="whole"))
    some = [*still, "training.max_updates=7"]
    ranks.together(corpus, 4, lambda team: outcome(ranks.make(corpus, team, *some, run="parts")))
    with caplog.at_level("INFO"):
        _, found, _ = outcome(ranks.make(corpus, ProcessGroup(), *still, run="parts"))
    assert "saved by 4 processes and continues with 1" in caplog.text
    close(([0.0], found), ([0.0], expected))


def test_all_stop_where_nothing_is_learned(corpus: Path) -> None:
    still = [*LONG, "training.learning_rate=1e-12", "training.validate_every=1", "training.patience=2"]

    def run(team: ProcessGroup) -> Any:
        trainer = ranks.make(corpus, team, *still)
        return outcome(trainer), trainer.reason_to_stop()

    found = ranks.together(corpus, 2, run)
    assert found[0] == found[1]
    assert found[0][0][2]["update"] < 12
    assert "(training.patience)" in found[0][1]


def test_the_rank_with_least_memory_says_in_how_many_parts(corpus: Path) -> None:
    """All do: else a resumed run, which takes those of the first, would draw other dropout."""

    def parts(team: ProcessGroup) -> Any:
        trainer = ranks.make(corpus, team, *LONG, "training.batch_tokens=300")
        in_parts = trainer.gradient._in_parts

        def scarce(work: Any, number: int, batch: Any, parts: int) -> Any:
            if team.rank and parts < 4:
                raise MemoryError
            return in_parts(work, number, batch, parts)

        trainer.gradient._in_parts = scarce  # type: ignore[method-assign]
        trainer.try_largest_batch()
        return trainer.gradient.micro_batches

    assert ranks.together(corpus, 2, parts) == [4, 4]


def test_only_the_first_puts_a_damaged_state_aside(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [*LONG, "training.save_every=1", "training.max_updates=3"]
    ranks.together(corpus, 2, lambda team: outcome(ranks.make(corpus, team, *some)))
    os.truncate(corpus / "run/last/state.safetensors", 100)

    def resumed(team: ProcessGroup) -> int:
        if team.rank:
            monkeypatch.setattr(Path, "rename", pytest.fail)  # of this process
        return ranks.make(corpus, team, *some).progress.update

    assert ranks.together(corpus, 2, resumed) == [2, 2]
    assert (corpus / "run/last.damaged").is_dir()


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", ["fails", "is killed"])
def test_the_others_notice_when_one_is_gone(corpus: Path, rank: int, how: str) -> None:
    def end() -> None:
        if how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("broken")

    def broken(team: ProcessGroup) -> Any:
        trainer = ranks.make(corpus, team, *LONG)
        if team.rank == rank:
            _at(trainer, 3, end)
        return outcome(trainer)

    found = ranks.together(corpus, 2, broken)
    assert found[rank] is None if how == "is killed" else isinstance(found[rank], ValueError)
    assert isinstance(found[1 - rank], ProcessLost)
    assert "another process of this training ended or does not answer" in str(found[1 - rank])


def test_the_time_of_the_slowest_counts_for_all(corpus: Path) -> None:
    def timed(team: ProcessGroup) -> Any:
        clock = time.monotonic
        began = clock()
        if team.rank:
            time.monotonic = lambda: 100 * 3600 * (clock() - began)
        trainer = ranks.make(corpus, team, *LONG, "training.max_hours=1e-1")
        trainer.run()
        return trainer.progress.update, trainer.reason_to_stop(), trainer.progress.hours

    found = ranks.together(corpus, 2, timed)
    assert found[0] == found[1]
    assert found[0][0] < 12
    assert "training.max_hours" in found[0][1]


def test_what_the_first_does_is_done_before_the_others_begin(corpus: Path) -> None:
    def in_turn(team: ProcessGroup) -> float:
        with team.rank_zero_first():
            begun = time.monotonic()
            if not team.rank:
                time.sleep(0.2)
        return begun

    first, *others = ranks.together(corpus, 3, in_turn)
    assert all(other >= first + 0.2 for other in others)

    def failing(team: ProcessGroup) -> None:
        with team.rank_zero_first():
            raise ConfigError(f"by {team.rank}")

    first, second = ranks.together(corpus, 2, failing)
    assert str(first) == "by 0"
    assert isinstance(second, ProcessLost)


def test_what_was_left_before_a_restart_misleads_nobody() -> None:
    """The second start finds names, an announcement and answers of the first one in the same store."""
    store = dist.HashStore()
    for said in ("before", "after"):
        with ThreadPoolExecutor(3) as pool:
            later = [pool.submit(store_of_this_start, store, rank, 3) for rank in (1, 2)]
            time.sleep(0.3)  # while only what was left is there
            assert not any(one.done() for one in later)
            parts = [pool.submit(store_of_this_start, store, 0, 3).result(20), *(one.result(20) for one in later)]
        assert not parts[1].check(["key"])
        parts[0].set("key", said)
        assert [part.get("key") for part in parts] == [said.encode()] * 3


def test_texts_of_all_come_to_all(corpus: Path) -> None:
    given = ["", "zwölf 象", "a" * 1000]
    assert ranks.together(corpus, 3, lambda team: team.all_gather(given[team.rank])) == [given] * 3


def test_ranks_that_see_other_files_are_refused(corpus: Path) -> None:
    def checked(team: ProcessGroup) -> None:
        trainer = ranks.make(corpus, team)
        trainer.progress.update = team.rank
        check_alike(trainer, trainers.settings(trainers.told(corpus)))

    for error in ranks.together(corpus, 2, checked):
        assert str(error).startswith("run_dir: process 1 and process 0 differ.")


def test_a_batch_is_not_shared_twice(corpus: Path) -> None:
    several = ProcessGroup()
    several.ranks = 2
    with pytest.raises(ConfigError, match=r"training.processes=3 and 2 processes of torchrun"):
        ranks.make(corpus, several, "training.processes=3")


def _at(trainer: Trainer, update: int, act: Any) -> None:
    """Let the trainer do this before that update."""
    step = trainer.step

    def stepping(batch: Any) -> Any:
        if trainer.progress.update == update - 1:
            act()
        return step(batch)

    trainer.step = stepping  # type: ignore[method-assign]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_forked_workers_share_validations(corpus: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "LEAST_BYTES", 0)
    options = ["training.processes=2", "training.validate_every=1", f"decoding.precision={precision}"]
    trainer = trainers.make(corpus, *options, "training.learning_rate=0.5", "training.max_updates=3")
    own: list[int] = []
    texts = Validation.texts

    def note(self: Validation, translator: Any, rows: Sequence[int]) -> list[tuple[str, bool]]:
        own.append(len(rows))
        return texts(self, translator, rows)

    monkeypatch.setattr(Validation, "texts", note)
    trainer.run()
    size = len(trainer.validation.requests)
    assert own == [size - size // 2] * 3
    for name in ("000001", "000003"):
        assert len((corpus / f"run/validation/{name}.txt").read_text().splitlines()) == size
    trainer.validation.run(trainer.translator, ProcessGroup(), corpus / "alone")
    assert (corpus / "alone").read_text() == (corpus / "run/validation/000003.txt").read_text()
    assert (corpus / "alone").read_text() != (corpus / "run/validation/000001.txt").read_text()
