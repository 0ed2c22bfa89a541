"""`seq2seq fetch` as typed: the table, a corpus from a mirror, and what goes wrong."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from seq2seq.cli.main import main
from seq2seq.corpora import download
from seq2seq.corpora.catalogue import CORPORA


@pytest.fixture(autouse=True)
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with files of multi30k; the work goes on in an empty one."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for language in ("en", "fr"):
        (mirror / f"val.{language}.gz").write_bytes(gzip.compress(f"A line in {language}.\n".encode(), mtime=0))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return mirror


def test_the_table_has_every_corpus_with_its_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch"]) == 0
    table = capsys.readouterr().out
    for corpus in CORPORA.values():
        assert f"{corpus.name}: {', '.join(corpus.languages)}\n    licence: {corpus.licence}\n" in table
    assert "multi30k: en, de, fr, cs" in table
    assert "18; 6 with a known SHA-256" in table


def test_a_table_that_can_not_be_printed_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main(["fetch"]) == 2
        monkeypatch.undo()
    assert "stdout: can't be written (No space left on device)" in capfd.readouterr().err


def test_addresses_and_hashes_are_well_formed() -> None:
    for corpus in CORPORA.values():
        files = {file for language in corpus.languages for file in corpus.files(language)}
        assert files
        for file in files:
            assert file.url.startswith(("https://", "package:")), file
            assert file.sha256 is None or len(file.sha256) == 64


def test_a_corpus_comes_from_a_mirror(
    mirror: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["fetch", "multi30k", f"mirror={mirror}", "parts=[val]"]
    assert main([*command, "languages=[fr]"]) == 0
    assert gzip.decompress(Path("multi30k/val.fr.gz").read_bytes()) == b"A line in fr.\n"
    told = capfd.readouterr().err
    assert told.index("research use") < told.index("SHA-256")
    assert main([*command, "languages=[en]"]) == 2
    told = capfd.readouterr().err
    assert "but that of the known file is" in told
    digest = hashlib.sha256((mirror / "val.en.gz").read_bytes()).hexdigest()
    corpus = CORPORA["multi30k"]
    files = [replace(file, sha256=digest) for file in corpus.files("en") if file.name == "val.en.gz"]
    monkeypatch.setitem(CORPORA, "multi30k", replace(corpus, files=lambda language: files))
    assert main([*command, "languages=[en]", "output=elsewhere"]) == 0
    assert Path("elsewhere/val.en.gz").exists()


def test_everything_that_a_mirror_has_is_taken(mirror: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["fetch", "multi30k", f"mirror={mirror}", "languages=[de,fr]", "parts=[val]"]
    assert main(command) == 2
    assert "mirror=DIRECTORY: val.de.gz.\n" in capfd.readouterr().err
    assert Path("multi30k/val.fr.gz").exists()


def test_a_server_that_fails_is_not_asked_again(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(file: download.Download, *place: object) -> None:
        asked.append(file.name)
        raise download.Unreachable(f"{file.url}: can't be downloaded.")

    monkeypatch.setattr(download, "fetch", fetch)
    assert main(["fetch", "multi30k", "languages=[de,fr]", "parts=[val]"]) == 2
    told = capfd.readouterr().err
    assert asked == ["val.de.gz"]
    assert "val.de.gz: can't be downloaded." in told
    assert "mirror=DIRECTORY: val.de.gz, val.fr.gz.\n" in told


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["mult30k"], "Did you mean 'multi30k'?"),
        (["multi30k", "languages=[en,xx]"], "multi30k has no xx. It has en, de, fr, cs."),
        (["multi30k", "parts=[dev]"], "multi30k has no dev. It has train, val,"),
        (["tatoeba", "parts=[train]"], "Leave parts=null"),
        (["tatoeba", "languages=[en]"], "languages=[en]: tatoeba has no file of these alone."),
        (["multi30k", "mirror=nowhere", "parts=[val]", "languages=[en,de]"], "mirror=DIRECTORY: val.en.gz, val.de.gz."),
        (["multi30k", "output=file"], "file"),
    ],
)
def test_mistakes_are_named(words: list[str], complaint: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert main(["fetch", *words]) == 2
    told = capfd.readouterr().err
    assert complaint in told
    assert "Traceback" not in told
