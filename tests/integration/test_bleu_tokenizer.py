"""Every command scores a language with its own tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.significance import PairedTest
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL

from seq2seq.cli.main import main
from seq2seq.inference import metrics


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokenizer of every BLEU that is made."""
    names: list[str] = []

    class Noting(metrics.BLEU):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            names.append(options["tokenize"])
            super().__init__(**options)

    monkeypatch.setattr(metrics, "BLEU", Noting)
    return names


def chinese(line: str) -> str:
    """A character for each word, without spaces."""
    return "".join(chr(0x4E00 + sum(word.encode())) for word in line.split())


def test_chinese_is_scored_by_characters_wherever_it_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for test in ("bs", "ar"):
        monkeypatch.setitem(PairedTest._DEFAULT_SAMPLES, test, 20)
    for name in ("train", "valid"):
        write_pairs(name, PAIRS)
        Path(f"{name}.zh").write_text("".join(f"{chinese(line)}\n" for line, _ in PAIRS))
    limits = ["training.max_updates=1", "decoding.max_length=5", "training.risk_metric=bleu", "run_dir=run"]
    limits += ["training.loss=minimum_risk", "training.risk_samples=2"]
    corpora = ["data.train=train", "data.valid=valid", "data.test=valid"]
    assert main(["train", *SMALL, *corpora, *limits, "data.target_lang=zh"]) == 0
    assert "tok:zh" in json.loads(Path("run/test.json").read_text())["bleu_signature"]
    of_training = len(used)
    assert of_training > 3
    files = ["source=valid.en", "reference=valid.zh"]
    assert main(["evaluate", "checkpoint=run", "decoding.max_length=5", "report=report", *files]) == 0
    assert len(used) > of_training
    Path("other.zh").write_text(Path("valid.zh").read_text().replace(chinese("cat"), chinese("dog")))
    capfd.readouterr()
    assert main(["bleu", "hypothesis=[valid.zh,other.zh]", "reference=valid.zh", "target_lang=zh"]) == 0
    assert "tok:zh" in capfd.readouterr().out
    assert main(["compare", "runs=[run]", "decoding.max_length=5"]) == 0
    assert set(used) == {"zh"}
