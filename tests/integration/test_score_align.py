"""`score`, `align` and the alignments of `translate`, from end to end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from seq2seq.cli.main import main

SOURCES = ["the cat sees  a tree .", "", "Was?\u00a0\u2028 猫 (odd)", " a dog hears my friend . ", "tree " * 30]


@pytest.fixture(scope="module")
def runs(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two little models, `attending` and `fixed`, and one that says it translates from Chinese."""
    where = tmp_path_factory.mktemp("runs")
    (where / "source.txt").write_text("".join(f"{line}\n" for line in SOURCES))
    (where / "attending").symlink_to(models / "additive")
    (where / "fixed").symlink_to(models / "fixed")
    shutil.copytree(where / "attending/best", where / "chinese")
    config = json.loads((where / "chinese/config.json").read_text())
    config["data"]["source_lang"] = "zh"
    (where / "chinese/config.json").write_text(json.dumps(config))
    (where / "chinese/SHA256SUMS").unlink()
    return where


@pytest.fixture
def work(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with the models beside what has to be read."""
    monkeypatch.chdir(tmp_path)
    for path in ("attending", "fixed", "chinese", "source.txt"):
        Path(path).symlink_to(runs / path)
    return tmp_path


def lines(name: str) -> list[str]:
    text = Path(name).read_text()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(name)]


@pytest.mark.parametrize("model", ["attending", "fixed"])
@pytest.mark.parametrize(
    "search",
    [
        ["decoding.beam_size=1"],
        ["decoding.beam_size=1", "decoding.max_length=2"],
        ["decoding.beam_size=4", "decoding.n_best=2"],
    ],
)
def test_score_says_what_translate_said(work: Path, model: str, search: list[str]) -> None:
    say = [f"checkpoint={model}", "output_format=jsonl"]
    assert main(["translate", *say, "input=source.txt", "output=said", *search]) == 0
    assert main(["score", *say, "source=said", "target=said", "output=forced", "batch_size=3"]) == 0
    said, forced = records("said"), records("forced")
    assert len(said) == len(forced) >= len(SOURCES)
    for one, other in zip(said, forced, strict=True):
        assert other["score"] == pytest.approx(one["score"], abs=1e-4)
        assert other["token_scores"] == pytest.approx(one["token_scores"], abs=1e-4)
        same = ("source", "translation", "tokens", "alignment")
        assert {key: other[key] for key in same} == {key: one[key] for key in same}
        assert (one["alignment"] is None) == (model == "fixed")
    assert said[-1]["source"] == SOURCES[-1]


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("int8", 1e-4)])
def test_score_and_align_take_the_precision_of_the_search(work: Path, precision: str, tolerance: float) -> None:
    say = ["checkpoint=attending", "output_format=jsonl"]
    translate = ["translate", *say, "input=source.txt", f"decoding.precision={precision}", "decoding.beam_size=2"]
    assert main([*translate, "output=said", "alignments=links"]) == 0
    forced = [*say, "source=said", "target=said"]
    assert main(["score", *forced, "output=scored", f"precision={precision}"]) == 0
    assert main(["score", *forced, "output=exact"]) == 0
    assert main(["align", *forced, "output=aligned", f"precision={precision}"]) == 0
    said, scored, exact = (
        [score for record in records(name) for score in record["token_scores"]] for name in ("said", "scored", "exact")
    )
    assert said == pytest.approx(scored, abs=tolerance)
    assert exact != pytest.approx(scored, abs=1e-4)
    assert exact == pytest.approx(scored, abs=0.3)
    assert [record["alignment"] for record in records("aligned")] == lines("links")


def test_text_is_scored_line_by_line(work: Path) -> None:
    targets = ["die Katze sieht  einen Baum .", "", "猫\u2028?", "", "ein Hund"]
    Path("target.txt").write_text("".join(f"{line}\n" for line in targets))
    score = ["score", "checkpoint=attending", "source=source.txt", "target=target.txt"]
    assert main([*score, "output=scores"]) == 0
    assert main([*score, "output=records", "output_format=jsonl"]) == 0
    found = records("records")
    assert [record["translation"] for record in found] == targets
    assert [record["source"] for record in found] == SOURCES
    assert [float(line) for line in lines("scores")] == pytest.approx([record["score"] for record in found], abs=1e-6)
    for record in found:
        assert record["score"] == pytest.approx(sum(record["token_scores"]))
        assert len(record["tokens"]) == len(record["token_scores"])
    assert found[1]["tokens"] == []
    assert found[3]["tokens"] == ["</s>"]  # the probability of saying nothing
    assert lines("scores")[1] == "0.000000"
    assert all(record["tokens"][-1] == "</s>" for record in found if record["tokens"])
    assert max(record["score"] for record in found if record["tokens"]) < 0


def test_translate_writes_a_line_of_links_for_each_line_of_text(work: Path) -> None:
    translate = ["translate", "checkpoint=attending", "input=source.txt", "decoding.n_best=2", "decoding.max_length=9"]
    assert main([*translate, "output=text", "alignments=links"]) == 0
    assert main([*translate, "output=records", "output_format=jsonl", "alignments=links2"]) == 0
    found, links = records("records"), lines("links")
    assert [record["alignment"] for record in found] == links == lines("links2")
    assert [record["translation"] for record in found] == lines("text")
    assert links[2] == lines("text")[2] == ""
    assert sum(map(bool, links)) > 3
    for record in found:
        pairs = [tuple(map(int, link.split("-"))) for link in record["alignment"].split()]
        assert all(i < len(record["source"].split()) and j < len(record["translation"].split()) for i, j in pairs)
        assert len({j for _, j in pairs}) == len(pairs)


def test_align_prints_links_matrices_and_the_agreement(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    targets = ["die Katze sieht  einen Baum .", "", "Was? 猫", "ein Hund", "Baum Baum"]
    Path("target.txt").write_text("".join(f"{line}\n" for line in targets))
    align = ["align", "checkpoint=attending", "source=source.txt", "target=target.txt"]
    assert main([*align, "output=links"]) == 0
    assert main([*align, "output=records", "output_format=jsonl"]) == 0
    links, found = lines("links"), records("records")
    assert links == [record["alignment"] for record in found]
    assert links[1] == ""
    for record, source, target in zip(found, SOURCES, targets, strict=True):
        assert (record["source_words"], record["target_words"]) == (source.split(), target.split())
        assert len(record["matrix"]) == len(target.split())
        for row in record["matrix"]:
            assert len(row) == len(source.split())
            assert 0 < sum(row) <= 1.00001
        for link in record["alignment"].split():
            i, j = map(int, link.split("-"))
            assert record["matrix"][j][i] == max(record["matrix"][j])

    count = sum(len(line.split()) for line in links)
    for base in (0, 1):
        shifted = [
            " ".join("-".join(str(int(word) + base) for word in link.split("-")) for link in line.split())
            for line in links
        ]
        Path("gold").write_text("".join(f"{line}\n" for line in shifted))
        capfd.readouterr()
        assert main([*align, "gold=gold", f"gold_base={base}", "output_format=json"]) == 0
        assert json.loads(capfd.readouterr().out) == {"aer": 0.0, "precision": 1.0, "recall": 1.0, "links": count}
    assert main([*align, "gold=gold", "gold_base=1"]) == 0
    captured = capfd.readouterr()
    assert captured.out.split("\n")[:-1] == links
    assert "AER 0.0000  precision 1.0000  recall 1.0000" in captured.err


def test_words_of_chinese_are_characters_as_the_checkpoint_says(work: Path) -> None:
    Path("zh").write_text("猫 喜欢树。\n")
    Path("target.txt").write_text("die Katze\n")
    sides = ["source=zh", "target=target.txt", "output=records", "output_format=jsonl"]
    assert main(["align", "checkpoint=chinese", *sides]) == 0
    (record,) = records("records")
    assert record["source_words"] == list("猫喜欢树。")
    assert record["target_words"] == ["die", "Katze"]
    assert main(["align", "checkpoint=attending", *sides]) == 0
    assert records("records")[0]["source_words"] == ["猫", "喜欢树。"]


RECORD = json.dumps({"source": "a", "tokens": ["</s>"]}) + "\n"


@pytest.mark.parametrize(
    ("command", "files", "complaints"),
    [
        ("score source=s target=t", {"s": "a\nb\n", "t": "x\n"}, ["t:2: the file ends here, but s has a line 2"]),
        ("align source=s target=t", {"s": "a\n", "t": "x\ny\n"}, ["s:2: the file ends here, but t has a line 2"]),
        ("score source=s target=t", {"s": "a\na\n", "t": RECORD + "no\n"}, ["t:2: expected an object", "'no'"]),
        (
            "score source=s target=t",
            {"s": "a\na\n", "t": RECORD + RECORD.replace("</s>", "strange")},
            ["t:2: 'strange' is not in the vocabulary"],
        ),
        ("align source=s target=t gold=g", {"s": "a\n", "t": "x\n", "g": ""}, ["g:1: the file ends here", "0 lines"]),
        ("align source=s target=t gold=g", {"s": "a\n", "t": "x\n", "g": "\n\n"}, ["g:2: there is no pair 2"]),
        ("align source=s target=t gold=g", {"s": "a\n", "t": "x\n", "g": "0-0 0:0\n"}, ["g:1: '0:0' is no link"]),
        (
            "align source=s target=t gold=g",
            {"s": "a\na b\n", "t": "x\nx\n", "g": "\n1-0 2?0\n"},
            ["g:2: the link of source word 2 and target word 0 is out of range", "2 and 1 words", "gold_base=0"],
        ),
        (
            "align source=s target=t gold=g gold_base=1",
            {"s": "a b c\n", "t": "x\n", "g": "2?2 1-1\n"},
            ["g:1: the link of source word 2 and target word 2 is out of range", "3 and 1 words", "gold_base=1"],
        ),
        ("align source=s target=t gold=g gold_base=1", {"s": "a\n", "t": "x\n", "g": "0-0\n"}, ["g:1:", "gold_base=0"]),
        ("align source=s target=t gold=g gold_base=2", {}, ["gold_base=2: must be at most 1"]),
        ("align source=s target=t output_format=json", {"s": "a\n", "t": "x\n"}, ["gold=FILE"]),
        ("align checkpoint=fixed source=s target=t", {"s": "a\n", "t": "x\n"}, ["model/attention/placement=none"]),
        ("translate checkpoint=fixed input=s alignments=a", {"s": "a\n"}, ["model/attention/placement=none"]),
        ("translate input=s output=a alignments=a", {"s": "a\n"}, ["alignments=a and output=a"]),
    ],
)
def test_mistakes_are_named_with_file_and_line(
    work: Path, capfd: pytest.CaptureFixture[str], command: str, files: dict[str, str], complaints: list[str]
) -> None:
    for name, content in files.items():
        Path(name).write_text(content)
    before = sorted(Path().iterdir())
    name, *arguments = command.split()
    assert main([name, "checkpoint=attending", *arguments]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    for complaint in complaints:
        assert complaint in captured.err
    assert sorted(Path().iterdir()) == before
