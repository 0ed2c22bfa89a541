"""`plot` in each format, of translations and of given pairs."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.trainers import learn_few_pairs

from seq2seq.cli.main import main
from seq2seq.inference.pages import _DIGITS
from seq2seq.version import install_command

SOURCES = ["the cat sees  a tree .", "", "<b>Was?</b>\u00a0\u2028 猫 </script>", "tree " * 30]
TARGETS = ["die Katze sieht  einen Baum .", "", "猫 ist السلام .", "Baum"]
FILLED = ["0001", "0003", "0004"]
BEGINNING = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def runs(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Little models: `heads` has two of them, `layers` three of such layers, `local` windows, `fixed` no attention."""
    where = tmp_path_factory.mktemp("runs")
    (where / "source.txt").write_text("".join(f"{line}\n" for line in SOURCES))
    (where / "target.txt").write_text("".join(f"{line}\n" for line in TARGETS))
    (where / "fixed").symlink_to(models / "fixed")
    common = [*learn_few_pairs(models, where), "training.max_updates=20"]
    local = ["model/attention/window=local_p", "model.attention.window.half_width=2"]
    assert main([*common, f"run_dir={where}/heads", "model.attention.heads=2"]) == 0
    assert main([*common, f"run_dir={where}/local", *local]) == 0
    layers = ["model/decoder=transformer", "model.decoder_layers=3", "model.attention.heads=2"]
    assert main([*common, f"run_dir={where}/layers", *layers, "model.decoder.attention.heads=2"]) == 0
    return where


@pytest.fixture
def work(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with the models beside what has to be read."""
    monkeypatch.chdir(tmp_path)
    for path in ("heads", "local", "layers", "fixed", "source.txt", "target.txt"):
        Path(path).symlink_to(runs / path)
    return tmp_path


def plot(*arguments: str, model: str = "heads") -> int:
    return main(["plot", f"checkpoint={model}", "input=source.txt", "decoding.max_length=12", *arguments])


def sentences(page: str) -> list[dict[str, Any]]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)["sentences"]


@pytest.mark.parametrize("file_format", BEGINNING)
def test_a_picture_is_drawn_of_each_line_that_says_something(
    work: Path, capfd: pytest.CaptureFixture[str], file_format: str
) -> None:
    pytest.importorskip("matplotlib")
    capfd.readouterr()
    assert plot("output=new/pictures", f"output_format={file_format}") == 0
    names = [f"new/pictures/{number}.{file_format}" for number in FILLED]
    assert capfd.readouterr().out.split("\n") == [*names, ""]
    assert sorted(str(path) for path in Path("new/pictures").iterdir()) == names
    assert all(Path(name).read_bytes().startswith(BEGINNING[file_format]) for name in names)


def test_the_page_has_every_sentence_and_is_where_it_was_asked_for(
    work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert plot("output_format=html", "output=new/page.html") == 0
    assert plot("output_format=html", "output=directory") == 0
    assert capfd.readouterr().out == "new/page.html\ndirectory/index.html\n"
    assert plot("output_format=html", "output=-") == 0
    page = Path("new/page.html").read_text()
    assert capfd.readouterr().out == page == Path("directory/index.html").read_text()
    found = sentences(page)
    assert [sentence["number"] for sentence in found] == [int(number) for number in FILLED]
    assert [sentence["source"] for sentence in found] == [line for line in SOURCES if line]
    assert main(["translate", "checkpoint=heads", "input=source.txt", "decoding.max_length=12", "output=said",
                 "output_format=jsonl"]) == 0  # fmt: skip
    said = [record for record in map(json.loads, Path("said").read_text().split("\n")[:-1]) if record["tokens"]]
    for sentence, record in zip(found, said, strict=True):
        assert (sentence["target"], sentence["rows"]) == (record["translation"], record["tokens"])
        assert sentence["scores"] == pytest.approx(record["token_scores"], abs=1e-4)
        assert [len(code) for code in sentence["weights"]] == [2 * len(sentence["rows"]) * len(sentence["columns"])] * 2
        assert sentence["windows"] is None


def test_local_attention_comes_with_its_windows(work: Path) -> None:
    pytest.importorskip("matplotlib")
    for given in ([], ["target=target.txt"], ["decoding.precision=bf16"], ["decoding.precision=auto"]):
        assert plot("output_format=html", "output=page.html", *given, model="local") == 0
        found = sentences(Path("page.html").read_text())
        assert len(found) == len(FILLED)
        for sentence in found:
            assert len(sentence["windows"]) == len(sentence["rows"])
            width = len(sentence["columns"])
            for row, (first, last, centre) in enumerate(sentence["windows"]):
                assert 0 <= first <= centre + 0.5
                assert centre - 0.51 <= last < width
                assert last - first <= 4
                (code,) = sentence["weights"]
                of_row = [code[2 * (row * width + i) :][:2] for i in range(width)]
                assert {i for i in range(width) if of_row[i] != "AA"} <= set(range(first, last + 1))
    assert plot("output=pictures", model="local") == 0
    assert plot("output=page.html", "output_format=html", model="[local,heads]") == 0
    assert all(sentence["windows"] is None for sentence in sentences(Path("page.html").read_text()))


def test_the_heads_of_a_layer_are_drawn_each_or_as_their_mean(work: Path) -> None:
    pytest.importorskip("matplotlib")

    def drawn(*given: str) -> list[np.ndarray[Any, Any]]:
        more = ["output_format=html", "output=page.html", "target=target.txt"]
        assert plot(*more, *given, model="layers") == 0
        digits = {chr(code): value for value, code in enumerate(_DIGITS)}
        pairs = [[code[i : i + 2] for i in range(0, len(code), 2)]
                 for sentence in sentences(Path("page.html").read_text()) for code in sentence["weights"]]  # fmt: skip
        return [np.array([digits[one] * 64 + digits[two] for one, two in heads]) / 4095 for heads in pairs]

    usual, each = drawn(), {layer: drawn(f"layer={layer}") for layer in (1, 2, 3)}
    assert all((one == other).all() for one, other in zip(usual, each[2], strict=True))  # the last but one
    assert any((one != other).any() for one, other in zip(each[1], each[3], strict=True))
    for layer, heads in each.items():
        means = drawn(f"layer={layer}", "heads=mean")
        expected = [(one + other) / 2 for one, other in zip(heads[::2], heads[1::2], strict=True)]
        assert len(means) == len(FILLED)
        assert all(mean == pytest.approx(of_pair, abs=3e-4) for mean, of_pair in zip(means, expected, strict=True))
    assert "Attention of layers, layer 3" in Path("page.html").read_text()
    assert plot("layer=1", "output=pictures", "heads=mean", model="layers") == 0


def test_words_are_aligned_by_the_layer_that_was_asked_for(work: Path) -> None:
    def matrices(*given: str) -> list[Any]:
        command = ["align", "checkpoint=layers", "source=source.txt", "target=target.txt", "output=links.jsonl"]
        assert main([*command, "output_format=jsonl", *given]) == 0
        return [json.loads(line)["matrix"] for line in Path("links.jsonl").read_text().split("\n")[:-1]]

    assert matrices() == matrices("layer=2") != matrices("layer=1")


def test_given_translations_are_drawn_as_they_are(work: Path) -> None:
    assert plot("output_format=html", "output=page.html", "target=target.txt") == 0
    found = sentences(Path("page.html").read_text())
    assert [sentence["target"] for sentence in found] == [line for line in TARGETS if line]
    assert all(sentence["rows"][-1] == "</s>" for sentence in found)
    assert main(["score", "checkpoint=heads", "source=source.txt", "target=target.txt", "output=scores"]) == 0
    scores = [float(line) for line in Path("scores").read_text().split("\n")[:-1]]
    assert [sentence["score"] for sentence in found] == pytest.approx([s for s in scores if s], abs=1e-4)


@pytest.mark.parametrize("given", [[], ["target=target.txt"]])
def test_words_instead_of_pieces(work: Path, given: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert plot("output_format=html", "output=page.html", "units=words", *given) == 0
    for sentence in sentences(Path("page.html").read_text()):
        assert sentence["columns"] == sentence["source"].split()
        assert sentence["rows"] == sentence["target"].split()
        assert sentence["windows"] is None
        assert len(sentence["weights"]) == 2
        assert sum(sentence["scores"]) > sentence["score"] - 1e-3  # which has that of EOS too; all are rounded
    capfd.readouterr()
    assert plot("output_format=text", "units=words", *given) == 0
    printed = capfd.readouterr().out
    assert "</s> |" not in printed
    if given:
        assert "\nBaum |" in printed


def test_the_terminal_gets_text(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert plot("output_format=text", "target=target.txt") == 0
    printed = capfd.readouterr().out
    assert printed.startswith(f"{SOURCES[0]}\n{TARGETS[0]}\n")
    assert printed.count("</s> |") == len(FILLED)


def test_text_goes_into_the_file_that_is_named(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert plot("output_format=text", "target=target.txt") == 0
    printed = capfd.readouterr().out
    assert plot("output_format=text", "target=target.txt", "output=maps.txt") == 0
    assert capfd.readouterr().out == ""
    assert Path("maps.txt").read_text() == printed
    for output in ("source.txt", "target.txt"):
        assert plot("output_format=text", "target=target.txt", f"output={output}") == 2
        assert f"output={output}" in capfd.readouterr().err


def test_a_font_that_is_missing_is_named_once(
    work: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from seq2seq.inference import fonts

    faces = [face for face in fonts._installed(()) if face[0] == "DejaVu Sans"]
    monkeypatch.setattr(fonts, "_installed", lambda preferred: faces)
    Path("chinese").write_text("猫\n猫\n")
    for file_format, complaints in (("png", 1), ("pdf", 1), ("svg", 0)):
        capfd.readouterr()
        assert main(["plot", "checkpoint=heads", "input=chinese", "target=chinese", "units=words",
                     f"output_format={file_format}"]) == 0  # fmt: skip
        message = capfd.readouterr().err
        assert message.count(install_command("plots-cjk")) == complaints
        assert message.count("1 characters have no font here and became boxes: 猫.") == complaints
        assert message.count("\n") == complaints


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["checkpoint=fixed"], "model/attention/placement=none"),
        (["checkpoint=fixed", "output_format=html"], "model/attention/placement=none"),
        (["output=-"], "Give a directory"),
        (["output=source.txt"], "source.txt: a file, expected a directory"),
        (["output=source.txt/x.html", "output_format=html"], "source.txt: a file, expected a directory"),
        (["input=nowhere", "output_format=html"], "nowhere"),
        (["input=bad", "output_format=html"], "bad:2: not UTF-8"),
        (["target=short", "output_format=html"], "short:2: the file ends here"),
        (["layer=2"], "layer=2: number of decoder layers that attend to the source: 1"),
        (["checkpoint=layers", "layer=4"], "Use a number from 1 to 3."),
        (["units=word"], "Did you mean 'words'?"),
        (["output_format=jpg"], "png, svg, pdf, html, text"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(
    work: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    pytest.importorskip("matplotlib")
    Path("bad").write_bytes(b"one\n\xff\n")
    Path("short").write_text("one\n")
    assert plot(*arguments) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert complaint in captured.err
    assert "Traceback" not in captured.err
    assert not [path for path in Path().rglob("*") if path.suffix in (".html", ".tmp", ".png")]


def test_pictures_without_matplotlib_are_refused_with_the_way_out(
    work: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "seq2seq.inference.picture", None)
    assert plot("output_format=svg") == 2
    assert install_command("plots") in capfd.readouterr().err
    assert plot("output_format=html", "output=page.html") == 0
