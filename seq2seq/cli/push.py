"""`seq2seq push`: publishes a checkpoint on the Hugging Face Hub."""

import logging
from pathlib import Path

import torch

from seq2seq import checkpoint, hub
from seq2seq.config import PushConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.json_io import read_json
from seq2seq.training.hub_card import hub_card
from seq2seq.version import __version__

logger = logging.getLogger(__name__)


def run(config: PushConfig) -> int:
    """Check the checkpoint, write its card, push both in one commit, and print where they are."""
    hub.load_library()
    if "/" not in config.repo or "@" in config.repo:
        raise ConfigError(f"repo={config.repo}: expected USER/NAME or ORGANISATION/NAME")
    repo, branch = hub.split_name(Path(f"{hub.PREFIX}{config.repo}@{config.revision}"))
    where = checkpoint.find(Path(config.checkpoint))
    saved = checkpoint.load(where, torch.device("cpu"))  # refuses a damaged one
    evaluation = {name: _read_scores(name, file) for name, file in config.evaluation.items()}
    name = f"{hub.PREFIX}{repo}" if branch == hub.MAIN else f"{hub.PREFIX}{repo}@{branch}"
    card = hub_card(checkpoint.read_card(where), saved, name, config.licence, evaluation)
    if "validation" not in saved.origin:
        logger.info("%s: has no validation scores with signatures on record, so the metadata has none", where)
    message = config.message or f"Push with seq2seq {__version__}"
    files = checkpoint.public_files(where)
    pushed = hub.push(repo, files, card, branch=branch, private=config.private, message=message)
    if not pushed.changed:
        logger.info("%s: nothing has changed since this commit", repo)
    print(pushed.url)
    print(f"{hub.PREFIX}{repo}@{pushed.commit}")
    return 0


def _read_scores(name: str, file: str) -> object:
    try:
        return read_json(Path(file))
    except (OSError, ValueError) as error:
        raise DataError(f"evaluation.{name}={file}: can't be read as JSON ({error})") from error
