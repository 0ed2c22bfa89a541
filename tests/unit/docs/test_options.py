"""Options explain themselves: each has a text, `--help` shows it, and docs/options.md is up to date."""

import re
import runpy

import pytest
from support import ROOT

from seq2seq.cli.help import of_command, of_name
from seq2seq.cli.main import main
from seq2seq.cli.names import command_keys, groups, names
from seq2seq.config import COMMANDS, RENAMED
from seq2seq.errors import ConfigError


def test_the_page_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "scripts/options.py"))["page"]()
    assert (ROOT / "docs/options.md").read_text() == page, "run python scripts/options.py"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_explains_itself(command: str) -> None:
    for key in command_keys(command):
        assert re.fullmatch(r"[A-Zα-ω].*\.", key.help), key.name
    text = of_command(command)
    for name in names(command):
        assert re.search(rf"^  {name}\b.*\n(?:      .*\n)*?      \S", text, re.MULTILINE), name
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("command", ["train", "translate"])
def test_a_name_is_explained_in_full(command: str) -> None:
    for name in names(command):
        text = of_name(command, name)
        words = " ".join(text.split())
        assert max(map(len, text.splitlines())) <= 100
        for key in command_keys(command):
            if key.name == name:
                assert " ".join(key.help.split()) in words.replace("- ", "-") or key.help.split()[0] in words
        for option in groups(command).get(name, ()):
            assert f"  {name}={option}\n      " in text


def test_old_words_sections_and_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert of_name("train", "model.cell").count("Recurrent cell.") == 2
    assert all(of_name("train", old) for old in RENAMED)
    assert "training.max_epochs=50" in of_name("train", "training")
    assert "model/attention/score=additive" in of_name("train", "model.attention.score")
    assert "heads=8 or 1   [transformer, convolutional]" in of_name("train", "model.encoder.attention.heads")
    assert "@package" not in of_name("train", "experiment")
    with pytest.raises(ConfigError, match=r"model.hiden_size: no such key. Did you mean 'model.hidden_size'\?"):
        of_name("train", "model.hiden_size")
    assert main(["train", "--help", "training.schedule"]) == 0
    assert capsys.readouterr().out.startswith("training.schedule=plateau   (plateau | constant |")
    assert main(["train", "experiment=demo", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: seq2seq train")
