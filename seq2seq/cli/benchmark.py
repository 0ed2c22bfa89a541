"""`seq2seq benchmark`: the speed of training and decoding beside that of the machine, and of other toolkits."""

import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from seq2seq.benchmark import corpora, growth, machine, peers, suite, tables
from seq2seq.benchmark.training import peak_memory
from seq2seq.cli.files import output_stream
from seq2seq.config import BenchmarkConfig, parse, to_plain
from seq2seq.device import choose_device, fastest_fp32_products, keep_freed_memory

logger = logging.getLogger(__name__)

_ALONE = 0.95
"""Utilisation of a core that nothing else uses, at least."""


def run(config: BenchmarkConfig) -> int:
    """Measure, then print tables and, in the last line, all of it as JSON."""
    start = time.monotonic()
    device = choose_device(config.device)
    keep_freed_memory()
    cores = [config.cpu] if isinstance(config.cpu, int) else config.cpu
    others = peers.of_config(config, cores)
    with machine.only(config.threads, cores), TemporaryDirectory() as directory:
        scratch = Path(directory)
        fp32 = fastest_fp32_products(device)
        report: dict[str, Any] = {"machine": machine.describe(device, config.threads, cores, fp32)}
        if config.measure:
            task = corpora.prepare(config, scratch)
            peak = partial(in_process, config)
            report |= suite.measure(config, task, device, fp32, others, peak, scratch)
            report["ratios"] = suite.ratios(report)
        if config.growth:
            report["growth"] = [growth.measure(point, device, fp32, scratch) for point in growth.points(config)]
    warn_of_company(report, device)
    report["seconds"] = time.monotonic() - start
    report["options"] = to_plain(config)
    with output_stream("-") as output:
        print(tables.text(report), file=output)
        print(json.dumps(rounded(report)), file=output)
    return 0


def warn_of_company(report: dict[str, Any], device: torch.device) -> None:
    """Say so if something else kept the cores busy: the figures are then too low."""
    rows = [*report.get("training", ()), *report.get("decoding", ())]
    least = min((row["cpu_utilisation"] for row in rows), default=1.0)
    if device.type == "cpu" and least < _ALONE:
        logger.warning(
            "only %.0f%% of the cores' time was ours: something else runs on them. Measure again.", 100 * least
        )


def in_process(config: BenchmarkConfig, precision: str) -> float | None:
    """The peak memory of training, in a process of its own: what was done in this one leaves traces."""
    logger.info("training, %s: peak memory", precision)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(train_alone, to_plain(config), precision).result()


def train_alone(values: dict[str, Any], precision: str) -> float | None:
    """What the process does: a plain configuration -> MiB."""
    config: BenchmarkConfig = parse("benchmark", values)
    device = choose_device(config.device)
    keep_freed_memory()
    with machine.only(config.threads, None), TemporaryDirectory() as directory:
        task = corpora.prepare(config, Path(directory))
        training = task.training(config, precision, device)
        return peak_memory(training, task.prepared, device, fastest_fp32_products(device))


def rounded(value: Any) -> Any:
    """Numbers with five digits: more are noise."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
