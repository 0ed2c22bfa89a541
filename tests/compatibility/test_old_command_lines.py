"""Command lines and words that earlier versions took are taken for ever, and mean the same."""

import json
import logging
import shlex
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli.command_line import read
from seq2seq.cli.compose import run_composed
from seq2seq.config import COMMANDS, REMOVED, RENAMED, TrainConfig, parse, to_plain
from seq2seq.errors import ConfigError
from seq2seq.training.run_directory import check_run_dir, default_run_dir

DATA = "data.train=corpus/train data.valid=corpus/valid data.source_lang=en data.target_lang=de"
VARIANTS = """'variants={dot: "model/attention/score=dot", none: "model/attention=none"}'"""
README = f"""
train {DATA}
train {DATA} model/attention=luong2015_local_p
train {DATA} model/attention/score=cosine
train {DATA} model/attention/normaliser=sparsemax model.attention.heads=4
train {DATA} -m model/attention=bahdanau2015,luong2015_global,none
translate checkpoint=runs/NAME/best
translate checkpoint=runs/NAME/best input=source.txt decoding.beam_size=10 output_format=jsonl decoding.n_best=3
evaluate checkpoint=runs/NAME/best source=test.en reference=test.de
bleu hypothesis=translations.txt reference=test.de target_lang=de
shortlist checkpoint=runs/NAME/best
translate checkpoint=runs/NAME/best decoding.shortlist=50 decoding.precision=int8
score checkpoint=runs/NAME/best source=test.en target=test.de
align checkpoint=runs/NAME/best source=test.en target=test.de gold=test.align
translate checkpoint=runs/NAME/best input=source.txt output=out.txt alignments=out.align
plot checkpoint=runs/NAME/best input=source.txt output=pictures
plot checkpoint=runs/NAME/best input=source.txt output=pictures output_format=pdf units=words
plot checkpoint=runs/NAME/best input=test.en target=test.de output_format=html output=page.html
evaluate checkpoint=runs/NAME/best source=test.en reference=test.de report=report
compare comparison=embedded
compare common="experiment=demo" seeds=[1,2] {VARIANTS}
compare runs=[runs/a,runs/b] source=test.en reference=test.de
bleu hypothesis=[baseline.txt,other.txt] reference=test.de target_lang=de
train -m training.processes=1 model/attention=luong2015_global,none {DATA}
benchmark experiment=benchmark/model_a cpu=0
benchmark experiment=benchmark/model_a {DATA} data.test=t checkpoint=runs/NAME/best forced_length=null
benchmark experiment=benchmark/model_a cpu=0 peers=DIR peers_work=WORK repeats=3
train experiment=multi30k_en_de
evaluate checkpoint=runs/NAME source=test_2016_flickr.en reference=test_2016_flickr.de
train experiment=bible_grc_en model/attention=firat2016_cgru run_dir=runs/bible
align checkpoint=runs/bible source=bible/test.grc target=bible/test.en gold=bible/test.align
"""
"""Every command of the README at commit 2c9ee8f, placeholders filled in; launchers that are not installed left out."""


def composed(*words: str) -> list[TrainConfig]:
    found: list[TrainConfig] = []
    run_composed("train", read("train", [*DATA.split(), *words]), lambda values: found.append(parse("train", values)))
    return found


def get(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize("line", README.split("\n")[1:-1])
def test_a_command_of_the_readme_is_taken(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command, *overrides = shlex.split(line)
    found: list[Any] = []
    run_composed(command, read(command, overrides), lambda values: found.append(parse(command, values)))
    assert found
    assert all(isinstance(config, COMMANDS[command]) for config in found)


OLD: dict[str, tuple[list[str], Any, str]] = {
    "model.cell": (["model.cell=lstm"], "lstm", "d1818296"),
    "model.residual": (["model.residual=true", "model.encoder_layers=2", "model.decoder_layers=2"], True, "f193b1b3"),
    "model.layer_norm": (["model.layer_norm=true"], True, "ac2837be"),
    "model.recurrent_dropout": (["model.recurrent_dropout=0.1"], 0.1, "6b7c7702"),
    "model.bidirectional": (["model.bidirectional=false"], False, "19a481f6"),
    "model.encoder_hidden_size": (["model.encoder_hidden_size=100"], 100, "1b912b2d"),
    "training.risk_sharpness": (["training.loss=minimum_risk", "training.risk_sharpness=0.1"], 0.1, "2ea4bc94"),
    "training.halve_after": (["training.schedule=halving", "training.halve_after=3"], 3.0, "0489a77d"),
}  # fmt: skip
"""Old key -> a command line with it, its value, and the hash in the name of the run's default directory then."""


def test_every_old_word_is_tested() -> None:
    assert OLD.keys() == RENAMED.keys()


@pytest.mark.parametrize("old", OLD)
def test_an_old_word_says_what_it_said(old: str) -> None:
    words, value, name = OLD[old]
    (config,) = composed(*words)
    assert [get(config, key) for key in RENAMED[old]] == [value] * len(RENAMED[old])
    assert default_run_dir(config, "bahdanau2015").name == f"corpus-bahdanau2015-{name}"
    renamed = [f"{key}={word.partition('=')[2]}" for word in words
               for key in RENAMED.get(word.partition("=")[0], (word.partition("=")[0],))]  # fmt: skip
    assert composed(*renamed) == [config]


def test_a_model_without_attention_keeps_the_name_of_its_run() -> None:
    (config,) = composed("model/attention=none")  # which makes model.attention.heads null, not its default
    assert default_run_dir(config, "a").name == "corpus-a-45c5198f"


def test_a_word_of_today_is_the_more_specific_one() -> None:
    (config,) = composed("model.encoder.cell=gru", "model.cell=lstm")
    assert (get(config, "model.encoder.cell"), get(config, "model.decoder.cell")) == ("gru", "lstm")
    assert default_run_dir(config, "x") not in {
        default_run_dir(composed(f"model.cell={c}")[0], "x") for c in ("gru", "lstm")
    }


def test_old_words_in_a_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/old.yaml").write_text(
        "# @package _global_\nmodel:\n  cell: lstm\n  bidirectional: false\ntraining:\n  cuda_graphs: true\n"
    )
    (config,) = composed(f"--config-dir={tmp_path}", "experiment=old", "model.encoder.cell=gru")
    cells = get(config, "model.encoder.cell"), get(config, "model.decoder.cell")
    assert (*cells, get(config, "model.encoder.bidirectional")) == ("gru", "lstm", False)


def test_old_words_in_a_multirun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configs = composed("-m", "model.cell=gru,lstm")
    assert [get(config, "model.decoder.cell") for config in configs] == ["gru", "lstm"]
    assert [get(config, "model.encoder.cell") for config in configs] == ["gru", "lstm"]


def test_an_old_word_in_a_list_of_changes() -> None:
    (config,) = composed("run_dir=r", "change=[training.halve_after]")
    assert config.change == ["training.halving_start_epoch"]


@pytest.mark.parametrize(("key", "value"), [("ema", 0.9), ("scheduled_sampling", "linear")])
def test_a_training_that_this_version_cannot_repeat_is_not_resumed(
    key: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = composed("run_dir=r")
    stored = to_plain(config)
    stored["training"] |= {"ema": None, "scheduled_sampling": "none", "scheduled_sampling_half": None}
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert not check_run_dir(tmp_path, config)
    stored["training"][key] = value
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match=f"training.{key}={value}: this version no longer has it"):
        check_run_dir(tmp_path, config)


@pytest.mark.parametrize("key", REMOVED)
def test_a_word_without_effect_is_logged(key: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert composed(f"{key}=true") == composed()
    assert caplog.messages == [f"{key}: no longer has any effect. Leave it out"]
