"""Timed training and decoding, peak memory, and the time a new process takes to its first translation."""

import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

import seq2seq
from seq2seq.benchmark.machine import DTYPES, Product, Stopwatch, dominant, product_rate
from seq2seq.config import Decoding, TrainConfig
from seq2seq.device import fp32_products, peak_mb
from seq2seq.errors import DataError
from seq2seq.inference.translator import Translator
from seq2seq.training.corpora import PreparedData
from seq2seq.training.loop import Trainer
from seq2seq.training.setup import make_trainer

_WARM_UP_UPDATES = 3
_PROFILED_UPDATES = 3
_MEMORY_UPDATES = 20
"""Updates after which memory no longer grows."""
_UNLIMITED_RATIO = 1000.0
"""Ratio of lengths that leaves `max_length` as the only limit."""


@dataclass(frozen=True)
class Measurement:
    """Work timed once: a slice of training, or one pass over the sentences to translate."""

    sentences: int
    tokens: int
    """Target tokens, EOS included and padding not."""
    seconds: float
    utilisation: float
    """Share of the threads' time in which this process computed: below 1 where it shared a core or used a device."""
    updates: int = 0

    @property
    def sentences_per_second(self) -> float:
        return self.sentences / self.seconds

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def medians(turns: Sequence[Measurement]) -> dict[str, float]:
    """Median rates and utilisation, by the names that reports use."""
    return {
        "sentences_per_second": statistics.median(turn.sentences_per_second for turn in turns),
        "tokens_per_second": statistics.median(turn.tokens_per_second for turn in turns),
        "cpu_utilisation": statistics.median(turn.utilisation for turn in turns),
    }


# --- training --------------------------------------------------------------------------------------------------------


class TrainingRun:
    """A training measured slice by slice: the updates of `train`, without validation and checkpoints."""

    def __init__(self, trainer: Trainer, fp32: str) -> None:
        """Take a trainer and the kind of fp32 products that it works with."""
        self.trainer = trainer
        self._fp32 = fp32
        self._batches = trainer.batches()

    def train(self, updates: int, seconds: float = 0.0) -> Measurement:
        """Train for at least this many updates and this many seconds."""
        done = sentences = tokens = 0
        with fp32_products(self._fp32):
            watch = Stopwatch(self.trainer.gradient.device)
            end = time.perf_counter() + seconds  # checked without waiting for the device
            while done < updates or time.perf_counter() < end:
                batch = next(self._batches)
                loss, _ = self.trainer.step(batch)
                done, sentences, tokens = done + 1, sentences + len(batch.source), tokens + loss.tokens
            return Measurement(sentences, tokens, *watch.read(), done)

    def profile(self) -> dict[str, float]:
        """Shares of training time by kind of work, largest first; profiling itself takes time too."""
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # keeps the profiler's own messages off stderr
        device = self.trainer.gradient.device.type
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
        with profile(activities=activities, acc_events=True) as profiled:
            seconds = self.train(_PROFILED_UPDATES).seconds
        spent: dict[str, float] = defaultdict(float)
        for event in profiled.events() or ():
            if event.device_type.name == "CPU":  # the calling operation reports the device's time as well
                micros = event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
                spent[_kind(event)] += micros / 1e6
        spent["outside of operations"] = max(seconds - sum(spent.values()), 0)
        total = sum(spent.values())
        return {kind: spent[kind] / total for kind in sorted(spent, key=spent.__getitem__, reverse=True)}


@contextmanager
def training_run(config: TrainConfig, data: PreparedData, device: torch.device, fp32: str) -> Iterator[TrainingRun]:
    """A warmed-up training, whose processes live as long as the context.

    `fp32` names the products of a training in fp32 (see `training.precision`).
    """
    trainer = make_trainer(config, data, Path(), device)
    run = TrainingRun(trainer, fp32 if config.training.precision == "fp32" else "highest")
    with ExitStack() as processes:
        with fp32_products(run._fp32):
            processes.enter_context(trainer.gradient.sharing(trainer.optimizer))
            trainer.try_largest_batch()
        run.train(_WARM_UP_UPDATES)
        yield run


def peak_memory(config: TrainConfig, data: PreparedData, device: torch.device, fp32: str) -> float:
    """Peak MiB of this process (on CUDA, of device memory) after the largest batch, some updates and a validation."""
    with training_run(config, data, device, fp32) as run:
        run.train(_MEMORY_UPDATES)
        run.trainer.validation.loss(run.trainer.translator, run.trainer.group)
        return peak_mb(device)


_KINDS = {
    "matrix products": "mm bmm addmm addmm_ baddbmm baddbmm_ mv addmv addmv_ dot addbmm mkldnn_rnn_layer "
    "mkldnn_rnn_layer_backward _cudnn_rnn mkldnn_linear",
    "fused attention": "_scaled_dot_product_flash_attention_for_cpu _flash_attention_forward _flash_attention_backward "
    "_scaled_dot_product_flash_attention_for_cpu_backward _efficient_attention_forward _efficient_attention_backward "
    "_cudnn_attention_forward _cudnn_attention_backward",
    "non-linearities": "tanh tanh_ tanh_backward sigmoid sigmoid_ sigmoid_backward _softmax _softmax_backward_data exp "
    "exp_ relu threshold_backward glu glu_backward native_layer_norm native_layer_norm_backward",
    "copies and casts": "copy_ _to_copy clone cat index index_select gather scatter_add index_put_ _index_put_impl_ "
    "fill_ zero_",
    "dropout": "random_ ge bernoulli_ native_dropout native_dropout_backward",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_OPTIMIZER = ("_foreach_norm", "_foreach_mul_", "_fused_adam_", "_fused_adamw_", "_fused_sgd_")


def _kind(event: FunctionEvent) -> str:
    """The kind of work that a profiled operation belongs to."""
    kind = _KIND_OF.get(event.name.removeprefix("aten::"), "everything else")
    if kind in ("matrix products", "fused attention"):
        return kind
    caller: FunctionEvent | None = event
    while caller is not None:
        if "CrossEntropy" in caller.name:
            return "loss"
        if caller.name.startswith("Optimizer.") or caller.name.removeprefix("aten::") in _OPTIMIZER:
            return "optimizer"
        if caller.name == "aten::dropout":
            return "dropout"
        caller = caller.cpu_parent
    return kind


# --- decoding --------------------------------------------------------------------------------------------------------


@dataclass
class DecodingRun:
    """One setting of decoding and its measurements."""

    options: Decoding
    lines: Sequence[str]
    encoding: Sequence[Product]
    """Products for a sentence of medium length."""
    step: Sequence[Product]
    """Products for one step of a full batch."""
    turns: list[Measurement] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Operations per second of the step's products."""
    bleu: float | None = None

    def translate(self, translator: Translator) -> list[str]:
        """Measure one more pass and return the translations."""
        measurement, texts = translate(translator, self.lines, self.options)
        self.turns.append(measurement)
        return texts

    def measure_products(self, device: torch.device) -> None:
        """Measure the product rate in the precision of the search; int8 has none."""
        if self.options.precision in DTYPES:
            self.rates.append(product_rate(dominant(self.step), DTYPES[self.options.precision], device))

    def report(self) -> dict[str, Any]:
        """The medians as plain values."""
        rates = medians(self.turns)
        share = None
        if self.rates:  # finished hypotheses count as well
            encoding = sum(product.operations for product in self.encoding)
            step = sum(product.operations for product in self.step) / self.options.batch_size  # of a whole beam
            operations = rates["sentences_per_second"] * encoding + rates["tokens_per_second"] * step
            share = operations / statistics.median(self.rates)
        return {
            "beam": self.options.beam_size,
            "batch": self.options.batch_size,
            "precision": self.options.precision,
            "sentences": self.turns[0].sentences,
            **rates,
            "share_of_product_rate": share,
            "sentences_per_second_turns": [turn.sentences_per_second for turn in self.turns],
            "bleu": self.bleu,
        }


def forced(options: Decoding, length: int | None) -> Decoding:
    """Options that give every translation exactly this many tokens; None leaves its end to the model."""
    if length is None:
        return options
    return replace(options, max_length=length, max_length_ratio=_UNLIMITED_RATIO, min_length_ratio=_UNLIMITED_RATIO)


def translate(translator: Translator, lines: Sequence[str], options: Decoding) -> tuple[Measurement, list[str]]:
    """Translate text to text, tokenization included; return the measurement and the translations."""
    watch = Stopwatch(translator.device)
    best = [best for best, *_ in translator.translate_lines(lines, options, keep_attention=False)]
    measured = watch.read()
    return Measurement(len(best), sum(len(t.tokens) for t in best), *measured), [t.text for t in best]


def sample_lines(translator: Translator, lines: Sequence[str], options: Decoding, seconds: float) -> list[str]:
    """Whole batches of lines, spread over all of them, that take about this long to translate."""
    measurement, _ = translate(translator, _spread(lines, options.batch_size), options)
    batches = max(int(measurement.sentences_per_second * seconds) // options.batch_size, 1)
    return _spread(lines, batches * options.batch_size)


def _spread(lines: Sequence[str], count: int) -> list[str]:
    count = min(count, len(lines))
    return [lines[number * len(lines) // count] for number in range(count)]


def seconds_to_first_translation(checkpoint: Path, line: str, device: torch.device, threads: int) -> float:
    """Time from the start of a new process to its first line of output. Raises DataError if there is none."""
    paths = [str(Path(seq2seq.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "seq2seq", "translate", f"checkpoint={checkpoint}", f"device={device.type}"]
    pipe = subprocess.PIPE
    start = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        seconds = time.perf_counter() - start
        _, complaint = process.communicate()
    if not answer or process.returncode:
        raise DataError(f"{' '.join(command)}: no translation came ({complaint.strip()[-500:]})")
    return seconds
