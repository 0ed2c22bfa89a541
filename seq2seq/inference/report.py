"""A report on a model's translations of a test set, as plain values and as a page to read."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seq2seq.config import Decoding, several
from seq2seq.inference import metrics
from seq2seq.inference.alignment import WordAlignment
from seq2seq.inference.health import QUANTITIES, Health, HealthAccumulator, verdicts
from seq2seq.inference.metrics import LengthBin, Reference, Scores, alternatives, sentence_metric
from seq2seq.inference.pages import templates
from seq2seq.inference.translation import Translation
from seq2seq.inference.translator import Translator
from seq2seq.inference.weights import Windows
from seq2seq.inference.windows import token_windows
from seq2seq.text.moses import MosesTokens
from seq2seq.text.words import find_words

HEATMAPS = "attention.html"
"""The page of heat maps of the worst sentences, beside the report"""
_WORST = 30


@dataclass(frozen=True)
class Sentence:
    """A translation beside its reference."""

    number: int
    """Number of its line, from 1"""
    reference: Reference
    translation: Translation
    alignment: WordAlignment | None
    chrf: float
    bleu: float
    windows: Windows | None

    @property
    def log_prob_per_token(self) -> float | None:
        """Mean log-probability of a token; None without tokens."""
        return self.translation.score / len(self.translation.tokens) if self.translation.tokens else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in report.json."""
        return {
            "number": self.number,
            "source": self.translation.source,
            "reference": self.reference,
            "translation": self.translation.text,
            "chrf": self.chrf,
            "bleu": self.bleu,
            "score": self.translation.score,
            "log_prob_per_token": self.log_prob_per_token,
            "alignment": self.alignment and str(self.alignment),
        }


class Report:
    """All results of one model or ensemble on one test set.

    It reads translations a few at a time, and keeps only the text of most.
    """

    def __init__(
        self,
        conditions: dict[str, Any],
        translator: Translator,
        decoding: Decoding,
        bleu_tokenizer: str,
        moses: MosesTokens | None = None,
    ) -> None:
        """`conditions` tell what is measured, and how."""
        self.conditions = conditions
        self.translator = translator
        self.decoding = decoding
        self.languages = (translator.source_lang, translator.target_lang)
        self.worst: list[Sentence] = []
        """Lowest chrF first; exact translations are left out"""
        self._tokenizer, self._moses = bleu_tokenizer, moses
        self._chrf, self._bleu = (sentence_metric(name, bleu_tokenizer) for name in ("chrf", "bleu"))
        self._attention = HealthAccumulator()
        self._hypotheses: list[str] = []
        self._references: list[Reference] = []
        self._lengths: list[int] = []
        self._empty = self._cut = 0

    def read(
        self,
        translations: Sequence[Translation],
        references: Sequence[Reference],
        alignments: Sequence[WordAlignment | None],
    ) -> None:
        """Read the next sentences, with as many references."""
        windows = token_windows(self.translator, translations, self.decoding.precision, self.decoding.batch_size)
        for translation, reference, alignment, seen in zip(translations, references, alignments, windows, strict=True):
            self._attention.add(translation.attention, seen)
            self._hypotheses.append(translation.text)
            self._references.append(reference)
            self._lengths.append(len(find_words(translation.source, self.languages[0])))
            self._empty += not translation.text.strip()
            self._cut += translation.cut
            if all(translation.text.split() != text.split() for text in alternatives(reference)):
                scores = self._chrf(translation.text, reference), self._bleu(translation.text, reference)
                self.worst.append(Sentence(len(self._hypotheses), reference, translation, alignment, *scores, seen))
        self.worst.sort(key=lambda sentence: (sentence.chrf, sentence.bleu, sentence.number))
        del self.worst[_WORST:]

    @cached_property
    def scores(self) -> Scores:
        """Scores with intervals."""
        read = self._hypotheses, self._references, self._tokenizer
        return metrics.score(*read, moses=self._moses, bootstrap=True)

    @cached_property
    def lengths(self) -> list[LengthBin]:
        """BLEU by source length, with intervals."""
        read = self._hypotheses, self._references, self._tokenizer
        return metrics.bleu_by_length(self._lengths, *read, bootstrap=True)

    @cached_property
    def health(self) -> Health | None:
        """The health of the attention; None without attention."""
        return self._attention.health()

    @cached_property
    def counts(self) -> dict[str, int]:
        """Sentences, words of translations and references, translations that are empty or were cut off."""
        texts = [text for reference in self._references for text in alternatives(reference)]
        return {
            "sentences": len(self._hypotheses),
            "translation_words": self._words(self._hypotheses),
            "reference_words": self._words(texts) // len(alternatives(self._references[0])),
            "empty_translations": self._empty,
            "cut_translations": self._cut,
        }

    def _words(self, lines: Sequence[str]) -> int:
        return sum(len(find_words(line, self.languages[1])) for line in lines)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in report.json; they include the keys of `evaluate output_format=json`."""
        plain: dict[str, Any] = {"conditions": self.conditions, **self.counts, **self.scores.as_dict()}
        for name, interval in self.scores.intervals.items():
            plain[f"{name}_interval"] = interval and vars(interval)
        plain["bleu_by_length"] = [
            {**bin.as_dict(), "bleu_interval": bin.interval and vars(bin.interval)} for bin in self.lengths
        ]
        plain["attention"] = self.health and self.health.as_dict()
        plain["worst"] = [sentence.as_dict() for sentence in self.worst]
        return plain


# --- the plot --------------------------------------------------------------------------------------------------------


def draw_lengths(bins: Sequence[LengthBin]) -> str:
    """Plot BLEU by source length as SVG, after Bahdanau 2015, figure 2; bars are 95% intervals. Needs matplotlib.

    The same numbers give the same bytes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "seq2seq", "text.usetex": False}):
        figure = Figure(figsize=(max(4.5, 1.5 + 0.75 * len(bins)), 3.4))
        axes = figure.add_subplot()
        joined = [(place, bin.bleu, bin.interval.half_width) for place, bin in enumerate(bins) if bin.interval]
        alone = [(place, bin.bleu) for place, bin in enumerate(bins) if not bin.interval]
        if joined:
            x, y, widths = zip(*joined, strict=True)
            axes.errorbar(x, y, yerr=widths, fmt="o-", color="C0", ecolor="0.35", capsize=4)
        if alone:  # one sentence says little: no line leads to it
            axes.plot(*zip(*alone, strict=True), "o", color="C0", fillstyle="none")
        axes.set_xticks(range(len(bins)), [f"{bin.words}\nn = {bin.sentences:,}" for bin in bins])
        axes.set_xlim(-0.6, len(bins) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("source words, n sentences")
        axes.set_ylabel("BLEU")
        axes.grid(axis="y", alpha=0.4)
        axes.spines[["top", "right"]].set_visible(False)
        content = io.StringIO()
        figure.savefig(content, format="svg", bbox_inches="tight", metadata={"Date": None})
    return content.getvalue()


# --- the page --------------------------------------------------------------------------------------------------------


def page(report: Report, plot: str | None) -> str:
    """Return the report as HTML that needs nothing else; `plot` is an SVG, None where none can be drawn."""
    conditions = report.conditions
    checkpoint, reference = conditions["checkpoint"], conditions["reference"] or conditions["source"]
    changed = {key: value for key, value in conditions["decoding"].items() if value != getattr(Decoding(), key)}
    search = {key: conditions["decoding"][key] for key in ("search", "beam_size")} | changed
    search |= {} if conditions["context"] == "own" else {"context": conditions["context"]}
    template = templates().get_template("report.html")
    return template.render(
        report=report,
        checkpoint=", ".join(several(checkpoint)),
        reference=", ".join(several(reference)),
        search=", ".join(f"{key}={value}" for key, value in search.items()),
        plot=plot and base64.b64encode(plot.encode()).decode("ascii"),
        quantities=QUANTITIES,
        verdicts=verdicts,
        heatmaps=HEATMAPS,
        alternatives=alternatives,
        parts=_parts,
    )


def _parts(text: str, alignment: WordAlignment | None, language: str) -> Iterator[tuple[str, bool]]:
    """Split a source into parts, each with whether it is anything but a word that nothing is aligned to."""
    aligned = None if alignment is None else {i for i, _ in alignment.links}
    position = 0
    for number, (begin, end) in enumerate(find_words(text, language)):
        yield text[position:begin], True
        yield text[begin:end], aligned is None or number in aligned
        position = end
    yield text[position:], True
