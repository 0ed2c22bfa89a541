"""Kill a training run at random moments, resume it with the same command, and compare it with an undisturbed run.

    python scripts/soak.py --kills 100
    python scripts/soak.py --kills 20 training.processes=2 model/attention=luong2015_local_p

A small model is trained on short sentences of the embedded corpus with everything that has randomness or state:
dropout, sub-word sampling, gradient accumulation, a plateau schedule, the best checkpoints. One run
is left alone. The other gets SIGKILL as often as --kills says: a quarter of the kills come before the first update of
a process, the rest anywhere in an update, a validation or a save. Both runs must end with the same tensors, state and
metrics. Any further settings apply to both runs. Where processes can be forked, each starts with all modules
imported, since importing takes longer than training. The exit code is 0 if nothing differs.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(ROOT))

from seq2seq.cli import compose, main, train  # noqa: E402, F401

PROCESSES = multiprocessing.get_context("fork" if sys.platform.startswith("linux") else "spawn")
SETTINGS = [
    "data.train=train", "data.valid=valid", "data.source_lang=en", "data.target_lang=de", "data.vocab_size=330",
    "data.character_coverage=1.0", "data.subword_sampling=0.2", "model.embedding_size=16", "model.hidden_size=16",
    "model.dropout=0.2", "training.batch_tokens=128", "training.accumulate=2",
    "training.learning_rate=0.01", "training.max_epochs=null", "training.validate_every=25", "training.keep_best=2",
    "training.plateau_patience=0", "training.patience=null", "training.processes=1",
    "decoding.max_length=4", "device=cpu",
]  # fmt: skip
PAIRS, HELD_OUT, LONGEST = 200, 6, 28
MEASURED = ("tokens", "tokens_per_second", "peak_memory_mb")
"""Values in a line of metrics that depend on the machine and on interruptions."""


@dataclass(frozen=True)
class Training:
    """A training run in its own directory."""

    work: Path
    name: str
    settings: list[str]

    @property
    def run_dir(self) -> Path:
        return self.work / self.name

    def start(self) -> BaseProcess:
        process = PROCESSES.Process(target=self._run)
        process.start()
        return process

    def _run(self) -> None:
        os.chdir(self.work)
        with Path(f"{self.name}.log").open("ab") as log:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(log.fileno(), stream.fileno())
        sys.exit(main.main(["train", *self.settings, f"run_dir={self.name}"]))

    def finish(self, process: BaseProcess) -> None:
        """Wait for the process; exit if it failed."""
        process.join()
        if process.exitcode:
            log = (self.work / f"{self.name}.log").read_text()
            raise SystemExit(f"{self.name}: exit code {process.exitcode}\n{log[-2000:]}")

    def updates(self) -> int:
        """Updates in the latest saved state."""
        for name in ("last", "last.previous"):  # while a save renames directories, only the second exists
            with suppress(OSError):
                return int(json.loads((self.run_dir / name / "state.json").read_text())["position"]["update"])
        return 0

    def result(self) -> dict[str, str]:
        """SHA-256 of the weights, the state and the metrics, leaving out measured values."""
        files = [self.run_dir / "last/state.safetensors", self.run_dir / "last/model.safetensors"]
        files += self.run_dir.glob("best*/model.safetensors")
        hashes = {str(path.relative_to(self.run_dir)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        state = json.loads((self.run_dir / "last/state.json").read_text())
        for key in ("hours", "metrics_size"):
            del state["position"][key]
        lines = [json.loads(line) for line in (self.run_dir / "metrics.jsonl").read_text().splitlines()]
        metrics = [{key: value for key, value in line.items() if key not in MEASURED} for line in lines]
        return {**hashes, "last/state.json": digest(state), "metrics.jsonl": digest(metrics)}


def digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass
class Killer:
    """Kills the processes of a training run at random moments."""

    training: Training
    updates: int
    startup: float
    """Seconds until the first update is saved."""
    pace: float
    """Seconds per update."""
    draw: random.Random
    early: int = 0
    """Kills before a further update was saved."""
    unfinished: int = 0
    """Kills during a save."""

    def kill(self, left: int) -> None:
        """Start the training and kill it early enough to leave work for `left` more kills."""
        done = self.training.updates()
        process = self.training.start()
        if self.draw.random() < 0.25:
            end = time.monotonic() + self.draw.uniform(0, self.startup)
            while time.monotonic() < end and self.training.updates() <= done:
                time.sleep(0.005)
        else:
            wanted = done + self.draw.uniform(0, 2) * (self.updates - done) / (left + 3)
            while process.is_alive() and self.training.updates() < wanted:
                time.sleep(0.005)
            time.sleep(self.draw.uniform(0, 2 * self.pace))
        alive = process.is_alive()
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL or not alive:
            self.training.finish(process)
            raise SystemExit(f"the training ended with {left + 1} kills to go: increase --updates")
        self.early += self.training.updates() <= done
        self.unfinished += any(self.training.run_dir.glob("*.tmp-*"))


def soak(work: Path, kills: int, updates: int, seed: int, settings: list[str]) -> bool:
    """Run both trainings, print differences and a summary, and return whether they are identical."""
    sides = [(ROOT / f"data/embedded/train.{language}").read_text().splitlines() for language in ("en", "de")]
    pairs = [pair for pair in zip(*sides, strict=True) if max(map(len, pair)) <= LONGEST]
    for name, some in (("train", pairs[:PAIRS]), ("valid", pairs[PAIRS : PAIRS + HELD_OUT])):
        for language, lines in zip(("en", "de"), zip(*some, strict=True), strict=True):
            (work / f"{name}.{language}").write_text("".join(f"{line}\n" for line in lines))
    common = [*SETTINGS, f"training.max_updates={updates}", "training.save_every=1", *settings]
    whole, parts = (Training(work, name, common) for name in ("whole", "killed"))
    begin = time.monotonic()
    process = whole.start()
    while process.is_alive() and not whole.updates():
        time.sleep(0.005)
    startup = time.monotonic() - begin
    whole.finish(process)
    pace = (time.monotonic() - begin - startup) / updates
    killer = Killer(parts, updates, startup, pace, random.Random(seed))
    for left in reversed(range(kills)):
        killer.kill(left)
    parts.finish(parts.start())
    expected, actual = whole.result(), parts.result()
    for name in sorted(expected.keys() | actual):
        if actual.get(name) != expected.get(name):
            print(f"{name}: {actual.get(name)} instead of {expected.get(name)}")
    same = actual == expected
    print(
        f"{kills} kills ({killer.early} before a further update was saved, {killer.unfinished} during a save), "
        f"{updates} updates: weights, state and metrics {'identical' if same else 'DIFFERENT'}, sha256 of the weights "
        f"{expected['last/model.safetensors']}"
    )
    return same


def from_command_line() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--updates", type=int, help="updates of each training (default: ten per kill, at least 60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random moments")
    parser.add_argument("settings", nargs="*", help="settings of `seq2seq train` for both trainings")
    parser.add_argument("--work", type=Path, help="new directory in which to keep the runs and their logs")
    given = parser.parse_args()
    updates = given.updates or max(10 * given.kills, 60)
    with tempfile.TemporaryDirectory() as passing:
        work = given.work or Path(passing)
        work.mkdir(parents=True, exist_ok=work == Path(passing))
        return not soak(work, given.kills, updates, given.seed, given.settings)


if __name__ == "__main__":
    sys.exit(from_command_line())
