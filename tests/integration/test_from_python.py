"""The package's functions are the commands."""

from pathlib import Path
from typing import Any

import pytest
from support.sentences import FEW_PAIRS, write_pairs
from support.trainers import SMALL

import seq2seq
from seq2seq.cli.main import main
from seq2seq.errors import ConfigError, DataError


def test_everything_public_is_there() -> None:
    assert dir(seq2seq) == seq2seq.__all__
    for name in dir(seq2seq):
        assert getattr(seq2seq, name)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = seq2seq.lode
    assert Path(seq2seq.__file__).with_name("py.typed").exists()


def test_a_training_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "train", FEW_PAIRS)
    common = [
        *SMALL,
        "data.train=train",
        "data.valid=train",
        "data.vocab_size=350",
        "model/attention=luong2015_local_p",
    ]
    values: dict[str, Any] = {
        "training": {"max_updates": 3},
        "run_dir": 'python "run"',
        "data.source_lang": "en",
        "data.test": None,
    }
    with pytest.raises(ConfigError, match="returns one run directory"):
        seq2seq.train("-m", "seed=1,2", *common, **values)
    run_dir = seq2seq.train(*common, **values)
    assert run_dir == Path('python "run"')
    assert main(["train", *common, "training.max_updates=3", "run_dir=command"]) == 0
    weights = "last/model.safetensors"
    assert (run_dir / weights).read_bytes() == (tmp_path / "command" / weights).read_bytes()
    with pytest.raises(ConfigError, match="max_udpates"):
        seq2seq.train(*common, **{"training.max_udpates": 3})

    translator = seq2seq.load([run_dir, "command"])
    source, target = FEW_PAIRS[0]
    with pytest.raises(DataError, match="2 sources and 1 targets"):
        translator.score([source, source], [target])
    (scored,) = translator.score([source], [target])
    assert scored.score == translator.score(source, target).score == sum(scored.token_scores)
    assert translator.align(source, target).links == translator.align([source], [target])[0].links
    best = translator.translate(source, n_best=2)
    assert best.text == translator.translate([source])[0].text
    assert best.score >= best.alternatives[0].score
