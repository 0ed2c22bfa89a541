"""The speed of decoding, and how long a fresh process takes to its first translation."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import seq2seq
from seq2seq.benchmark.machine import Stopwatch, Took
from seq2seq.benchmark.products import DTYPES, Product, by_a_matrix, product_rate, search_products
from seq2seq.config import Decoding
from seq2seq.errors import DataError
from seq2seq.inference.translator import Translator
from seq2seq.model.translation import TranslationModel

_ANY_RATIO = 1000.0
"""Of lengths: no other limit holds."""


@dataclass(frozen=True)
class Pass:
    """Sentences that were translated once."""

    sentences: int
    tokens: int
    """Of the translations, EOS counted where it was produced."""
    took: Took


@dataclass
class Row:
    """One way of decoding, and what was measured of it."""

    options: Decoding
    lines: Sequence[str]
    encoding: Sequence[Product]
    """Of a sentence of middling length."""
    step: Sequence[Product]
    """Of a full batch."""
    passes: list[Pass] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Operations a second of the step's products."""
    bleu: float | None = None

    @property
    def seconds(self) -> float:
        """Of all passes."""
        return sum(one.took.seconds for one in self.passes)

    @classmethod
    def of(cls, options: Decoding, lines: Sequence[str], counted: TranslationModel, source: Sequence[int]) -> "Row":
        """`counted` is the `countable` model, `source` the tokens of a sentence of middling length."""
        return cls(options, lines, *search_products(counted, source, options.batch_size * options.beam_size))

    def translate(self, translator: Translator) -> list[str]:
        """One pass more; the translations."""
        done, texts = translate(translator, self.lines, self.options)
        self.passes.append(done)
        return texts

    def measure_products(self, device: torch.device) -> None:
        """In the precision of the search; of int8 there is no rate."""
        if self.options.precision in DTYPES:
            rate = product_rate(by_a_matrix(self.step), DTYPES[self.options.precision], device)
            self.rates.append(rate)

    def _share(self, sentences: float, tokens: float) -> float | None:
        """Of the product rate, at so many sentences and tokens a second; hypotheses that have ended count as well."""
        if not self.rates:
            return None
        encoding = sum(product.operations for product in self.encoding)
        step = sum(product.operations for product in self.step) / self.options.batch_size  # of a whole beam
        return (sentences * encoding + tokens * step) / statistics.median(self.rates)

    def report(self) -> dict[str, Any]:
        """The medians as plain values."""
        sentences = statistics.median(one.sentences / one.took.seconds for one in self.passes)
        tokens = statistics.median(one.tokens / one.took.seconds for one in self.passes)
        return {
            "beam": self.options.beam_size,
            "batch": self.options.batch_size,
            "precision": self.options.precision,
            "sentences": self.passes[0].sentences,
            "sentences_per_second": sentences,
            "tokens_per_second": tokens,
            "share_of_product_rate": self._share(sentences, tokens),
            "sentences_per_second_turns": [one.sentences / one.took.seconds for one in self.passes],
            "cpu_utilisation": statistics.median(one.took.utilisation for one in self.passes),
            "bleu": self.bleu,
        }


def forced(options: Decoding, length: int | None) -> Decoding:
    """Every translation has so many tokens: it can't end before, and must then. None: as the model ends it."""
    if length is None:
        return options
    return replace(options, max_length=length, max_length_ratio=_ANY_RATIO, min_length_ratio=_ANY_RATIO)


def translate(translator: Translator, lines: Sequence[str], options: Decoding) -> tuple[Pass, list[str]]:
    """Text to text, encoding and decoding it counted: the time, and the translations."""
    watch = Stopwatch(translator.device)
    found = [best for best, *_ in translator.translate_lines(lines, options, keep_attention=False)]
    took = watch.read()
    return Pass(len(found), sum(len(t.tokens) for t in found), took), [t.text for t in found]


def as_many_as_fit(translator: Translator, lines: Sequence[str], options: Decoding, seconds: float) -> list[str]:
    """Of the lines, from all over and in whole batches, about so many as are translated in this time."""
    few = _spread(lines, options.batch_size)
    rate = len(few) / translate(translator, few, options)[0].took.seconds
    return _spread(lines, max(int(rate * seconds) // options.batch_size, 1) * options.batch_size)


def _spread(lines: Sequence[str], count: int) -> list[str]:
    wanted = min(count, len(lines))
    return [lines[number * len(lines) // wanted] for number in range(wanted)]


def seconds_to_first_translation(checkpoint: Path, line: str, device: torch.device, threads: int) -> float:
    """Of a new process, from its start to the line of output. Raises DataError if it gives none."""
    package = str(Path(seq2seq.__file__).parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "seq2seq", "translate", f"checkpoint={checkpoint}", f"device={device.type}"]
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        seconds = time.perf_counter() - start
        process.stdin.close()
        complaint = process.stderr.read()
    if not answer or process.returncode:
        raise DataError(f"{' '.join(command)}: no translation came ({complaint.strip()[-500:]})")
    return seconds
