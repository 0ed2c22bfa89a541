"""Validation: the loss on tokens, and the scores of decoded translations on raw text."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch

from seq2seq.config import Decoding
from seq2seq.device import autocast
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
"""Least number of sentences to compare precisions by, if there are as many."""
_IN_TURN = 250
"""Sentences that one precision translates before it is the other's turn; a batch in the first turn."""
_HOPELESS = 1.5
"""Multiple of fp32's time from which another precision is given up."""


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
        self, translator: Translator, group: ProcessGroup, file: Path, samples: int = 0, name: str = ""
    ) -> tuple[dict[str, float], list[tuple[Translation, str]]]:
        """Return loss (nats per target token, no smoothing), perplexity, BLEU and chrF, and samples with references.

        All translations are written to the file. The ranks of the group share the work and all have the scores; only
        rank 0 writes, and has the samples. Forked workers know `texts` by this name. A loss that is not finite comes
        alone: such a model can't translate.
        """
        loss = self.loss(translator, group)
        if not math.isfinite(loss):
            return {"loss": loss}, []
        step = max(len(self.requests) // max(samples, 1), 1)
        shown = [] if group.rank else range(0, len(self.requests), step)[:samples]
        own = range(group.rank, len(self.requests), group.ranks)
        found = group.spread(name, partial(self.texts, translator), own)
        cut = sum(was_cut for _, was_cut in found)
        CutCount(*group.all_reduce([cut, len(own)], "SUM")).warn(translator.limits(self.decoding))
        texts = [""] * len(self.requests)
        for rank, of_rank in enumerate(group.all_gather([text for text, _ in found])):
            texts[rank :: group.ranks] = of_rank
        if not group.rank:
            with writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                with replace_file(file) as unfinished:
                    lines = "".join(f"{text}\n" for text in texts)
                    unfinished.write_text(lines, encoding="utf-8", newline="\n")
        scores = metrics.score(texts, self.references, self.bleu_tokenizer)
        values = {"loss": loss, "perplexity": math.exp(min(loss, 100)), "bleu": scores.bleu, "chrf": scores.chrf}
        examples = self._translations(translator, shown, keep_attention=True)
        return values, [(sample, self.references[row]) for sample, row in zip(examples, shown, strict=True)]

    def texts(self, translator: Translator, rows: Sequence[int]) -> list[tuple[str, bool]]:
        """Translate these rows: each text, and whether a limit cut it off."""
        return [(found.text, found.cut) for found in self._translations(translator, rows, keep_attention=False)]

    def can_measure_precision(self, device: torch.device) -> bool:
        """Whether the device has a precision that may be faster than fp32, and the set enough sentences to judge it."""
        return device.type in FASTER and len(self.requests) >= MIN_SENTENCES

    def measure_precision(self, translator: Translator) -> MeasuredPrecision:
        """Compare the device's faster precision with fp32, by the default search.

        The two translate a few batches in turn, so that other work on the machine slows both. On CPUs without
        instructions for int8, where it takes ten times as long as fp32, the first turn is the last.
        """
        kind = translator.device.type
        rows = range(0, len(self.requests), max(len(self.requests) // _TIMED, 1))
        texts: dict[str, list[str]] = {"fp32": [], FASTER[kind]: []}
        seconds = dict.fromkeys(texts, 0.0)
        searches = [replace(self, decoding=Decoding(precision=precision)) for precision in texts]
        for search in searches:
            search.texts(translator, rows[: search.decoding.batch_size])  # the first time is slower
        first = searches[0].decoding.batch_size
        for start, end in pairwise([0, *range(first, len(rows), _IN_TURN), len(rows)]):
            for search in searches:
                precision, begin = search.decoding.precision, time.perf_counter()
                found = search.texts(translator, rows[start:end])
                texts[precision] += [text for text, _ in found]
                seconds[precision] += time.perf_counter() - begin
            if seconds[FASTER[kind]] > _HOPELESS * seconds["fp32"]:
                break
        references = [self.references[row] for row in rows[: len(texts["fp32"])]]
        bleu, fp32 = (
            metrics.score(texts[name], references, self.bleu_tokenizer).bleu for name in (FASTER[kind], "fp32")
        )
        return MeasuredPrecision(kind, len(references), fp32, bleu, seconds["fp32"] / seconds[FASTER[kind]])

    def _translations(
        self, translator: Translator, rows: Sequence[int], *, keep_attention: bool
    ) -> Iterator[Translation]:
        size = translator.group_size(self.decoding)
        for start in range(0, len(rows), size):
            requests = [self.requests[row] for row in rows[start : start + size]]
            found = translator.translate_group(requests, self.decoding, keep_attention=keep_attention)
            yield from (best for best, *_ in found)

    @torch.inference_mode()
    def loss(self, translator: Translator, group: ProcessGroup) -> float:
        """Return the mean negative log-likelihood of the target tokens."""
        total, tokens = 0.0, 0
        translator.model.eval()
        batches = plan_batches(self.corpus, self.batch_tokens, None, self.batch_sentences)
        for rows in batches[group.rank :: group.ranks]:
            batch = make_batch(self.corpus, rows).to(translator.device)
            with autocast(self.decoding.precision, translator.device):
                loss = TranslationLoss()(translator.model, batch)
            total, tokens = total + float(loss.terms["nll"]), tokens + loss.tokens
        total, all_tokens = group.all_reduce([total, tokens], "SUM")
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
