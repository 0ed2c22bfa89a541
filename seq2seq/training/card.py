"""The model card: what a checkpoint is, made of, and worth."""

from collections.abc import Mapping, Sequence
from typing import Any

from seq2seq.config import Data, TrainConfig, several
from seq2seq.version import __version__


def model_card(
    config: TrainConfig, updates: int, epochs: int, scores: Mapping[str, float], origin: Mapping[str, Any]
) -> str:
    """Markdown. `origin` is that of origin.py."""
    attention = config.model.attention
    parts = [part.name for part in (attention.score, attention.window, attention.normaliser) if part is not None]
    kind = f"placement `{attention.placement.name}`" + (f", attention `{' x '.join(parts)}`" if parts else "")
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items()) or "| (none yet) | |"
    ema = config.training.ema
    average = "" if ema is None else f" The weights are an exponential moving average, decay {ema}."
    start = config.training.start_from
    start = "" if start is None else f" It began with the weights of `{start}`."
    corpora = _corpora(config.data)
    contents, versions, settings = (
        "\n".join(f"| {name} | {value} |" for name, value in values.items())
        for values in (origin["hashes"], origin["versions"], origin["training"])
    )
    return f"""# {config.data.source_lang} to {config.data.target_lang}

A recurrent translation model, {kind}.

Trained by seq2seq {origin["versions"]["seq2seq"]} on {corpora}: {updates} updates, {epochs} whole epochs, \
seed {config.seed}.{start}{average}

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


def average_card(data: Data, names: Sequence[str]) -> str:
    """Markdown, of the mean of the checkpoints of these names."""
    rows = "\n".join(f"- `{name}`" for name in names)
    return f"""# {data.source_lang} to {data.target_lang}

A recurrent translation model whose weights are the mean of those of {len(names)} checkpoints, made by seq2seq \
{__version__}:

{rows}

They were trained on {_corpora(data)}; their own cards say how, and what they score.

Translate with `seq2seq translate checkpoint=THIS_DIRECTORY`; every option is in config.json.
"""


def _corpora(data: Data) -> str:
    return " and ".join(f"`{name}`" for name in several(data.train))
