"""All measurements of one run, as a report of plain values."""

import logging
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.benchmark import corpora, machine, runs
from seq2seq.benchmark.corpora import Task
from seq2seq.benchmark.peers import Peer
from seq2seq.checkpoint import Checkpoint
from seq2seq.config import BenchmarkConfig, Generated, GlobalWindow, LocalM, Window, several
from seq2seq.device import fp32_products, peak_mb, reset_peak
from seq2seq.inference import metrics
from seq2seq.inference.loading import load_translator
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translator import USUAL_LENGTH, Translator
from seq2seq.text.batches import make_batch

logger = logging.getLogger(__name__)

Report = dict[str, Any]

_STARTS = 3
"""New processes whose start-up is measured."""
_PEER_TRAINING = {
    "tokens_per_second": "tokens_per_second",
    "sentences_per_second": "sentences_per_second",
    "peak_memory_mb": "peak_rss_mb",
}
"""Key in our report -> key in what the peers' train.py prints."""
_PEER_DECODING = {
    "sentences_per_second": "sentences_per_second",
    "tokens_per_second": "output_tokens_per_second",
    "startup_seconds": "startup_seconds",
}


@dataclass(frozen=True)
class Suite:
    """The measurements of one configuration on one device."""

    config: BenchmarkConfig
    task: Task
    device: torch.device
    fp32: str
    """The kind of fp32 products in training (see `training.precision`)."""
    peers: Sequence[Peer]
    scratch: Path

    def measure(self, memory: Callable[[str], float | None]) -> Report:
        """Measure everything requested except growth; `memory` maps a precision to the peak MiB of its training."""
        config, task = self.config, self.task
        report: Report = {"data": _describe_data(task)}
        report["model"], products = count(config, task)
        if "memory" in config.measure:
            report["memory"] = {precision: memory(precision) for precision in config.precisions}
        report |= self._training(products, report["model"]["training_operations_per_target_token"])
        saved = self._checkpoint()
        if "decoding" in config.measure:
            report |= self._decoding(load_translator(saved, self.device))
        if "startup" in config.measure:
            logger.info("start-up of translate")
            taken = [
                runs.seconds_to_first_translation(saved, task.sources[0], self.device, config.threads)
                for _ in range(_STARTS)
            ]
            report["startup"] = {"seconds": statistics.median(taken), "seconds_turns": taken}
        return report

    def _training(self, products: Sequence[machine.Product], operations: float) -> Report:
        """Measure the rate of products, our training and the peers' in turns; `operations` are per trained token."""
        config, task, device = self.config, self.task, self.device
        training = "training" in config.measure
        # All before the first one starts, since its processes leave this one a single thread.
        options = {name: task.training(config, name, device) for name in config.precisions if training}
        copies = max((one.training.processes or 1 for one in options.values()), default=1)
        ours: dict[str, runs.TrainingRun] = {}
        rates, slices, theirs = defaultdict(list), defaultdict(list), defaultdict(list)
        rows = []
        with ExitStack() as running:
            for precision, one in options.items():
                logger.info("training, %s: warming up", precision)
                ours[precision] = running.enter_context(runs.training_run(one, task.prepared, device, self.fp32))
            for turn in range(1, config.repeats + 1):
                logger.info("turn %d of %d: products%s", turn, config.repeats, " and training" if training else "")
                for name, dtype in machine.DTYPES.items():
                    with fp32_products(self.fp32):
                        rates[name].append(machine.product_rate(products, dtype, device, copies))
                for precision, run in ours.items():
                    slices[precision].append(run.train(1, config.seconds / config.repeats))
                for peer in self.peers if training else ():
                    logger.info("turn %d of %d: training, %s", turn, config.repeats, peer.label)
                    theirs[peer.label].append(peer.train())
            for precision, run in ours.items():
                logger.info("training, %s: profiling", precision)
                medians = runs.medians(slices[precision])
                achieved = medians["tokens_per_second"] * operations
                rows.append(
                    {
                        "precision": precision,
                        **medians,
                        "share_of_product_rate": achieved / statistics.median(rates[precision]),
                        "tokens_per_second_turns": [part.tokens_per_second for part in slices[precision]],
                        "updates": sum(part.updates for part in slices[precision]),
                        "time": run.profile(),
                    }
                )
        return {
            "machine_rates": {
                **{f"{name}_flops": statistics.median(turns) for name, turns in rates.items()},
                **{f"{name}_flops_turns": turns for name, turns in rates.items()},
                "copy_bytes_per_second": machine.copy_rate(device),
                "products": [
                    {"rows": m, "inner": k, "columns": n, "times": shape.times}
                    for shape in products
                    for _, m, k, n in [shape.shape]
                ],
            },
            "training": rows,
            "peers_training": [_peer_row(turns, _PEER_TRAINING, peer=label) for label, turns in theirs.items()],
        }

    def _checkpoint(self) -> Path:
        """The given checkpoint, or a new one of fresh weights."""
        config, task = self.config, self.task
        if config.checkpoint is not None:
            return checkpoint.find(Path(config.checkpoint))
        model = task.fresh_model(config).to(self.device)
        fresh = Checkpoint(model, config.model, task.data, task.prepared.source, task.prepared.target)
        checkpoint.save(self.scratch / "fresh", fresh, "Not trained.\n")
        return self.scratch / "fresh"

    def _decoding(self, translator: Translator) -> Report:
        """Measure every beam with every precision and batch in turns, and the peers' beside them."""
        config = self.config
        references = self.task.references if config.forced_length is None else None
        rows = self._decoding_runs(translator, all_lines=bool(self.peers) or references is not None)
        theirs = defaultdict(list)
        for turn in range(1, config.repeats + 1):
            logger.info("turn %d of %d: decoding", turn, config.repeats)
            for row in rows:
                if sum(done.seconds for done in row.turns) > config.seconds and not self.peers:
                    continue  # slow settings get fewer turns
                with fp32_products(translator.fp32_setting(row.options)):
                    row.measure_products(translator.device)
                texts = row.translate(translator)
                if references is not None and row.bleu is None:
                    tokenizer = metrics.bleu_tokenizer(translator.target_lang)
                    row.bleu = metrics.score(texts, references[: len(texts)], tokenizer).bleu
            for peer in self.peers:
                logger.info("turn %d of %d: decoding, %s", turn, config.repeats, peer.label)
                for beam, batch in product(config.decode_beams, config.decode_batches):
                    result = peer.decode(beam, batch, config.forced_length, config.decode_sentences)
                    theirs[peer.label, beam, batch].append(result)
        return {
            "forced_length": config.forced_length,
            "decoding": [row.report() for row in rows],
            "peers_decoding": [
                _peer_row(turns, _PEER_DECODING, peer=label, beam=beam, batch=batch, bleu=turns[0]["bleu"])
                for (label, beam, batch), turns in theirs.items()
            ],
        }

    def _decoding_runs(self, translator: Translator, *, all_lines: bool) -> list[runs.DecodingRun]:
        """The settings to measure, warmed up. With `all_lines`, all of them translate the same sentences."""
        config, sources = self.config, self.task.sources
        base = runs.forced(config.decoding, config.forced_length)
        counted = machine.countable(translator.model)
        by_length = sorted(translator.source.encode(sources), key=len)
        rows = []
        for beam, precision, batch in product(config.decode_beams, config.decode_precisions, config.decode_batches):
            options = replace(base, beam_size=beam, batch_size=batch, precision=precision)
            lines = runs.sample_lines(translator, sources, options, config.seconds / config.repeats)
            if all_lines or config.decode_sentences is not None:
                lines = sources[: config.decode_sentences]
            products = machine.search_products(counted, by_length[len(by_length) // 2], batch * beam)
            rows.append(runs.DecodingRun(options, lines, *products))
        return rows


def count(config: BenchmarkConfig, task: Task) -> tuple[Report, list[machine.Product]]:
    """The model's operations, and the dominant products of an update with sentences of medium length."""
    model = task.fresh_model(config)
    counted, corpus = machine.countable(model), task.prepared.train
    forward = machine.forward_operations(counted, corpus)
    by_length = corpus.target.lengths.argsort(kind="stable")
    fitting = int(config.training.batch_tokens / corpus.target.lengths.mean())
    size = min(config.training.batch_sentences or max(fitting, 1), len(corpus))
    middle = by_length[(len(corpus) - size) // 2 :][:size]
    operations = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "forward_operations_per_target_token": forward,
        "training_operations_per_target_token": machine.TRAINING * forward,
    }
    return operations, machine.dominant(machine.forward_products(counted, make_batch(corpus, middle)))


def _describe_data(task: Task) -> Report:
    train = task.prepared.train
    return {
        "name": "+".join(several(task.data.train)),
        "pairs": len(train),
        "source_tokens": int(train.source.lengths.sum()),
        "target_tokens": int(train.target.lengths.sum()),
        "source_vocabulary": len(task.prepared.source),
        "target_vocabulary": len(task.prepared.target),
    }


def _peer_row(turns: Sequence[Report], names: Mapping[str, str], **fixed: Any) -> Report:
    """The medians of a peer's turns by our names, and the turns themselves."""
    medians = {ours: statistics.median(turn[theirs] for turn in turns) for ours, theirs in names.items()}
    return {**fixed, **medians, "turns": turns}


# --- ratios ----------------------------------------------------------------------------------------------------------


def ratios(report: Report) -> list[Report]:
    """Our results against each peer's; larger is better for all of them.

    They compare training, its memory, start-up, and decoding with batch 1 and with the best batch.
    """
    rows: list[Report] = []

    def add(what: str, ours: str, peer: str, ratio: float) -> None:
        rows.append({"what": what, "ours": ours, "peer": peer, "ratio": ratio})

    for theirs in report["peers_training"]:
        for ours in report["training"]:
            ratio = ours["tokens_per_second"] / theirs["tokens_per_second"]
            add("training", ours["precision"], theirs["peer"], ratio)
        for precision, peak in report.get("memory", {}).items():
            if peak is not None:
                add("training memory", precision, theirs["peer"], theirs["peak_memory_mb"] / peak)
    decoding, peers_decoding = report.get("decoding", []), report.get("peers_decoding", [])
    for what, best in (("batch 1", False), ("best batch", True)):
        for (precision, beam), rate in _fastest(decoding, "precision", best).items():
            for (peer, peer_beam), peer_rate in _fastest(peers_decoding, "peer", best).items():
                if beam == peer_beam:
                    add(f"beam {beam}, {what}", precision, peer, rate / peer_rate)
    if "startup" in report:
        for row in {row["peer"]: row for row in peers_decoding}.values():
            add("start-up", "", row["peer"], row["startup_seconds"] / report["startup"]["seconds"])
    return rows


def _fastest(rows: Sequence[Report], name: str, best: bool) -> dict[tuple[str, int], float]:
    """Sentences per second by `name` and beam, with the best batch or else with batch 1."""
    rates: dict[tuple[str, int], float] = {}
    for row in rows:
        if best or row["batch"] == 1:
            key = row[name], row["beam"]
            rates[key] = max(rates.get(key, 0.0), row["sentences_per_second"])
    return rates


# --- growth ----------------------------------------------------------------------------------------------------------

_LENGTHS = (10, 25, 50, 100, 200)
_BATCHES = (1, 4, 16, 64, 256)
_BEAMS = (1, 2, 5, 10, 20)
_VOCABULARIES = (4000, 8000, 16_000, 32_000, 64_000)
_PAIRS = 2000
_LONG_BATCH = 8
"""Batch size while lengths grow, so that the longest sentences fit into memory.

In decoding, batches of very long sentences hold fewer than `decoding.batch_size`.
"""


@dataclass(frozen=True)
class Point:
    """A row of a growth table: the configuration to measure, with one precision, beam and decoding batch."""

    table: str
    value: int
    config: BenchmarkConfig
    window: str = ""
    trains: bool = True


def growth_points(config: BenchmarkConfig) -> Iterator[Point]:
    """All rows of all growth tables: `config` with one thing changed."""
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
    for length, window in product(_LENGTHS, windows):
        changed = replace(
            _with_batch(base, _LONG_BATCH),
            model=replace(config.model, attention=replace(config.model.attention, window=window)),
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


def measure_growth(point: Point, device: torch.device, fp32: str, scratch: Path) -> Report:
    """The rates at a point, in the first of the requested precisions; `fp32` is as in `Suite`."""
    config = point.config
    logger.info("growth: %s %d %s", point.table, point.value, point.window)
    task = corpora.prepare(config, scratch)
    row: Report = {"table": point.table, "value": point.value, "window": point.window}
    if point.trains:
        reset_peak(device)
        precision = config.precisions[0]
        with runs.training_run(task.training(config, precision, device), task.prepared, device, fp32) as run:
            trained = run.train(1, config.seconds)
        row["training_precision"] = precision
        row["training_tokens_per_second"] = trained.tokens_per_second
        row["training_peak_memory_mb"] = peak_mb(device)
        del run  # frees its memory
    member = EnsembleMember(task.fresh_model(config), task.prepared.source)
    languages = (task.data.source_lang, task.data.target_lang)
    translator = Translator([member], task.prepared.target, device, languages)
    options = replace(
        runs.forced(config.decoding, config.forced_length),
        beam_size=config.decode_beams[0],
        batch_size=config.decode_batches[0],
        precision=config.decode_precisions[0],
    )
    lines = runs.sample_lines(translator, task.sources, options, config.seconds)
    translated, _ = runs.translate(translator, lines, options)
    row["decoding_precision"] = options.precision
    row["decoding_tokens_per_second"] = translated.tokens_per_second
    row["decoding_sentences_per_second"] = translated.sentences_per_second
    return row
