"""Other toolkits, run by scripts that print JSON."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.config import Additive, BenchmarkConfig, General, Score
from seq2seq.errors import ConfigError, DataError

_ATTENTIONS: dict[type[Score], str] = {Additive: "mlp", General: "general"}
"""Scores that the scripts have, and their names there."""
_WARM_UP = 20


@dataclass(frozen=True)
class Peer:
    """A toolkit with one precision of its fp32 products."""

    toolkit: str
    precision: str
    scripts: Path
    work: Path
    attention: str
    batch: int
    updates: int
    threads: int
    cores: Sequence[int] | None

    @property
    def label(self) -> str:
        """In tables and ratios."""
        return f"{self.toolkit} {self.precision}"

    def train(self) -> dict[str, Any]:
        """Train anew and measure it. The run stays, under a name of its own."""
        updates = ["--updates", self.updates, "--warmup", _WARM_UP, "--batch", self.batch, "--name", self._measured]
        return self._run("train.py", updates)

    def decode(self, beam: int, batch: int, length: int | None, sentences: int | None) -> dict[str, Any]:
        """Translate the test set with the run that train.py makes by default, else with the one that was measured."""
        default = f"{self.toolkit}-{self.attention}"
        name = default if (self.work / "runs" / default / "run.json").is_file() else self._measured
        words: list[object] = ["--beam", beam, "--batch", batch, "--name", name]
        if length is not None:
            words += ["--min-length", length, "--max-length", length]
        if sentences is not None:
            words += ["--limit", sentences]
        return self._run("decode.py", words)

    @property
    def _measured(self) -> str:
        return f"measured-{self.toolkit}-{self.attention}"

    def _run(self, script: str, words: Sequence[object]) -> dict[str, Any]:
        cores = "none" if self.cores is None else ",".join(map(str, self.cores))
        common = ["--work", self.work, "--attention", self.attention, "--precision", self.precision]
        machine = ["--threads", self.threads, "--cpu", cores]
        command = [sys.executable, str(self.scripts / script), self.toolkit, *map(str, (*common, *words, *machine))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        try:
            result: dict[str, Any] = json.loads(lines[-1])
        except (IndexError, ValueError) as error:
            raise DataError(f"{' '.join(command)}: no JSON came ({done.stderr.strip()[-1000:]})") from error
        return result


def of_config(config: BenchmarkConfig, cores: Sequence[int] | None) -> list[Peer]:
    """Every toolkit with every precision that was asked for. Raises ConfigError for a model that they don't have."""
    if config.peers is None or config.peers_work is None:
        return []
    score = config.model.attention.score
    attention = _ATTENTIONS.get(type(score)) if score is not None else None
    if attention is None:
        raise ConfigError(
            f"peers={config.peers} and model/attention/score={score.name if score else 'none'}: the peers have "
            f"{', '.join(known.name for known in _ATTENTIONS)}. Take one of these."
        )
    if config.training.batch_sentences is None:
        raise ConfigError(
            f"peers={config.peers} and training.batch_sentences=null: the peers count sentences. Give it, for example "
            "64."
        )
    scripts, work = Path(config.peers), Path(config.peers_work)
    for path in (scripts / "train.py", scripts / "decode.py", work / "data"):
        if not path.exists():
            raise ConfigError(f"{path}: not there. Give peers=DIR with the scripts and peers_work=DIR, prepared.")
    return [
        Peer(
            toolkit,
            precision,
            scripts,
            work,
            attention,
            config.training.batch_sentences,
            config.peers_updates,
            config.threads,
            cores,
        )
        for toolkit in config.peers_toolkits
        for precision in config.peers_precisions
    ]
