"""`evaluate report=DIR`, from end to end."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.sentences import FEW_PAIRS, write_pairs
from support.trainers import learn_few_pairs

from seq2seq.cli.main import main
from seq2seq.inference import translator
from seq2seq.version import install_command

HOSTILE = '</dd></script><script>alert("1")</script><img src=x onerror=alert(2)> &lt;b&gt; a | b \u2028 \x1b[31m'
TESTS = [
    *FEW_PAIRS[:5],
    ("", ""),
    ("", "nichts"),
    (HOSTILE, HOSTILE[::-1]),
    (f"tree {'tree ' * 25}", f"{HOSTILE} Baum"),
]
ALWAYS = {"report.html", "report.json", "translations.txt", "translations.jsonl"}


@pytest.fixture(scope="module")
def runs(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with global, with local and without attention."""
    where = tmp_path_factory.mktemp("runs")
    write_pairs(where / "test", TESTS)
    (where / "global").symlink_to(models / "additive")
    (where / "fixed").symlink_to(models / "fixed")
    local = ["model/attention=luong2015_local_p", "model.attention.window.half_width=2", "model.attention.heads=2"]
    assert main([*learn_few_pairs(models, where), f"run_dir={where}/local", *local]) == 0
    return where


@pytest.fixture
def work(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in ("global", "local", "fixed", "test.en", "test.de"):
        Path(path).symlink_to(runs / path)
    return tmp_path


def evaluate(checkpoint: str, *more: str) -> int:
    settings = [f"checkpoint={checkpoint}", "source=test.en", "reference=test.de", "decoding.max_length=8"]
    return main(["evaluate", *settings, *more])


def content(directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def data(directory: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(directory, "report.json").read_text())
    return found


class Page(HTMLParser):
    """The tags of a page, its text, and where its links lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_report_says_what_evaluate_says_and_more(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("global", "output_format=json") == 0
    plain = capsys.readouterr().out
    assert evaluate("global", "output_format=json", "report=reports/one") == 0
    assert capsys.readouterr().out == plain
    found, scores = data("reports/one"), json.loads(plain)
    bins, plain_bins = found.pop("bleu_by_length"), scores.pop("bleu_by_length")
    assert scores.items() <= found.items()
    assert [{key: of[key] for key in ("words", "sentences", "bleu")} for of in bins] == plain_bins
    for name in ("bleu", "chrf", "ter"):
        assert found[name] > 0
        assert found[f"{name}_interval"]["half_width"] > 0
        assert "|bs:1000|seed:12345|" in found[f"{name}_interval"]["signature"]
    assert (found["sentences"], found["empty_translations"]) == (len(TESTS), 2)
    assert found["cut_translations"] > 0  # decoding.max_length=8
    assert found["conditions"]["decoding"]["max_length"] == 8
    assert 0 < found["attention"]["relative_entropy"] < 1
    assert "width" not in found["attention"]

    page = Page(Path("reports/one/report.html"))
    for name in ("bleu", "chrf", "ter"):
        assert f"{found[name]:.2f}" in page.text
        assert f"± {found[f'{name}_interval']['half_width']:.2f}" in page.text
    assert {f"attention.html#n{of['number']}" for of in found["worst"] if of["alignment"]} >= set(page.links)
    assert evaluate("global", "report=two") == 0
    assert content("two") == content("reports/one")


def test_the_translations_can_be_scored_and_aligned(work: Path) -> None:
    assert evaluate("global", "report=report") == 0
    translate = ["translate", "checkpoint=global", "input=test.en", "decoding.max_length=8"]
    assert main([*translate, "output=text"]) == 0
    assert main([*translate, "output=said", "output_format=jsonl"]) == 0
    assert Path("report/translations.txt").read_bytes() == Path("text").read_bytes()
    assert Path("report/translations.jsonl").read_bytes() == Path("said").read_bytes()
    pairs = ["source=report/translations.jsonl", "target=report/translations.jsonl"]
    assert main(["align", "checkpoint=global", *pairs, "output=links"]) == 0
    records = [json.loads(line) for line in Path("said").read_text().split("\n")[:-1]]
    assert Path("links").read_text().split("\n")[:-1] == [record["alignment"] for record in records]


def test_the_worst_sentences_come_first_and_exact_ones_never(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator, "_SORTED_BATCHES", 1)  # so that they are read in several groups
    assert evaluate("global", "report=report", "decoding.batch_size=2") == 0
    worst = data("report")["worst"]
    assert [of["chrf"] for of in worst] == sorted(of["chrf"] for of in worst)
    for of in worst:
        assert of["reference"] == TESTS[of["number"] - 1][1]
        assert of["source"] == TESTS[of["number"] - 1][0]
        assert of["translation"].split() != of["reference"].split()
    numbers = [of["number"] for of in worst]
    assert 6 not in numbers  # nothing became nothing
    (blank,) = [of for of in worst if of["number"] == 7]
    assert (blank["translation"], blank["chrf"], blank["log_prob_per_token"], blank["alignment"]) == ("", 0, None, "")
    assert "attention.html#n7" not in Page(Path("report/report.html")).links


def test_text_is_shown_and_does_nothing(work: Path) -> None:
    assert evaluate("global", "report=report") == 0
    page = Page(Path("report/report.html"))
    assert page.tags <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "dl", "dt", "dd", "table", "thead", "tbody"),
        *("tr", "th", "td", "p", "article", "a", "u", "img"),
    }
    assert HOSTILE.replace("\u2028", "·").replace("\x1b", "·") in page.text
    for path in Path("report").glob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_windows_and_heads_are_in_the_report(work: Path) -> None:
    assert evaluate("local", "report=report") == 0
    attention = data("report")["attention"]
    assert len(attention["heads"]) == 2
    for values in (attention, *attention["heads"]):
        assert 1 <= values["width"] <= 5
        assert 0 < values["lost"] < 1
        assert 0 < values["edge"] < 1
    text = Page(Path("report/report.html")).text
    assert "head 2" in text
    assert "lost weight" in text


def test_without_attention_there_is_a_report_without_it(work: Path) -> None:
    assert evaluate("global", "report=report") == 0
    assert (Path("report") / "attention.html").exists()
    Path("report/mine.txt").write_text("stays")
    assert evaluate("fixed", "report=report") == 0
    assert content("report").keys() - {"bleu_by_length.svg"} == {*ALWAYS, "mine.txt"}
    assert data("report")["attention"] is None
    page = Page(Path("report/report.html"))
    assert "This model has none." in page.text
    assert page.links == []
    assert evaluate("[global,fixed]", "report=ensemble") == 0
    assert "width" not in data("ensemble")["attention"]


def test_the_plot_needs_matplotlib_and_the_report_does_not(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert evaluate("fixed", "report=report") == 0
    assert content("report")["bleu_by_length.svg"].startswith(b"<?xml")
    assert "img" in Page(Path("report/report.html")).tags
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        assert evaluate("fixed", "report=report") == 0
    assert content("report").keys() == ALWAYS
    assert "img" not in Page(Path("report/report.html")).tags
    assert install_command("plots") in capsys.readouterr().err


def test_a_report_that_fails_leaves_the_former_one(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evaluate("global", "report=report") == 0
    before = content("report")

    def failing(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("seq2seq.cli.evaluate.page", failing)
    assert evaluate("local", "report=report") == 130
    assert content("report") == before


def test_mistakes_are_named_before_anything_is_translated(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("mine")
    assert evaluate("global", "report=file") == 2
    assert "file: a file, expected a directory" in capsys.readouterr().err
    assert evaluate("global", "report=file/report") == 2
    assert "file/report: can't be made" in capsys.readouterr().err
    Path("report/report.html").mkdir(parents=True)
    assert evaluate("global", "report=report") == 2
    assert Path("file").read_text() == "mine"
