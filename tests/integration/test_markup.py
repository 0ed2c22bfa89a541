"""Lines with inline markup, translated from the command line."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from seq2seq.cli.main import main
from seq2seq.cli.translate import requests
from seq2seq.config import parse
from seq2seq.inference.alignment import WordAlignment

PLAIN = ["the cat sees a tree .", "a dog hears the old house .", "", "", "my friend sees a tree ."]
MARKED = [
    "the <b>cat</b> sees <i>a tree</i> .",
    'a <a href="x?y&amp;z">dog</a> hears <x id="1"/> the old house .',
    "",
    "<b></b><br/>",
    "<i>my friend</i> <b>sees a tree</b> .",
]


@pytest.fixture
def work(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in ("additive", "fixed"):
        Path(path).symlink_to(models / path)
    Path("plain").write_text("".join(f"{line}\n" for line in PLAIN))
    Path("marked").write_text("".join(f"{line}\n" for line in MARKED))
    return tmp_path


def translate(*settings: str) -> list[str]:
    assert main(["translate", "checkpoint=additive", "output=said", *settings]) == 0
    return Path("said").read_text().splitlines()


def without_tags(line: str) -> str:
    return " ".join(re.sub("<[^>]*>", "", line).split())


def tags(line: str) -> list[str]:
    return sorted(re.findall("<[^>]*>", line))


@pytest.mark.parametrize("form", ["html", "xml"])
def test_tags_are_put_back_and_the_translation_is_that_of_the_text(work: Path, form: str) -> None:
    plain, marked = translate("input=plain"), translate("input=marked", f"format={form}")
    assert [without_tags(line) for line in marked] == plain
    assert [tags(line) for line in marked] == [tags(line) for line in MARKED]
    assert marked[2:4] == ["", "<b></b><br/>"]


def test_tags_stand_round_the_aligned_words(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diagonal(alignment: WordAlignment) -> WordAlignment:
        words = range(min(len(alignment.source), len(alignment.target)))
        return replace(alignment, links=[(word, word) for word in words])

    monkeypatch.setattr(WordAlignment, "with_several", diagonal)
    first, second, *_ = translate("input=marked", "format=html")
    assert first == "die <b>Katze</b> sieht <i>einen Baum</i> ."
    assert re.fullmatch(r'\w+ <a href="x\?y&amp;z">\w+</a> \w+ <x id="1"/> [\w .]+', second)


def test_json_has_the_tags_and_words_without_them(work: Path) -> None:
    several = ["decoding.n_best=2", "output_format=jsonl", "alignments=links"]
    plain = [json.loads(line) for line in translate("input=plain", *several)]
    links = Path("links").read_text()
    marked = [json.loads(line) for line in translate("input=marked", "format=xml", *several)]
    assert Path("links").read_text() == links
    assert [record["source"] for record in marked] == [line for line in MARKED for _ in range(2)]
    for one, other in zip(marked, plain, strict=True):
        assert without_tags(one["translation"]) == one["plain_translation"] == other["translation"]
        assert one["plain_source"] == other["source"]
        assert tags(one["translation"]) == tags(one["source"])
        assert (one["tokens"], one["alignment"]) == (other["tokens"], other["alignment"])


def test_lines_with_tags_are_scored_without_them(work: Path) -> None:
    said = [json.loads(line) for line in translate("input=marked", "format=html", "output_format=jsonl")]
    command = ["score", "checkpoint=additive", "source=said", "target=said", "output=scores", "output_format=jsonl"]
    assert main(command) == 0
    scored = [json.loads(line) for line in Path("scores").read_text().splitlines()]
    assert [one["score"] for one in scored] == pytest.approx([one["score"] for one in said], abs=1e-4)
    for one, other in zip(scored, said, strict=True):
        assert (one["source"], one["translation"]) == (other["plain_source"], other["plain_translation"])
        assert one["alignment"] == other["alignment"]


def test_tags_may_hold_several_sentences(work: Path) -> None:
    pytest.importorskip("sentencex", reason="the extra `split`")
    Path("several").write_text("the <b>cat sees a tree. My friend</b> sees<br/> a tree .\n")
    (line,) = translate("input=several", "format=html", "split=sentences")
    assert tags(line) == ["</b>", "<b>", "<br/>"]
    Path("several").write_text("the cat sees a tree. My friend sees a tree .\n")
    assert translate("input=several", "split=sentences") == [without_tags(line)]


def test_interrupted_translations_are_resumed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["input=marked", "format=html", "output_format=jsonl", "resume=true"]
    whole = translate(*settings)
    Path("said").unlink()
    Path("said.partial").write_text("".join(f"{line}\n" for line in whole[:2]))
    assert [json.loads(line)["translation"] for line in translate(*settings)] == [
        json.loads(line)["translation"] for line in whole
    ]
    Path("said").rename("said.partial")
    command = ["translate", "checkpoint=additive", "output=said", *settings]
    assert main([*command, "format=text", "input=plain"]) == 2
    assert "line 1 of plain has another source" in capsys.readouterr().err


def test_what_is_not_well_formed_is_named(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad").write_text("a dog\nthe <b>cat\n")
    for form in ("html", "xml"):
        assert main(["translate", "checkpoint=additive", "input=bad", f"format={form}"]) == 2
        assert "bad:2: " in capsys.readouterr().err


def test_a_bad_line_of_a_pipe_is_blank(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("typed").write_text("the <b>cat sees a tree .\n<b>the cat</b> sees a tree .\n")
    with Path("typed").open() as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        blank, line = translate("format=html")
    assert blank == ""
    assert (without_tags(line), tags(line)) == ("die Katze sieht einen Baum .", ["</b>", "<b>"])
    said = capsys.readouterr().err
    assert "stdin:1: <b> has no end; expected </b> on the same line" in said
    assert "writing a blank line for it" in said


def test_the_context_is_text_without_tags(work: Path) -> None:
    config = parse("translate", {"checkpoint": "additive", "format": "html"})
    (group,) = requests(config, "marked", 10, context=2)
    assert [request.line for request in group] == PLAIN
    assert [request.context for request in group] == [(), (PLAIN[0],), (), (), ()]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["checkpoint=fixed", "format=html"], "format=html and checkpoint=fixed: a model with model/attention"),
        (["format=xml", "prefix=plain"], "format=xml and prefix=plain: a prefix is text without tags. Use prefix=null"),
        (["format=md"], "format"),
    ],
)
def test_what_cannot_be_combined_is_refused(
    work: Path, capsys: pytest.CaptureFixture[str], settings: list[str], says: str
) -> None:
    assert main(["translate", "checkpoint=additive", "input=marked", *settings]) == 2
    assert says in capsys.readouterr().err
