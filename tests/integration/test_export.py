"""`seq2seq export`: a directory that translates without this package."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT

from seq2seq import load
from seq2seq.cli import export as command
from seq2seq.cli.main import main
from seq2seq.errors import ConfigError

pytest.importorskip("onnxruntime", reason="the extra `onnx`")

LINES = ["the cat sees a tree .", "", "a dog\u00a0hears the old\u200b house .", " \u2028", "my friend sees Zebra ."]
RUN = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(*sorted({"torch", "seq2seq", "regex", "onnx"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture
def exported(with_graphs: Path) -> Path:
    """A model that has learned a small corpus."""
    return with_graphs / "onnx-fp32"


def run(exported: Path, *options: str, text: str) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-I", "-c", RUN, str(exported / "translate_onnx.py"), str(exported), *options]
    return subprocess.run(words, input=text.encode(), capture_output=True, check=False)


def test_the_program_translates_as_the_model_does(exported: Path, models: Path) -> None:
    text = "".join(f"{line}\n" for line in LINES)
    made = run(exported, "--json", "--batch", "2", text=f"\ufeff{text}")
    assert made.returncode == 0
    assert made.stderr.decode().strip() == ""  # it has imported nothing of the trainer
    expected = load(models / "additive").translate(LINES)
    for row, line, other in zip(map(json.loads, made.stdout.decode().split("\n")[:-1]), LINES, expected, strict=True):
        assert row["source"] == line
        assert row["translation"] == other.text
        assert row["tokens"] == other.tokens
        assert row["score"] == pytest.approx(other.score, abs=1e-4)
        if other.attention is None:
            assert row["attention"] is None
        else:
            assert row["attention"] == [pytest.approx(weights, abs=1e-4) for weights in other.attention.mean(0)]
    greedy = run(exported, "--beam", "1", text=text).stdout.decode().split("\n")[:-1]
    assert greedy == [found.text for found in load(models / "additive").translate(LINES, beam_size=1)]


def test_the_page_shows_what_runs(exported: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/export.md").read_text()
    (snippet,) = re.findall(r"(?:^    .*translate_onnx import.*\n)(?:^    .*\n)+", page, re.MULTILINE)
    shutil.copytree(exported, tmp_path / "exported")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "exported")}
    command = [sys.executable, "-c", textwrap.dedent(snippet)]
    made = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert re.fullmatch(r".*\(1, \d+, \d+\)\n", made.stdout)


def test_unreadable_text_is_reported(exported: Path) -> None:
    words = [sys.executable, str(exported / "translate_onnx.py"), str(exported)]
    made = subprocess.run(words, input=b"a\n\xff\n", capture_output=True, check=False)
    assert made.returncode == 1
    assert made.stderr.decode().strip() == "stdin:2: not UTF-8 (invalid start byte at byte 0)"


def test_wrong_arguments_are_reported(exported: Path, tmp_path: Path) -> None:
    for words, message in (
        ([str(tmp_path)], f"{tmp_path}: not an exported model, config.json, encoder.onnx"),
        ([str(exported), "--beam", "0"], "argument --beam: expected a number above 0, got 0"),
    ):
        program = [sys.executable, str(exported / "translate_onnx.py"), *words]
        made = subprocess.run(program, input=b"", capture_output=True, check=False)
        assert made.returncode == 2
        assert message in made.stderr.decode()


def test_int8_is_smaller(exported: Path, models: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    assert main(["export", f"checkpoint={models}/additive", f"output={small}", "precision=int8"]) == 0
    for name in ("encoder.onnx", "step.onnx", "output.onnx"):
        assert (small / name).stat().st_size < (exported / name).stat().st_size
    made = run(small, text=f"{LINES[0]}\n")
    assert made.returncode == 0, made.stderr.decode()
    assert made.stdout.decode().strip() == load(models / "additive").translate(LINES[0]).text
    assert json.loads((small / "config.json").read_text())["precision"] == "int8"


def test_a_directory_that_exists_is_kept(exported: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", f"checkpoint={models}/additive", f"output={exported}"]) == 2
    assert f"output={exported}: already exists" in capsys.readouterr().err


def test_missing_packages_are_named(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "onnxscript" else True)
    assert main(["export", f"checkpoint={models}/additive", f"output={tmp_path}/model"]) == 2
    said = capsys.readouterr().err
    assert "export needs onnxscript" in said
    assert "[onnx]" in said


# --- the graphs as the engine of `translate` -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 1},
        {"beam_size": 4, "n_best": 3, "coverage_penalty": 0.2},
        {"beam_size": 2, "no_repeat_ngram": 1, "batch_size": 2},
        {"search": "sample", "n_best": 2, "top_k": 5},
        {"beam_size": 3, "batch_size": 3, "shortlist": 5},
        {"beam_size": 1, "batch_size": 1, "shortlist": 2},
    ],
    ids=["greedy", "beam", "constrained", "samples", "shortlist", "greedy shortlist"],
)
def test_onnxruntime_finds_what_torch_finds(with_graphs: Path, options: dict[str, Any]) -> None:
    translator = load(with_graphs)
    both = (translator.translate(LINES, engine=engine, **options) for engine in ("torch", "onnx"))
    for one, other in zip(*both, strict=True):
        for mine, theirs in zip((one, *one.alternatives), (other, *other.alternatives), strict=True):
            assert (mine.text, mine.tokens) == (theirs.text, theirs.tokens)
            assert mine.rank == pytest.approx(theirs.rank, abs=1e-4)
            assert (mine.attention is None) == (theirs.attention is None)
            if mine.attention is not None and theirs.attention is not None:
                np.testing.assert_allclose(mine.attention, theirs.attention, atol=1e-4)


def test_the_command_takes_the_engine(with_graphs: Path, models: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("".join(f"{line}\n" for line in LINES[:3]))
    for engine in ("torch", "onnx"):
        words = [f"input={tmp_path}/source", f"output={tmp_path}/{engine}", f"decoding.engine={engine}"]
        assert main(["translate", f"checkpoint=[{with_graphs},{with_graphs}]", *words]) == 0
    assert (tmp_path / "onnx").read_text() == (tmp_path / "torch").read_text()


def test_graphs_have_to_be_there_and_of_these_weights(with_graphs: Path, models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"onnx-int8 has no graphs\. Make them: seq2seq export checkpoint="):
        load(with_graphs).translate(LINES[0], engine="onnx", precision="int8")
    other = tmp_path / "other"
    shutil.copytree(models / "fixed" / "best", other)
    shutil.copytree(with_graphs / "onnx-fp32", other / "onnx-fp32")
    with pytest.raises(ConfigError, match=r"onnx-fp32 has graphs of other weights\. Delete it\."):
        load(other).translate(LINES[0], engine="onnx")
    with pytest.raises(ConfigError, match="graphs are exported in fp32 or int8"):
        load(with_graphs).translate(LINES[0], engine="onnx", precision="bf16")


def test_graphs_of_another_version_are_refused(with_graphs: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(with_graphs, old)
    config = old / "onnx-fp32" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"format": 1}))
    with pytest.raises(ConfigError, match=r"graphs of format 1, expected 2\. Delete it\. Make them: seq2seq export"):
        load(old).translate(LINES[0], engine="onnx")


def test_a_model_without_a_checkpoint_has_no_graphs(capsys: pytest.CaptureFixture[str]) -> None:
    data = ["data.train=t", "data.valid=v", "data.source_lang=en", "data.target_lang=de"]
    for words in (["train", *data], ["benchmark"], ["benchmark", *data]):
        assert main([*words, "decoding.engine=onnx"]) == 2
        assert "decoding.engine=onnx: a model that is yet to be trained has no graphs" in capsys.readouterr().err
