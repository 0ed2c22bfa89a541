"""The examples of docs/python.md do what they say."""

import doctest
from pathlib import Path

import pytest
from support import FORMAT_1, ROOT

USE, TRAINING = (ROOT / "docs/python.md").read_text().split("\n## Training\n")


@pytest.mark.parametrize("text", [USE, pytest.param(f"    >>> import seq2seq\n{TRAINING}", marks=pytest.mark.slow)])
def test_the_examples_do_what_they_say(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs/tiny").mkdir(parents=True)
    (tmp_path / "runs/tiny/best").symlink_to(FORMAT_1)
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(text, {}, "python.md", None, None)
    assert len(examples.examples) > 3
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    assert not doctest.DocTestRunner(optionflags=flags).run(examples).failed
