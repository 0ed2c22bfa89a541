"""Several runs of one command, by the launchers of Hydra."""

from pathlib import Path

import pytest
import trainers

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
