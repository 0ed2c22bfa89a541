"""The command as a shell, Hydra, a sweeper or a thread calls it."""

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from support import trainers
from support.trainers import ENVIRONMENT

from seq2seq.cli.main import main

MODEL = Path(__file__).parent.parent / "compatibility/format1"
SHOWN = ["train", "experiment=smoke"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with a sentence in it."""
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("a dog likes a tree .\n")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        (["--cfg", "job"], "data:"),
        (["-c", "job"], "data:"),
        (["--cfg=job"], "data:"),
        (["-c", "job", "-p", "model.bridge"], "# @package model.bridge"),
        (["--cfg", "job", "--package", "model.attention.score"], "# @package model.attention.score"),
        (["--info", "defaults"], "Defaults List"),
        (["--info=defaults"], "Defaults List"),
    ],
)
def test_flags_of_hydra(capfd: pytest.CaptureFixture[str], flags: list[str], first: str) -> None:
    assert main([*SHOWN[:1], *flags, *SHOWN[1:]] if "-p" in flags else [*SHOWN, *flags]) == 0
    out, errors = capfd.readouterr()
    assert out.strip().startswith(first)
    assert out.count(first) == 1
    assert not errors


def test_configurations_of_ones_own(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path, text in (
        ("experiment/mine", "# @package _global_\nseed: 7\n"),
        ("experiment/日本/größe", "# @package _global_\nseed: 8\n"),
        ("experiment/plain", "seed: 9\n"),
        (
            "model/attention/ours",
            "defaults: [{score: dot}, {window: global}, {normaliser: softmax}, {placement: none}]\n",
        ),
    ):
        file = folder / f"own/{path}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    command = ["train", "--config-dir", "own", *trainers.write_corpus(folder), "training.max_updates=1"]
    assert main([*command, "experiment=mine", "model/attention=ours", "run_dir=first"]) == 0
    first = json.loads(Path("first/config.json").read_text())
    assert (first["seed"], first["model"]["attention"]["placement"]["name"]) == (7, "none")
    assert main([*command, "experiment=日本/größe", "run_dir=second"]) == 0
    assert json.loads(Path("second/config.json").read_text())["seed"] == 8
    capfd.readouterr()
    for more in ([], ["-m", "seed=1,2"]):
        assert main([*command, "experiment=plain", *more]) == 2
        said = capfd.readouterr().err
        assert "experiment=plain: its keys were read as experiment.KEY. Write `# @package _global_` into" in said
    assert main([*command, "experiment=mime"]) == 2
    said = capfd.readouterr().err
    assert "Did you mean 'mine'?" in said
    assert "smoke" in said
    assert "plain" in said
    assert main(["train", "--config-dir", "own", "--help"]) == 0
    helped = capfd.readouterr().out
    assert "mine" in helped
    assert "ours" in helped
    Path("own/experiment/latin.yaml").write_bytes("# Größe\nseed: 1\n".encode("latin-1"))
    assert main(["train", "--config-dir", "own", "--help", "experiment"]) == 2
    assert "latin.yaml: can't be read as a configuration" in capfd.readouterr().err


class Halving(Sweeper):
    """A sweeper as others are written: runs jobs one after the other, and looks at what they return."""

    returned: list[Any]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        Halving.returned = []
        for number, seed in enumerate((1, 2)):
            (job,) = self.launcher.launch([[*arguments, f"seed={seed}"]], initial_job_idx=number)
            Halving.returned.append(job.return_value)


def test_a_sweep_returns_its_objective(folder: Path) -> None:
    command = ["train", *trainers.write_corpus(folder), "training.max_updates=4", "training.validate_every=2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plugins, "instantiate_sweeper", lambda self, **parts: _set_up(**parts))
        assert main([*command, "training.metric=loss", "-m"]) == 0
    best = {}
    for run in Path("runs").glob("*/config.json"):
        events = map(json.loads, run.with_name("metrics.jsonl").read_text().splitlines())
        losses = [event["loss"] for event in events if event["event"] == "valid"]
        best[json.loads(run.read_text())["seed"]] = min(losses)
    assert Halving.returned == [best[1], best[2]]
    assert best[1] != best[2]


def _set_up(**parts: Any) -> Halving:
    sweeper = Halving()
    sweeper.setup(**parts)
    return sweeper


def test_optuna_finds_its_objective(folder: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    command = ["train", *trainers.write_corpus(folder), "training.max_updates=2", "training.metric=loss"]
    sweep = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1", "hydra.sweep.dir=study"]
    assert main([*command, *sweep, "-m", "seed=range(1,9)"]) == 0
    assert "best_value" in Path("study/optimization_results.yaml").read_text()


def test_closed_streams(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    translate = ["translate", f"checkpoint={MODEL}"]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        assert main([*translate, "output=out"]) == 2
        assert main([*translate, "input=text", "output=out"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert main([*translate, "input=text"]) == 2
        assert main(["--help"]) == 2
    said = capfd.readouterr().err
    assert "stdin: closed." in said
    assert said.count("stdout: closed. Give output=FILE") == 2
    assert Path("out").read_text() == "ein Hund mag einen Baum .\n"


def test_no_file_takes_the_place_of_a_closed_stream(folder: Path) -> None:
    command = f"{sys.executable} -m seq2seq translate checkpoint={MODEL} input=text output=out <&- >&- 2>&-"
    assert subprocess.run(command, shell=True, env=ENVIRONMENT, cwd=folder).returncode == 0
    assert Path("out").read_text() == "ein Hund mag einen Baum .\n"


@pytest.mark.parametrize(
    "words",
    [
        ["translate", f"checkpoint={MODEL}", "input=text", "output={}"],
        ["translate", f"checkpoint={MODEL}", "input={}"],
        ["translate", "checkpoint={}", "input=text"],
        ["plot", f"checkpoint={MODEL}", "input=text", "output_format=html", "output={}.html"],
        ["evaluate", f"checkpoint={MODEL}", "source=text", "reference=text", "report={}"],
        ["train", "experiment={}"],
        ["train", "experiment=smoke", "run_dir={}", "training.max_updates=1"],
        ["train", "experiment=smoke", "--config-dir={}"],
    ],
)
def test_a_name_that_is_too_long_is_named(
    folder: Path, capfd: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    assert main([word.format("x" * 300) for word in words]) == 2
    said = capfd.readouterr().err
    assert "x" * 300 in said
    assert "Traceback" not in said
    assert "damaged" not in said


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2: environment variable RANK expected, but not set. Start with torchrun"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR expected"),
        ({"WORLD_SIZE": "2", "RANK": "first"}, "WORLD_SIZE=2: "),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two: expected a number of processes."),
    ],
)
def test_half_of_what_torchrun_tells(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    environment: dict[str, str],
    says: str,
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(SHOWN) == 2
    assert says in capfd.readouterr().err


def test_a_thread_runs_commands(folder: Path) -> None:
    codes = []

    def run() -> None:
        codes.append(main(["translate", f"checkpoint={MODEL}", "input=text", "output=out"]))
        codes.append(main(["train", *trainers.write_corpus(folder), "training.max_updates=1", "run_dir=run"]))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert codes == [0, 0]
    assert Path("run/best/model.safetensors").is_file()


def test_the_embedded_corpus_is_there_wherever_one_is(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["bleu", "hypothesis=data/embedded/valid.de", "reference=data/embedded/valid.de"]
    assert main(command) == 0
    (folder / "data/embedded").mkdir(parents=True)
    assert main(command) == 2
    assert "data/embedded/valid.de: no such file" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
def test_bash_completes(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-sc", "install=bash"]) == 0
    script = capfd.readouterr().out
    command = folder / "bin/seq2seq"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m seq2seq "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IEXEC)
    line = "seq2seq train model/attention=luong2015_g"
    cursor = f'COMP_LINE="{line}" COMP_POINT={len(line)} COMP_CWORD=2'
    asked = f'{script}\n{cursor}\nhydra_bash_completion\necho "${{COMPREPLY[@]}}"'
    environment = {**ENVIRONMENT, "PATH": f"{command.parent}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", asked], env=environment, cwd=folder, capture_output=True, text=True)
    assert ran.stdout.strip() == "model/attention=luong2015_global", ran.stderr
    for shell in ("install=csh", "uninstall"):
        assert main(["-sc", shell]) == 2
    assert "expected -sc install=" in capfd.readouterr().err
