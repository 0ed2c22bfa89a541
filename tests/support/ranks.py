"""Several processes that train together, for tests; forked, which saves their imports."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from seq2seq.training.corpora import prepare_data
from seq2seq.training.loop import Trainer
from seq2seq.training.process_group import ProcessGroup, group_of_store
from seq2seq.training.setup import make_trainer
from support import trainers

CPU = torch.device("cpu")
SECONDS = 60
"""Timeout of a test that waits for processes."""


def together(directory: Path, ranks: int, work: Callable[[ProcessGroup], Any]) -> list[Any]:
    """Run `work` on so many ranks; return each result, the error of a failed rank, or None for a killed one."""
    context = multiprocessing.get_context("fork")
    store = directory / f"store-{os.urandom(4).hex()}"
    running = []
    for rank in range(ranks):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(str(store), rank, ranks, work, theirs), daemon=True)
        process.start()
        theirs.close()
        running.append((process, ours))
    found: list[Any] = []
    for process, connection in running:
        try:
            found.append(connection.recv() if connection.poll(SECONDS) else TimeoutError("a rank hangs"))
        except EOFError:
            found.append(None)
        process.join(SECONDS)
        process.kill()
    return found


def _serve(store: str, rank: int, ranks: int, work: Callable[[ProcessGroup], Any], answers: Connection) -> None:
    try:
        with group_of_store(dist.FileStore(store, ranks), rank, ranks, CPU) as team:
            answer = work(team)
    except Exception as error:
        answer = error
    answers.send(answer)
    answers.close()
    os._exit(0)


def make(directory: Path, team: ProcessGroup, *more: str, run: str = "run") -> Trainer:
    """Make a trainer like `trainers.make` for a process group, on a corpus that exists."""
    config = trainers.settings([*trainers.told(directory), *more])
    (directory / run).mkdir(exist_ok=True)
    trainer = make_trainer(config, prepare_data(config), directory / run, CPU, team)
    trainer.resume()
    return trainer
