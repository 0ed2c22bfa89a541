"""All measurements of one run, taking turns, as one report of plain values."""

import logging
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.benchmark import decoding, machine, products
from seq2seq.benchmark.corpora import Task
from seq2seq.benchmark.decoding import Row
from seq2seq.benchmark.peers import Peer
from seq2seq.benchmark.training import Run, Slice
from seq2seq.checkpoint import Checkpoint
from seq2seq.config import BenchmarkConfig, several
from seq2seq.device import fp32_products
from seq2seq.inference import metrics
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translator import Translator
from seq2seq.text.batches import make_batch

logger = logging.getLogger(__name__)

Report = dict[str, Any]
Memory = Callable[[str], float | None]
"""A precision of training -> MiB at most, of a process that does nothing else."""

_STARTS = 3
"""Fresh processes."""


def measure(
    config: BenchmarkConfig,
    task: Task,
    device: torch.device,
    fp32: str,
    peers: Sequence[Peer],
    memory: Memory,
    scratch: Path,
) -> Report:
    """Everything that the configuration asks for but the growth tables; `fp32` is for training (see `Run`)."""
    report: Report = {"data": _describe_data(task)}
    report["model"], shapes = count(config, task)
    operations = report["model"]["training_operations_per_target_token"]
    if "memory" in config.measure:
        report["memory"] = {precision: memory(precision) for precision in config.precisions}
    report |= _products_and_training(config, task, device, fp32, peers, shapes, operations)
    saved = _saved(config, task, device, scratch)
    if "decoding" in config.measure:
        report |= _decoding(config, task, load_translator(saved, device), peers)
    if "startup" in config.measure:
        logger.info("start-up of translate")
        taken = [
            decoding.seconds_to_first_translation(saved, task.sources[0], device, config.threads)
            for _ in range(_STARTS)
        ]
        report["startup"] = {"seconds": statistics.median(taken), "seconds_turns": taken}
    return report


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


def count(config: BenchmarkConfig, task: Task) -> tuple[Report, list[products.Product]]:
    """The model's operations, and the products of an update with sentences of middling length."""
    model = task.fresh_model(config)
    counted, corpus = products.countable(model), task.prepared.train
    forward = products.forward_operations(counted, corpus)
    by_length = corpus.target.lengths.argsort(kind="stable")
    fitting = int(config.training.batch_tokens / corpus.target.lengths.mean())
    size = min(config.training.batch_sentences or max(fitting, 1), len(corpus))
    middle = by_length[(len(corpus) - size) // 2 :][:size]
    operations = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "forward_operations_per_target_token": forward,
        "training_operations_per_target_token": products.TRAINING * forward,
    }
    return operations, products.by_a_matrix(products.forward_products(counted, make_batch(corpus, middle)))


# --- products and training -------------------------------------------------------------------------------------------


def _products_and_training(
    config: BenchmarkConfig,
    task: Task,
    device: torch.device,
    fp32: str,
    peers: Sequence[Peer],
    shapes: Sequence[products.Product],
    operations: float,
) -> Report:
    """The rate of products, our training and the peers', in turns; `operations` are those of a trained token."""
    wanted = "training" in config.measure
    runs: dict[str, Run] = {}
    rates, slices, theirs = defaultdict(list), defaultdict(list), defaultdict(list)
    trained = []
    with ExitStack() as running:
        for precision in config.precisions if wanted else ():
            logger.info("training, %s: warming up", precision)
            run = Run(task.training(config, precision, device), task.prepared, device, fp32)
            runs[precision] = running.enter_context(run)
        for turn in range(config.repeats):
            logger.info("turn %d of %d: products%s", turn + 1, config.repeats, " and training" if wanted else "")
            for name, dtype in products.DTYPES.items():
                with fp32_products(fp32):
                    rates[name].append(products.product_rate(shapes, dtype, device))
            for precision, run in runs.items():
                slices[precision].append(run.go(1, config.seconds / config.repeats))
            for peer in peers if wanted else ():
                logger.info("turn %d of %d: training, %s", turn + 1, config.repeats, peer.label)
                theirs[peer.label].append(peer.train())
        for precision, run in runs.items():
            logger.info("training, %s: where the time goes", precision)
            row = _trained(slices[precision], operations, statistics.median(rates[precision]))
            trained.append({"precision": precision, **row, "time": run.profile()})
    return {
        "machine_rates": {
            **{f"{name}_flops": statistics.median(found) for name, found in rates.items()},
            **{f"{name}_flops_turns": found for name, found in rates.items()},
            "copy_bytes_per_second": machine.copy_rate(device),
            "products": [
                {
                    "rows": product.shape[1],
                    "inner": product.shape[2],
                    "columns": product.shape[3],
                    "times": product.times,
                }
                for product in shapes
            ],
        },
        "training": trained,
        "peers_training": [{"peer": label, **_peer_trained(found)} for label, found in theirs.items()],
    }


def _trained(slices: Sequence[Slice], operations: float, product_rate: float) -> Report:
    speeds = [one.tokens / one.took.seconds for one in slices]
    return {
        "tokens_per_second": statistics.median(speeds),
        "sentences_per_second": statistics.median(one.sentences / one.took.seconds for one in slices),
        "share_of_product_rate": statistics.median(speeds) * operations / product_rate,
        "tokens_per_second_turns": speeds,
        "updates": sum(one.updates for one in slices),
        "cpu_utilisation": statistics.median(one.took.utilisation for one in slices),
    }


def _peer_trained(turns: Sequence[Report]) -> Report:
    return {
        "tokens_per_second": statistics.median(turn["tokens_per_second"] for turn in turns),
        "sentences_per_second": statistics.median(turn["sentences_per_second"] for turn in turns),
        "peak_memory_mb": statistics.median(turn["peak_rss_mb"] for turn in turns),
        "turns": turns,
    }


# --- decoding --------------------------------------------------------------------------------------------------------


def _saved(config: BenchmarkConfig, task: Task, device: torch.device, scratch: Path) -> Path:
    """The checkpoint: the one that was given, or one of fresh weights."""
    if config.checkpoint is not None:
        return checkpoint.find(Path(config.checkpoint))
    source, target = task.prepared.source, task.prepared.target
    fresh = Checkpoint(task.fresh_model(config).to(device), config.model, task.data, source, target)
    checkpoint.save(scratch / "fresh", fresh, "Not trained.\n")
    return scratch / "fresh"


def _decoding(config: BenchmarkConfig, task: Task, translator: Translator, peers: Sequence[Peer]) -> Report:
    """Every beam with every batch in every precision, and the peers' beside them, in turns."""
    references = task.references if config.forced_length is None else None
    rows = _rows(config, task, translator, fixed=bool(peers) or references is not None)
    theirs = defaultdict(list)
    for turn in range(config.repeats):
        logger.info("turn %d of %d: decoding", turn + 1, config.repeats)
        for row in rows:
            if row.seconds > config.seconds and not peers:
                continue  # slow ones have fewer turns
            row.measure_products(translator.device)
            texts = row.translate(translator)
            if references is not None and row.bleu is None:
                tokenizer = metrics.bleu_tokenizer(translator.target_lang)
                row.bleu = metrics.score(texts, references[: len(texts)], tokenizer).bleu
        for peer in peers:
            logger.info("turn %d of %d: decoding, %s", turn + 1, config.repeats, peer.label)
            for beam in config.decode_beams:
                for batch in config.decode_batches:
                    result = peer.decode(beam, batch, config.forced_length, config.decode_sentences)
                    theirs[peer.label, beam, batch].append(result)
    return {
        "forced_length": config.forced_length,
        "decoding": [row.report() for row in rows],
        "peers_decoding": [
            {"peer": label, "beam": beam, "batch": batch, **_peer_decoded(found)}
            for (label, beam, batch), found in theirs.items()
        ],
    }


def _rows(config: BenchmarkConfig, task: Task, translator: Translator, *, fixed: bool) -> list[Row]:
    """What is to be measured, warmed up; `fixed`: all of them translate the same sentences."""
    base = decoding.forced(config.decoding, config.forced_length)
    counted = products.countable(translator.model)
    by_length = sorted(translator.source.encode(task.sources), key=len)
    rows = []
    for beam in config.decode_beams:
        for precision in config.decode_precisions:
            for batch in config.decode_batches:
                options = replace(base, beam_size=beam, batch_size=batch, precision=precision)
                seconds = config.seconds / config.repeats
                lines = decoding.as_many_as_fit(translator, task.sources, options, seconds)
                if fixed or config.decode_sentences is not None:
                    lines = task.sources[: config.decode_sentences]
                rows.append(Row.of(options, lines, counted, by_length[len(by_length) // 2]))
    return rows


def _peer_decoded(turns: Sequence[Report]) -> Report:
    return {
        "sentences_per_second": statistics.median(turn["sentences_per_second"] for turn in turns),
        "tokens_per_second": statistics.median(turn["output_tokens_per_second"] for turn in turns),
        "startup_seconds": statistics.median(turn["startup_seconds"] for turn in turns),
        "bleu": turns[0]["bleu"],
        "turns": turns,
    }


# --- ratios ----------------------------------------------------------------------------------------------------------


def ratios(report: Report) -> list[Report]:
    """Ours against each peer's, larger is better for all: training, memory, start-up, and decoding with batch 1 and
    with the best one."""
    found: list[Report] = []

    def add(what: str, ours: str, peer: str, ratio: float) -> None:
        found.append({"what": what, "ours": ours, "peer": peer, "ratio": ratio})

    for theirs in report["peers_training"]:
        for ours in report["training"]:
            ratio = ours["tokens_per_second"] / theirs["tokens_per_second"]
            add("training", ours["precision"], theirs["peer"], ratio)
        for precision, peak in report.get("memory", {}).items():
            if peak is not None:
                add("training memory", precision, theirs["peer"], theirs["peak_memory_mb"] / peak)
    decoded = report.get("decoding", []), report.get("peers_decoding", [])
    for what, best in (("batch 1", False), ("best batch", True)):
        for (precision, beam), rate in fastest(decoded[0], "precision", best).items():
            for (peer, other), their_rate in fastest(decoded[1], "peer", best).items():
                if beam == other:
                    add(f"beam {beam}, {what}", precision, peer, rate / their_rate)
    if "startup" in report:
        for row in {row["peer"]: row for row in decoded[1]}.values():
            add("start-up", "", row["peer"], row["startup_seconds"] / report["startup"]["seconds"])
    return found


def fastest(rows: Sequence[Report], name: str, best: bool) -> dict[tuple[str, int], float]:
    """Sentences a second by `name` and beam: those of batch 1, or of the best one."""
    found: dict[tuple[str, int], float] = {}
    for row in rows:
        if best or row["batch"] == 1:
            key = row[name], row["beam"]
            found[key] = max(found.get(key, 0.0), row["sentences_per_second"])
    return found
