"""Measure the peak memory of training by corpus size.

    python scripts/memory.py 200000 1000000 [data.joint=false ...]

For each number of pairs, the script writes made-up text to a temporary directory and starts three processes:
1. `seq2seq train check=true` learns sub-words, encodes the corpus, plans an epoch and tries the largest batch.
2. The same with another data.max_length reuses the sub-words and encodes again.
3. A training reads the encoded corpus from the cache.

The last lines give the memory per additional pair and extrapolate to twenty million pairs. Learning sub-words is left
out of them: it samples at most a gigabyte of text, so its memory stops growing. Word frequencies follow Zipf (1935).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_WORDS = 200_000
_MANY = 20_000_000
_PARTS = ("sub-words and encoding", "encoding", "training")
_AT_A_TIME = 10_000
_MODEL = [
    "model.embedding_size=256", "model.hidden_size=256", "data.vocab_size=16000", "training.max_updates=20",
    "training.batch_tokens=1024", "training.processes=1", "decoding.max_length=5", "device=cpu",
]  # fmt: skip


def write(directory: Path, pairs: int) -> None:
    """Write train.xx and train.yy with 5 to 40 words a line, and a small valid.xx and valid.yy."""
    generator = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzäöüß"))
    words = ["".join(generator.choice(letters, 2 + rank.bit_length() // 2)) for rank in range(_WORDS)]
    bounds = (1 / (np.arange(_WORDS) + 2.7)).cumsum()
    for name, count in (("train", pairs), ("valid", 100)):
        with (directory / f"{name}.xx").open("w") as source, (directory / f"{name}.yy").open("w") as target:
            for start in range(0, count, _AT_A_TIME):
                for length in generator.integers(5, 41, min(_AT_A_TIME, count - start)):
                    drawn = np.searchsorted(bounds, generator.random(length) * bounds[-1]).tolist()
                    source.write(" ".join(words[word] for word in drawn) + "\n")
                    target.write(" ".join(words[_WORDS - 1 - word] for word in reversed(drawn)) + "\n")


def peak(directory: Path, *more: str) -> float:
    """Train, and return the peak memory in MiB."""
    data = [f"data.train={directory}/train", f"data.valid={directory}/valid", f"data.cache_dir={directory}/cache"]
    languages = ["data.source_lang=xx", "data.target_lang=yy", f"run_dir={directory}/run"]
    command = [sys.executable, "-m", "seq2seq", "train", *_MODEL, *data, *languages, *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(errors)
    return used.ru_maxrss / 1024


def main(sizes: list[int], more: list[str]) -> None:
    """Measure each number of pairs."""
    peaks = []
    for pairs in sizes:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            write(directory, pairs)
            text = sum(path.stat().st_size for path in directory.glob("train.*"))
            again = [*more, "data.max_length=190"]
            peaks.append([peak(directory, *given) for given in (["check=true", *more], ["check=true", *again], again)])
        parts = ", ".join(f"{name} {most:,.0f} MiB" for name, most in zip(_PARTS, peaks[-1], strict=True))
        print(f"{pairs:,} pairs, {text / 2**20:,.0f} MiB of text: {parts}", flush=True)
    if len(sizes) > 1:
        for name, first, last in list(zip(_PARTS, peaks[0], peaks[-1], strict=True))[1:]:
            slope = (last - first) / (sizes[-1] - sizes[0])
            print(
                f"{name}: {2**20 * slope:,.0f} bytes per additional pair, or "
                f"{last + (_MANY - sizes[-1]) * slope:,.0f} MiB for {_MANY:,} pairs"
            )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:] if "=" not in word], [word for word in sys.argv[1:] if "=" in word])
