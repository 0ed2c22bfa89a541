"""The run directory: its name, its lock, disk space, and whether a run may resume in it."""

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass, replace
from operator import attrgetter
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
from seq2seq.device import fastest_precision
from seq2seq.errors import ConfigError, DataError, shown
from seq2seq.text.cache import digest
from seq2seq.text.json_io import read_json
from seq2seq.text.storage import file_name, remove_unfinished, replace_file, within, writing

logger = logging.getLogger(__name__)

_FREE = (
    "run_dir", "device", "check", "training.max_updates", "training.max_epochs", "training.max_hours",
    "training.min_learning_rate", "training.patience", "training.max_skipped", "training.keep_best",
    "training.keep_last", "training.save_every", "training.log_every", "training.samples", "training.tensorboard",
    "training.processes", "data.test", "data.cache_dir",
)  # fmt: skip
"""Keys that a resumed run may change; they are not part of the name of a default run directory."""

_OLD_LIMITS = {"decoding.max_length": 256, "decoding.max_length_ratio": 2.0}
"""Defaults of older versions that are null now."""

_CORPORA = ("data.train", "data.valid", "data.alignments")
"""Keys of files that may have moved when a run resumes: `check_contents` compares their contents."""

_DEFAULTS_VERSION = 2
"""Version of the defaults. Increase it when one changes: hashes of run directories leave out default values."""


def default_run_dir(config: TrainConfig, attention: str, swept: Mapping[str, str] | None = None) -> Path:
    """Return runs/<corpus>-<attention>-<hash>; with several corpora, the first one and the number of others.

    The hash covers all settings but the free ones and those at their default, so that options added later do not change
    names. `swept` are the keys that a multirun varies, with the values of this run as text: those that are not in the
    hash are appended.
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
    """Yield each key of a configuration with its value and default.

    The name that selects an option has one only where the dataclass has the option as a default.
    """
    for option in fields(section):
        value = getattr(section, option.name)
        default = default_of(option) if defaults is None else getattr(defaults, option.name)
        if is_dataclass(value):
            yield from _settings(value, default if isinstance(default, type(value)) else None, f"{path}{option.name}.")
        else:
            chosen = option.name == "name" and defaults is None
            yield f"{path}{option.name}", value, MISSING if chosen else default


def resolve_precision(config: TrainConfig, run_dir: Path, device: torch.device) -> TrainConfig:
    """Replace training.precision=auto by the precision of the existing run, else by the fastest one."""
    if config.training.precision != "auto":
        return config
    old = _stored_config(run_dir)
    precision = fastest_precision(device) if old is None else old.training.precision
    logger.info("training.precision=auto: %s", precision)
    return replace(config, training=replace(config.training, precision=precision))


def _stored_config(run_dir: Path) -> TrainConfig | None:
    """Read the configuration of an existing run; None if there is none."""
    path = within(run_dir, "config.json")
    if not os.path.isfile(path):
        return None
    try:
        values = read_json(path)
        config: TrainConfig = parse("train", {**values, "data": stored_data(values["data"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ConfigError) as error:
        raise ConfigError(f"{path}: can't be read ({error}). Restore it, or use another run_dir.") from error
    return config


def check_run_dir(run_dir: Path, config: TrainConfig) -> list[str]:
    """Return the settings that differ from those of an existing run. Raises ConfigError if some must not."""
    stored = _stored_config(run_dir)
    if stored is None:
        return []
    changes = list(differences(to_plain(stored), to_plain(replace(config, change=[])), ""))
    refused = [change for change in changes if not _may_change(change.partition(":")[0], stored, config, run_dir)]
    if refused:
        listed = "\n".join(f"  {change}" for change in refused)
        raise ConfigError(
            f"run_dir={run_dir}: holds a run with other settings:\n{listed}\n"
            f"Use another run_dir, or resume with the old settings. These may change: {', '.join(_FREE)}; and, if "
            f"listed in change=[...], {', '.join(f'training.{name}' for name in CHANGEABLE)}."
        )
    return changes


def _may_change(key: str, stored: TrainConfig, config: TrainConfig, run_dir: Path) -> bool:
    if key not in (*_CORPORA, *_OLD_LIMITS, "training.start_from"):
        return key in _FREE or key in config.change
    old, new = (attrgetter(key)(options) for options in (stored, config))
    if key in _CORPORA:
        return len(several(old)) == len(several(new))
    if key == "training.start_from":  # another name of the checkpoint that the run began with
        state = checkpoint.find_state(run_dir / "last")
        if not new or state is None:
            return False
        return _recorded_hashes(state).get("start_from") == start_hash(several(new))
    # minimum_risk: the limits are those of its samples
    return config.training.loss != "minimum_risk" and old == _OLD_LIMITS[key] and new is None


def start_hash(checkpoints: Sequence[str | Path]) -> str:
    """Return a hash of the weights of the checkpoints that a run begins with, in that order."""
    return "+".join(checkpoint.weights_hash(Path(name)) for name in checkpoints)


def check_contents(state: Path, hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of the files that a state was trained on. Raises ConfigError if the files have changed.

    The checkpoint that the run began with is not compared: the state does not need it any more.
    """
    recorded = _recorded_hashes(state)
    names = sorted((recorded.keys() | hashes) - {"start_from"})
    changed = [f"data.{name}" for name in names if recorded.get(name) != hashes.get(name)]
    if changed:
        raise ConfigError(
            f"run_dir={state.parent}: the corpus has changed since this run began ({', '.join(changed)[:300]}). Use "
            "another run_dir, or restore the old text."
        )
    return recorded


def _recorded_hashes(state: Path) -> dict[str, str]:
    hashes = checkpoint.state_values(state).get("hashes")
    if not isinstance(hashes, dict):
        raise DataError(f"{state}: the training state doesn't fit (it has no hashes)")
    return hashes


def check_writable(run_dir: Path) -> None:
    """Raise DataError unless the run directory can be made, or written to."""
    with writing(f"run_dir={run_dir}"), tempfile.TemporaryDirectory(prefix=".check-", dir=_existing(run_dir)):
        pass


def _existing(run_dir: Path) -> Path:
    """Return the run directory, or the nearest directory above it that exists."""
    return next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())


def check_space(run_dir: Path, needed: int) -> None:
    """Raise ConfigError unless the disk has room for this many bytes of checkpoints, existing ones included."""
    taken = 0
    with suppress(OSError):  # of another process that trains there, which `claim_run_dir` will report
        taken = sum(file.stat().st_size for file in run_dir.glob("*/*.safetensors"))
    free = shutil.disk_usage(_existing(run_dir)).free
    if needed > taken + free:
        raise ConfigError(
            f"run_dir={run_dir}: its checkpoints take up to {needed / 1e6:,.1f} MB ({taken / 1e6:,.1f} MB "
            f"already exist), and {free / 1e6:,.1f} MB are free on this disk. Make room, use a run_dir on another "
            "disk, or keep fewer checkpoints (training.keep_best, training.keep_last)."
        )


_held: set[int] = set()
"""Descriptors of the locks that this process holds."""


def _release_inherited() -> None:
    """Close inherited locks in a forked process, which would otherwise hold them after its parent is killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_release_inherited)


class RunLock:
    """A lock of the operating system on RUN_DIR/.lock, released when the process ends in any way."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._descriptor: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock inside the block.

        Raises ConfigError if another process has it, OSError if the file can't be created.
        """
        self._descriptor = os.open(within(self.run_dir, ".lock"), os.O_RDWR | os.O_CREAT, 0o666)
        _held.add(self._descriptor)
        try:
            self._acquire(self._descriptor)
            yield
        finally:
            _held.discard(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def run_dir_was_replaced(self) -> bool:
        """Whether the directory was removed while the lock was held, and made again by another process."""
        path, held = within(self.run_dir, ".lock"), self._descriptor
        return held is not None and path.exists() and not os.path.samestat(os.fstat(held), path.stat())

    def _acquire(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            raise ConfigError(
                f"run_dir={self.run_dir}: another process is training in it{holder and f' (process {holder})'}. Wait "
                "until it ends, or use another run_dir."
            ) from None
        except OSError as error:
            logger.warning(
                "%s can't be locked (%s): make sure that no other process trains in it", self.run_dir, error.strerror
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


@contextmanager
def claim_run_dir(lock: RunLock, config: TrainConfig) -> Iterator[None]:
    """Create the run directory with its config.json, and lock it inside the block."""
    run_dir = lock.run_dir
    with writing(f"run_dir={run_dir}"), ExitStack() as stack:
        run_dir.mkdir(parents=True, exist_ok=True)
        stack.enter_context(lock.held())
        changes = check_run_dir(run_dir, config)  # again: another process may have begun a run there since
        remove_unfinished(run_dir)
        with replace_file(run_dir / "config.json") as unfinished:
            unfinished.write_text(json.dumps(to_plain(replace(config, change=[])), indent=2) + "\n")
        held = stack.pop_all()
    for change in changes:
        logger.info("%s: continues with %s", run_dir, change)
    with held:
        yield


def differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield each key in which two trees of plain values differ, and how; `path` is the key of the trees."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: was {shown(old)}, now {shown(new)}"
