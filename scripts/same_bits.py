"""Train the same models with two checkouts, then compare their weights bit by bit and some translations.

    python scripts/same_bits.py ../before
    python scripts/same_bits.py ../before --this data.raw_text=true --jobs 4 gru-before lstm-after

Use it to check that a refactoring changes no arithmetic. Twelve small models cover the cells, placements, windows and
most attentions. Each is trained briefly on short sentences of the embedded corpus, in fp32 and in bf16, with this
checkout and with the other one. Every training runs in its own process with one thread. The script uses only the
command line and the weight files, so the two checkouts may differ inside.

Weights are the same if both sides have the same tensors, each the same number of times, by the SHA-256 of their bytes.
Names and shapes may differ. The script prints the names of tensors without a counterpart (`this:`, `other:`). --this
and --other give settings to one side only, for options whose meaning has changed. A training that fails on both sides,
as bf16 does on some processors, is reported but not compared. The table has one row per training. The exit code is 1
if any training differs or none could be compared.
"""

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
_PLACEMENT, _SCORE, _WINDOW = "model/attention/placement", "model/attention/score", "model/attention/window"
_NORMALISER = "model/attention/normaliser"
VARIANTS = {
    "gru-before": f"model.cell=gru {_PLACEMENT}=before model.layer_norm=true training.accumulate=2",
    "lstm-after": f"model.cell=lstm {_PLACEMENT}=after {_SCORE}=general model.decoder_layers=2 model.residual=true",
    "gru-between": f"model.cell=gru {_PLACEMENT}=between model.tied_embeddings=all data.joint=true",
    "local_m": f"model.cell=lstm {_PLACEMENT}=before {_WINDOW}=local_m {_SCORE}=dot data.subword_sampling=0.1",
    "local_p": f"model.cell=gru {_PLACEMENT}=after {_WINDOW}=local_p {_SCORE}=scaled_dot",
    "coverage": f"model.cell=lstm {_PLACEMENT}=between {_SCORE}=additive model.attention.score.coverage=true",
    "heads": f"model.cell=gru {_PLACEMENT}=before {_SCORE}=cosine model.attention.heads=4 model.encoder_layers=2",
    "sparsemax": f"model.cell=lstm {_PLACEMENT}=after {_SCORE}=concat {_NORMALISER}=sparsemax data.reverse_source=true",
    "reinforce": f"model.cell=gru {_PLACEMENT}=between {_NORMALISER}=reinforce model/bridge=mean",
    "gumbel": f"model.cell=lstm {_PLACEMENT}=before {_NORMALISER}=gumbel {_WINDOW}=local_p model.attention.heads=2",
    "location": f"model.cell=gru {_PLACEMENT}=after {_SCORE}=location model.tied_embeddings=target_output",
    "layer-norm": f"model.cell=lstm {_PLACEMENT}=between {_WINDOW}=local_m model.layer_norm=true",
}
SETTINGS = (
    "data.train=train data.valid=valid data.source_lang=en data.target_lang=de data.vocab_size=400 "
    "data.cache_dir=cache model.embedding_size=16 model.hidden_size=16 model.dropout=0.2 training.batch_tokens=256 "
    "training.learning_rate=0.005 training.label_smoothing=0.1 training.processes=1 training.max_epochs=null "
    "training.patience=null decoding.max_length=20 seed=1 device=cpu"
)
DECODING = ["decoding.beam_size=4", "decoding.max_length=20", "device=cpu"]
PRECISIONS = ("fp32", "bf16")
PAIRS, HELD_OUT, LONGEST = 800, 20, 32
RUN = """
import json, runpy, sys
for words in json.loads(sys.argv[1]):
    sys.argv = ["seq2seq", *words]
    try:
        runpy.run_module("seq2seq", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
"""
"""Runs several commands in one process, since starting Python takes longer than such a training."""


@dataclass(frozen=True)
class Side:
    """A checkout, the settings for its trainings alone, and a directory with the corpus."""

    name: str
    checkout: Path
    more: Sequence[str]
    work: Path

    def results(self, variant: str, precision: str, updates: int) -> tuple[dict[str, str], list[str]]:
        """Train and translate: the SHA-256 of each weight by name, and the translations of the held-out sentences.

        If a command fails: no weights, and the last line of its error output.
        """
        run = f"{variant}-{precision}"
        limits = [f"training.max_updates={updates}", f"training.precision={precision}", f"run_dir={run}"]
        commands = [
            ["train", *shlex.split(SETTINGS), *shlex.split(VARIANTS[variant]), *limits, *self.more],
            ["translate", f"checkpoint={run}/last", "input=valid.en", f"output={run}.txt", *DECODING],
        ]
        environment = {**os.environ, "PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(commands)],
            cwd=self.work, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            return {}, done.stderr.strip().split("\n")[-1:]
        return hashes(self.work / run / "last"), (self.work / f"{run}.txt").read_text().split("\n")


def hashes(checkpoint: Path) -> dict[str, str]:
    """SHA-256 of the bytes of each weight, by name."""
    tensors = load_file(checkpoint / "model.safetensors")
    return {
        name: hashlib.sha256(tensor.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
        for name, tensor in tensors.items()
    }


def differing(this: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the tensors without a counterpart; a name listed for both sides appears once, without a prefix."""
    left, right = Counter(this.values()), Counter(other.values())
    here = {name for name, value in this.items() if left[value] > right[value]}
    there = {name for name, value in other.items() if right[value] > left[value]}
    both = here & there
    return [*sorted(both), *(f"this:{name}" for name in sorted(here - both)),
            *(f"other:{name}" for name in sorted(there - both))]  # fmt: skip


def write_corpus(work: Path) -> None:
    """Write the first short pairs of the embedded corpus as training set, and the next ones as held-out set."""
    work.mkdir()
    both = [(ROOT / f"data/embedded/train.{language}").read_text().splitlines() for language in ("en", "de")]
    pairs = [pair for pair in zip(*both, strict=True) if max(map(len, pair)) <= LONGEST]
    for name, first, count in (("train", 0, PAIRS), ("valid", PAIRS, HELD_OUT)):
        for language, lines in zip(("en", "de"), zip(*pairs[first : first + count], strict=True), strict=True):
            (work / f"{name}.{language}").write_text("".join(f"{line}\n" for line in lines))


def compared(sides: Sequence[Side], variant: str, precision: str, updates: int) -> tuple[bool | None, str]:
    """Whether a variant is the same on both sides (None: it fails on both), and its rows of the table."""
    begin = time.monotonic()
    (weights, lines), (other_weights, other_lines) = (side.results(variant, precision, updates) for side in sides)
    names = differing(weights, other_weights)
    unequal = sum(left != right for left, right in zip_longest(lines, other_lines))
    equal = "same" if weights else "failed"
    words = [f"{count} DIFFER" if count else equal for count in (len(names), unequal)]
    row = f"{variant:12} {precision:5} {len(weights):7}  {words[0]:10} {words[1]:12} {time.monotonic() - begin:7.0f} s"
    failed = [
        f"    {side.name} failed: {lines_of_side[0]}"
        for side, trained, lines_of_side in zip(sides, (weights, other_weights), (lines, other_lines), strict=True)
        if not trained
    ]
    same = None if len(failed) == 2 and not unequal else not names and not unequal
    return same, "\n".join([row, *failed, *(f"    {name}" for name in names)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the other checkout")
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"default: all of {', '.join(VARIANTS)}")
    parser.add_argument("--this", default="", metavar="SETTINGS", help="settings for this checkout only")
    parser.add_argument("--other", default="", metavar="SETTINGS", help="settings for the other checkout only")
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=1, help="trainings that run at the same time")
    given = parser.parse_intermixed_args()
    if unknown := set(given.variants) - set(VARIANTS):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(VARIANTS)}")
    if not (given.checkout / "seq2seq").is_dir():
        parser.error(f"{given.checkout}: not a checkout of seq2seq")
    results = []
    with tempfile.TemporaryDirectory() as name:
        sides = tuple(
            Side(side, checkout.resolve(), shlex.split(more), Path(name) / side)
            for side, checkout, more in (("this", ROOT, given.this), ("other", given.checkout, given.other))
        )
        for side in sides:
            write_corpus(side.work)
        print(f"{'variant':12} {'':5} tensors  weights    translations", flush=True)
        with ThreadPoolExecutor(given.jobs) as pool:
            futures = [
                pool.submit(compared, sides, variant, precision, given.updates)
                for variant in given.variants or VARIANTS
                for precision in PRECISIONS
            ]
            try:
                for future in futures:
                    same, rows = future.result()
                    print(rows, flush=True)
                    results.append(same)
            finally:
                pool.shutdown(cancel_futures=True)
    print(f"same {results.count(True)}, different {results.count(False)}, failed on both sides {results.count(None)}")
    return False in results or True not in results


if __name__ == "__main__":
    sys.exit(main())
