"""What `seq2seq.train` shows in a program that has not set up logging, and in one that has."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from seq2seq.cli import from_python
from seq2seq.cli.from_python import _shown_logs
from seq2seq.config import TrainConfig
from seq2seq.training.log import run_log


def shown(
    handlers: list[logging.Handler],
    level: int,
    capsys: pytest.CaptureFixture[str],
    inside: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> str:
    """What is shown of two lines in a program with these handlers and this level of the package."""
    root, package = logging.getLogger(), logging.getLogger("seq2seq")
    before, root.handlers = root.handlers, list(handlers)  # pytest has its own
    package.setLevel(level)
    try:
        with _shown_logs(), inside():
            logging.getLogger("seq2seq.training").info("an update")
            logging.getLogger("seq2seq.training").warning("a warning")
        assert root.handlers == handlers
        assert package.level == level
    finally:
        root.handlers = before
        package.setLevel(logging.NOTSET)
    return capsys.readouterr().err


def test_lines_are_shown_as_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown([], logging.NOTSET, capsys) == "an update\na warning\n"


def test_a_program_with_its_own_logging_decides(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown([logging.NullHandler()], logging.NOTSET, capsys) == ""


def test_a_level_makes_it_quieter(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown([], logging.WARNING, capsys) == "a warning\n"


def test_the_level_holds_while_a_training_keeps_its_own_log(capsys: pytest.CaptureFixture[str]) -> None:
    for level, expected in ((logging.NOTSET, "an update\na warning\n"), (logging.WARNING, "a warning\n")):
        assert shown([], level, capsys, run_log) == expected


def test_the_level_of_a_program_holds_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)
    logging.getLogger("seq2seq.training").manager._clear_cache()  # type: ignore[attr-defined]
    assert shown([logging.StreamHandler()], logging.NOTSET, capsys, run_log) == "a warning\n"


@pytest.mark.parametrize("names", [["Köln/a", "b,c"], [Path("a"), Path("b")]])
def test_values_of_python_arrive_as_they_are(names: list[str | Path], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[TrainConfig] = []
    monkeypatch.setattr(from_python, "run_training", lambda config, callback: given.append(config))
    monkeypatch.setattr(from_python, "run_directory", lambda config: Path("run"))
    languages = {"data.source_lang": "en", "data.target_lang": "de", "data.valid": "v"}
    from_python.train(**{"data.train": names}, **languages, **{"seed": 2, "data.protect": ["q\"'\\"]})
    (config,) = given
    assert config.data.train == [str(name) for name in names]
    assert config.data.protect == ["q\"'\\"]
    assert config.seed == 2
