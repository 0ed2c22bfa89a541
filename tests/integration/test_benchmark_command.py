"""The benchmark from end to end, on a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.sentences import PAIRS, write_pairs

from seq2seq.benchmark import machine, runs, suite
from seq2seq.cli.benchmark import train_alone
from seq2seq.cli.main import main
from seq2seq.config import parse, to_plain

TINY = [
    "benchmark", "model.embedding_size=6", "model.hidden_size=8", "seconds=0.01", "repeats=2", "device=cpu",
    "decode_batches=[1,4]", "generated.pairs=40", "generated.vocab_size=20", "training.batch_sentences=8",
]  # fmt: skip

VALUES: dict[str, Any] = {
    "model": {
        "attention": {
            "score": {"name": "dot"},
            "window": {"name": "global"},
            "normaliser": {"name": "softmax"},
            "placement": {"name": "after"},
        },
        "bridge": {"name": "last"},
        "embedding_size": 6,
        "hidden_size": 8,
    },
    "generated": {"pairs": 40, "vocab_size": 20},
}

PEER = """
import json, sys
training = {"tokens_per_second": 1.0, "sentences_per_second": 0.1, "peak_rss_mb": 1000}
decoding = {"sentences_per_second": 0.5, "output_tokens_per_second": 2.0, "startup_seconds": 99.0, "bleu": 3.0}
print(json.dumps(training if "train.py" in sys.argv[0] else decoding))
"""


def last_line(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(capfd.readouterr().out.splitlines()[-1])
    return report


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_PROFILED_UPDATES", 1)
    monkeypatch.setattr(runs, "_MEMORY_UPDATES", 1)
    monkeypatch.setattr(machine, "_MIN_SECONDS", 1e-4)
    monkeypatch.setattr(machine, "_SAMPLED_SENTENCES", 2)
    monkeypatch.setattr(suite, "_STARTS", 1)


def test_generated_sentences_are_measured(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LENGTHS", "_BATCHES", "_BEAMS"):
        monkeypatch.setattr(suite, name, (3,))
    monkeypatch.setattr(suite, "_VOCABULARIES", (12,))
    monkeypatch.setattr(suite, "_PAIRS", 20)
    assert main([*TINY, "measure=[training,decoding]", "growth=true", "decode_precisions=[fp32,bf16]"]) == 0
    report = last_line(capfd)
    assert report["data"]["name"] == "generated"
    assert [row["precision"] for row in report["training"]] == ["fp32", "bf16"]
    for row in report["training"]:
        achieved = row["tokens_per_second"] * report["model"]["training_operations_per_target_token"]
        rate = report["machine_rates"][f"{row['precision']}_flops"]
        assert row["share_of_product_rate"] == pytest.approx(achieved / rate, rel=1e-3)
    ways = {(row["beam"], row["batch"], row["precision"]) for row in report["decoding"]}
    assert ways == {(beam, batch, precision) for beam in (1, 5) for batch in (1, 4) for precision in ("fp32", "bf16")}
    for row in report["decoding"]:
        assert row["share_of_product_rate"] > 0
        assert row["tokens_per_second"] == pytest.approx(15 * row["sentences_per_second"], rel=1e-2)
        assert row["bleu"] is None
    assert [row["table"] for row in report["growth"]] == ["length", "length", "batch", "beam", "vocabulary"]
    assert "memory" not in report
    assert "startup" not in report


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that name a corpus, in a directory to work in."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "valid"):
        write_pairs(split, PAIRS)
    return ["data.train=train", "data.valid=valid", "data.source_lang=en", "data.target_lang=de"]


def test_a_trained_model_is_measured_beside_peers(
    corpus: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = [*corpus, "data.tokenizer=word", "data.vocab_size=40"]
    sizes = ["model.embedding_size=12", "model.hidden_size=12", "training.learning_rate=0.01", "device=cpu"]
    assert main(["train", *data, *sizes, "run_dir=run", "training.max_updates=2"]) == 0
    trained = ["checkpoint=run", "forced_length=null", "decode_beams=[1]", "decode_batches=[9]", "repeats=1"]
    assert main([*TINY, *data, *trained, "measure=[decoding,startup]"]) == 0
    report = last_line(capfd)
    assert 0 < report["startup"]["seconds"] < 60
    (row,) = report["decoding"]
    assert row["sentences"] == len(PAIRS)  # BLEU is of all
    assert row["bleu"] is not None
    assert (report["data"]["name"], report["data"]["pairs"]) == ("train", len(PAIRS))

    work = tmp_path / "work" / "data"
    work.mkdir(parents=True)
    words = sorted({word for pair in PAIRS for side in pair for word in side.split()})
    (work / "data.json").write_text('{"src": "en", "trg": "de"}')
    specials = ["<unk>", "<pad>", "<s>", "</s>"]
    (work / "spm.vocab").write_text("".join(f"{piece}\t0\n" for piece in [*specials, *(f"▁{w}" for w in words)]))
    for split in ("train", "valid", "test"):
        for side, language in enumerate(("en", "de")):
            lines = (" ".join(f"▁{word}" for word in pair[side].split()) for pair in PAIRS)
            (work / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines))
    (work / "test.raw").write_text("".join(f"{t}\n" for _, t in PAIRS))
    for script in ("train.py", "decode.py"):
        Path(script).write_text(PEER)
    asked = ["peers=.", "peers_work=work", "peers_toolkits=[one]", "precisions=[fp32]", "measure=[training,decoding]"]
    assert main([*TINY, *trained, *asked]) == 0
    report = last_line(capfd)
    assert report["decoding"][0]["sentences"] == len(PAIRS)
    assert report["decoding"][0]["bleu"] is not None
    assert report["peers_decoding"][0]["bleu"] == 3.0
    assert report["data"]["source_vocabulary"] == 4 + len(words)
    ratios = {row["what"]: row["ratio"] for row in report["ratios"]}
    assert ratios["training"] == pytest.approx(report["training"][0]["tokens_per_second"], rel=1e-3)
    assert ratios["beam 1, best batch"] == pytest.approx(2 * report["decoding"][0]["sentences_per_second"], rel=1e-3)


def test_memory_is_that_of_a_process() -> None:
    peak = train_alone(to_plain(parse("benchmark", {**VALUES, "device": "cpu"})), "bf16")
    assert peak is None or peak > 10


@pytest.mark.slow
def test_memory_and_startup_are_those_of_new_processes(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "measure=[memory,startup]", "precisions=[bf16]"]) == 0
    report = last_line(capfd)
    assert report["memory"].keys() == {"bf16"}
    assert report["startup"]["seconds"] > 0
    assert report["training"] == []


def test_the_time_to_a_quality_is_that_of_a_whole_training(
    corpus: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    text = [*corpus, "data.vocab_size=330"]
    options = ["training.metric=chrf", "training.max_updates=6", "training.validate_every=2", "training.log_every=1"]
    options.append("measure=[quality]")
    assert main([*TINY, *text, *options, "goals=[0.1,0.01]"]) == 0
    first, second = last_line(capfd)["quality"]
    assert (first["metric"], first["goal"], second["goal"]) == ("chrf", 0.01, 0.1)
    assert first["updates"] == second["updates"] == 2  # the highest goal ends the training
    assert first["tokens"] > 0
    assert main([*TINY, *text, *options, "goals=[101]"]) == 0
    out = capfd.readouterr().out
    assert "from raw text to" in out
    assert json.loads(out.splitlines()[-1])["quality"] == [{"metric": "chrf", "goal": 101.0}]
    assert main([*TINY, *options]) == 2
    assert "`quality` and its goals come together" in capfd.readouterr().err
    assert main([*TINY, *text, *options, "goals=[2]", "training.metric=loss"]) == 2
    assert "goals are scores to rise to" in capfd.readouterr().err
    assert main([*TINY, *options, "goals=[1]"]) == 2
    assert "generated sentences have no quality" in capfd.readouterr().err
