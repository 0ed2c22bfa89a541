"""Validation: loss on the tokens, and the scores of real search output on raw text."""

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from seq2seq.config import Decoding
from seq2seq.errors import DataError
from seq2seq.inference import metrics
from seq2seq.inference.health import Health, verdicts
from seq2seq.inference.heatmap import fold, printable, terminal_width, text_heatmap
from seq2seq.inference.measurement import measure_attention
from seq2seq.inference.translation import CutCount, Request, Translation
from seq2seq.inference.translator import Translator
from seq2seq.text.batches import make_batch, plan_batches
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.storage import file_name, replace_file, within
from seq2seq.training.loss import TranslationLoss
from seq2seq.training.team import Team

logger = logging.getLogger(__name__)

_EXAMINED = 64
"""Pairs whose attention is looked at."""
_AT_A_TIME = 16
_MARGIN = len("translation: ")
_EARLY = 3
"""Validations before this one complain of no attention: it needs its time."""


@dataclass(frozen=True)
class Validation:
    """A held-out set, in tokens and as raw text."""

    corpus: EncodedCorpus
    sources: Sequence[str]
    references: Sequence[str]
    decoding: Decoding
    bleu_tokenizer: str
    batch_tokens: int
    batch_sentences: int | None

    def run(
        self, translator: Translator, team: Team, file: Path, samples: int = 0
    ) -> tuple[dict[str, float], list[tuple[Translation, str]]]:
        """Loss (nats a target token, no smoothing), perplexity, BLEU, chrF; and so many translations with references.
        All translations are written to the file.

        The ranks of the team share the work, and all have the scores; only the first writes, and has the samples.
        """
        loss = self.loss(translator, team)
        step = max(len(self.sources) // max(samples, 1), 1)
        shown = [] if team.rank else range(0, len(self.sources), step)[:samples]
        own = range(team.rank, len(self.sources), team.ranks)
        wanted = sorted({*own, *shown})
        found = dict(zip(wanted, self._translations(translator, wanted), strict=True))
        cuts = CutCount()
        cuts.add(found[row] for row in own)
        CutCount(*team.sums([cuts.cut, cuts.total])).warn(translator.limits(self.decoding))
        texts = [""] * len(self.sources)
        for rank, of_rank in enumerate(team.texts(json.dumps([found[row].text for row in own]))):
            texts[rank :: team.ranks] = json.loads(of_rank)
        if not team.rank:
            _write_lines(file, texts)
        scores = metrics.score(texts, self.references, self.bleu_tokenizer)
        values = {"loss": loss, "perplexity": math.exp(min(loss, 100)), "bleu": scores.bleu, "chrf": scores.chrf}
        return values, [(found[row], self.references[row]) for row in shown]

    def _translations(self, translator: Translator, rows: Sequence[int]) -> Iterator[Translation]:
        size = translator.group_size(self.decoding)
        for start in range(0, len(rows), size):
            requests = [Request(self.sources[row], row) for row in rows[start : start + size]]
            yield from (best for best, *_ in translator.translate_group(requests, self.decoding))

    @torch.inference_mode()
    def loss(self, translator: Translator, team: Team) -> float:
        """Mean negative log-likelihood of the target tokens."""
        total, tokens = 0.0, 0
        translator.model.eval()
        batches = plan_batches(self.corpus, self.batch_tokens, None, self.batch_sentences)
        for rows in batches[team.rank :: team.ranks]:
            batch = make_batch(self.corpus, rows).to(translator.device)
            with torch.autocast(translator.device.type, torch.bfloat16, enabled=self.decoding.precision == "bf16"):
                loss = TranslationLoss()(translator.model, batch)
            total, tokens = total + float(loss.nll), tokens + loss.tokens
        total, of_all = team.sums([total, tokens])
        return total / max(of_all, 1)

    def attention(self, translator: Translator) -> Health | None:
        """Of a sample of the pairs, the references forced; None without attention."""
        rows = range(0, len(self.corpus), max(len(self.corpus) // _EXAMINED, 1))[:_EXAMINED]
        sources, targets = ([side[row].tolist() for row in rows] for side in (self.corpus.source, self.corpus.target))
        return measure_attention(translator.model, sources, targets, _AT_A_TIME)


def translations_file(run_dir: Path, update: int, name: str = "") -> Path:
    """Where the translations of a validation are kept; of several held-out sets those after the first have a name."""
    suffix = f"-{file_name(name)}" if name else ""
    return within(run_dir, f"validation/{update:06d}{suffix}.txt")


def _write_lines(file: Path, texts: Sequence[str]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(file) as unfinished:
            unfinished.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")
    except OSError as error:
        raise DataError(f"{file}: can't be written ({error.strerror})") from error


def show_attention(health: Health, number: int) -> None:
    """Log the health of attention in short, and what is wrong with it from the third validation on."""
    values = health.together
    parts = [f"covered {values['covered']:.0%} of the source"] if "covered" in values else []
    if "relative_entropy" in values:
        parts.insert(0, f"relative entropy {values['relative_entropy']:.2f}")
    if "outside" in values:
        parts.append(f"outside the window {values['outside']:.0%} ({values['outside_evenly']:.0%} if uniform)")
    logger.info("attention: %s", ", ".join(parts))
    if number >= _EARLY:
        for verdict in verdicts(health):
            logger.warning("attention, at validation %d: %s", number, verdict)


def show_samples(samples: Sequence[tuple[Translation, str]]) -> None:
    """Log translations with their references and their attention, within the terminal's width if there is one."""
    width = terminal_width()
    for sample, reference in samples:
        rows = (("source:", sample.source), ("reference:", reference), ("translation:", sample.text))
        logger.info("%s", "\n".join(line for name, text in rows for line in _row(name, text, width)))
        logger.info("%s", text_heatmap(sample, width))


def _row(name: str, text: str, width: int | None) -> list[str]:
    """A name, and beside it the text."""
    lines = [printable(text)] if width is None else fold(text, max(width - _MARGIN, _MARGIN))
    return [f"{name if not number else '':{_MARGIN}}{line}".rstrip() for number, line in enumerate(lines)]
