"""The command lines of docs/hub.md do what they say, in their order, against a stand-in of the Hub."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support import ROOT, hub

from seq2seq.cli.main import main


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's upload without xet
def test_the_command_lines_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `hub`")
    shutil.copytree(ROOT / "tests/compatibility/format2", tmp_path / "runs/en-de/best")
    for name in ("source.txt", "test.en"):
        (tmp_path / name).write_text("my friend hears the old house .\n")
    (tmp_path / "test.de").write_text("mein Freund hört das alte Haus .\n")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/hub.md").read_text()
    lines = [line for line in re.findall(r"^    seq2seq (.*)", page, re.MULTILINE) if "..." not in line]
    assert len(lines) == 6
    with hub.serving() as server, hub.connected(server, tmp_path / "home"):
        for line in lines:
            if "@small" in line:
                repository = server.repositories["me/en-de"]
                repository.refs["small"] = repository.refs["main"]
            assert main(shlex.split(line, comments=True)) == 0, line
    assert (tmp_path / "translations.txt").read_text() == (tmp_path / "test.de").read_text()
    assert b"name: flickr2016" in repository.commits[repository.refs["main"]]["README.md"]
