"""What decoding.precision=auto means: fp32, unless training has found another precision to be as good and faster."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import trainers

from seq2seq.cli.main import main
from seq2seq.config import Decoding
from seq2seq.errors import DataError
from seq2seq.inference.loading import load_translator
from seq2seq.inference.precision import FILE, MeasuredPrecision
from seq2seq.inference.translator import Translator
from seq2seq.training import validation

GOOD = MeasuredPrecision("cpu", sentences=500, bleu_fp32=30.0, bleu=29.91, speedup=1.2)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (GOOD, "int8"),
        (replace(GOOD, bleu=31.0), "int8"),
        (replace(GOOD, bleu=29.89), "fp32"),
        (replace(GOOD, speedup=1.19), "fp32"),
        (replace(GOOD, sentences=499), "fp32"),
        (replace(GOOD, device="cuda"), "bf16"),
    ],
)
def test_another_precision_has_to_be_as_good_and_faster(measured: MeasuredPrecision, expected: str) -> None:
    assert measured.choice == expected
    assert str(measured).startswith(f"{expected} (")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    words = ["train", *trainers.write_corpus(directory), f"run_dir={directory}/run", "training.max_updates=40"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(validation, "MIN_SENTENCES", 6)
        assert main(words) == 0
    return directory / "run"


def test_training_measures_it_for_its_best_checkpoint(run: Path) -> None:
    measured = MeasuredPrecision.load(run / "best")
    assert measured is not None
    assert (measured.device, measured.sentences) == ("cpu", 6)
    assert measured.speedup > 0
    lines, references = ((run.parent / f"valid.{side}").read_text().splitlines() for side in ("en", "de"))
    translator = load_translator(run, "cpu")
    for precision, bleu in (("fp32", measured.bleu_fp32), ("int8", measured.bleu)):
        options = Decoding(precision=precision)
        texts = [best.text for best, *_ in translator.translate_lines(lines, options)]
        assert validation.metrics.score(texts, references, "13a").bleu == bleu
    assert "decoding.precision=auto: fp32 (int8 has BLEU" in (run / "train.log").read_text()


@pytest.mark.parametrize(("slower", "sentences"), [("int8", 64), ("fp32", 100)])
def test_a_precision_that_is_much_slower_has_no_second_turn(
    slower: str, sentences: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def texts(of: validation.Validation, translator: Translator, rows: Sequence[int]) -> list[tuple[str, bool]]:
        clock[0] += 2.0 if of.decoding.precision == slower else 1.0
        return [("a b c d", False)] * len(rows)

    monkeypatch.setattr(validation.Validation, "texts", texts)
    monkeypatch.setattr(validation, "_IN_TURN", 20)
    monkeypatch.setattr(validation.time, "perf_counter", lambda: clock[0])
    held_out: Any = [None, ["line"] * 100, ["a b c d"] * 100, Decoding(), "13a", 100, None]
    translator: Any = SimpleNamespace(device=torch.device("cpu"))
    measured = validation.Validation(*held_out).measure_precision(translator)
    assert (measured.sentences, measured.speedup) == (sentences, 0.5 if slower == "int8" else 2.0)
    assert (measured.bleu, measured.bleu_fp32) == (pytest.approx(100), pytest.approx(100))


def test_it_is_measured_in_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def measure(of: validation.Validation, translator: Translator) -> MeasuredPrecision:
        found.append(torch.get_num_threads())
        return GOOD

    monkeypatch.setattr(validation, "MIN_SENTENCES", 6)
    monkeypatch.setattr(validation.Validation, "measure_precision", measure)
    words = [f"run_dir={tmp_path}/run", "training.max_updates=2", "training.processes=1"]
    torch.set_num_threads(2)
    try:
        assert main(["train", *trainers.write_corpus(tmp_path), *words]) == 0
        assert (found, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(1)


def test_a_measurement_stays_with_its_checkpoint(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = (run / "best" / FILE).read_bytes()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(validation, "MIN_SENTENCES", 6)
        assert main(["train", *trainers.told(run.parent), f"run_dir={run}", "training.max_updates=40"]) == 0
        assert "decoding.precision=auto" not in capfd.readouterr().err
        (run / "best" / FILE).unlink()
        assert main(["train", *trainers.told(run.parent), f"run_dir={run}", "training.max_updates=40"]) == 0
    assert "decoding.precision=auto: fp32" in capfd.readouterr().err
    assert (run / "best" / FILE).exists()
    (run / "best" / FILE).write_bytes(before)


def test_what_is_yet_to_be_trained_has_no_measurement(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *trainers.write_corpus(tmp_path), "decoding.precision=auto"]) == 2
    assert "decoding.precision=auto: of a model that is yet to be trained" in capfd.readouterr().err


def test_a_small_validation_set_says_too_little(tmp_path: Path) -> None:
    words = ["train", *trainers.write_corpus(tmp_path), f"run_dir={tmp_path}/run", "training.max_updates=2"]
    assert main(words) == 0
    assert not (tmp_path / "run/best" / FILE).exists()


def test_auto_follows_the_measurement(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    line = (run.parent / "valid.en").read_text().splitlines()[0]

    def scores(checkpoints: list[Path], precision: str) -> list[float]:
        translation = load_translator(checkpoints, "cpu").translate(line, precision=precision, beam_size=3)
        return [translation.score, *translation.token_scores]

    alone, together = [run], [run, run]
    exact = {len(paths): scores(paths, "fp32") for paths in (alone, together)}
    GOOD.save(run / "best")
    assert scores(alone, "auto") == scores(alone, "int8") != exact[1]
    assert scores(together, "auto") == scores(together, "int8") != exact[2]
    assert scores(alone, "fp32") == exact[1]
    assert caplog.text.count("decoding.precision=auto: int8") == 2
    translator = load_translator(run, "cpu")
    assert translator.settled(Decoding(precision="auto")).precision == "int8"
    assert translator.settled(Decoding(precision="auto", engine="onnx")).precision == "fp32"
    assert translator.settled(Decoding(precision="bf16")).precision == "bf16"
    for other in (replace(GOOD, device="cuda"), replace(GOOD, bleu=20.0)):
        other.save(run / "best")
        assert scores(alone, "auto") == exact[1]


@pytest.mark.parametrize("text", ["[]", "{}", json.dumps({**vars(GOOD), "device": "tpu"}), "{"])
def test_a_file_that_holds_anything_else_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DataError, match=r"precision\.json: not readable .*Delete it, and auto is fp32"):
        MeasuredPrecision.load(tmp_path)
