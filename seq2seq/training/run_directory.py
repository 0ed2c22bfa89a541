"""Which directory a run has, whether it may go on there, and that no other process does."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from seq2seq.config import ConfigError, Data, Model, TrainConfig, parse, several, stored_data, to_plain
from seq2seq.schema import shown
from seq2seq.text.cache import digest
from seq2seq.text.plain import read_json
from seq2seq.text.storage import remove_unfinished, replace_file, within
from seq2seq.training.lock import locked
from seq2seq.training.precision import fastest_precision

logger = logging.getLogger(__name__)

_MAY_CHANGE = (
    "max_updates", "max_epochs", "max_hours", "min_learning_rate", "patience", "max_skipped", "keep_best", "keep_last",
    "save_every", "log_every", "tensorboard", "cuda_graphs",
)  # fmt: skip
"""Keys of `training` that a resumed run may change."""

_WITHOUT_EFFECT = ("test", "cache_dir")
"""Keys of `data` that change nothing in the model."""

_FREE = {"": ("run_dir", "device", "check"), "training": _MAY_CHANGE, "data": _WITHOUT_EFFECT}
"""By section, the keys that a resumed run may change."""

_LATER = {
    "model": ("layer_norm", "variational_dropout", "recurrent_dropout", "word_dropout"),
    "data": (
        "weights", "reverse_source", "max_length_ratio", "drop_identical", "drop_duplicates", "subword_sampling",
        "subword_nbest", "tokenizer_model", "protect",
    ),
}  # fmt: skip
"""Keys that came after others, and leave a run its name as long as they are at their defaults."""

_OF_START = ("start_from", "freeze")
"""Keys of `training` that tell runs apart where they are given."""


def default_run_dir(config: TrainConfig, attention: str) -> Path:
    """runs/<corpus>-<attention>-<hash of model, data, guided alignment, loss, start_from, freeze and seed>; of
    several corpora the first one and how many others.
    """
    first, *others = several(config.data.train)
    train = Path(first)
    corpus = train.parent.name if train.name.startswith("train") and train.parent.name else train.name
    corpus += f"+{len(others)}" if others else ""
    values = to_plain(config)
    for section, options in (("model", Model), ("data", Data)):
        for key in _LATER[section]:
            if values[section][key] == getattr(options, key):
                del values[section][key]
    for key in _WITHOUT_EFFECT:
        del values["data"][key]
    if config.data.alignments is None:  # such runs keep the name that they had before there were alignments
        del values["data"]["alignments"]
    else:
        values["data"]["guided_alignment"] = config.training.guided_alignment
    values["data"] |= {key: getattr(config.training, key) for key in _OF_START if getattr(config.training, key)}
    if config.training.loss != "cross_entropy":
        values["data"]["loss"] = config.training.loss
    return Path("runs") / f"{corpus}-{attention}-{digest(values['model'], values['data'], config.seed)[:8]}"


def settle_precision(config: TrainConfig, run_dir: Path, device: torch.device) -> TrainConfig:
    """With a name in place of training.precision=auto: of the run that is there, else of what is fastest."""
    if config.training.precision != "auto":
        return config
    old = _stored_config(run_dir)
    precision = fastest_precision(device) if old is None else old.training.precision
    logger.info("training.precision=auto: %s", precision)
    return replace(config, training=replace(config.training, precision=precision))


def _stored_config(run_dir: Path) -> TrainConfig | None:
    """Of the run that is there; what was not there yet is as it was then."""
    path = within(run_dir, "config.json")
    if not os.path.isfile(path):
        return None
    try:
        values = read_json(path)
        config: TrainConfig = parse("train", {**values, "data": stored_data(values["data"])})
    except (OSError, ValueError, TypeError, KeyError, ConfigError) as error:
        raise ConfigError(f"{path}: can't be read ({error}). Restore it, or take another run_dir.") from error
    return config


def check_run_dir(run_dir: Path, config: TrainConfig) -> list[str]:
    """In what a run that is there differs, of what may. Raises ConfigError naming all that may not."""
    stored = _stored_config(run_dir)
    if stored is None:
        return []
    found = list(differences(to_plain(stored), to_plain(config), ""))
    differing = [key for key in found if not _may_change(key)]
    if differing:
        keys = "\n".join(f"  {key}" for key in differing)
        free = ", ".join(f"{section}.{name}".lstrip(".") for section, names in _FREE.items() for name in names)
        raise ConfigError(
            f"run_dir={run_dir}: holds a run with other settings:\n{keys}\n"
            f"Take another run_dir, or the old settings to go on. What may change: {free}."
        )
    return found


@contextmanager
def claim_run_dir(run_dir: Path, config: TrainConfig) -> Iterator[Callable[[], bool]]:
    """Create the run directory with its config.json; within it no other process trains there. Gives `lock.locked`'s."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            replaced = held.enter_context(locked(run_dir))
            changed = check_run_dir(run_dir, config)  # again: another process may have begun a run there since
            remove_unfinished(run_dir)
            replace_file(run_dir / "config.json", json.dumps(to_plain(config), indent=2) + "\n")
            lock = held.pop_all()
    except OSError as error:
        raise ConfigError(f"run_dir={run_dir}: can't be written ({error.strerror})") from error
    for change in changed:
        logger.info("%s: goes on with %s", run_dir, change)
    with lock:
        yield replaced


def _may_change(difference: str) -> bool:
    key = difference.partition(":")[0]
    section, _, name = key.rpartition(".")
    return name in _FREE.get(section, ())


def differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Each key in which two trees of plain values differ, and how; `path` is the key of the trees themselves."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: was {shown(old)}, now {shown(new)}"
