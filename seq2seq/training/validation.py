"""Validation: the loss on tokens, and the scores of decoded translations on raw text."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from seq2seq.config import Decoding
from seq2seq.inference import metrics
from seq2seq.inference.health import Health
from seq2seq.inference.measurement import measure_attention
from seq2seq.inference.precision import FASTER, MIN_SENTENCES, MeasuredPrecision
from seq2seq.inference.translation import CutCount, Request, Translation
from seq2seq.inference.translator import Translator
from seq2seq.text.batches import make_batch, plan_batches
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.storage import file_name, replace_file, within, writing
from seq2seq.training.loss import TranslationLoss
from seq2seq.training.process_group import ProcessGroup

_EXAMINED = 64
"""Number of pairs whose attention is measured."""
_AT_A_TIME = 16
_TIMED = 1000
"""Number of sentences, at least, that precisions are compared by, if there are so many."""


@dataclass(frozen=True)
class Validation:
    """A held-out set as tokens and as raw text."""

    corpus: EncodedCorpus
    requests: Sequence[Request]
    references: Sequence[str]
    decoding: Decoding
    bleu_tokenizer: str
    batch_tokens: int
    batch_sentences: int | None

    def run(
        self, translator: Translator, group: ProcessGroup, file: Path, samples: int = 0
    ) -> tuple[dict[str, float], list[tuple[Translation, str]]]:
        """Return loss (nats per target token, no smoothing), perplexity, BLEU and chrF, and samples with references.

        All translations are written to the file. The ranks of the group share the work and all have the scores; only
        rank 0 writes, and has the samples.
        """
        loss = self.loss(translator, group)
        step = max(len(self.requests) // max(samples, 1), 1)
        shown = [] if group.rank else range(0, len(self.requests), step)[:samples]
        own = range(group.rank, len(self.requests), group.ranks)
        wanted = sorted({*own, *shown})
        translations = dict(zip(wanted, self._translations(translator, wanted), strict=True))
        cuts = CutCount()
        cuts.add(translations[row] for row in own)
        CutCount(*group.all_reduce_sum([cuts.cut, cuts.total])).warn(translator.limits(self.decoding))
        texts = [""] * len(self.requests)
        for rank, of_rank in enumerate(group.all_gather([translations[row].text for row in own])):
            texts[rank :: group.ranks] = of_rank
        if not group.rank:
            with writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                with replace_file(file) as unfinished:
                    lines = "".join(f"{text}\n" for text in texts)
                    unfinished.write_text(lines, encoding="utf-8", newline="\n")
        scores = metrics.score(texts, self.references, self.bleu_tokenizer)
        values = {"loss": loss, "perplexity": math.exp(min(loss, 100)), "bleu": scores.bleu, "chrf": scores.chrf}
        return values, [(translations[row], self.references[row]) for row in shown]

    def measure_precision(self, translator: Translator) -> MeasuredPrecision | None:
        """Compare the device's faster precision with fp32; None if it has none, or if there are too few sentences."""
        rows = range(0, len(self.requests), max(len(self.requests) // _TIMED, 1))
        if len(rows) < MIN_SENTENCES or (kind := translator.device.type) not in FASTER:
            return None
        bleu, seconds = {}, {}
        for precision in ("fp32", FASTER[kind]):
            translator.models(precision)  # which takes time only once
            told = replace(self, decoding=replace(self.decoding, precision=precision))
            begin = time.perf_counter()
            texts = [translation.text for translation in told._translations(translator, rows)]
            seconds[precision] = time.perf_counter() - begin
            bleu[precision] = metrics.score(texts, [self.references[row] for row in rows], self.bleu_tokenizer).bleu
        speedup = seconds["fp32"] / seconds[FASTER[kind]]
        return MeasuredPrecision(kind, len(rows), bleu["fp32"], bleu[FASTER[kind]], speedup)

    def _translations(self, translator: Translator, rows: Sequence[int]) -> Iterator[Translation]:
        size = translator.group_size(self.decoding)
        for start in range(0, len(rows), size):
            requests = [self.requests[row] for row in rows[start : start + size]]
            yield from (best for best, *_ in translator.translate_group(requests, self.decoding))

    @torch.inference_mode()
    def loss(self, translator: Translator, group: ProcessGroup) -> float:
        """Return the mean negative log-likelihood of the target tokens."""
        total, tokens = 0.0, 0
        translator.model.eval()
        batches = plan_batches(self.corpus, self.batch_tokens, None, self.batch_sentences)
        for rows in batches[group.rank :: group.ranks]:
            batch = make_batch(self.corpus, rows).to(translator.device)
            with torch.autocast(translator.device.type, torch.bfloat16, enabled=self.decoding.precision == "bf16"):
                loss = TranslationLoss()(translator.model, batch)
            total, tokens = total + float(loss.terms["nll"]), tokens + loss.tokens
        total, all_tokens = group.all_reduce_sum([total, tokens])
        return total / max(all_tokens, 1)

    def attention(self, translator: Translator) -> Health | None:
        """Measure the attention on a sample of the pairs, with forced references; None without attention."""
        rows = range(0, len(self.corpus), max(len(self.corpus) // _EXAMINED, 1))[:_EXAMINED]
        targets = [self.corpus.target[row].tolist() for row in rows]
        return measure_attention(translator.model, self.corpus.sources(rows), targets, _AT_A_TIME)


def translations_file(run_dir: Path, update: int, name: str = "") -> Path:
    """Return the path for the translations of a validation; further held-out sets have a name."""
    suffix = f"-{file_name(name)}" if name else ""
    return within(run_dir, f"validation/{update:06d}{suffix}.txt")
