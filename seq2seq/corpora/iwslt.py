"""IWSLT14's transcripts of TED talks: text between tags."""

import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from seq2seq.text.storage import replace_file

_HELD_OUT = 23
"""Every so many training pairs, one is for validation, as in fairseq's examples."""
_TESTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")


def converter(language: str) -> Callable[[Path, Path], None]:
    """Return a function that writes train, valid and test of one language from the archive de-en.tgz."""

    def convert(archive: Path, directory: Path) -> None:
        with tarfile.open(archive) as opened:

            def lines(name: str) -> list[str]:
                file = opened.extractfile(f"de-en/{name}")
                assert file is not None
                return file.read().decode("utf-8").removesuffix("\n").split("\n")

            sentences = list(_untagged(lines(f"train.tags.de-en.{language}")))
            test = [
                sentence for name in _TESTS for sentence in _segments(lines(f"IWSLT14.{name}.de-en.{language}.xml"))
            ]
        valid = sentences[_HELD_OUT - 1 :: _HELD_OUT]
        del sentences[_HELD_OUT - 1 :: _HELD_OUT]
        for part, text in (("train", sentences), ("valid", valid), ("test", test)):
            _write(directory / f"{part}.{language}", text)

    return convert


def _untagged(lines: Sequence[str]) -> Iterator[str]:
    """Yield titles, descriptions and sentences; other tags hold no text of the talks.

    Blank lines stay, and so does a sentence that begins with `<`: the other language may have text there.
    """
    for line in lines:
        if not re.match(r"\s*</?(doc|keywords|reviewer|speaker|talkid|translator|url)\b", line):
            yield re.sub(r"</?(title|description)>", "", line).strip()


def _segments(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if found := re.match(r'\s*<seg id="\d+">(.*)</seg>', line):
            yield found[1].strip()


def _write(path: Path, sentences: Sequence[str]) -> None:
    with replace_file(path) as unfinished:
        unfinished.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
