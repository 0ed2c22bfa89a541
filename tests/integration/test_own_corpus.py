"""A corpus of one's own, as it is downloaded: a table with other columns and nothing held out, from train to plot."""

import gzip
import json
import os
from pathlib import Path

import pytest
from support.sentences import PAIRS
from support.trainers import SMALL, weights

from seq2seq.cli.grid import Cell
from seq2seq.cli.grid_measurement import read_task
from seq2seq.cli.main import main
from seq2seq.config import parse
from seq2seq.training.run_directory import default_run_dir

TRAIN = [
    "train", *SMALL, "data.train=anki.txt", "data.columns=[2,1]", "data.split.valid=4", "data.split.test=5",
    "model.embedding_size=8", "model.hidden_size=8", "training.processes=1", "decoding.max_length=4",
    "training.max_updates=3", "run_dir=run",
]  # fmt: skip
ROWS = [(target, source, "CC-BY") for source, target in PAIRS]


def table(rows: list[tuple[str, ...]], tab: str = "\t") -> str:
    return "".join(f"{tab.join(row)}\n" for row in rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on such a corpus, and its test set in every format."""
    where = tmp_path_factory.mktemp("own")
    before = Path.cwd()
    os.chdir(where)
    try:
        Path("anki.txt").write_text(table(ROWS))
        assert main(TRAIN) == 0
        sides = [Path(f"run/split/test.{code}").read_text().splitlines() for code in ("en", "de")]
        pairs = list(zip(*sides, strict=True))
        swapped: list[tuple[str, ...]] = [(target, source, "CC-BY") for source, target in pairs]
        Path("usual.tsv").write_text(table(swapped))
        Path("other.tsv").write_text(table([("Source", "Target"), *pairs]))
        Path("anki-test.txt").write_text(table(swapped))
        with gzip.open("packed.csv.gz", "wt") as file:
            file.write(table([("de", "en"), *((f'"{t}"', f'"{s}"') for s, t in pairs)], ","))
        records = [{"translation": {"en": source, "de": target}} for source, target in pairs]
        Path("nested.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
        for code, side in zip(("en", "de"), sides, strict=True):
            with gzip.open(f"plain.{code}.gz", "wt") as file:
                file.write("".join(f"{line}\n" for line in side))
    finally:
        os.chdir(before)
    return where


@pytest.fixture
def work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with the run and its test set."""
    monkeypatch.chdir(tmp_path)
    for path in trained.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


SOURCES = [
    "usual.tsv", "other.tsv columns=[Source,Target]", "anki-test.txt", "packed.csv", "packed.csv.gz", "nested.jsonl",
    "run/split/test",
]  # fmt: skip


def output(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments, "checkpoint=run", "device=cpu"]) == 0
    return capfd.readouterr().out


def both(form: str) -> list[str]:
    """The options of a source and target that are the two sides of one file."""
    name, *more = form.split()
    return [f"source={name}", f"target={name}", *more]


PLAIN = ["source=plain.en", "target=plain.de"]


@pytest.mark.parametrize("form", SOURCES)
def test_evaluate_reads_what_train_reads(work: Path, capfd: pytest.CaptureFixture[str], form: str) -> None:
    evaluate = ["evaluate", "decoding.max_length=4", "output_format=json"]
    expected = output(capfd, *evaluate, "source=plain.en", "reference=plain.de")
    assert output(capfd, *evaluate, *f"source={form}".split()) == expected
    if form != "run/split/test":
        name, *columns = form.split()
        assert output(capfd, *evaluate, f"source={name}", f"reference={name}", *columns) == expected


@pytest.mark.parametrize("form", SOURCES[1:5:2])
def test_score_and_align_read_what_train_reads(work: Path, capfd: pytest.CaptureFixture[str], form: str) -> None:
    for command in ("score", "align"):
        assert output(capfd, command, *both(form)) == output(capfd, command, *PLAIN)


@pytest.mark.parametrize("form", ["usual.tsv", "packed.csv", "nested.jsonl"])
def test_the_other_commands_read_a_side_of_a_table(work: Path, capfd: pytest.CaptureFixture[str], form: str) -> None:
    translate, plot = ["translate", "decoding.max_length=4"], ["plot", "output_format=text", "decoding.max_length=4"]
    assert output(capfd, *translate, f"input={form}") == output(capfd, *translate, "input=plain.en")
    assert output(capfd, *plot, f"input={form}") == output(capfd, *plot, "input=plain.en")
    drawn = output(capfd, *plot, "input=plain.en", "target=plain.de")
    assert output(capfd, *plot, f"input={form}", f"target={form}") == drawn
    assert main(["shortlist", "checkpoint=run", f"source={form}", f"target={form}", "device=cpu"]) == 0
    assert f"{form}: aligning 5 pairs" in capfd.readouterr().err
    (work / "run/best/shortlist.safetensors").unlink(missing_ok=True)


def test_columns_make_a_table_of_tabbed_text_and_none_of_stdin(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = output(capfd, "score", *PLAIN)
    given = ["source=anki-test.txt", "target=plain.de", "columns=[2,1]"]
    assert output(capfd, "score", *given) == expected
    assert main(["translate", "checkpoint=run", "columns=[2,1]", "device=cpu"]) == 2
    assert "columns=[2,1] and input=-: stdin is plain text. Give a file." in capfd.readouterr().err
    assert main(["score", "checkpoint=run", *given, "source=-", "device=cpu"]) == 2
    assert "columns=[2,1] and -: stdin is plain text. Give a file" in capfd.readouterr().err


def test_bleu_reads_the_target_of_a_table(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bleu", "hypothesis=plain.de", "reference=other.tsv", "columns=[Source,Target]"]) == 0
    assert "BLEU 100.00" in capfd.readouterr().out
    assert main(["bleu", "hypothesis=packed.csv", "reference=nested.jsonl", "target_lang=de"]) == 0
    assert "BLEU 100.00" in capfd.readouterr().out


def test_translations_as_jsonl_go_back_in(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    form = ["decoding.max_length=4", "output_format=jsonl", "output=o.jsonl"]
    assert output(capfd, "translate", "input=plain.en", *form) == ""
    said = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    Path("o.txt").write_text("".join(f"{one['translation']}\n" for one in said))
    scores = [float(line) for line in output(capfd, "score", *both("o.jsonl")).split()]
    assert scores == pytest.approx([one["score"] for one in said], abs=1e-4)
    assert main(["bleu", "hypothesis=o.jsonl", "reference=o.txt"]) == 0
    assert "BLEU 100.00" in capfd.readouterr().out


def test_training_says_what_it_does_and_scores_its_own_test_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("anki.txt").write_text(table(ROWS))
    assert main([*TRAIN, "check=true"]) == 0
    assert not Path("run").exists()
    capfd.readouterr()
    assert main(TRAIN) == 0
    said = capfd.readouterr().err
    assert "pairs in valid" in said
    assert "no source sentence is in two of them: run/split" in said
    assert f"anki.txt, first pairs:\n  en: {PAIRS[0][0]}  |  de: {PAIRS[0][1]}\n" in said
    assert "run/split/test, best checkpoint" in said
    assert json.loads(Path("run/test.json").read_text())["bleu"] >= 0
    Path("anki.txt").unlink()  # a run goes on with the split that it has
    assert main([*TRAIN, "training.max_updates=4"]) == 0
    assert "resuming from update 3" in capfd.readouterr().err
    Path("anki.txt").write_text(table(ROWS))
    assert main([*TRAIN, "training.max_updates=4", "run_dir=again"]) == 0
    again, resumed = weights("again/last"), weights("run/last")
    assert all((again[name] == resumed[name]).all() for name in resumed)


def test_a_comparison_takes_the_test_set_of_a_split(work: Path) -> None:
    config = parse("train", json.loads(Path("run/config.json").read_text()))
    expected = Path("run/split/test.en").read_text().splitlines()
    cells = [Cell("given", config, Path("run")), Cell("new", config)]
    assert read_task(parse("compare", {}), cells).sources == expected
    assert read_task(parse("compare", {}), cells[1:]).sources == expected
    assert default_run_dir(config, "a") != default_run_dir(parse("train", _with_split(config, 3)), "a")


def _with_split(config: object, test: int) -> dict[str, object]:
    from seq2seq.config import to_plain

    values = to_plain(config)
    values["data"]["split"]["test"] = test
    return values
