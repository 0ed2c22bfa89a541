"""Guided alignment training from end to end, on a corpus of a few sentences."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL, weights

from seq2seq.cli.main import main

BACKWARDS = [" ".join(f"{len(s.split()) - 1 - j}-{j}" for j in range(len(s.split()))) for s, _ in PAIRS]
"""The last word with the first and so on: what no model would find by itself."""
TINY = [*SMALL, "data.train=train", "data.valid=train"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)
    Path("train.align").write_text("".join(f"{line}\n" for line in BACKWARDS))
    return tmp_path


def train(*more: str, alignments: str = "train.align") -> int:
    return main(["train", *TINY, f"data.alignments={alignments}", "training.guided_alignment=1", *more])


def agreement(run: str) -> Any:
    """With the alignments it was trained on."""
    given = [f"checkpoint={run}/last", "source=train.en", "target=train.de", "gold=train.align", "output_format=json"]
    assert main(["align", *given, f"output={run}.json"]) == 0
    return json.loads(Path(f"{run}.json").read_text())


def metrics(run: str) -> list[Any]:
    return [json.loads(line) for line in Path(f"{run}/metrics.jsonl").read_text().splitlines()]


def test_attention_learns_the_alignments_it_is_given(corpus: Path) -> None:
    assert train("run_dir=guided", "training.max_updates=100", "training.validate_every=1000") == 0
    assert agreement("guided")["aer"] < 0.3
    guided = [line["guided_alignment"] for line in metrics("guided") if line["event"] == "train"]
    assert guided[-1] < 0.7 * guided[0]
    assert json.loads(Path("guided/last/state.json").read_text())["hashes"].keys() == {"train", "valid", "alignments"}


def test_without_alignments_nothing_is_said_of_them(corpus: Path) -> None:
    assert main(["train", *TINY, "run_dir=free", "training.max_updates=1"]) == 0
    assert not [line for line in metrics("free") if "guided_alignment" in line]
    assert json.loads(Path("free/last/state.json").read_text())["hashes"].keys() == {"train", "valid"}


@pytest.mark.parametrize("variant", [[], ["model/attention=luong2015_local_p", "training.schedule=plateau"]])
def test_a_guided_run_that_was_stopped_ends_like_one_that_was_not(corpus: Path, variant: list[str]) -> None:
    often = ["training.validate_every=5", "training.plateau_patience=0", "decoding.max_length=5"]
    command = ["training.schedule=constant", *often, *variant]
    assert train("run_dir=whole", *command, "training.max_updates=17") == 0
    assert train("run_dir=parts", *command, "training.max_updates=8") == 0
    Path("train.align.gz").write_bytes(gzip.compress(Path("train.align").read_bytes()))
    Path("train.align").unlink()  # the same text in another file is the same corpus
    assert train("run_dir=parts", *command, "training.max_updates=17") == 0
    for name, tensor in weights("whole/last").items():
        assert torch.equal(tensor, weights("parts/last")[name]), name


def test_other_alignments_or_another_weight_under_a_run_are_refused(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("run_dir=run", "training.max_updates=2") == 0
    assert train("run_dir=run", "training.max_updates=4", "training.guided_alignment=2") == 2
    assert "training.guided_alignment: was 1.0, now 2.0" in capfd.readouterr().err
    Path("train.align").write_text("0-0\n" * len(PAIRS))
    assert train("run_dir=run", "training.max_updates=4") == 2
    assert "the corpus has changed" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("0-0\n" * (len(PAIRS) - 1), f"train.align:{len(PAIRS)}: the file ends here"),
        ("0-0\n" * (len(PAIRS) + 1), f"train.align:{len(PAIRS) + 1}: train has no pair"),
        ("0-0\n0-0 0=0\n" + "0-0\n" * (len(PAIRS) - 2), "train.align:2: '0=0' is no link"),
        ("0-0\n0-6\n" + "0-0\n" * (len(PAIRS) - 2), "train.align:2: the link 0-6 is out of range"),
        ("\n" * len(PAIRS), "train.align: it links no words of the pairs in use"),
        (b"0-0\n\xff\n" + b"\n" * (len(PAIRS) - 2), "train.align:2: not UTF-8"),
    ],
)
def test_bad_alignments_are_named_before_anything_is_written(
    corpus: Path, capfd: pytest.CaptureFixture[str], content: str | bytes, complaint: str
) -> None:
    Path("train.align").write_bytes(content.encode() if isinstance(content, str) else content)
    assert train("run_dir=run") == 2
    message = capfd.readouterr().err
    assert complaint in message
    assert "Traceback" not in message
    assert not Path("run").exists()


def test_a_checkpoint_needs_no_alignments_to_translate(corpus: Path) -> None:
    assert train("run_dir=run", "training.max_updates=2") == 0
    Path("train.align").unlink()
    assert main(["translate", "checkpoint=run", "input=train.en", "output=out", "decoding.max_length=3"]) == 0
    assert len(Path("out").read_text().split("\n")) == len(PAIRS) + 1


def test_check_reads_the_alignments_too(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("check=true", "run_dir=run") == 0
    said = capfd.readouterr().err
    assert "train.align: " in said
    assert "% of the target pieces are linked" in said
    assert train("check=true", "run_dir=run", alignments="nowhere") == 2
    assert "nowhere: no such file (nor nowhere.gz)" in capfd.readouterr().err
