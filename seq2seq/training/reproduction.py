"""Training a checkpoint again from its own record: what that takes, what of it is here, and what differs.

A *requirement* is a file, a version or a part of the machine that the bits of the weights depend on.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from safetensors.torch import load_file

from seq2seq import checkpoint
from seq2seq.checkpoint import Checkpoint
from seq2seq.config import Data, TrainConfig, parse, several, to_plain
from seq2seq.device import choose_device, fastest_fp32_products, hardware
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.json_io import read_json
from seq2seq.text.parallel import ParallelText
from seq2seq.text.storage import replace_file, within, writing
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.text.word_alignments import WordLinks
from seq2seq.training.corpora import document_hashes, first_tokenizers, named
from seq2seq.training.held_out import find_texts
from seq2seq.training.model_card import versions
from seq2seq.training.run_directory import start_hash
from seq2seq.training.workers import can_fork

_RECORD = "reproduction.json"
"""File in a run directory that names what the run reproduces."""
_SECTIONS = ("hashes", "versions", "machine", "training")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Requirement:
    """A thing that the bits of the weights depend on, as it was recorded and as it is here."""

    name: str
    recorded: Any
    """None: not recorded."""
    here: Any
    """None: missing."""
    way_out: str = ""
    """What to do if it isn't the same; empty where training can go on without."""

    @property
    def state(self) -> str:
        """One of same, differs, missing and not recorded."""
        is_dirty = self.recorded == self.here and str(self.here).endswith("-dirty")  # by changes that nothing records
        if self.recorded is None or is_dirty:
            return "not recorded"
        if self.here is None:
            return "missing"
        return "same" if self.recorded == self.here else "differs"

    @property
    def line(self) -> str:
        """Describe the requirement in a line of a report."""
        here = "nothing" if self.here is None else self.here
        values = {"same": f"{self.recorded}", "not recorded": f"here {here}"}
        return f"{self.state:13} {self.name}: {values.get(self.state, f'recorded {self.recorded}, here {here}')}"


@dataclass(frozen=True)
class Reproduction:
    """A training that is to give a checkpoint again."""

    path: Path
    original: Checkpoint
    config: TrainConfig
    update: int | None
    """Update after which the checkpoint was saved. None: unknown, so training runs to its end."""
    threads: int | None
    """Threads that it was trained with. None: not recorded."""

    @property
    def run_dir(self) -> Path:
        """Directory of the new training."""
        assert self.config.run_dir is not None
        return Path(self.config.run_dir)

    @functools.cached_property
    def weights(self) -> str:
        """The SHA-256 of the checkpoint's weights."""
        return checkpoint.weights_hash(self.path)

    def check_run_dir(self) -> None:
        """Raise ConfigError if the new training would touch the original or another run."""
        new, path = self.run_dir.resolve(), self.path.resolve()
        original = path.parent if (path.parent / "config.json").exists() else path
        if new.is_relative_to(original) or path.is_relative_to(new):
            raise ConfigError(f"run_dir={self.run_dir}: the original lies there. Give a directory of its own.")
        with writing(self.run_dir):
            begun = (self.run_dir / "config.json").exists() or (self.run_dir / "last").exists()
        if begun and self._recorded() != self.weights:
            raise ConfigError(
                f"run_dir={self.run_dir}: holds a run that does not reproduce {self.path}. Give another directory."
            )

    def _recorded(self) -> object:
        try:
            return read_json(within(self.run_dir, _RECORD))["weights"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self) -> None:
        """Write into the run directory what the run reproduces."""
        with writing(self.run_dir):
            self.run_dir.mkdir(parents=True, exist_ok=True)
            with replace_file(self.run_dir / _RECORD) as unfinished:
                unfinished.write_text(json.dumps({"weights": self.weights}) + "\n")

    def requirements(self) -> Iterator[Requirement]:
        """Yield everything that the bits depend on."""
        origin, config = self.original.origin, self.config
        yield Requirement("update", origin.get("update"), self.update or "the best of a training to its end")
        yield Requirement("seed", origin["seed"], config.seed)
        files = list(_files(origin.get("hashes", {}), config))
        yield from files
        yield from self._tokenizers(all(file.state == "same" for file in files))
        yield from _values(origin.get("versions", {}), versions())
        for part in _values(origin.get("machine", {}), self._machine()):
            not_here = part.name == "device" and config.device == "auto"
            yield replace(part, way_out="give device=... to train on another one, with other bits" * not_here)
        yield Requirement("precision", origin["training"].get("precision"), config.training.precision)
        if changes := origin.get("machine", {}).get("changed"):
            yield Requirement("changed mid-run", changes, "no change")

    def _tokenizers(self, learnable: bool) -> Iterator[Requirement]:
        way_out = (
            "other sub-words are learned here. Install the recorded version of sentencepiece, or take over the "
            "checkpoint's with data.tokenizer_model (see seq2seq reproduce --help data.tokenizer_model)"
        )
        here: Sequence[Tokenizer | None] = (None, None)
        if learnable:
            data, start = self.config.data, several(self.config.training.start_from)
            trains = find_texts(data).train
            here = first_tokenizers(trains, data, [text.content_hash() for text in trains], list(map(Path, start)))
        for side, tokenizer in zip(("source", "target"), here, strict=True):
            found = tokenizer and _sha256(tokenizer)
            yield Requirement(f"{side}.model", _sha256(getattr(self.original, side)), found, way_out * learnable)

    def _machine(self) -> dict[str, Any]:
        training, recorded = self.config.training, self.original.origin.get("machine", {})
        device = choose_device(self.config.device)
        processes = training.processes if can_fork(device) else 1
        return {
            **hardware(device),
            "threads": self.threads or torch.get_num_threads(),
            "processes": processes or "as many as there are cores",
            "micro_batches": recorded.get("micro_batches", training.accumulate),
            "fp32_products": fastest_fp32_products(device) if training.precision == "fp32" else "highest",
        }

    def result(self) -> Path:
        """Return the checkpoint of the new training that is to have the same weights."""
        return self.run_dir / ("best" if self.update is None else "last")


def plan(path: Path, device: str, run_dir: str | None, data: Any, start_from: str | list[str] | None) -> Reproduction:
    """Read a checkpoint's record into the training that gives it again.

    `data` and `start_from` say where files lie now; what they leave out lies where the record says. Raises DataError
    for a checkpoint that no single training gives.
    """
    original = checkpoint.load(path, torch.device("cpu"))
    origin = original.origin
    if wrong := [name for name in _SECTIONS if not isinstance(origin.get(name, {}), dict)]:
        raise DataError(f"{path}/config.json: expected groups of keys in `origin`: {', '.join(wrong)}. Restore it.")
    machine, settings = origin.get("machine", {}), origin.get("training", {})
    if reason := _refusal(origin, settings):
        raise DataError(f"checkpoint={path}: {reason}")
    update, threads = origin.get("update") or _update_of_card(path), machine.get("threads")
    if not all(value is None or (type(value) is int and value > 0) for value in (update, threads)):
        raise DataError(f"{path}/config.json: expected whole numbers, got update={update}, threads={threads}.")
    training = {**settings, "keep_best": 1, "keep_last": 1, "tensorboard": False}  # which the weights don't depend on
    training["start_from"] = start_from or settings.get("start_from")
    training["processes"] = machine.get("processes", settings.get("processes"))
    training["accumulate"] = machine.get("micro_batches", settings.get("accumulate", 1))
    if update is not None:
        training["max_hours"] = None  # this machine may take longer
    moved = {key: value for key, value in vars(data).items() if value is not None}
    values = {
        "model": to_plain(original.options),
        "data": {**to_plain(original.data), "test": None, **moved},
        "training": training,
        "seed": origin["seed"],
        "device": machine.get("device", "auto") if device == "auto" else device,
        "run_dir": run_dir or str(Path("runs") / f"reproduce-{checkpoint.weights_hash(path)[:8]}"),
    }
    values |= {"decoding": origin["decoding"]} if "decoding" in origin else {}
    config: TrainConfig = parse("train", values)
    try:
        choose_device(config.device)
    except ConfigError:
        if device != "auto":
            raise
        config = replace(config, device="auto")
    return Reproduction(path, original, config, update, threads)


def _refusal(origin: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Say why no single training gives a checkpoint with this record; an empty string if one does."""
    if "averaged" in origin:
        names = ", ".join(map(str, origin["averaged"]))
        return f"is the mean of {names}. Reproduce each of them, and average them again with seq2seq average."
    if "seed" not in origin or not settings:
        return "has no record of its training (`origin` in config.json). Train it with this version to have one."
    if changed := settings.get("changed"):
        return (
            f"settings were changed mid-run ({changed}), and a reproduction has the same ones throughout. Train "
            "with seq2seq train, and stop and resume it with other settings at the same updates."
        )
    if settings.get("ranks", 1) != 1:
        return (
            f"was trained by {settings['ranks']} processes of torchrun, which this command doesn't start. Run its "
            "command under torchrun with another run_dir, and compare the SHA-256 of model.safetensors."
        )
    if settings.get("max_hours") and settings.get("schedule") == "cosine":
        return (
            f"training.schedule=cosine with training.max_hours={settings['max_hours']} follows the clock, so no "
            "training repeats it. Limit training.max_updates instead to have a checkpoint that can be reproduced."
        )
    return ""


def _update_of_card(path: Path) -> int | None:
    """Read the update from the model card, where older checkpoints have it."""
    try:
        found = re.search(r" for ([\d,]+) updates \(", within(path, "README.md").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return int(found[1].replace(",", "")) if found else None


def _values(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Requirement]:
    """Yield a requirement for each value that is recorded or here."""
    for name in dict.fromkeys([*recorded, *here]):
        if name != "changed":
            yield Requirement(name, recorded.get(name), here.get(name))


def _files(recorded: Mapping[str, str], config: TrainConfig) -> Iterator[Requirement]:
    """Yield a requirement for each file that is hashed."""
    data, start = config.data, several(config.training.start_from)
    options = {"train": data.train, "valid": data.valid, "alignments": data.alignments}
    places = {key: name for kind, given in options.items() for key, name in named(kind, several(given)).items()}
    here = _hashes(data) | {"start_from": _or_none(start_hash, start) if start else None}
    for key in recorded:
        option = f"training.{key}" if key == "start_from" else f"data.{key}"
        place = ",".join(start) if key == "start_from" else places.get(key, "")
        way_out = f"give the original as {option.partition('[')[0]}=..., wherever it lies now"
        yield Requirement(f"{option}={place}" if place else option, recorded[key], here.get(key), way_out)


def _hashes(data: Data) -> dict[str, str | None]:
    """Return what `prepare_data` would record, with None for each file that is missing or can't be read."""
    languages = data.source_lang, data.target_lang
    trains, valids = (
        [_or_none(ParallelText.find, name, *languages, data.columns, documents=data.documents) for name in names]
        for names in (several(data.train), several(data.valid))
    )
    if data.split.given():
        parts = _or_none(find_texts, data)
        trains, valids = ([*parts.train], [*parts.valid]) if parts else ([], [])
    links = [_or_none(WordLinks.find, name, *languages) for name in several(data.alignments)]
    texts = [text for text in (*trains, *valids) if text is not None]
    documents = _or_none(document_hashes, texts) if data.context else None
    hashes: dict[str, str | None] = {**named("documents", documents or [])}
    kinds: dict[str, Sequence[ParallelText | WordLinks | None]] = {
        "train": trains,
        "valid": valids,
        "alignments": links,
    }
    for kind, files in kinds.items():
        hashes |= named(kind, [None if file is None else _or_none(file.content_hash) for file in files])
    return hashes


def _or_none(work: Callable[Arguments, Result], *arguments: Arguments.args, **more: Arguments.kwargs) -> Result | None:
    """Return the result of the work; None if a file is missing or can't be read."""
    try:
        return work(*arguments, **more)
    except DataError:
        return None


def _sha256(tokenizer: Tokenizer) -> str:
    return hashlib.sha256(tokenizer.model).hexdigest()


def differing_weights(one: Path, other: Path) -> str:
    """Describe how the weights of two checkpoints differ."""
    left, right = (load_file(path / "model.safetensors") for path in (one, other))
    if {name: tensor.shape for name, tensor in left.items()} != {name: tensor.shape for name, tensor in right.items()}:
        return "their tensors have other names or shapes"
    gaps = torch.cat([(tensor.double() - right[name].double()).abs().flatten() for name, tensor in left.items()])
    return f"{int((gaps != 0).sum()):,} of {len(gaps):,} weights differ, by at most {float(gaps.max()):.3g}"
