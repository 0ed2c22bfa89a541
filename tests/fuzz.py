"""Run the readers of support/readers.py on many inputs: `python tests/fuzz.py --inputs 100000 --seed 1`.

Each reader has its own process, so that a crash, an endless loop or a lack of memory is noticed. The same seed gives
the same inputs. The exit code is 0 if every input was read, or refused as it should be.

With `--coverage`, atheris chooses the inputs by the code that they reach; it has to be installed.
"""

import argparse
import contextlib
import importlib
import itertools
import math
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

_PATIENCE = 30
"""Seconds that an input may take."""
_MEMORY = 1 << 30
"""Bytes that reading may allocate beyond those in use before."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reader", help="only this one")
    parser.add_argument("--coverage", action="store_true", help="choose inputs by the code that they reach")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.here:
        return in_turn(given)
    with tempfile.TemporaryDirectory() as directory:
        run = by_coverage if given.coverage else by_chance
        run(given.reader, given.inputs, given.seed, Path(directory))
    return 0


def in_turn(given: argparse.Namespace) -> int:
    """Run each reader in its own process, and print a line about it."""
    readers = importlib.import_module("support.readers")
    names = [given.reader] if given.reader else list(readers.READERS)
    shares = {name: 1 / readers.SLOW.get(name, 1) for name in names}
    print(f"{'reader':28} {'inputs':>8} {'read':>8} {'refused':>8} {'seconds':>8} {'slowest':>8} {'MiB more':>8}")
    failed, total = [], 0
    for name in names:
        inputs = math.ceil(given.inputs * shares[name] / sum(shares.values()))
        words = ["--here", f"--reader={name}", f"--inputs={inputs}", f"--seed={given.seed}"]
        command = [sys.executable, __file__, *words, *["--coverage"] * given.coverage]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = (done.stdout.strip().splitlines() or ["0"])[-1]
        total += int(said.split()[0])
        print(f"{name:28} {said}", flush=True)
        if done.returncode:
            failed.append(name)
            print(f"{name}: exit code {done.returncode}\n{done.stderr[-6000:]}", flush=True)
    print(
        f"{total} inputs, seed {given.seed}: " + (f"failed: {', '.join(failed)}" if failed else "all as they should be")
    )
    return 1 if failed else 0


class Watch:
    """Checks and counts inputs; limits the time and the memory of each."""

    def __init__(self, reader: Any, directory: Path) -> None:
        self._check = importlib.import_module("support.readers").check
        self.reader, self._directory = reader, directory
        self._counts = {True: 0, False: 0}
        self._slowest, self._begin, self._memory = 0.0, 0.0, 0

    def __call__(self, value: Any) -> None:
        if sum(self._counts.values()) == 1:  # by now all that is used has been imported
            self._begin, self._memory = time.monotonic(), _peak()
            limit = _mapped() + _MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        start = time.monotonic()
        with limited():
            self._counts[self._check(self.reader, value, self._directory)] += 1
        if self._begin:
            self._slowest = max(self._slowest, time.monotonic() - start)

    def __str__(self) -> str:
        seconds, more = time.monotonic() - self._begin, (_peak() - self._memory) / 1024
        counts = f"{sum(self._counts.values()):8} {self._counts[True]:8} {self._counts[False]:8}"
        return f"{counts} {seconds:8.0f} {self._slowest:8.2f} {more:8.0f}"


@contextlib.contextmanager
def limited(seconds: int = _PATIENCE) -> Any:
    """Raise an error in the block after so many seconds."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"more than {seconds} seconds for an input")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _property(watch: Watch, inputs: int, seed: int) -> Any:
    """The property that holds for every input."""
    import hypothesis

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=inputs, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(watch.reader.inputs)
    def holds(value: Any) -> None:
        watch(value)

    return holds


def by_chance(name: str, inputs: int, seed: int, directory: Path) -> None:
    """Check so many inputs, or all distinct ones if there are fewer."""
    watch = Watch(importlib.import_module("support.readers").READERS[name](), directory)
    try:
        _property(watch, inputs, seed)()
    finally:
        print(watch)


def by_coverage(name: str, inputs: int, seed: int, directory: Path) -> None:
    """Make so many attempts, some of which give no input."""
    import atheris

    with atheris.instrument_imports(include=["seq2seq"]):
        readers = importlib.import_module("support.readers")
    watch, tried = Watch(readers.READERS[name](), directory), itertools.count(1)
    holds = _property(watch, inputs, seed).hypothesis.fuzz_one_input

    def attempt(content: bytes) -> None:
        holds(content)
        if next(tried) == inputs:  # libFuzzer ends the process
            print(watch, flush=True)

    options = [f"-runs={inputs}", f"-seed={seed}", "-rss_limit_mb=0", "-max_len=4096", "-len_control=0"]
    atheris.Setup([sys.argv[0], *options], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
