"""`seq2seq benchmark`: measures training and decoding speed against the machine's peak rates and other toolkits."""

import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from seq2seq.benchmark import corpora, machine, tables
from seq2seq.benchmark.peers import find_peers
from seq2seq.benchmark.quality import QualityClock
from seq2seq.benchmark.runs import peak_memory
from seq2seq.benchmark.suite import Suite, growth_points, measure_growth, ratios
from seq2seq.cli.files import output_stream
from seq2seq.cli.main import Stopped
from seq2seq.cli.training import run_training
from seq2seq.config import BenchmarkConfig, TrainConfig, parse, to_plain
from seq2seq.device import choose_device, fastest_fp32_products, keep_freed_memory

logger = logging.getLogger(__name__)

_MIN_UTILISATION = 0.95
"""Minimum utilisation of a core without other work."""


def run(config: BenchmarkConfig) -> int:
    """Measure, then print tables and, as the last line, the whole report as JSON."""
    start = time.monotonic()
    device = choose_device(config.device)
    keep_freed_memory()
    cores = [config.cpu] if isinstance(config.cpu, int) else config.cpu
    peers = find_peers(config, cores)
    with machine.restrict(config.threads, cores), TemporaryDirectory() as directory:
        scratch = Path(directory)
        fp32 = fastest_fp32_products(device)
        report: dict[str, Any] = {"machine": machine.describe(device, config.threads, cores, fp32)}
        if {*config.measure} - {"quality"}:
            suite = Suite(config, corpora.prepare(config, scratch), device, fp32, peers, scratch)
            report |= suite.measure(partial(peak_in_process, config))
            report["ratios"] = ratios(report)
        if config.goals:
            report["quality"] = _time_to_quality(config, scratch)
        if config.growth:
            report["growth"] = [measure_growth(point, device, fp32, scratch) for point in growth_points(config)]
    _warn_if_shared(report, device)
    report["seconds"] = time.monotonic() - start
    report["options"] = to_plain(config)
    with output_stream("-") as output:
        print(tables.text(report), file=output)
        print(json.dumps(_rounded(report)), file=output)
    return 0


def _time_to_quality(config: BenchmarkConfig, scratch: Path) -> list[dict[str, Any]]:
    """Train from raw text, with nothing in the cache, until all goals are reached; return a row for each goal."""
    assert config.data is not None
    data = replace(config.data, cache_dir=str(scratch / "quality-cache"))
    training = replace(config.training, processes=config.training.processes or config.threads)
    whole = TrainConfig(
        data, config.model, training, config.decoding, str(scratch / "quality"), config.seed, config.device
    )
    clock = QualityClock(training.metric, config.goals)
    logger.info("time to %s %s", training.metric, ", ".join(map(str, sorted(config.goals))))
    if code := run_training(whole, clock.note, goal=max(config.goals)):
        raise Stopped(code)
    return clock.rows()


def _warn_if_shared(report: dict[str, Any], device: torch.device) -> None:
    """Warn if something else kept the cores busy, which makes the figures too low."""
    rows = [*report.get("training", ()), *report.get("decoding", ())]
    least = min((row["cpu_utilisation"] for row in rows), default=1.0)
    if device.type == "cpu" and least < _MIN_UTILISATION:
        logger.warning(
            "the benchmark got only %.0f%% of the cores' time: other programs are running. Measure again.", 100 * least
        )


def peak_in_process(config: BenchmarkConfig, precision: str) -> float | None:
    """Peak memory of training in a process of its own, since earlier work in this process would count."""
    logger.info("training, %s: peak memory", precision)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(train_alone, to_plain(config), precision).result()


def train_alone(values: dict[str, Any], precision: str) -> float | None:
    """Train in this process, from a plain configuration, and return its peak memory in MiB."""
    config: BenchmarkConfig = parse("benchmark", values)
    device = choose_device(config.device)
    keep_freed_memory()
    with machine.restrict(config.threads, None), TemporaryDirectory() as directory:
        task = corpora.prepare(config, Path(directory))
        training = task.training(config, precision, device)
        return peak_memory(training, task.prepared, device, fastest_fp32_products(device))


def _rounded(value: Any) -> Any:
    """The value with numbers cut to five digits, below which they are noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
