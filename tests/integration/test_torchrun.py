"""`torchrun -m seq2seq train`: as it is used, from end to end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
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
        return start(tmp_path, launch, *arguments, *settings, f"run_dir={run}")

    def weights(run: str) -> bytes:
        return (tmp_path / run / "last/model.safetensors").read_bytes()

    def wait_for_update(number: int, run: str, launcher: "subprocess.Popen[str]") -> None:
        state = tmp_path / run / "last/state.json"
        update = 0
        while update < number:
            assert launcher.poll() is None
            time.sleep(0.01)
            with contextlib.suppress(OSError):  # not yet, or in the moment between two names
                update = int(json.loads(state.read_text())["position"]["update"])

    finished(started("whole", *TWO))
    launcher = started("killed", *TWO, "--max-restarts=1")
    wait_for_update(6, "killed", launcher)
    os.kill(children(launcher.pid)[-1], signal.SIGKILL)
    said = finished(launcher)
    assert "killed: resuming from update" in said
    assert weights("killed") == weights("whole")
    finished(*(started("nodes", *of_two_machines(rank, port)) for port in [free_port()] for rank in (0, 1)))
    assert weights("nodes") == weights("whole")

    anyone = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-id=run", "--rdzv-backend=c10d"]
    port = free_port()
    anyone += [f"--rdzv-endpoint=localhost:{port}"]
    host = started("agents", *anyone)
    wait_for_meeting_point(port, host)
    lost = started("agents", *anyone)
    wait_for_update(6, "agents", host)
    for process in (*children(lost.pid), lost.pid):
        os.kill(process, signal.SIGKILL)
    said = finished(host, started("agents", *anyone))
    lost.communicate()
    assert "agents: resuming from update" in said
    assert weights("agents") == weights("whole")


@pytest.mark.slow
@LINUX
def test_machines_with_different_corpora_are_refused(tmp_path: Path) -> None:
    machines = [tmp_path / name for name in "abc"]
    for machine in machines:
        machine.mkdir()
    words = [*trainers.write_corpus(machines[0]), "training.max_updates=3", "run_dir=run"]
    words = [word.replace(f"{machines[0]}/", "") for word in words if not word.startswith("training.processes")]
    trainers.write_corpus(machines[2])
    other = machines[2] / "train.de"
    other.write_text(other.read_text().replace("Hund", "Kater"))
    for machine, problem in zip(
        machines[1:], ["train.en: no such file", "must be in a shared file system"], strict=True
    ):
        launches = [of_two_machines(rank, port) for port in [free_port()] for rank in (0, 1)]
        ranks = [start(where, launch, *words) for where, launch in zip((machines[0], machine), launches, strict=True)]
        said = [rank.communicate(timeout=200)[1] for rank in ranks]
        assert all(rank.returncode for rank in ranks)
        assert problem in said[1]


def start(where: Path, launch: Sequence[str], *words: str) -> "subprocess.Popen[str]":
    """Start a training under torchrun in this directory."""
    command = [*TORCHRUN, *launch, "-m", "seq2seq", "train", *words]
    # Else torch 2.13 lets nobody back into a meeting that it has left.
    environment = {**ENVIRONMENT, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return subprocess.Popen(command, env=environment, cwd=where, stderr=subprocess.PIPE, text=True)


def finished(*processes: "subprocess.Popen[str]") -> str:
    """Wait for trainings that must succeed, and return what they said."""
    said = "".join(process.communicate(timeout=200)[1] for process in processes)
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def children(process: int) -> list[int]:
    """List the processes that this one has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def of_two_machines(rank: int, port: int) -> list[str]:
    """Return torchrun's options for one of two machines with a process each."""
    return [
        "--nnodes=2",
        "--nproc-per-node=1",
        "--master-addr=localhost",
        f"--master-port={port}",
        f"--node-rank={rank}",
    ]


def wait_for_meeting_point(port: int, agent: "subprocess.Popen[str]") -> None:
    """Wait until this agent listens at the port, so that no other agent does."""
    while True:
        assert agent.poll() is None
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
            return
        time.sleep(0.1)


def free_port() -> int:
    """Return a port that nothing uses."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


def test_only_a_training_is_shared(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["translate", "checkpoint=x"]) == 2
    assert main(["train", "--multirun", "seed=1,2"]) == 2
    said = capfd.readouterr().err
    assert "WORLD_SIZE=2: torchrun starts processes for a single training. Start translate without it." in said
    assert "Start each run of a --multirun without it." in said
