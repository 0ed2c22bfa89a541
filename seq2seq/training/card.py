"""The model card: what a checkpoint is, made of, and worth."""

import torch

from seq2seq.config import TrainConfig, several
from seq2seq.version import __version__


def model_card(config: TrainConfig, updates: int, epochs: int, scores: dict[str, float], hashes: dict[str, str]) -> str:
    """Markdown."""
    attention = config.model.attention
    parts = [part.name for part in (attention.score, attention.window, attention.normaliser) if part is not None]
    kind = f"placement `{attention.placement.name}`" + (f", attention `{' x '.join(parts)}`" if parts else "")
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items()) or "| (none yet) | |"
    contents = "\n".join(f"| {name} | {content} |" for name, content in hashes.items())
    start = config.training.start_from
    start = "" if start is None else f" It began with the weights of `{start}`."
    corpora = " and ".join(f"`{name}`" for name in several(config.data.train))
    return f"""# {config.data.source_lang} to {config.data.target_lang}

A recurrent translation model, {kind}.

Trained by seq2seq {__version__} (torch {torch.__version__}) on {corpora}: {updates} updates, \
{epochs} whole epochs, seed {config.seed}.{start}

| validation (search with beam {config.decoding.beam_size}) | |
|---|---|
{rows}

| data | SHA-256 |
|---|---|
{contents}

Translate with `seq2seq translate checkpoint=THIS_DIRECTORY`; every option is in config.json.
"""
