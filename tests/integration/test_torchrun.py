"""`torchrun -m seq2seq train`: as it is used, from end to end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import trainers
from support.trainers import ENVIRONMENT

from seq2seq.cli.main import main

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gloo finds its way on Linux")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
TWO = ["--standalone", "--nproc-per-node=2"]


@LINUX
def test_two_processes_leave_what_one_leaves_which_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [word for word in trainers.write_corpus(tmp_path) if not word.startswith("training.processes")]
    command = ["train", *arguments, f"data.test={tmp_path}/valid", "run_dir=run"]
    ran = subprocess.run(
        [*TORCHRUN, *TWO, "-m", "seq2seq", *command, "training.max_updates=3"],
        env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for said in ("2 processes share each batch", "update 3, epoch 0.27: valid", "done: training.max_updates"):
        assert ran.stderr.count(said) == 1, ran.stderr
        assert Path("run/train.log").read_text().count(said) == 1
    state = json.loads(Path("run/last/state.json").read_text())
    assert (state["position"]["update"], state["ranks"]) == (3, 2)
    assert json.loads(Path("run/test.json").read_text())["bleu"] >= 0
    assert main([*command, "training.max_updates=5"]) == 0
    assert "resuming from update 3" in capfd.readouterr().err
    assert json.loads(Path("run/last/state.json").read_text())["position"]["update"] == 5


@pytest.mark.slow
@LINUX
def test_a_restart_and_several_machines_end_in_the_same_bits(tmp_path: Path) -> None:
    settings = ["training.max_updates=30", "training.save_every=3", "training.validate_every=10", "model.dropout=0.2"]
    arguments = [word for word in trainers.write_corpus(tmp_path) if not word.startswith("training.processes")]

    def started(run: str, *launch: str) -> "subprocess.Popen[str]":
        command = [*TORCHRUN, *launch, "-m", "seq2seq", "train", *arguments, *settings, f"run_dir={run}"]
        return subprocess.Popen(command, env=ENVIRONMENT, cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    def finished(*processes: "subprocess.Popen[str]") -> str:
        said = "".join(process.communicate(timeout=200)[1] for process in processes)
        assert [process.returncode for process in processes] == [0] * len(processes), said
        return said

    def weights(run: str) -> bytes:
        return (tmp_path / run / "last/model.safetensors").read_bytes()

    def updates(run: str) -> int:
        try:
            return int(json.loads((tmp_path / run / "last/state.json").read_text())["position"]["update"])
        except OSError:  # not yet, or in the moment between two names
            return 0

    finished(started("whole", *TWO))
    launcher = started("killed", *TWO, "--max-restarts=1")
    while updates("killed") < 6:
        assert launcher.poll() is None
        time.sleep(0.01)
    ranks = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(ranks[-1]), signal.SIGKILL)
    said = finished(launcher)
    assert "killed: resuming from update" in said
    assert weights("killed") == weights("whole")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    there = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=localhost", f"--master-port={port}"]
    finished(*(started("nodes", *there, f"--node-rank={rank}") for rank in (0, 1)))
    assert weights("nodes") == weights("whole")


def test_only_a_training_is_shared(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["translate", "checkpoint=x"]) == 2
    assert main(["train", "--multirun", "seed=1,2"]) == 2
    said = capfd.readouterr().err
    assert "WORLD_SIZE=2: torchrun starts processes for a single training. Start translate without it." in said
    assert "Start each run of a --multirun without it." in said
