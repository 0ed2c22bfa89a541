"""The model card and the provenance that it lists: everything needed to reproduce a checkpoint."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import sacrebleu
import safetensors
import sentencepiece
import torch

from seq2seq import hub
from seq2seq.config import (
    Attention,
    AttentionProduct,
    Data,
    Model,
    TrainConfig,
    Training,
    architecture,
    several,
    to_plain,
)
from seq2seq.version import __version__

USE = "    seq2seq translate checkpoint=THIS_DIRECTORY input=FILE"
"""How a card says that its checkpoint is used"""
_SCORES = {"bleu": "BLEU", "chrf": "chrF", "loss": "loss per token, in nats"}
_IN_PROSE = ("start_from",)
"""Settings described in a sentence of their own."""
_ALWAYS = ("batch_tokens", "optimizer", "learning_rate", "schedule", "loss", "precision")
"""Settings listed even at their defaults."""

_PATIENCE = 10.0
"""Seconds to wait for git."""


def origin(config: TrainConfig, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return the provenance as plain values: seed, SHA-256 of the data, versions, settings of training and decoding.

    `machine` is filled in when a checkpoint is saved.
    """
    settings = to_plain(config)
    return {
        "seed": config.seed,
        "hashes": dict(hashes),
        "versions": versions(),
        "machine": {},
        "training": settings["training"],
        "decoding": settings["decoding"],
    }


def versions() -> dict[str, str]:
    """Return software versions, with the commit of a checkout of this project (`-dirty` if it was changed)."""
    numbers = {"seq2seq": __version__, "python": platform.python_version(), "torch": str(torch.__version__)}
    libraries = {"numpy": numpy, "safetensors": safetensors, "sentencepiece": sentencepiece, "sacrebleu": sacrebleu}
    numbers |= {name: str(library.__version__) for name, library in libraries.items()}
    commit = checkout_commit(Path(__file__).resolve().parents[2])
    return numbers if commit is None else {**numbers, "commit": commit}


def checkout_commit(root: Path) -> str | None:
    """Return the commit of the git checkout at `root`; None if it is none or git fails."""
    if not (root / ".git").exists():  # a file in linked work trees
        return None
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *describe],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def model_card(
    config: TrainConfig, updates: int, epochs: float, scores: Mapping[str, float], origin: Mapping[str, Any]
) -> str:
    """Write a checkpoint's model card in Markdown; `origin` is what the function of this name returns."""
    training = config.training
    begun = ", then ".join(map(_file, several(training.start_from)))
    start = f" It began with the weights of {begun}." if begun else ""
    valid = next(map(_file, several(config.data.valid)), "pairs held out of the training corpus")
    names = {_SCORES.get(name, name): f"{value:.2f}" for name, value in scores.items()}
    return f"""# {config.data.source_lang} to {config.data.target_lang}

A {architecture(config.model)} {_attentions(config.model)}.{_context(config.data)}

It was trained with seq2seq {origin["versions"]["seq2seq"]} on {_corpora(config.data)} for {updates:,} updates \
({epochs:.2f} epochs) with seed {config.seed}.{start}

## Use

{USE}

## Validation

{_table("metric", f"{valid}, beam size {config.decoding.beam_size}", names or {"not yet validated": ""})}

## Training

{_table("setting", "value", _settings(origin["training"]))}

All other training settings have their defaults; config.json lists every setting of model, data and training.

## Data

{_table("data", "SHA-256", origin["hashes"])}

## Software

{_table("software", "version", origin["versions"])}

## Machine

{_table("part", "value", origin["machine"])}
"""


def shown_settings(config: TrainConfig, parameters: int, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run by name as texts, in short, as a report shows them."""
    training, data = origin["training"], config.data
    valid = " and ".join(map(shared_name, several(data.valid))) or "held out of the training corpus"
    values = {
        "model": f"{architecture(config.model)} {_attentions(config.model)}".replace("`", ""),
        "parameters": f"{parameters:,}",
        "training corpus": _corpora(data).replace("`", ""),
        "validation corpus": valid,
        "seed": config.seed,
        **_settings(training),
        "start_from": ", ".join(map(shared_name, several(config.training.start_from))),
        "software": ", ".join(f"{name} {number}" for name, number in origin["versions"].items()),
    }
    return {name: value for name, value in values.items() if value not in (None, "")}


def average_card(model: Model, data: Data, names: Sequence[str]) -> str:
    """Write the model card of the mean of these checkpoints in Markdown."""
    rows = "\n".join(f"- {_file(name)}" for name in names)
    return f"""# {data.source_lang} to {data.target_lang}

A {architecture(model)} whose weights are the mean of those of {len(names)} checkpoints, made with seq2seq \
{__version__}.{_context(data)} The checkpoints:

{rows}

They were trained on {_corpora(data)}; their own cards say how, and what they score.

## Use

{USE}
"""


def shared_name(path: str) -> str:
    """Shorten a path for publication: relative to the working directory, else its last two parts.

    The name of the home directory is never among them. A name on the Hub stays as it is.
    """
    if hub.is_name(Path(path)):
        return path
    absolute = os.path.abspath(os.path.expanduser(path))
    homes = {os.path.expanduser("~"), os.path.realpath(os.path.expanduser("~"))}
    inside = [top for top in (os.getcwd(), *homes) if os.path.isabs(top) and Path(absolute).is_relative_to(top)]
    top = max(inside, key=len, default="/")
    parts = Path(absolute).relative_to(top).parts
    return "/".join(parts if top == os.getcwd() else parts[-2:])


def _context(data: Data) -> str:
    before = f"{data.context} sentences" if data.context > 1 else "sentence"
    told = f" It reads each sentence with the {before} before it; a blank line separates documents."
    return told if data.context else ""


def _attentions(model: Model) -> str:
    parts, to_self = _parts(model.attention), model.self_attentions()
    without = "without attention to the source" if to_self else "without attention"
    to_source = f"with attention: {parts}, placement `{model.attention.placement.name}`" if parts else without
    return "; ".join([to_source, *(f"self-attention of the {side}: {_parts(one)}" for side, one in to_self.items())])


def _parts(attention: Attention | AttentionProduct) -> str:
    parts = {"score": attention.score, "window": attention.window, "normaliser": attention.normaliser}
    return ", ".join(f"{name} `{part.name}`" for name, part in parts.items() if part is not None)


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Select settings that have a value other than their default."""
    defaults = to_plain(Training())
    return {
        name: value
        for name, value in settings.items()
        if name not in _IN_PROSE and value not in (None, []) and (name in _ALWAYS or value != defaults.get(name))
    }


def _table(left: str, right: str, rows: Mapping[str, Any]) -> str:
    return "\n".join([f"| {left} | {right} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _corpora(data: Data) -> str:
    return " and ".join(_file(name) for name in several(data.train))


def _file(path: str) -> str:
    return f"`{shared_name(path)}`"
