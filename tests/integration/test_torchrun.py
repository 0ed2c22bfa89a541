"""`torchrun -m seq2seq train`: as it is used, from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trainers
from trainers import ENVIRONMENT

from seq2seq.cli.main import main

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "seq2seq"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gloo finds its way on Linux")
def test_two_processes_leave_what_one_leaves_which_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [word for word in trainers.write_corpus(tmp_path) if not word.startswith("training.processes")]
    command = ["train", *arguments, f"data.test={tmp_path}/valid", "run_dir=run"]
    ran = subprocess.run(
        [*TORCHRUN, *command, "training.max_updates=3"],
        env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for said in ("2 processes share each batch", "update 3, epoch 1: valid", "done: training.max_updates"):
        assert ran.stderr.count(said) == 1, ran.stderr
    state = json.loads(Path("run/last/state.json").read_text())
    assert (state["position"]["update"], state["ranks"]) == (3, 2)
    assert json.loads(Path("run/test.json").read_text())["bleu"] >= 0
    assert main([*command, "training.max_updates=5"]) == 0
    assert "going on from update 3" in capfd.readouterr().err
    assert json.loads(Path("run/last/state.json").read_text())["position"]["update"] == 5


def test_only_a_training_is_shared(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["translate", "checkpoint=x"]) == 2
    assert main(["train", "--multirun", "seed=1,2"]) == 2
    said = capfd.readouterr().err
    assert "WORLD_SIZE=2: torchrun starts processes for a single training. Start translate without it." in said
    assert "Start each run of a --multirun without it." in said
