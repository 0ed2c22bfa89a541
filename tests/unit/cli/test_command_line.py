"""What the shell hands over becomes what the keys get: text as it is, lists in brackets, sweeps with -m."""

import re
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from seq2seq.cli import command_line
from seq2seq.cli.command_line import settable
from seq2seq.cli.compose import run_composed
from seq2seq.cli.names import command_keys, completions, names, options
from seq2seq.config import COMMANDS, parse
from seq2seq.errors import ConfigError

TRAIN = ["data.valid=v", "data.source_lang=en", "data.target_lang=de"]
TEXTS = [
    "日本.txt", "größe.txt", "a (1).txt", "a (1", "it's.txt", 'say "hi".txt', "a#b", "a,b.txt", "a=b", "a=b,c", "a b",
    " a ", "1_000", "1e3", "0x10", "007", "true", "nan", "[a].txt", "[a]", "[a", "{a}", "{a: b}", "copy(1)",
    "choice(a,b)",
    "range(3)", "x:y", "100%", "a;b|c&d", "*.txt", "a?b", "$HOME", "a\\b", "a\\", "\\", "-", "!", "<a>", "^", "`",
    "a\nb", "~", "a~", "~nobody/x", "@a", "'", '"', '"a', "a'", "'\"",
]  # fmt: skip


def composed(command: str, *words: str) -> list[Any]:
    found: list[Any] = []
    run_composed(command, command_line.read(command, words), lambda values: found.append(parse(command, values)))
    return found


def read(command: str, key: str, text: str, multirun: bool = False) -> Any:
    """The value that Hydra finds in what the shell hands over; of a sweep, its values."""
    override = OverridesParser.create().parse_override(settable(command, f"{key}={text}", multirun))
    assert override.key_or_group == key
    if override.is_sweep_override():
        return [getattr(value, "text", value) for value in override.sweep_iterator()]
    return override.value()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("multirun", [False, True])
def test_any_path_is_taken_as_the_shell_hands_it_over(text: str, multirun: bool) -> None:
    if not multirun or not re.search(r"[,(]", text):  # of a sweep
        assert read("translate", "output", text, multirun) == text
    if "," not in text and not re.fullmatch(r"\[.*\]", text):
        assert read("train", "data.train", text) == text


@pytest.mark.parametrize(
    ("text", "items"), [(r"[\[\w+\]]", [r"\[\w+\]"]), (r"[\(\d+\),urls]", [r"\(\d+\)", "urls"]), (r"[\d+]", [r"\d+"])]
)
def test_regular_expressions_in_a_list_stay_as_they_are(text: str, items: list[str]) -> None:
    assert read("train", "data.protect", text) == items


@pytest.mark.parametrize("text", [r"\(\d+\)", r"\[\d+\]", r"\{\{.*?\}\}", r"\w+\\x"])
def test_a_single_regular_expression_stays_as_it_is(text: str) -> None:
    assert read("train", "data.protect", text) == text


def test_they_come_through_hydra() -> None:
    for text in ("日本 (1)", 'it\'s, "so"\\', "1_000"):
        (config,) = composed("translate", "checkpoint=c", f"output={text}")
        assert config.output == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("'a,b'", "a,b"), ('"a b"', "a b"), ("a\\ b", "a b"), ("'null'", "null"), ("null", None), ("", "")],
)
def test_quotes_of_hydra(text: str, value: str | None) -> None:
    assert read("translate", "prefix", text) == value


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[a,b]", ["a", "b"]),
        ("[a, b c]", ["a", "b c"]),
        ("[日本,a (1),it's]", ["日本", "a (1)", "it's"]),
        ("['a,b',\"c\"]", ["a,b", "c"]),
        ("[1_000,2024,true]", ["1_000", "2024", "true"]),
        ("[~/x,y]", ["~/x", "y"]),
        ("[]", []),
    ],
)
def test_a_list_has_brackets(text: str, values: list[str]) -> None:
    assert read("train", "data.train", text) == read("train", "data.train", text, True) == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        ("日本,b (1)", ["日本", "b (1)"]),
        ("'a,b',c", ["a,b", "c"]),
        ("[a,b],[c,d]", [["a", "b"], ["c", "d"]]),
        ("choice(a,b)", ["a", "b"]),
    ],
)
def test_a_sweep_has_commas(text: str, values: list[Any]) -> None:
    assert read("train", "data.train", text, multirun=True) == values


def test_each_of_a_sweep_comes_through_hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configs = composed("train", "-m", "data.train=日本,'a,b'", "data.test=it's", *TRAIN)
    assert [(config.data.train, config.data.test) for config in configs] == [("日本", "it's"), ("a,b", "it's")]


def test_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (config,) = composed("train", "data.train=[~/x,~y]", "run_dir=~/z", *TRAIN)
    assert (config.data.train, config.run_dir) == (["/home/me/x", "~y"], "/home/me/z")


@pytest.mark.parametrize(
    ("command", "word", "says"),
    [
        ("train", "seed=1,2", "seed=1,2: more than one value; -m runs the command with each of them."),
        ("train", "data.train=a,b", "a list needs brackets, data.train=[a,b]"),
        ("train", "data.train=a,b", "'data.train=\"a,b\"'"),
        ("train", "model/attention=none,bahdanau2015", "-m runs"),
        ("compare", "seeds=1,2", "a list needs brackets, seeds=[1,2]."),
        ("train", "model.dropout=[1", "model.dropout=[1: can't be read"),
        ("train", "model.dropout", "model.dropout: expected key=value, or group=option"),
        ("train", "größe=3", "größe: no such key"),
        ("train", "experimnt=demo", "experimnt: no such group. Did you mean 'experiment'?"),
        ("translate", "experiment=demo", "experiment=demo: no such group."),
        ("train", "model/cell=lstm", "Did you mean 'model.encoder.cell=lstm'?"),
        ("train", "training/optimizer=adam", "Did you mean 'training.optimizer=adam'?"),
        ("train", "model/attention=dot", "Did you mean 'model/attention/score=dot'?"),
        ("train", "attention=none", "Did you mean 'model/attention=none'?"),
        ("train", "score=dot", "Did you mean 'model/attention/score=dot'?"),
        ("train", "bridge=mean", "Did you mean 'model/bridge=mean'?"),
        ("train", "cell=lstm", "Did you mean 'model.encoder.cell', which recurrent has?"),
        ("train", "attention.heads=2", "attention.heads: no such key. Did you mean 'model.attention.heads'?"),
        ("train", "score.coverage=true", "'model.attention.score.coverage', which additive, normed_additive, concat"),
        ("train", "training.beam_size=2", "Did you mean 'decoding.beam_size'?"),
        ("translate", "beam=2", "Did you mean 'decoding.beam_size'?"),
        ("train", "model.hiden_size=2", "model.hiden_size: no such key. Did you mean 'hidden_size'?"),
        ("train", "hydra.run.dir=x", "run_dir=DIR is where a training writes"),
        ("train", "hydra.job.chdir=true", "run_dir=DIR is where a training writes"),
        ("train", "hydra/job_logging=default", "run_dir=DIR is where a training writes"),
        ("train", "hydra/sweeper=nevergrad", "not installed. Install hydra-nevergrad-sweeper."),
        ("train", "--beam=5", "--beam=5: no such flag. Keys are set without dashes, key=value."),
        ("train", "--cfg=jobs", "invalid choice: 'jobs'"),
        ("train", "--experimental-rerun=x", "--experimental-rerun: not supported."),
        ("train", "--shell-completion", "Use seq2seq -sc install=bash"),
    ],
)
def test_what_cannot_be_meant_is_told(command: str, word: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        composed(command, word)
    assert says in str(error.value)


def test_a_key_that_the_chosen_score_lacks() -> None:
    with pytest.raises(ConfigError, match="These options have it: additive, normed_additive, concat"):
        composed("train", "model/attention/score=dot", "model.attention.score.coverage=true")


def test_a_key_in_a_section_that_the_chosen_encoder_lacks() -> None:
    with pytest.raises(ConfigError, match=r"heads: no such key\. These options have it: transformer, convolutional\."):
        composed("train", "model.encoder.attention.heads=2")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_name_completes_itself(command: str) -> None:
    found = completions(f"seq2seq {command[:-1]}")
    assert command in found
    for name in names(command):
        assert f"{name}=" in completions(f"seq2seq {command} {name}")
        start = name.rpartition("/")[0] or name.rpartition(".")[0]
        assert any(f"{name}=".startswith(word) for word in completions(f"seq2seq {command} x=y {start}"))


def test_values_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/text").touch()
    assert completions("seq2seq train model/attention=lu") == [
        f"model/attention={name}" for name in options("model/attention") if name.startswith("lu")
    ]
    assert completions("seq2seq train model.encoder.cell=l") == ["model.encoder.cell=lstm"]
    assert completions("seq2seq train check=") == ["check=true", "check=false"]
    assert completions("seq2seq translate input=co") == ["input=corpus/"]
    assert completions("seq2seq translate  input=corpus/") == ["input=corpus/text"]
    keys = [key.name for key in command_keys("train") if key.name.startswith("data.")]
    assert completions("seq2seq train data.") == sorted(
        {"data.split." if name.startswith("data.split.") else f"{name}=" for name in keys}
    )
    assert completions("seq2seq") == completions("seq2seq nowhere x") == completions("seq2seq train zzz") == []
