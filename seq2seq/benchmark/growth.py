"""How the rates change with the lengths, batches, beams and vocabularies of generated sentences."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from seq2seq.benchmark import corpora, decoding
from seq2seq.benchmark.training import Run
from seq2seq.config import BenchmarkConfig, Generated, GlobalWindow, LocalM, Window
from seq2seq.device import peak_mb, reset_peak
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translator import USUAL_LENGTH, Translator

logger = logging.getLogger(__name__)

_LENGTHS = (10, 25, 50, 100, 200)
_BATCHES = (1, 4, 16, 64, 256)
_BEAMS = (1, 2, 5, 10, 20)
_VOCABULARIES = (4000, 8000, 16_000, 32_000, 64_000)
_PAIRS = 2000
_LONG_BATCH = 8
"""Sentences at a time while their length grows: the longest ones have to fit into memory. In decoding, too, where
batches of very long sentences have fewer than `decoding.batch_size`."""


@dataclass(frozen=True)
class Point:
    """A row of a table: what is measured with this configuration."""

    table: str
    value: int
    config: BenchmarkConfig
    """With one precision, one beam and one batch of decoding."""
    window: str = ""
    trains: bool = True


def points(config: BenchmarkConfig) -> Iterator[Point]:
    """All rows of all tables: `config` with one thing changed."""
    base = replace(
        config,
        data=None,
        peers=None,
        peers_work=None,
        checkpoint=None,
        generated=replace(config.generated, pairs=_PAIRS),
        forced_length=config.forced_length or 15,
        decode_beams=[1],
        decode_batches=[64],
    )
    windows: list[Window | None] = [GlobalWindow(), LocalM()] if config.model.attention.window else [None]
    for length in _LENGTHS:
        for window in windows:
            attention = replace(config.model.attention, window=window)
            changed = replace(
                _with_batch(base, _LONG_BATCH),
                model=replace(config.model, attention=attention),
                generated=Generated(_PAIRS, length, length, config.generated.vocab_size),
                forced_length=length,
                decode_batches=[-(-_LONG_BATCH * max(length, USUAL_LENGTH) // USUAL_LENGTH)],
            )
            yield Point("length", length, changed, window.name if window else "")
    for batch in _BATCHES:
        yield Point("batch", batch, _with_batch(base, batch))
    for beam in _BEAMS:
        yield Point("beam", beam, replace(base, decode_beams=[beam]), trains=False)
    for size in _VOCABULARIES:
        yield Point("vocabulary", size, replace(base, generated=replace(base.generated, vocab_size=size)))


def _with_batch(config: BenchmarkConfig, sentences: int) -> BenchmarkConfig:
    training = replace(config.training, batch_sentences=sentences, batch_tokens=1 << 30)
    return replace(config, training=training, decode_batches=[sentences])


def measure(point: Point, device: torch.device, fp32: str, scratch: Path) -> dict[str, Any]:
    """The rates at a point, in the first precision that was asked for; `fp32` is for training (see `Run`)."""
    config = point.config
    logger.info("growth: %s %d %s", point.table, point.value, point.window)
    task = corpora.prepare(config, scratch)
    row: dict[str, Any] = {"table": point.table, "value": point.value, "window": point.window}
    if point.trains:
        reset_peak(device)
        with Run(task.training(config, config.precisions[0], device), task.prepared, device, fp32) as run:
            done = run.go(1, config.seconds)
        row |= {
            "training_precision": config.precisions[0],
            "training_tokens_per_second": done.tokens / done.took.seconds,
            "training_peak_memory_mb": peak_mb(device),
        }
        del run
    languages = (task.data.source_lang, task.data.target_lang)
    reader = EnsembleMember(task.fresh_model(config), task.prepared.source)
    translator = Translator([reader], task.prepared.target, device, languages)
    options = replace(
        decoding.forced(config.decoding, config.forced_length),
        beam_size=config.decode_beams[0],
        batch_size=config.decode_batches[0],
        precision=config.decode_precisions[0],
    )
    lines = decoding.as_many_as_fit(translator, task.sources, options, config.seconds)
    translated, _ = decoding.translate(translator, lines, options)
    row |= {
        "decoding_precision": options.precision,
        "decoding_tokens_per_second": translated.tokens / translated.took.seconds,
        "decoding_sentences_per_second": translated.sentences / translated.took.seconds,
    }
    return row
