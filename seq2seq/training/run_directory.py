"""Which directory a run has, whether it may go on there, that there is room, and that no other process does."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.config import (
    CHANGEABLE,
    RENAMED,
    TrainConfig,
    default_of,
    oldest_words,
    parse,
    several,
    stored_data,
    to_plain,
)
from seq2seq.errors import ConfigError, DataError, shown
from seq2seq.text.cache import digest
from seq2seq.text.json_io import read_json
from seq2seq.text.storage import file_name, remove_unfinished, replace_file, within
from seq2seq.training.lock import locked
from seq2seq.training.precision import fastest_precision

logger = logging.getLogger(__name__)

_FREE = (
    "run_dir", "device", "check", "training.max_updates", "training.max_epochs", "training.max_hours",
    "training.min_learning_rate", "training.patience", "training.max_skipped", "training.keep_best",
    "training.keep_last", "training.save_every", "training.log_every", "training.samples", "training.tensorboard",
    "training.processes", "data.test", "data.cache_dir",
)  # fmt: skip
"""Keys that a resumed run may change, and that do not tell default run directories apart."""

_OLD_LIMITS = {"decoding.max_length": 256, "decoding.max_length_ratio": 2.0}
"""Defaults that older versions stored and that are null now."""

_CORPORA = ("data.train", "data.valid", "data.alignments")
"""Keys of files that may lie elsewhere when a run goes on: `check_contents` compares what is in them."""

_DEFAULTS_VERSION = 2
"""Raise it when a default changes: the hashes of default run directories leave out what is at its default."""


def default_run_dir(config: TrainConfig, attention: str, swept: Mapping[str, str] | None = None) -> Path:
    """runs/<corpus>-<attention>-<hash>; of several corpora the first one and how many others.

    The hash is that of all settings but the free ones. Each is left out where it is at its default, so that options
    that are added later change no name. `swept` are the keys that a multirun varies, with the values of this run as
    text: those that are not in the hash are appended.
    """
    settings, known = {}, set()
    for key, value, default in _settings(config):
        if key in (*_CORPORA, "training.start_from"):
            value = [os.path.relpath(name) for name in several(value)] or None
        if key not in _FREE:
            known.add(key)
            if value != default:
                settings[key] = value
    first, *others = settings["data.train"]
    train = Path(first)
    corpus = train.parent.name if train.name.startswith("train") and train.parent.name.strip(".") else train.name
    corpus += f"+{len(others)}" if others else ""
    name = f"{corpus}-{attention}-{digest(_DEFAULTS_VERSION, sorted(oldest_words(settings).items()))[:8]}"
    for key, text in sorted((swept or {}).items()):
        if key not in known and key not in RENAMED and not key.startswith("model/"):
            name += "-" + file_name(f"{key.rpartition('.')[2]}={text}")
    return Path("runs") / name


def _settings(section: Any, defaults: Any = None, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each key of a configuration with its value and its default; the word that chooses an option has no default."""
    for option in fields(section):
        value = getattr(section, option.name)
        default = default_of(option) if defaults is None else getattr(defaults, option.name)
        if is_dataclass(value):
            yield from _settings(value, default if isinstance(default, type(value)) else None, f"{path}{option.name}.")
        else:
            yield f"{path}{option.name}", value, MISSING if option.name == "name" else default


def resolve_precision(config: TrainConfig, run_dir: Path, device: torch.device) -> TrainConfig:
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
    found = list(differences(to_plain(stored), to_plain(replace(config, change=[])), ""))
    refused = [change for change in found if not _may_change(change.partition(":")[0], stored, config, run_dir)]
    if refused:
        listed = "\n".join(f"  {change}" for change in refused)
        raise ConfigError(
            f"run_dir={run_dir}: holds a run with other settings:\n{listed}\n"
            f"Take another run_dir, or the old settings to go on. What may change: {', '.join(_FREE)}; and, named in "
            f"change=[...], {', '.join(f'training.{name}' for name in CHANGEABLE)}."
        )
    return found


def _may_change(key: str, stored: TrainConfig, config: TrainConfig, run_dir: Path) -> bool:
    if key in _CORPORA:
        name = key.removeprefix("data.")
        return len(several(getattr(stored.data, name))) == len(several(getattr(config.data, name)))
    if key == "training.start_from":
        return _began_with(config.training.start_from, run_dir)
    if key in _OLD_LIMITS and config.training.loss != "minimum_risk":  # whose samples they limit
        name = key.removeprefix("decoding.")
        return getattr(stored.decoding, name) == _OLD_LIMITS[key] and getattr(config.decoding, name) is None
    return key in _FREE or key in config.change


def _began_with(start: str | None, run_dir: Path) -> bool:
    """Whether the run's first weights were those of this checkpoint, as far as its state tells."""
    state = checkpoint.find_state(run_dir / "last")
    if start is None or state is None:
        return False
    return _recorded_hashes(state).get("start_from") == checkpoint.weights_hash(Path(start))


def check_contents(state: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """The hashes of the files that a saved state was trained on. Raises ConfigError if those of today differ.

    The checkpoint that the run began with counts no more: the state holds all that became of it.
    """
    recorded = _recorded_hashes(state)
    names = sorted((recorded.keys() | hashes) - {"start_from"})
    changed = [f"data.{name}" for name in names if recorded.get(name) != hashes.get(name)]
    if changed:
        raise ConfigError(
            f"run_dir={state.parent}: the corpus has changed since this run began ({', '.join(changed)[:300]}). Take "
            "another run_dir, or the text of then."
        )
    return recorded


def _recorded_hashes(state: Path) -> dict[str, str]:
    hashes = checkpoint.state_values(state).get("hashes")
    if not isinstance(hashes, dict):
        raise DataError(f"{state}: the training state doesn't fit (it has no hashes)")
    return hashes


def check_writable(run_dir: Path) -> None:
    """Raises ConfigError unless the run directory can be made, or written to."""
    try:
        there = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
        with tempfile.TemporaryDirectory(prefix=".check-", dir=there):
            pass
    except OSError as error:
        raise _unwritable(run_dir, error) from error


def check_space(run_dir: Path, needed: int) -> None:
    """Raises ConfigError unless the disk has room for so many bytes of checkpoints, those that are there included."""
    there = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    taken = 0
    with suppress(OSError):  # another process trains there, as `claim_run_dir` will tell
        taken = sum(file.stat().st_size for file in run_dir.glob("*/*.safetensors"))
    free = shutil.disk_usage(there).free
    if needed > taken + free:
        raise ConfigError(
            f"run_dir={run_dir}: its checkpoints take up to {_mb(needed)} ({_mb(taken)} are there), and {_mb(free)} "
            "are free on this disk. Make room, take a run_dir on another disk, or keep fewer checkpoints "
            "(training.keep_best, training.keep_last)."
        )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _unwritable(run_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(f"run_dir={run_dir}: can't be written ({error.strerror})")


@contextmanager
def claim_run_dir(run_dir: Path, config: TrainConfig) -> Iterator[Callable[[], bool]]:
    """Create the run directory with its config.json; within it no other process trains there. Gives `lock.locked`'s."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            replaced = held.enter_context(locked(run_dir))
            changed = check_run_dir(run_dir, config)  # again: another process may have begun a run there since
            remove_unfinished(run_dir)
            with replace_file(run_dir / "config.json") as unfinished:
                unfinished.write_text(json.dumps(to_plain(replace(config, change=[])), indent=2) + "\n")
            lock = held.pop_all()
    except OSError as error:
        raise _unwritable(run_dir, error) from error
    for change in changed:
        logger.info("%s: goes on with %s", run_dir, change)
    with lock:
        yield replaced


def differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Each key in which two trees of plain values differ, and how; `path` is the key of the trees themselves."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: was {shown(old)}, now {shown(new)}"
