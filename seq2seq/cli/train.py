"""`seq2seq train`: trains a model on raw parallel text. Run the same command again to resume."""

from seq2seq.cli.training import run_directory, run_training
from seq2seq.config import TrainConfig
from seq2seq.text.json_io import read_json


def run(config: TrainConfig) -> int:
    """Train, or with check=true only test whether training could start."""
    return run_training(config)


def objective(config: TrainConfig) -> float | None:
    """Return what a sweep optimises: the best value of training.metric among the validations."""
    state = run_directory(config) / "last/state.json"
    best = None if config.check else read_json(state)["position"]["best"]
    return None if best is None else float(best)
