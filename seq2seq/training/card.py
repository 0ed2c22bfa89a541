"""The model card: what a checkpoint is, made of, and worth."""

from collections.abc import Mapping
from typing import Any

from seq2seq.config import TrainConfig


def model_card(
    config: TrainConfig, updates: int, epochs: int, scores: Mapping[str, float], origin: Mapping[str, Any]
) -> str:
    """Markdown. `origin` is that of origin.py."""
    attention = config.model.attention
    parts = [part.name for part in (attention.score, attention.window, attention.normaliser) if part is not None]
    kind = f"placement `{attention.placement.name}`" + (f", attention `{' x '.join(parts)}`" if parts else "")
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items()) or "| (none yet) | |"
    contents, versions, settings = (
        "\n".join(f"| {name} | {value} |" for name, value in values.items())
        for values in (origin["hashes"], origin["versions"], origin["training"])
    )
    return f"""# {config.data.source_lang} to {config.data.target_lang}

A recurrent translation model, {kind}.

Trained by seq2seq {origin["versions"]["seq2seq"]} on `{config.data.train}`: {updates} updates, {epochs} whole epochs, \
seed {config.seed}.

| validation (search with beam {config.decoding.beam_size}) | |
|---|---|
{rows}

| data | SHA-256 |
|---|---|
{contents}

| version | |
|---|---|
{versions}

| training | |
|---|---|
{settings}

Translate with `seq2seq translate checkpoint=THIS_DIRECTORY`; every option is in config.json.
"""
