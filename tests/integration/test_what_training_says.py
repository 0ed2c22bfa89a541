"""What a training tells while it goes on."""

import json
import logging
import re
from pathlib import Path

import pytest
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL

from seq2seq.cli.main import main
from seq2seq.training.log import RunLog
from seq2seq.training.loop import Trainer
from seq2seq.training.validation import translations_file

TINY = [*SMALL, "data.train=train", "data.valid=train", "training.processes=1", "run_dir=run"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)
    return tmp_path


def train(capfd: pytest.CaptureFixture[str], *more: str) -> str:
    """What is logged."""
    assert main(["train", *TINY, *more]) == 0
    return capfd.readouterr().err


def test_parameters_and_the_time_that_is_left(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = train(capfd, "training.max_updates=12", "training.log_every=2")
    counts = re.search(r"([\d,]+) parameters on cpu: embeddings ([\d,]+), .*attention ([\d,]+), .*output", said)
    assert counts is not None
    total, embeddings, attention = (int(count.replace(",", "")) for count in counts.groups())
    assert 0 < attention < embeddings < total
    estimates = re.findall(r"estimated time: .* per epoch \((\d+) updates\), \d+ s to the end \((\d+) updates", said)
    assert len(estimates) == 1
    assert int(estimates[0][1]) == 2


def valid_lines() -> list[dict[str, float]]:
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == "valid"]


def test_the_attention_of_every_validation(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = train(capfd, "model/attention=luong2015_local_m", "model.attention.window.half_width=1",
                 "training.max_updates=4", "training.validate_every=1")  # fmt: skip
    lines = valid_lines()
    assert len(lines) == 4
    for line in lines:
        assert 0 < line["attention_relative_entropy"] <= 1
        assert 0 < line["attention_covered"] <= 1
        assert 0 < line["attention_outside"] < 1
        assert line["attention_outside_evenly"] < 1
    assert re.search(
        r"attention: relative entropy [01]\.\d+, covered \d+% of the source, outside the window \d+%", said
    )
    # Four updates leave it uniform; two of the validations are late enough to say so.
    warnings = re.findall(r"attention, at validation (\d): .*almost uniform.*training\.learning_rate", said)
    assert warnings == ["3", "4"]


def test_a_model_without_attention_has_no_health(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = train(capfd, "model/attention=none", "training.max_updates=1")
    assert "attention:" not in said
    assert not any(name.startswith("attention") for name in valid_lines()[-1])


def log_lines() -> list[str]:
    """Those of train.log, without the times that they begin with."""
    lines = Path("run/train.log").read_text().split("\n")
    assert lines.pop() == ""
    stamped = [re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: (.*))?", line) for line in lines]
    assert all(stamped), lines
    return [match[1] or "" for match in stamped if match]


def test_the_log_file_has_every_line_with_its_time(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def for_people(lines: list[str]) -> list[str]:
        kept = [line for line in lines if not line.startswith(("allocator:", "fp32 products:"))]
        return [line.removeprefix("warning: ") for line in kept]

    said = train(capfd, "training.max_updates=2", "training.validate_every=1")
    first = log_lines()
    assert [line.rstrip() for line in said.splitlines()] == for_people(first)
    assert "train: 27 pairs, none dropped" in first
    assert any(line.startswith("update 2, epoch ") for line in first)
    with Path("run/train.log").open("a") as file:
        file.write("2026-01-01 00:00:00 half a li")  # as a process that was killed may leave it
    said = train(capfd, "training.max_updates=3", "training.validate_every=1")
    both = log_lines()
    assert both[: len(first) + 1] == [*first, "half a li"]
    assert [line.rstrip() for line in said.splitlines()] == for_people(both[len(first) + 1 :])
    assert "run: resuming from update 2" in both


def test_the_log_file_has_warnings_and_what_ended_the_run(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    diverging = [
        "training.learning_rate=1e30",
        "training.clip_norm=0",
        "training.max_skipped=0",
        "training.max_updates=50",
    ]
    assert main(["train", *TINY, *diverging]) == 2
    complaint = capfd.readouterr().err.splitlines()[-1]
    assert "training.learning_rate=1e+30" in complaint
    *_, warning, error = log_lines()
    assert warning.startswith("warning: skipped update ")
    assert error == f"error: {complaint}"
    size = Path("run/train.log").stat().st_size
    assert main(["train", *TINY, "check=true", "run_dir=other"]) == 0
    assert not Path("other").exists()
    assert Path("run/train.log").stat().st_size == size


def test_a_bug_leaves_its_trace_in_the_log_file(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Trainer, "step", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["train", *TINY, "training.max_updates=1"])
    trace = log_lines()
    assert trace[-1] == "error: RuntimeError: a bug"
    assert "error: Traceback (most recent call last):" in trace


def test_logging_is_afterwards_as_it_was(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger("seq2seq").level
    train(capfd, "training.max_updates=1")
    assert logging.getLogger("seq2seq").level == before
    assert not any(isinstance(handler, RunLog) for handler in logging.getLogger().handlers)


@pytest.mark.parametrize("samples", [0, 1, 5])
def test_so_many_translations_are_shown_and_all_are_kept(
    corpus: Path, capfd: pytest.CaptureFixture[str], samples: int
) -> None:
    write_pairs("other_valid", PAIRS[:4])
    said = train(capfd, f"training.samples={samples}", "training.max_updates=4", "training.validate_every=2",
                 "data.valid=[train,other_valid]", "decoding.max_length=4")  # fmt: skip
    assert said.count("\nsource: ") == said.count("\ntranslation:") == 2 * samples
    names = ["000002-other_valid.txt", "000002.txt", "000004-other_valid.txt", "000004.txt"]
    assert sorted(path.name for path in Path("run/validation").iterdir()) == names
    assert Path("run/validation/000004.txt").read_bytes().count(b"\n") == len(PAIRS)
    assert Path("run/validation/000004-other_valid.txt").read_bytes().count(b"\n") == 4
    assert main(["translate", "checkpoint=run/last", "input=train.en", "output=again", "decoding.max_length=4",
                 "decoding.beam_size=1"]) == 0  # fmt: skip
    assert Path("again").read_text() == Path("run/validation/000004.txt").read_text()


def test_each_held_out_set_has_a_file_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    assert translations_file(tmp_path, 12) == folder / "000012.txt"
    assert translations_file(tmp_path, 12, "valid") == folder / "000012-valid.txt"
    names = ["a/b", "a_b", "../up", "data/news 2013/valid", "数据/验证", "验" * 95, "x" * 300]
    files = {translations_file(tmp_path, 12, name) for name in names}
    assert len(files) == len(names)
    assert all(path.parent == folder and len(path.name) < 100 for path in files)


def test_epochs_are_counted_in_one_way(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = train(capfd, "training.max_epochs=2", "training.log_every=1", "training.validate_every=3")
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    size = next(event["update"] for event in events if event["epoch"] == 1)
    assert all(event["epoch"] == round(event["update"] / size, 4) for event in events)
    assert events[-1]["epoch"] == 2
    for event in events:
        if event["event"] == "valid":
            assert f"update {event['update']}, epoch {event['epoch']:.2f}: valid loss" in said
    assert f"for {2 * size} updates (2.00 epochs)" in Path("run/last/README.md").read_text()


def test_pieces_of_one_vocabulary_are_counted_once(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    joint = train(capfd, "check=true")
    assert re.search(r"^\d+ pieces, shared by both languages$", joint, re.MULTILINE)
    apart = train(capfd, "check=true", "data.joint=false", "data.vocab_size=320")
    assert re.search(r"^\d+ source pieces, \d+ target pieces$", apart, re.MULTILINE)
