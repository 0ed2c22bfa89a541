"""What the commands leave behind when all goes well, and when it does not."""

import dataclasses
import gzip
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli.files import input_lines, is_typed, progress
from seq2seq.cli.main import main
from seq2seq.cli.reading import RowLayout, read_pairs
from seq2seq.config import parse
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.loading import load_translator
from seq2seq.inference.models import MOST_PIECES
from seq2seq.inference.translator import Translator
from seq2seq.search.lengths import Lengths
from seq2seq.text.corpus import MOST_BYTES

MODEL = str(Path(__file__).parent.parent / "compatibility/format1")
QUICK = {"beam_size": 1, "batch_size": 1, "max_length": 4}
"""Groups of 16 lines"""
LINES = [f"the cat sees {'a tree ' * (number % 3)}." if number % 7 else "" for number in range(40)]


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("".join(f"{line}\n" for line in LINES))
    return tmp_path


def translate(decoding: dict[str, Any] | None = None, **options: Any) -> int:
    values = {"checkpoint": MODEL, "input": "in.txt", "output": "out", **options}
    values |= {f"decoding.{key}": value for key, value in {**QUICK, **(decoding or {})}.items()}
    return main(["translate", *(f"{key}={_word(value)}" for key, value in values.items())])


def _word(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(value)}]"
    return "null" if value is None else str(value)


def run(decoding: dict[str, Any] | None = None, **options: Any) -> None:
    assert translate(decoding, **options) == 0


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Expects a command line to end with code 2 and this message."""

    def check(says: str, *words: str, **options: Any) -> None:
        capsys.readouterr()
        assert (main([*words]) if words else translate(**options)) == 2
        assert re.search(says, capsys.readouterr().err)

    return check


def read(name: str) -> str:
    return "".join(f"{line}\n" for line in input_lines(name))


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Interrupts the group of this number, from 0, once."""
    whole = Translator.translate_group

    def stop_at(number: int) -> None:
        left = [number]

        def stopping(self: Translator, *arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                monkeypatch.setattr(Translator, "translate_group", whole)
                raise KeyboardInterrupt
            return whole(self, *arguments, **options)

        monkeypatch.setattr(Translator, "translate_group", stopping)

    return stop_at


def there() -> set[str]:
    return {path.name for path in Path().iterdir()} - {"in.txt"}


# --- what is finished stays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output_format", "alignments", "ending", "n_best"),
    [("text", None, "", 1), ("jsonl", "al.jsonl.gz", "", 2), ("text", "al", ".gz", 2), ("jsonl", None, ".gz", 1)],
)
def test_an_interrupted_translation_is_resumed(
    output_format: str, alignments: str | None, ending: str, n_best: int,
    stop: Callable[[int], None], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options: dict[str, Any] = {"output_format": output_format, "alignments": alignments, "output": f"out{ending}"}
    options["decoding"] = {"beam_size": n_best, "n_best": n_best}
    names = [name for name in (f"out{ending}", alignments) if name]
    run(**options)
    whole = [read(name) for name in names]
    for stopped_at in (0, 1, 2):
        for name in names:
            Path(name).unlink()
        stop(stopped_at)
        capsys.readouterr()
        assert translate(**options) == 130
        assert there() == ({f"{name}.partial" for name in names} if stopped_at else set())
        said = f"out{ending}.partial: {16 * stopped_at} of 40 lines are translated."
        assert (said in capsys.readouterr().err) == bool(stopped_at)
        if stopped_at and not ending:  # a crash leaves half a line, and outputs of different lengths
            with Path("out.partial").open("a") as file:
                file.write("half a line")
        run(resume=True, **options)
        assert there() == set(names)
        assert [read(name) for name in names] == whole


def test_a_partial_of_another_input_is_refused(stop: Callable[[int], None], refused: Callable[..., None]) -> None:
    for options in ({}, {"output_format": "jsonl"}, {"alignments": "al"}):
        stop(1)
        assert translate(**options) == 130
        kept = Path("out.partial").read_bytes()
        Path("short").write_text("a\n" * 15)
        says = r"out\.partial: has 16 translated lines, but short has 15"
        refused(says, input="short", resume=True, **options)
        if options.get("output_format"):
            Path("other").write_text("a\n" * 40)
            refused(r"out\.partial: line 1 of other has another source", input="other", resume=True, **options)
        if options.get("alignments"):
            Path("al.partial").unlink()
            refused(r"al\.partial: missing, but out\.partial exists", resume=True, **options)
        assert Path("out.partial").read_bytes() == kept
        Path("out.partial").unlink()


def test_an_output_that_is_no_regular_file_does_not_keep_the_other_from_resuming(
    stop: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stop(1)
    assert translate(alignments="/dev/null") == 130
    stop(0)  # nothing more is translated: what is there must have been counted
    capsys.readouterr()
    assert translate(alignments="/dev/null", resume=True) == 130
    assert "out.partial: 16 of 40 lines are translated." in capsys.readouterr().err


def test_a_partial_stays_until_there_is_a_new_one(stop: Callable[[int], None]) -> None:
    for number in (1, 0):
        stop(number)
        assert translate() == 130
        assert Path("out.partial").read_text().count("\n") == 16
    assert there() == {"out.partial"}


BAD = {
    ":41: not UTF-8": b"\xff\n",
    ":41: a NUL byte": b"\0\n",
    ":41: a line of more than 1,048,576 bytes": b"a" * (MOST_BYTES + 1) + b"\n",
    f":41: {MOST_PIECES + 2:,} pieces": b"a " * (MOST_PIECES + 1) + b"\n",
}


@pytest.mark.parametrize(("name", "says"), [*(("in.txt", says) for says in BAD), ("prefix", next(iter(BAD)))])
def test_files_are_looked_through_before_anything_is_translated(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., None]
) -> None:
    Path("prefix").write_bytes(b"\n" * 40)
    with Path(name).open("ab") as file:
        file.write(BAD[says])
    monkeypatch.setattr(Translator, "translate_group", None)
    refused(f"{name}{says}", prefix="prefix" if name == "prefix" else None)
    assert there() == {"prefix"}


def test_a_bad_line_of_a_pipe_is_answered_by_a_blank_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = b"the cat sees a tree .\n"
    bad = [b"\xff", b"a\0", b"a" * (MOST_BYTES + 70_000), b"a " * (MOST_PIECES + 1)]
    Path("stdin").write_bytes(good + b"".join(line + b"\n" + good for line in bad))
    for output_format in ("text", "jsonl"):
        with Path("stdin").open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            run({"max_length": 20}, input="-", output_format=output_format, alignments="al")
        texts = Path("out").read_text().splitlines()
        if output_format == "jsonl":
            texts = [json.loads(line)["translation"] for line in texts]
        assert texts == ["die Katze sieht einen Baum .", *(["", "die Katze sieht einen Baum ."] * 4)]
        assert [bool(line) for line in Path("al").read_text().splitlines()] == [True, *([False, True] * 4)]
    said = [line for line in capsys.readouterr().err.splitlines() if "writing a blank line for it" in line]
    assert [message.split(": ")[0] for message in said] == ["stdin:2", "stdin:4", "stdin:6", "stdin:8"] * 2
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(good + b"\xff\n" + good))
    writer.start()
    run(input="pipe")
    writer.join()
    assert [bool(line) for line in Path("out").read_text().splitlines()] == [True, False, True]


# --- several inputs, several sentences -------------------------------------------------------------------------------


def test_each_of_several_inputs_has_an_output(
    stop: Callable[[int], None], capsys: pytest.CaptureFixture[str], refused: Callable[..., None]
) -> None:
    Path("more").mkdir()
    Path("more/b.txt.gz").write_bytes(gzip.compress(b"a dog\n"))
    inputs = ["in.txt", "more/b.txt.gz"]
    expected = []
    for name in inputs:
        run(input=name)
        expected.append(Path("out").read_text())
    Path("out").unlink()
    stop(3)  # the first file has three groups
    assert translate(input=inputs, output="new/dir") == 130
    assert {path.name for path in Path("new/dir").iterdir()} == {"in.txt"}
    run(input=inputs, output="new/dir", resume=True)
    assert "new/dir/in.txt: already complete" in capsys.readouterr().err
    assert [read(f"new/dir/{Path(name).name}") for name in inputs] == expected
    run(input=inputs, output="-")
    assert capsys.readouterr().out == "".join(expected)
    Path("same").mkdir()
    Path("same/in.txt").write_text("a\n")
    says = r"input=\[in.txt,same/in.txt\]: both would be written to new/in.txt"
    refused(says, input=["in.txt", "same/in.txt"], output="new")
    refused("both would be written", input=["in.txt", "same/in.txt"], output="fresh")
    assert not Path("fresh").exists()
    refused("output=in.txt: in.txt would be replaced", input=["in.txt"], output=".")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"input": []}, r"input=\[\]"),
        ({"input": ["a", "-"]}, r"input=\[a,-\]"),
        ({"input": ["a"], "prefix": "b"}, "prefix=b: belongs to a single input"),
        ({"input": ["a"], "alignments": "b"}, "alignments=b: belongs to a single input"),
        ({"split": "sentences", "decoding": {"n_best": 2}}, "split=sentences and decoding.n_best=2"),
        ({"split": "sentences", "prefix": "a"}, "split=sentences and prefix=a"),
        ({"resume": True}, "resume=true and output=-"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse("translate", {"checkpoint": "c", **options})


SCORE = ("score", f"checkpoint={MODEL}", "source=out", "target=out")


def test_a_paragraph_is_translated_sentence_by_sentence(refused: Callable[..., None]) -> None:
    pytest.importorskip("sentencex", reason="the extra `split`")
    sentences = ["the cat sees a tree.", "A dog, i.e. my friend, hears the old house!", "", "My friend sees the cat?"]
    Path("sentences").write_text("".join(f"{line}\n" for line in sentences))
    Path("paragraphs").write_text("".join(f"{line}\n" for line in [" ".join(sentences), "", sentences[0]]))
    longer = {"max_length": 20}
    run(longer, input="sentences", output_format="jsonl")
    one, two, _, four = map(json.loads, Path("out").read_text().splitlines())
    for soft in (False, True):
        alignments = "al.jsonl" if soft else "al"
        run(longer, input="paragraphs", output_format="jsonl", split="sentences", alignments=alignments)
        paragraph, blank, last = map(json.loads, Path("out").read_text().splitlines())
        assert paragraph["source"] == " ".join(sentences)
        assert paragraph["translation"] == " ".join(part["translation"] for part in (one, two, four))
        assert paragraph["tokens"] == one["tokens"] + two["tokens"] + four["tokens"]
        assert paragraph["score"] == pytest.approx(sum(paragraph["token_scores"]), abs=1e-4)
        assert (blank["translation"], last["translation"]) == ("", one["translation"])
        shifted, source_words, target_words = [], 0, 0
        for part in (one, two, four):
            links = [map(int, link.split("-")) for link in part["alignment"].split()]
            shifted += [f"{i + source_words}-{j + target_words}" for i, j in links]
            source_words += len(part["source"].split())
            target_words += len(part["translation"].split())
        assert paragraph["alignment"] == " ".join(shifted)
        if not soft:
            assert Path("al").read_text().splitlines()[0] == paragraph["alignment"]
            continue
        full = json.loads(Path("al.jsonl").read_text().splitlines()[0])
        assert full["source_words"] == paragraph["source"].split()
        assert full["target_words"] == paragraph["translation"].split()
        assert [len(row) for row in full["matrix"]] == [source_words] * target_words
        assert [len(row) for row in full["attention"]] == [len(full["source_tokens"])] * len(full["tokens"])
        assert all(abs(sum(row) - 1) < 1e-3 for row in full["attention"])
    refused("out:1: several sentences, as translate split=sentences joins them", *SCORE)
    run(longer, input="paragraphs", split="sentences")
    assert Path("out").read_text().splitlines() == [paragraph["translation"], "", last["translation"]]


def test_what_was_joined_says_so(refused: Callable[..., None]) -> None:
    pytest.importorskip("sentencex", reason="the extra `split`")
    Path("in.txt").write_text(" the cat sees a tree. \nthe cat sees a tree. a dog hears the house.\n")
    run(output_format="jsonl", split="sentences")
    one, two = map(json.loads, Path("out").read_text().splitlines())
    assert one["source"] == " the cat sees a tree. "
    assert "sentences" not in one
    assert two["sentences"] == 2
    refused("out:2: several sentences", *SCORE)  # though a limit cut off their ends


def test_an_input_is_never_replaced(refused: Callable[..., None]) -> None:
    Path("prefix").write_text("a\n" * 40)
    for options in ({"output": "./in.txt"}, {"prefix": "prefix", "output": "prefix"}):
        refused("output=.*would be replaced", **options)
    refused("alignments=in.txt: in.txt would be replaced", alignments="in.txt")
    with gzip.open("packed.txt.gz", "wt") as file:
        file.write("a\n")
    refused(r"output=packed.txt.gz: packed.txt would be replaced", input="packed.txt", output="packed.txt.gz")
    refused("take two different files", alignments="./out")
    Path("out.partial").write_text("a\n")
    refused("output=out: out.partial would be replaced", input="out.partial")
    Path("out.tmp").write_text("a\n")
    run(input="out.tmp")
    assert Path("out.tmp").read_text() == "a\n"


def test_no_command_replaces_its_input(capsys: pytest.CaptureFixture[str]) -> None:
    Path("links").write_text("0-0 1-1\n")
    Path("in.txt").write_text("a\n")
    sides = [f"checkpoint={MODEL}", "source=in.txt", "target=other"]
    commands = {
        "symmetrise": ["forward=links", "reverse=links", "gold=in.txt"],
        "score": sides,
        "align": sides,
        "evaluate": [f"checkpoint={MODEL}", "source=in.txt", "reference=other"],
        "bleu": ["hypothesis=other", "reference=[other,in.txt]"],
        "contrast": [f"checkpoint={MODEL}", "input=in.txt"],
    }
    for command, words in commands.items():
        assert main([command, *words, "output=./in.txt"]) == 2
        assert "output=./in.txt: in.txt would be replaced. Give another name." in capsys.readouterr().err
    assert main(["symmetrise", "forward=links", "reverse=links", "gold=in.txt", "output=out"]) == 2  # no links in it
    assert not Path("out").exists()
    assert Path("in.txt").read_text() == "a\n"


def test_a_complete_output_of_another_input_is_refused(refused: Callable[..., None]) -> None:
    run(output_format="jsonl")
    Path("in.txt").write_text("another line\n" * len(LINES))
    refused(r"out: line 1 of in.txt has another source", output_format="jsonl", resume=True)
    run(output="plain")
    refused(r"plain: has no rows of output_format=jsonl", output="plain", output_format="jsonl", resume=True)


def test_tabbed_text_is_a_table_as_in_training_or_said_to_be_none(caplog: pytest.LogCaptureFixture) -> None:
    Path("tabs.txt").write_text("ein Haus\ta house\n")
    assert list(RowLayout(("en", "de"), ["2", "1"], frozenset({".tsv"})).lines("tabs.txt", 0)) == ["a house"]
    assert list(RowLayout(("en", "de")).lines("tabs.txt", 0)) == ["ein Haus\ta house"]
    assert "tabs.txt: lines contain tabs" in caplog.text


def test_translations_are_scored_whatever_the_columns_of_training() -> None:
    run(output="out.jsonl", output_format="jsonl")
    columns = RowLayout(("en", "de"), ["en", "de"], frozenset({".jsonl"}))
    pairs = read_pairs("in.txt", "out.jsonl", load_translator(MODEL), columns)
    assert [pair.source for pair in pairs] == LINES


EVALUATE = ["evaluate", f"checkpoint={MODEL}", *(f"decoding.{key}={value}" for key, value in QUICK.items())]


def test_a_corpus_can_be_reported_on() -> None:
    Path("corpus.en").write_text("the cat sees a tree .\n")
    Path("corpus.de").write_text("die Katze sieht einen Baum .\n")
    assert main([*EVALUATE, "source=corpus", "report=report"]) == 0
    assert json.loads(Path("report/report.json").read_text())


def test_sources_longer_than_any_in_training_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_longest(*arguments: Any) -> Translator:
        translator = load_translator(*arguments)
        translator.lengths = Lengths(longest_source=12)
        return translator

    monkeypatch.setattr("seq2seq.cli.translate.load_translator", with_longest)
    Path("in.txt").write_text("a dog .\n" * 20 + "the cat sees a tree . " * 3 + "\n" + "a dog . " * 5 + "\n")
    run()
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "longer" in line]
    assert said.startswith("2 sources are longer than the longest that the model was trained on, which has 12 tokens")
    assert "(line 21 has " in said
    assert said.endswith("split=sentences translates each sentence of a line on its own.")


# --- several references ----------------------------------------------------------------------------------------------


def test_several_references_are_alternatives(capsys: pytest.CaptureFixture[str], refused: Callable[..., None]) -> None:
    said = ["die Katze sieht einen Baum .", "ein Hund hört mich ."]
    Path("hyp").write_text("".join(f"{line}\n" for line in said))
    for name, right in (("a", 0), ("b", 1)):
        Path(name).write_text("".join(f"{line if n == right else 'x'}\n" for n, line in enumerate(said)))
    assert main(["bleu", "hypothesis=[hyp,a]", "reference=[a,b]", "output_format=json"]) == 0
    first, _ = json.loads(capsys.readouterr().out)["systems"]
    assert (first["bleu"], first["chrf"], first["ter"]) == (pytest.approx(100), 100, 0)
    assert all("nrefs:2" in first[f"{metric}_signature"] for metric in ("bleu", "chrf", "ter"))
    Path("source").write_text("the cat sees a tree .\na dog .\n")
    command = ["evaluate", f"checkpoint={MODEL}", "source=source", "report=report", "output_format=json"]
    assert main([*command, "reference=[a,b]"]) == 0
    printed = json.loads(capsys.readouterr().out)
    report = json.loads(Path("report/report.json").read_text())
    assert report["bleu"] == printed["bleu"]
    assert "nrefs:2" in printed["bleu_signature"]
    assert "x" in {text for sentence in report["worst"] for text in sentence["reference"]}
    assert report["conditions"]["reference"] == ["a", "b"]
    Path("b").write_text("x\n")
    refused("b has 1 lines and a has 2", "bleu", "hypothesis=hyp", "reference=[a,b]")
    refused(r"reference=\[\]", "bleu", "hypothesis=hyp", "reference=[]")


# --- where it can't be written ---------------------------------------------------------------------------------------

FILES = {
    "translate": ["input=in.txt"],
    "evaluate": ["source=in.txt", "reference=in.txt"],
    "bleu": ["hypothesis=in.txt", "reference=in.txt"],
    "score": ["source=in.txt", "target=in.txt"],
    "align": ["source=in.txt", "target=in.txt"],
}
DIRECTORIES = {"plot": ["output_format=html"], "compare": ["runs=[x]"], "average": ["checkpoint=[x,y]"]}
LONG = "n" * 300


@pytest.mark.parametrize(
    ("command", "key", "value"),
    [("translate", "output", value) for value in ("in.txt/x", LONG, "no/x", "directory", "shut/x")]
    + [(command, "output", value) for command in list(FILES)[1:] for value in ("no/x", "directory")]
    + [("plot", "output", value) for value in ("in.txt/x", LONG, "shut/x")]
    + [(command, "output", "in.txt/x") for command in ("compare", "average")]
    + [("plot", "output", "in.txt"), ("compare", "output", "in.txt")]
    + [("evaluate", "report", value) for value in ("in.txt", "in.txt/x", LONG, "shut/x")]
    + [("translate", "alignments", value) for value in ("in.txt/x", LONG, "directory", "shut/x")],
)
def test_an_output_that_can_not_be_written_is_named_before_anything_else(
    command: str, key: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint is not even looked for."""
    Path("directory").mkdir()
    if value == "shut/x":
        Path("shut").mkdir()
        Path("shut").chmod(0o500)
        if os.access("shut", os.W_OK):
            pytest.skip("this user may write everywhere")
    found = there()
    checkpoint = [] if command in ("bleu", "compare", "average") else ["checkpoint=nowhere"]
    assert main([command, *checkpoint, *(FILES | DIRECTORIES)[command], f"{key}={value}"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(value[:6])
    assert any(what in said for what in ("can't be written", "can't be made", "expected a"))
    assert there() == found


# --- what is seen on a terminal --------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TypedIn(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(output="-")
    assert isinstance(sys.stderr, Terminal)
    assert "40/40" in sys.stderr.getvalue()
    assert main([*EVALUATE, "source=in.txt", "reference=in.txt"]) == 0
    assert sys.stderr.getvalue().count("40/40") >= 2
    assert "40/40" not in capsys.readouterr().out
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run(output="-")
    assert "/40" not in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", None)  # closed
    run(output="-")


def test_a_person_who_types_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    for stderr, told in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stderr)
        with TypedIn(io.FileIO("in.txt")) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            run(input="-")
            assert ("Type a sentence and press Enter; Ctrl-D ends." in stderr.getvalue()) == told
            with progress(None, hidden=is_typed("-")) as advance:
                advance(1)
        assert "line/s" not in stderr.getvalue()


def test_an_output_may_be_a_link_to_a_pipe() -> None:
    reading, writing = os.pipe()
    assert translate(output=f"/dev/fd/{writing}") == 0
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        found = file.read()
    run()
    assert found == read("out")


def test_a_string_is_no_list_of_characters() -> None:
    translator = load_translator(MODEL)
    for method in (translator.score, translator.align):
        with pytest.raises(DataError, match="expected two strings, or two lists"):
            method("ab", ["a", "b"])  # type: ignore[call-overload]


def test_a_file_is_no_checkpoint(refused: Callable[..., None]) -> None:
    refused(r"config\.json: a file; expected the directory of a checkpoint", checkpoint=f"{MODEL}/config.json")


def test_documents_are_named_beside_a_file_or_in_a_table() -> None:
    Path("data.v2").mkdir()
    for name in ("data.v2/source", "data.v2/source.doc", "data.doc"):
        Path(name).write_text("a\nb\n")
    Path("table.tsv").write_text("a\tb\n")
    files = RowLayout(("en", "de"), documents="doc")
    assert list(files.beginnings("data.v2/source") or ()) == [True, True]
    Path("data.v2/source.doc").unlink()
    assert files.beginnings("data.v2/source") is None
    assert files.beginnings("table.tsv") is None
    with pytest.raises(DataError, match=r"no column 'doc' \(data.documents\)"):
        dataclasses.replace(files, tables=True).beginnings("table.tsv")


def test_a_table_with_another_ending_names_its_documents() -> None:
    for name in ("table.tsv", "table.txt"):
        Path(name).write_text("a\tb\t1\na\tb\t1\nc\td\t2\n")
    for columns in (["1", "2"], None):
        trained = RowLayout(("en", "de"), columns, frozenset({".tsv"}), "3", tables=True)
        found = [trained.beginnings(name, corpus=True) for name in ("table.tsv", "table.txt")]
        assert [list(begins or ()) for begins in found] == [[True, False, True]] * 2
        lines = trained.beginnings("table.txt")
        assert (None if lines is None else list(lines)) == (None if columns is None else [True, False, True])
