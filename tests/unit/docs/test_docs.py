"""What README.md and docs/ say: every command line is one that the program takes, every path is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from seq2seq.cli.command_line import read
from seq2seq.cli.compose import run_composed
from seq2seq.config import COMMANDS, parse

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data/README.md"])
REQUIRED = ["data.train=corpus/train", "data.valid=corpus/valid", "data.source_lang=en", "data.target_lang=de"]
NOT_INSTALLED = ("hydra/launcher=", "hydra.launcher.", "hydra/sweeper=", "hydra.sweeper.")


def command_lines(page: Path) -> Iterator[str]:
    """Lines of a page's code blocks that call the program, continued ones joined."""
    for line in re.sub(r"\\\n\s+", "", page.read_text()).splitlines():
        found = re.match(r"    (?:torchrun .* -m )?(seq2seq [a-z]+ .*)", line)
        if found:
            yield found[1]


COMMAND_LINES = sorted({line for page in PAGES for line in command_lines(page)})


def test_there_are_command_lines() -> None:
    assert len(COMMAND_LINES) > 30


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_line_of_the_docs_is_taken(line: str) -> None:
    words = shlex.split(line.split(" <")[0], comments=True)
    words = [word for word in words if not word.startswith(NOT_INSTALLED) and "interval(" not in word]
    _, command, *overrides = words
    assert command in COMMANDS
    if "--help" in overrides:
        return
    if "..." in overrides:
        overrides = [*(REQUIRED if command == "train" else ()), *(word for word in overrides if word != "...")]
    given: list[Any] = []
    run_composed(command, read(command, overrides), lambda values: given.append(parse(command, values)))
    assert given


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_leads_to_is_there(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    paths = re.findall(r"`((?:seq2seq|configs|docs|data|scripts|tests)/[\w./]+)`", text)
    missing += [path for path in paths if not any(ROOT.glob(f"{path}*"))]  # a corpus is named by its prefix
    assert not missing


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192


def test_the_worked_diff_fits_the_code() -> None:
    """Each line that it keeps or removes stands in the file, in that order."""
    (diff,) = re.findall(r"```diff\n(.*?)```", (ROOT / "docs/attention.md").read_text(), re.DOTALL)
    files = re.findall(r"--- (\S+)\n(.*?)(?=--- |\Z)", diff, re.DOTALL)
    assert len(files) == 3
    for name, hunk in files:
        code = (ROOT / name).read_text()
        for block in re.findall(r"(?:^(?:[ -].*)?\n)+", hunk, re.MULTILINE):
            old = "".join(f"{line[1:]}\n" for line in block.splitlines())
            assert not old.strip() or old.rstrip() in code, (name, old)
