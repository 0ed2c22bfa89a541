"""Reports of a validation during training: log lines, samples, metrics, TensorBoard."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seq2seq.inference.health import Health, verdicts
from seq2seq.inference.heatmap import fold, printable, terminal_width, text_heatmap
from seq2seq.inference.translation import Translation
from seq2seq.training.progress import Progress

logger = logging.getLogger(__name__)

_MARGIN = len("translation: ")
_EARLY = 3
"""The first validation that warns about the attention, which takes time to develop."""


@dataclass(frozen=True)
class ValidationReport:
    """The results of a validation and when it took place."""

    update: int
    epochs: float
    number: int
    """Number of due validations so far."""
    scores: Mapping[str, float]
    is_best: bool

    def show(
        self,
        display: Progress,
        samples: Sequence[tuple[Translation, str]],
        languages: tuple[str, str],
        health: Health | None,
        extra_scores: Mapping[str, Mapping[str, float]],
    ) -> None:
        """Write everything to metrics.jsonl, TensorBoard and the log."""
        attention = {f"attention_{name}": value for name, value in health.together.items()} if health else {}
        values = {**self.scores, **attention, "best": self.is_best, "epoch": self.epochs}
        display.write("valid", self.update, values)
        show_samples(samples)
        display.board(self.update, samples, languages)
        if health is not None:
            self._show_attention(health)
        title = f"update {self.update}, epoch {self.epochs:.2f}: valid"
        logger.info("%s%s", _summary(title, self.scores), " (best)" if self.is_best else "")
        for name, scores in extra_scores.items():
            display.write(f"valid/{name}", self.update, {**scores, "epoch": self.epochs})
            logger.info(_summary(name, scores))

    def _show_attention(self, health: Health) -> None:
        """Log a summary of the attention and, after the first validations, any problems with it."""
        values = health.together
        parts = [f"covered {values['covered']:.0%} of the source"] if "covered" in values else []
        if "relative_entropy" in values:
            parts.insert(0, f"relative entropy {values['relative_entropy']:.2f}")
        if "outside" in values:
            parts.append(f"outside the window {values['outside']:.0%} ({values['outside_evenly']:.0%} if uniform)")
        logger.info("attention: %s", ", ".join(parts))
        if self.number >= _EARLY:
            for verdict in verdicts(health):
                logger.warning("attention, at validation %d: %s", self.number, verdict)


def show_samples(samples: Sequence[tuple[Translation, str]]) -> None:
    """Log translations with their references and attention, folded to the width of the terminal if there is one."""
    width = terminal_width()
    for sample, reference in samples:
        rows = (("source:", sample.source), ("reference:", reference), ("translation:", sample.text))
        logger.info("%s", "\n".join(line for name, text in rows for line in _row(name, text, width)))
        logger.info("%s", text_heatmap(sample.heatmap(), width))


def _row(name: str, text: str, width: int | None) -> list[str]:
    """Return a text beside its name."""
    lines = [printable(text)] if width is None else fold(text, max(width - _MARGIN, _MARGIN))
    return [f"{name if not number else '':{_MARGIN}}{line}".rstrip() for number, line in enumerate(lines)]


def _summary(title: str, scores: Mapping[str, float]) -> str:
    """Return the title and all scores; a loss that is not finite is alone."""
    forms = {"loss": "loss {:.3f}", "perplexity": "perplexity {:.2f}", "bleu": "BLEU {:.2f}", "chrf": "chrF {:.2f}"}
    return f"{title} " + ", ".join(form.format(scores[name]) for name, form in forms.items() if name in scores)
