"""Other toolkits, run by scripts that print JSON."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.config import BenchmarkConfig, peer_attention, peer_sizes
from seq2seq.errors import ConfigError, DataError

_WARM_UP_UPDATES = 20


@dataclass(frozen=True)
class Peer:
    """A toolkit, and a precision of its fp32 products."""

    toolkit: str
    precision: str
    scripts: Path
    work: Path
    attention: str
    common: Sequence[object]
    """Options of both scripts: the cores and threads."""
    training: Sequence[object]
    """Options of train.py."""

    @property
    def label(self) -> str:
        """The name in tables and ratios."""
        return f"{self.toolkit} {self.precision}"

    def train(self) -> dict[str, Any]:
        """Measure a new training. The trained model is kept for `decode`."""
        return self._run("train.py", [*self.training, "--name", self._measured])

    def decode(self, beam: int, batch: int, length: int | None, sentences: int | None) -> dict[str, Any]:
        """Translate the test set with the toolkit's fully trained model, or with the measured one if there is none."""
        trained = f"{self.toolkit}-{self.attention}"
        name = trained if (self.work / "runs" / trained / "run.json").is_file() else self._measured
        options: list[object] = ["--beam", beam, "--batch", batch, "--name", name]
        if length is not None:
            options += ["--min-length", length, "--max-length", length]
        if sentences is not None:
            options += ["--limit", sentences]
        return self._run("decode.py", options)

    @property
    def _measured(self) -> str:
        return f"measured-{self.toolkit}-{self.attention}"

    def _run(self, script: str, options: Sequence[object]) -> dict[str, Any]:
        model = ["--work", self.work, "--attention", self.attention, "--precision", self.precision]
        command = [sys.executable, self.scripts / script, self.toolkit, *model, *options, *self.common]
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        try:
            result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise DataError(f"{' '.join(words)}: printed no JSON ({done.stderr.strip()[-1000:]})") from error
        return result


def find_peers(config: BenchmarkConfig, cores: Sequence[int] | None) -> list[Peer]:
    """Every requested toolkit in every requested precision. Raises ConfigError for a model that they don't have."""
    if config.peers is None or config.peers_work is None:
        return []
    attention = peer_attention(config.model)
    if attention is None:
        score = config.model.attention.score
        raise ConfigError(
            f"peers={config.peers}, model/encoder={config.model.encoder.name}, model/decoder="
            f"{config.model.decoder.name} and model/attention/score={score.name if score else 'none'}: the peers have "
            "only recurrent models with additive or general, and Transformers as experiment=benchmark/transformer is "
            "one: pre-norm, sinusoidal positions, softmax over scaled_dot everywhere, and equal sizes on both sides."
        )
    batch = config.training.batch_sentences
    if batch is None:
        raise ConfigError(
            f"peers={config.peers} and training.batch_sentences=null: the peers' batches count sentences. Set it, for "
            "example to 64."
        )
    scripts, work = Path(config.peers), Path(config.peers_work)
    for path in (scripts / "train.py", scripts / "decode.py", work / "data"):
        if not path.exists():
            raise ConfigError(f"{path}: not found. Set peers=DIR to the scripts and peers_work=DIR to prepared data.")
    common = ["--threads", config.threads, "--cpu", "none" if cores is None else ",".join(map(str, cores))]
    training: list[object] = ["--updates", config.peers_updates, "--warmup", _WARM_UP_UPDATES, "--batch", batch]
    training += [word for key, size in peer_sizes(config.model).items() for word in (f"--{key}", size)]
    return [
        Peer(toolkit, precision, scripts, work, attention, common, training)
        for toolkit in config.peers_toolkits
        for precision in config.peers_precisions
    ]
