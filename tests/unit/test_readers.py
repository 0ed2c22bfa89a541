"""Every reader of what others wrote, on a few of the inputs of tests/fuzz.py: read, or refused in a message."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import fuzz
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.readers import READERS, SLOW, Reader, check

from seq2seq.errors import DataError


@pytest.mark.parametrize("name", READERS)
def test_what_strangers_wrote_is_read_or_refused(name: str, tmp_path: Path) -> None:
    reader = READERS[name]()

    @settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(reader.inputs)
    def holds(value: Any) -> None:
        with fuzz.limited():  # what never ends fails
            check(reader, value, tmp_path)

    holds()


def test_what_never_ends_is_found(tmp_path: Path) -> None:
    forever = Reader(st.none(), lambda value, directory: time.sleep(60))
    with pytest.raises(AssertionError, match="more than 1 seconds for an input"), fuzz.limited(1):
        check(forever, None, tmp_path)


@pytest.mark.parametrize("error", [KeyError("a"), RecursionError(), UnicodeDecodeError("utf-8", b"", 0, 1, "")])
def test_what_is_raised_otherwise_is_found(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        check(Reader(st.none(), mock.Mock(side_effect=error)), None, tmp_path)
    assert check(Reader(st.none(), mock.Mock(side_effect=DataError("no"))), None, tmp_path) is False
    with pytest.raises(AssertionError):
        check(Reader(st.none(), mock.Mock(side_effect=DataError(""))), None, tmp_path)


def test_the_same_seed_gives_the_same_inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def tried(seed: int) -> list[bytes]:
        values: list[bytes] = []
        watch = mock.Mock(side_effect=values.append, reader=READERS["dictionary"]())
        monkeypatch.setattr(fuzz, "Watch", lambda reader, directory: watch)
        fuzz.by_chance("dictionary", 50, seed, tmp_path)
        return values

    assert len(tried(1)) == 50
    assert tried(1) == tried(1) != tried(2)


@pytest.mark.slow
def test_every_reader_has_its_line() -> None:
    done = subprocess.run([sys.executable, fuzz.__file__, "--inputs=400"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line[:28].strip() for line in lines[1:-1]] == list(READERS)
    assert lines[-1].endswith("inputs, seed 1: all as they should be")


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_inputs_can_be_chosen_by_coverage(name: str) -> None:
    pytest.importorskip("atheris")
    inputs = 5000 // SLOW.get(name, 1)
    command = [sys.executable, fuzz.__file__, f"--reader={name}", f"--inputs={inputs}", "--coverage"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "all as they should be" in done.stdout
