"""`seq2seq compare` from end to end, on a corpus of a few sentences."""

import csv
import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.significance import PairedTest
from support.sentences import write_pairs
from support.trainers import settings

from seq2seq import checkpoint
from seq2seq.cli import grid as grid_module
from seq2seq.cli import grid_measurement
from seq2seq.cli.grid import Cell
from seq2seq.cli.grid_measurement import Task
from seq2seq.cli.grid_results import identities, run_directory
from seq2seq.cli.main import main
from seq2seq.config import parse
from seq2seq.inference import comparison
from seq2seq.inference.comparison import Failed, Measured
from seq2seq.text.moses import MosesTokens
from seq2seq.training.progress import Progress

PAIRS = [
    (f"{who} {does} {what} .", f"{wer} {tut} {was} .")
    for who, wer in (("the cat", "die Katze"), ("a dog", "ein Hund"), ("my friend", "mein Freund"))
    for does, tut in (("sees", "sieht"), ("hears", "hört"))
    for what, was in (("the tree", "den Baum"), ("a tree", "einen Baum"))
]
COMMON = (
    "data.train=train data.valid=train data.test=test data.source_lang=en data.target_lang=de data.vocab_size=350 "
    "data.character_coverage=1.0 model.embedding_size=12 model.hidden_size=12 training.batch_tokens=64 "
    "training.learning_rate=0.01 training.max_updates=4 decoding.max_length=6"
)
GRID = [f"common={COMMON}", "variants={dot: 'model/attention/score=dot', none: 'model/attention=none'}", "seeds=[1,2]"]
OWN = ["data.train=train", "data.valid=train", "data.source_lang=en", "data.target_lang=de"]
MODEL = Path(__file__).parent.parent / "compatibility/format2"
MEASURE = ["gold=gold", "device=cpu", "decoding.beam_size=1", "decoding.max_length=6"]


@pytest.fixture(scope="module", autouse=True)
def _few_samples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for test in ("bs", "ar"):
            patch.setitem(PairedTest._DEFAULT_SAMPLES, test, 50)
        yield


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a corpus and a finished comparison."""
    where = tmp_path_factory.mktemp("grid")
    before = Path.cwd()
    os.chdir(where)
    try:
        for name, pairs in (("train", PAIRS * 2), ("test", PAIRS[::4])):
            write_pairs(name, pairs)
        Path("gold").write_text("0-0 1-1 2-2 3-3 4-4 5?5\n" * len(PAIRS[::4]))
        assert main(["compare", *GRID, *MEASURE]) == 0
    finally:
        os.chdir(before)
    return where


@pytest.fixture
def work(grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(grid, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The run directories that are trained"""
    names: list[str] = []
    run = grid_measurement.run_training

    def note(config: Any) -> int:
        names.append(Path(config.run_dir).name.rpartition("-")[0])
        return run(config)

    monkeypatch.setattr(grid_measurement, "run_training", note)
    return names


def table(directory: str = "comparison") -> dict[str, Any]:
    found = json.loads(Path(directory, "comparison.json").read_text())
    return {row["label"]: row for row in found["rows"]}


def test_a_grid_becomes_one_table(work: Path) -> None:
    rows = table()
    assert list(rows) == ["dot", "none"]
    for row in rows.values():
        assert row["seeds"] == [1, 2]
        for key in ("bleu", "chrf", "ter", "parameters"):
            assert row[key]["deviation"] is not None
        for key in ("training_tokens_per_second", "decoding_sentences_per_second"):
            assert row[key]["mean"] > 0
    assert rows["dot"]["aer"]["mean"] <= 1
    assert rows["none"]["aer"] is None
    assert rows["dot"]["p_values"] == {}
    assert 0 < rows["none"]["p_values"]["bleu"]["bs"] <= 1
    assert rows["dot"]["parameters"]["mean"] != rows["none"]["parameters"]["mean"]
    with Path("comparison/comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["label"] for line in lines] == ["dot", "none"]
    assert float(lines[0]["chrf"]) == rows["dot"]["chrf"]["mean"]
    assert "| dot | 2 | " in Path("comparison/comparison.md").read_text()
    cell = json.loads(Path("comparison/cells/dot-seed2.json").read_text())
    assert len(cell["result"]["translations"]) == len(PAIRS[::4])
    assert str(work) not in json.dumps(cell)
    (run,) = Path("comparison/runs").glob("dot-seed2-*")
    validations = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (best,) = [row for row in validations if row.get("best")][-1:]
    assert cell["result"]["validation_bleu"] == best["bleu"]


def test_finished_cells_are_skipped_also_when_only_their_results_are_left(
    work: Path, trained: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    before = Path("comparison/comparison.json").read_text()
    shutil.rmtree("comparison/runs")
    shutil.rmtree("runs")
    Path("comparison/comparison.json").unlink()
    assert main(["compare", *GRID, *MEASURE]) == 0
    captured = capfd.readouterr()
    assert "4 of 4 cells are measured already" in captured.err
    assert captured.out == Path("comparison/comparison.md").read_text()
    assert trained == []
    assert Path("comparison/comparison.json").read_text() == before
    assert not Path("comparison/runs").exists()


def test_what_changed_is_measured_again_and_named(
    work: Path, trained: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    changed = [GRID[0], "variants={dot: 'model/attention/score=dot', none: 'model.dropout=0.5 model/attention=none'}"]
    assert main(["compare", *changed, "seeds=[1,2]", *MEASURE]) == 0
    assert trained == ["none-seed1", "none-seed2"]
    assert "training.model.dropout: was 0.2, now 0.5" in capfd.readouterr().err
    with Path("train.en").open("a") as file:
        file.write("the dog .\n")
    with Path("train.de").open("a") as file:
        file.write("der Hund .\n")
    trained.clear()
    assert main(["compare", *GRID[:2], "seeds=[1]", *MEASURE]) == 0
    assert trained == ["dot-seed1", "none-seed1"]
    assert "contents.train" in capfd.readouterr().err


def test_a_start_from_other_weights_is_measured_again(work: Path, trained: list[str]) -> None:
    for number, run in enumerate(sorted(Path("comparison/runs").glob("dot-seed*"))):
        shutil.copytree(run, f"run{number}")
    shutil.copytree("run0", "start")
    command = ["compare", f"common={COMMON}", "variants={warm: 'model/attention/score=dot training.start_from=start'}"]
    assert main([*command, *MEASURE, "output=warm"]) == 0
    assert main([*command, *MEASURE, "output=warm"]) == 0
    assert trained == ["warm-seed1"]
    shutil.rmtree("start")
    shutil.copytree("run1", "start")
    assert main([*command, *MEASURE, "output=warm"]) == 0
    assert trained == ["warm-seed1"] * 2
    assert len(list(Path("warm/runs").glob("warm-seed1-*"))) == 2


@pytest.mark.parametrize(
    ("key", "file"), [("alignments", "links"), ("tokenizer_model", "pieces"), ("documents", "train.doc")]
)
def test_a_further_file_belongs_to_the_identity_of_a_result(
    key: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)
    config, task = parse("compare", {}), Task([], [], None, None, "13a", {})
    plain = settings(OWN)
    given = Cell("a", dataclasses.replace(plain, data=dataclasses.replace(plain.data, **{key: file.split(".")[-1]})))

    def made(cell: Cell) -> tuple[dict[str, Any], Path]:
        (identity,) = identities([cell], task, config)
        return identity, run_directory(cell, identity, "out")

    assert made(Cell("a", plain))[0]["contents"].keys() == {"train", "valid"}
    Path(file).write_text("1\n" * len(PAIRS))
    before = made(given)
    assert made(given) == before
    Path(file).write_text("2\n" * len(PAIRS))
    identity, run = made(given)
    ((changed, _),) = identity["contents"].items() - before[0]["contents"].items()
    assert changed == key
    assert run != before[1]


def test_the_dictionary_belongs_to_the_identity_of_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "weights_hash", lambda run: "weights")
    dictionary, task = tmp_path / "words", Task([], [], None, None, "13a", {})
    config = parse("compare", {"decoding": {"dictionary": str(dictionary), "replace_unknown": True}})
    plain = settings(OWN)
    found = []
    for entry in ("cat\tKatze\n", "cat\tKater\n"):
        dictionary.write_text(entry)
        (identity,) = identities([Cell("a", plain, tmp_path)], task, config)
        found.append(identity["contents"])
    assert found[0]["weights"] == found[1]["weights"]
    assert found[0]["dictionary"] != found[1]["dictionary"]


def test_a_cell_is_decoded_as_its_variant_says(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse("compare", {"decoding": {"beam_size": 3, "length_penalty": 0.5}})
    same, own = settings(OWN), settings([*OWN, "decoding.beam_size=7", "decoding.no_repeat_ngram=4"])
    assert grid_module.decoding_of(Cell("same", same), config) == config.decoding
    found = grid_module.decoding_of(Cell("own", own), config)
    assert (found.beam_size, found.no_repeat_ngram, found.length_penalty) == (7, 4, 0.5)
    assert grid_module.decoding_of(Cell("a finished run", own, Path("run")), config) == config.decoding
    monkeypatch.setattr(grid_module, "_composed", settings)
    words = {"common": " ".join(OWN), "variants": {"greedy": "decoding.beam_size=1", "beam": ""}, "seeds": [1]}
    cells = grid_module.plan(parse("compare", {**words, "decoding": {"beam_size": 3}}))
    assert [grid_module.decoding_of(cell, config).beam_size for cell in cells] == [1, 3]


def test_a_new_seed_trains_only_its_cells(work: Path, trained: list[str]) -> None:
    assert main(["compare", *GRID[:2], "seeds=[1,2,3]", *MEASURE]) == 0
    assert trained == ["dot-seed3", "none-seed3"]
    assert table()["dot"]["seeds"] == [1, 2, 3]


def test_a_failed_cell_is_reported_and_the_others_go_on(
    work: Path, trained: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    wild = "training.learning_rate=1e30 training.optimizer=sgd training.clip_norm=0"
    arguments = ["compare", *GRID, f"variants.wild={wild}", "variants.last=model.cell=lstm", "seeds=[1]", *MEASURE]
    assert main(arguments) == 2
    assert trained == ["wild-seed1", "last-seed1"]
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    (line,) = [line for line in captured.out.splitlines() if line.startswith("| wild")]
    assert "seed 1 failed: ConfigError" in line
    assert list(table()) == ["dot", "none", "last"]
    assert trained.count("wild-seed1") == 1
    assert main(arguments) == 2  # tried again
    assert trained == ["wild-seed1", "last-seed1", "wild-seed1"]


def test_our_own_mistake_has_another_exit_code(
    work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(config: Any) -> int:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(grid_measurement, "run_training", broken)
    assert main(["compare", *GRID[:2], "seeds=[1,5]", *MEASURE]) == 1
    captured = capfd.readouterr()
    assert captured.out.count("seed 5 failed: RuntimeError: out of luck") == 2
    assert table()["dot"]["seeds"] == [1]


def test_a_signal_stops_all_and_the_same_command_goes_on(
    work: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", *GRID[:2], "seeds=[7]", *MEASURE]
    with monkeypatch.context() as patch:
        advance = Progress.advance

        def interrupt(progress: Progress, tokens: int) -> None:
            advance(progress, tokens)
            os.kill(os.getpid(), signal.SIGINT)

        patch.setattr(Progress, "advance", interrupt)
        assert main(arguments) == 130
    assert trained == ["dot-seed7"]
    assert not Path("comparison/cells/dot-seed7.json").exists()
    capfd.readouterr()
    assert main(arguments) == 0
    assert trained == ["dot-seed7", "dot-seed7", "none-seed7"]
    assert "resuming from update 1" in capfd.readouterr().err


def test_finished_runs_give_the_numbers_of_the_grid(work: Path, trained: list[str]) -> None:
    runs = sorted(str(path.parent) for path in Path("comparison/runs").glob("*/config.json"))
    measure = ["source=test.en", "reference=test.de", *MEASURE]
    assert main(["compare", f"runs=[{','.join(runs)}]", "output=again", *measure]) == 0
    assert trained == []
    same = ("seeds", "bleu", "chrf", "ter", "aer", "parameters", "training_tokens_per_second", "peak_memory_mb")
    again = table("again")
    assert sorted(again) == ["dot", "none"]
    for label, row in table().items():
        assert {key: again[label][key] for key in same} == {key: row[key] for key in same}


@pytest.mark.parametrize(
    ("arguments", "complaints"),
    [
        ([f"common={COMMON} model.hiden_size=3", *GRID[1:]], ["variants.dot", "Did you mean 'hidden_size'?"]),
        ([*GRID, "variants.typo=model/attention=luong"], ["variants.typo", "luong2015_global"]),
        ([*GRID, "variants.mine=seed=4"], ["variants.mine", "seed=4"]),
        ([*GRID, 'variants.open="model.cell=\'gru"'], ["variants.open", "quotation"]),
        ([*GRID, "variants.swept=model.cell=gru,lstm"], ["variants.swept"]),
        ([*GRID[:2], "seeds=[1,1]"], ["seeds=[1, 1]"]),
        ([*GRID[:2], "seeds=[]"], ["seeds=[]"]),
        ([*GRID, "decoding.coverage_penalty=0.1"], ["variants.none", "coverage_penalty=0.1"]),
        ([*GRID, "output=train.en"], ["train.en: a file"]),
        ([*GRID, "published.dott=39"], ["published: no such variant: dott"]),
        ([*GRID, "baseline=dott"], ["baseline=dott", "Did you mean 'dot'?"]),
        ([f"common={COMMON} data.test=null", *GRID[1:]], ["source=FILE reference=FILE"]),
        ([*GRID, "source=test.en"], ["source and reference"]),
        ([*GRID, "gold=train.en"], ["train.en:4"]),
        ([*GRID, "variants.elsewhere=data.train=nowhere"], ["nowhere.en: no such file"]),
        ([*GRID, "-m"], ["Leave it out"]),
        ([*GRID, "hydra/launcher=none_such"], ["Install hydra-none_such-launcher"]),
        (["runs=[nowhere]", "source=test.en", "reference=test.de"], ["nowhere: no run here"]),
        ([f"runs=[{MODEL}]", "source=test.en", "reference=test.de"], ["a checkpoint; expected a run directory"]),
        ([], ["nothing to compare"]),
        (["comparison=embeded"], ["Did you mean 'embedded'?"]),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(
    work: Path, trained: list[str], capfd: pytest.CaptureFixture[str], arguments: list[str], complaints: list[str]
) -> None:
    assert main(["compare", "output=new", "device=cpu", *arguments]) == 2
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    for complaint in complaints:
        assert complaint in captured.err
    assert trained == []
    assert captured.out == ""
    assert not Path("new").exists()


def cell(label: str, seed: int, bleu: float) -> Measured:
    return Measured(
        label, seed, bleu, 50.0, 40.0, None, 1000, 4, 100.0, 10.0, None, {"bleu": "b"}, "cpu", ["ein Baum ."] * 2
    )


def test_labels_do_nothing_in_markdown_or_a_spreadsheet() -> None:
    labels = ["a|b", "<script>", "=1+1", "two\nlines", "local_m", "*x* `y` [z](u)"]
    failed = [Failed("=cmd", 1, "Error: a | b\n| c |", False)]
    found = comparison.compare([cell(label, 1, 3.0) for label in labels], failed, "a|b", ["r", "s"], "13a", "greedy")
    text = comparison.markdown(found)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(labels) + 1
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "<script>" not in text
    assert "| local_m |" in text
    assert "\\*x\\* \\`y\\` \\[z\\](u)" in text
    lines = list(csv.reader(comparison.as_csv(found).splitlines()))
    assert {len(line) for line in lines} == {len(lines[0])}
    assert [line[0] for line in lines[1:]] == ["a|b", "<script>", "'=1+1", "two lines", "local_m", labels[5], "'=cmd"]


def test_a_mean_has_its_spread_and_a_single_seed_has_none() -> None:
    found = comparison.compare(
        [cell("a", 1, 10.0), cell("a", 2, 14.0), cell("b", 1, 7.0)], [], "a", ["r", "s"], "13a", "greedy"
    )
    text = comparison.markdown(found)
    assert "| a | 2 | 12.00 ± 2.83 |" in text
    assert "| b | 1 | 7.00 | 1.000 | 1.000 |" in text
    assert "AER" not in text


def test_published_scores_and_those_of_moses_tokens_stand_beside_the_measured_ones() -> None:
    pytest.importorskip("sacremoses")
    same = ["ein baum steht hier .", "x"]
    cells = [dataclasses.replace(cell("a", 1, 10.0), translations=same), cell("b", 1, 7.0)]
    options = {"moses": MosesTokens("de"), "published": {"b": "39.0 (Caglayan 2017)"}}
    found = comparison.compare(cells, [], "a", ["Ein Baum steht hier.", "x"], "13a", "greedy", **options)  # type: ignore[arg-type]
    text = comparison.markdown(found)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[2] for line in rows[2:]] == ["", "39.0 (Caglayan 2017)"]
    assert len({line.count("|") for line in rows}) == 1
    assert "tok. lc BLEU" in rows[0]
    assert "case:lc" in text
    lines = list(csv.DictReader(comparison.as_csv(found).splitlines()))
    assert lines[1]["published"] == "39.0 (Caglayan 2017)"
    assert float(lines[0]["tok_lc"]) == pytest.approx(100)


def test_a_picture_is_drawn_of_labels_in_any_letters(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = comparison.compare([cell("$x_{", 1, 3.0), cell("猫", 1, 4.0)], [], "$x_{", ["r", "s"], "13a", "greedy")
    comparison.draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
