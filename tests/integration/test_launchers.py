"""Several runs of one command, by the launchers of Hydra."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from support import trainers

from seq2seq.cli.compose import CONFIGS
from seq2seq.cli.main import main


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]])
def test_a_run_that_fails_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], launcher: list[str]
) -> None:
    if launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    monkeypatch.chdir(tmp_path)
    command = ["train", *trainers.write_corpus(tmp_path), "training.max_updates=1", *launcher, "--multirun"]
    assert main([*command, "training.batch_tokens=0,64"]) == 2
    said = capfd.readouterr().err
    assert "training.batch_tokens=0: must be at least 1." in said
    assert "Traceback" not in said
    assert len(list(Path("runs").glob("*/best"))) == 1  # the others go on


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "hydra/launcher").glob("*.yaml")))
def test_a_launcher_that_is_not_installed_is_named(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    package = {"slurm": "submitit", "ray_cluster": "ray"}[name]
    try:
        __import__(f"hydra_plugins.hydra_{package}_launcher")
        pytest.skip("it is installed")
    except ImportError:
        assert main(["train", f"hydra/launcher={name}", "--multirun", "seed=1,2"]) == 2
    assert f"not installed. Install hydra-{package}-launcher." in capfd.readouterr().err


@pytest.mark.parametrize(("name", "plugin"), [("slurm", "submitit"), ("ray_cluster", "ray")])
def test_a_launcher_that_is_installed_takes_what_it_is_told(
    name: str, plugin: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    with contextlib.suppress(SystemExit):  # Hydra prints it, and runs nothing
        main(["train", f"hydra/launcher={name}", "--cfg=hydra"])
    assert f"_target_: hydra_plugins.hydra_{plugin}_launcher" in capfd.readouterr().out


_RAY = ["hydra/launcher=ray_cluster", "hydra.launcher.ray.init.address=null", "hydra.launcher.ray.remote.num_cpus=1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        # on this machine: as Slurm's jobs but for who starts them
        ("submitit", ["hydra/launcher=submitit_local"]),
        ("ray", _RAY),
    ],
)
def test_a_cluster_runs_a_grid(tmp_path: Path, plugin: str, words: list[str]) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    command = ["train", *trainers.write_corpus(tmp_path), "training.max_updates=1", *words, "--multirun", "seed=1,2"]
    ran = subprocess.run(
        [sys.executable, "-m", "seq2seq", *command],
        env=trainers.ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(list(tmp_path.glob("runs/*/best"))) == 2
