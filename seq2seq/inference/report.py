"""What there is to know about a model's translations of a test set, as plain values and as a page to read."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from seq2seq.config import Decoding
from seq2seq.inference import metrics
from seq2seq.inference.alignment import Aligner, WordAlignment
from seq2seq.inference.focus import AttentionWindow, focus
from seq2seq.inference.forced_scores import piece_numbers
from seq2seq.inference.health import QUANTITIES, Health, Tally, verdicts
from seq2seq.inference.heatmap import Heatmap, of_translation, printable
from seq2seq.inference.metrics import Interval, LengthBin, Reference, Scores, SentenceScorer, alternatives
from seq2seq.inference.translator import Translation, Translator
from seq2seq.text.words import find_words

HEATMAPS = "attention.html"
"""The page beside the report's own that has the heat maps of its worst sentences."""
_WORST = 30


@dataclass(frozen=True)
class Sentence:
    """A translation beside its reference."""

    number: int
    """Of its line, counted from 1"""
    reference: Reference
    translation: Translation
    chrf: float
    bleu: float
    windows: list[AttentionWindow] | None

    @property
    def log_prob_per_token(self) -> float | None:
        """None where there is no token."""
        return self.translation.score / len(self.translation.tokens) if self.translation.tokens else None

    def heatmap(self) -> Heatmap | None:
        """What its attention did, if it has any."""
        heatmap = of_translation(self.translation)
        return None if heatmap is None else replace(heatmap, windows=self.windows)


@dataclass(frozen=True)
class Report:
    """Of one model, or ensemble, on one test set."""

    conditions: dict[str, Any]
    """What was measured, and how."""
    languages: tuple[str, str]
    scores: Scores
    """With intervals"""
    lengths: list[LengthBin]
    counts: dict[str, int]
    """Sentences, words of translations and references, translations that are empty or were cut."""
    worst: list[tuple[Sentence, WordAlignment | None]]
    """Lowest chrF first; exact translations are never among them."""
    health: Health | None
    """None without attention"""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as report.json has them; the keys of `evaluate output_format=json` are among them."""
        plain: dict[str, Any] = {"conditions": self.conditions, **self.counts, **self.scores.as_dict()}
        for name, interval in self.scores.intervals.items():
            plain[f"{name}_interval"] = interval and vars(interval)
        plain["bleu_by_length"] = [
            {
                "words": of.words,
                "sentences": of.sentences,
                "bleu": of.bleu,
                "bleu_interval": of.interval and vars(of.interval),
            }
            for of in self.lengths
        ]
        plain["attention"] = self.health and self.health.as_dict()
        plain["worst"] = [_as_dict(sentence, alignment) for sentence, alignment in self.worst]
        return plain


def _as_dict(sentence: Sentence, alignment: WordAlignment | None) -> dict[str, Any]:
    return {
        "number": sentence.number,
        "source": sentence.translation.source,
        "reference": sentence.reference,
        "translation": sentence.translation.text,
        "chrf": sentence.chrf,
        "bleu": sentence.bleu,
        "score": sentence.translation.score,
        "log_prob_per_token": sentence.log_prob_per_token,
        "alignment": alignment and str(alignment),
    }


class Collector:
    """Reads translations a few at a time, and keeps of most only their text."""

    def __init__(self, translator: Translator, decoding: Decoding, tokenizer: str) -> None:
        """`tokenizer` is that of BLEU."""
        self.translator = translator
        self.decoding = decoding
        self.tokenizer = tokenizer
        self._score = SentenceScorer(tokenizer)
        self._tally = Tally()
        self._hypotheses: list[str] = []
        self._references: list[Reference] = []
        self._lengths: list[int] = []
        self._worst: list[Sentence] = []
        self._empty = self._cut = 0
        self._piece_numbers = piece_numbers(translator)

    def read(self, translations: Sequence[Translation], references: Sequence[Reference]) -> None:
        """The next sentences, with as many references."""
        windows = self._windows(translations)
        for translation, reference, seen in zip(translations, references, windows, strict=True):
            self._tally.add(translation.attention, seen)
            self._hypotheses.append(translation.text)
            self._references.append(reference)
            self._lengths.append(len(find_words(translation.source, self.translator.source_lang)))
            self._empty += not translation.text.strip()
            self._cut += translation.cut
            if all(translation.text.split() != text.split() for text in alternatives(reference)):
                scores = self._score(translation.text, reference)
                self._worst.append(Sentence(len(self._hypotheses), reference, translation, *scores, seen))
        self._worst.sort(key=lambda sentence: (sentence.chrf, sentence.bleu, sentence.number))
        del self._worst[_WORST:]

    def report(self, conditions: dict[str, Any]) -> Report:
        """Of all that was read."""
        read = (self._hypotheses, self._references, self.tokenizer)
        aligner = Aligner.of(self.translator)
        counts = {
            "sentences": len(self._hypotheses),
            "translation_words": self._words(self._hypotheses),
            "reference_words": self._words([text for of in self._references for text in alternatives(of)])
            // len(alternatives(self._references[0])),
            "empty_translations": self._empty,
            "cut_translations": self._cut,
        }
        return Report(
            conditions,
            (self.translator.source_lang, self.translator.target_lang),
            metrics.score(*read, bootstrap=True),
            metrics.bleu_by_length(self._lengths, *read, bootstrap=True),
            counts,
            [(of, None if aligner is None else aligner.translation(of.translation)) for of in self._worst],
            self._tally.health(),
        )

    def _words(self, lines: Sequence[str]) -> int:
        return sum(len(find_words(line, self.translator.target_lang)) for line in lines)

    def _windows(self, translations: Sequence[Translation]) -> Sequence[list[AttentionWindow] | None]:
        """Of each translation; None where they are not local, and for ensembles, where each model has its own."""
        nothing: list[list[AttentionWindow] | None] = [None] * len(translations)
        if len(self.translator.readers) > 1:
            return nothing
        rows = [row for row, of in enumerate(translations) if of.tokens]
        sources = self.translator.source.encode([translations[row].source for row in rows])
        targets = [[self._piece_numbers[token] for token in translations[row].tokens] for row in rows]
        (model,) = self.translator.models(self.decoding.precision)
        found = focus(model, sources, targets, self.decoding.batch_size)
        if found is None:
            return nothing
        of_row = dict(zip(rows, found, strict=True))
        return [of_row.get(row) for row in range(len(translations))]


# --- the plot --------------------------------------------------------------------------------------------------------


def draw_lengths(bins: Sequence[LengthBin]) -> str:
    """BLEU by source length as SVG, after Bahdanau 2015, figure 2; bars are 95% intervals. Needs matplotlib.

    The same numbers give the same bytes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "seq2seq", "text.usetex": False}):
        figure = Figure(figsize=(max(4.5, 1.5 + 0.75 * len(bins)), 3.4))
        axes = figure.add_subplot()
        joined = [(place, of.bleu, of.interval.half_width) for place, of in enumerate(bins) if of.interval]
        alone = [(place, of.bleu) for place, of in enumerate(bins) if not of.interval]
        if joined:
            x, y, widths = zip(*joined, strict=True)
            axes.errorbar(x, y, yerr=widths, fmt="o-", color="C0", ecolor="0.35", capsize=4)
        if alone:  # one sentence says little: no line leads to it
            axes.plot(*zip(*alone, strict=True), "o", color="C0", fillstyle="none")
        axes.set_xticks(range(len(bins)), [f"{of.words}\nn = {of.sentences:,}" for of in bins])
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

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
  :root { color-scheme: light dark; }
  body { max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; font: 15px/1.5 system-ui, sans-serif; }
  h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
  h2 { margin-top: 2.4rem; font-size: 1.15rem; }
  table { border-collapse: collapse; }
  th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #8885; text-align: left; vertical-align: top; }
  .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  .faint, .signature { color: color-mix(in srgb, CanvasText 62%, Canvas); font-size: .85rem; }
  .signature { font-family: monospace; overflow-wrap: anywhere; }
  .verdict { padding-left: .8rem; border-left: 4px solid #d95f02; }
  img { max-width: 100%; margin-top: 1rem; background: #fff; }
  article { padding: .8rem 0; border-bottom: 1px solid #8885; }
  article p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; }
  dd { margin: 0; overflow-wrap: anywhere; }
  u { text-decoration: underline dotted #d95f02 2px; text-underline-offset: 3px; }
"""
_TITLES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}


def page(report: Report, plot: str | None) -> str:
    """The report as HTML that needs nothing else; `plot` is that of `draw_lengths`, None where it can't be drawn."""
    name = printable(_names(report.conditions["checkpoint"]))
    head = _node(
        "head",
        _node("meta", charset="utf-8"),
        _node("meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        _node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _node("title", f"Evaluation of {name}"),
        _node("style", _STYLE),
    )
    body = _node(
        "body",
        _node("h1", f"Evaluation of {name}"),
        *_conditions(report),
        _node("h2", "Scores"),
        *_scores(report),
        _node("h2", "BLEU by source length"),
        *_lengths(report.lengths, plot),
        _node("h2", "Attention"),
        *_attention(report.health),
        _node("h2", "Worst sentences"),
        *_worst(report),
    )
    text = ElementTree.tostring(_node("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!doctype html>\n{text}\n"


def _node(tag: str, *content: Element | str | dict[str, str], **attributes: str) -> Element:
    """An element with its texts, which are escaped when it is written, its children and its attributes."""
    node = Element(tag, attributes)
    for part in content:
        if isinstance(part, dict):
            node.attrib.update(part)
        elif isinstance(part, Element):
            node.append(part)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + part
        else:
            node.text = (node.text or "") + part
    return node


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str]) -> Element:
    """Rows of texts; a class for each column, or ""."""
    head = _node("tr", *(_node("th", text, {"class": name}) for text, name in zip(titles, classes, strict=True)))
    lines = [
        _node("tr", *(_node("td", text, {"class": name}) for text, name in zip(row, classes, strict=True)))
        for row in rows
    ]
    return _node("table", _node("thead", head), _node("tbody", *lines))


def _conditions(report: Report) -> Iterator[Element]:
    conditions, counts = report.conditions, report.counts
    changed = {key: value for key, value in conditions["decoding"].items() if value != getattr(Decoding(), key)}
    search = {"search": conditions["decoding"]["search"], "beam_size": conditions["decoding"]["beam_size"], **changed}
    words = counts["translation_words"], counts["reference_words"]
    rows = {
        "checkpoint": _names(conditions["checkpoint"]),
        "source": conditions["source"],
        "reference": _names(conditions["reference"] or conditions["source"]),
        "decoding": ", ".join(f"{key}={value}" for key, value in search.items()),
        "sentences": f"{counts['sentences']:,}",
        "words": f"{words[0]:,} in translations, {words[1]:,} in references ({words[0] / max(words[1], 1):.3f})",
        "empty translations": f"{counts['empty_translations']:,}",
        "cut translations": f"{counts['cut_translations']:,} (ended by the length limit, without </s>)",
        "made by": f"seq2seq {conditions['version']}",
    }
    parts = [(_node("dt", key), _node("dd", printable(str(value)))) for key, value in rows.items()]
    yield _node("dl", *(node for pair in parts for node in pair))


def _names(of: str | Sequence[str]) -> str:
    return of if isinstance(of, str) else ", ".join(of)


def _scores(report: Report) -> Iterator[Element]:
    scores = report.scores
    rows = []
    for name, title in _TITLES.items():
        interval = scores.intervals[name]
        signature = interval.signature if interval else scores.signatures[name]
        rows.append((title, f"{getattr(scores, name):.2f}", _shown(interval), signature))
    yield _table(("", "score", "95% interval", "signature"), rows, ("", "number", "number", "signature"))
    yield _faint(
        "The interval is of bootstrap samples of the sentences (Koehn 2004): their mean, and half the width in which "
        "95% of them lie. Two systems whose intervals overlap can still differ significantly: test them with seq2seq "
        "bleu hypothesis=[a/translations.txt,b/translations.txt]. Of TER less is better."
    )


def _shown(interval: Interval | None) -> str:
    return f"{interval.mean:.2f} ± {interval.half_width:.2f}" if interval else ""


def _lengths(bins: Sequence[LengthBin], plot: str | None) -> Iterator[Element]:
    rows = [(of.words, f"{of.sentences:,}", f"{of.bleu:.2f}", _shown(of.interval)) for of in bins]
    yield _table(("source words", "sentences", "BLEU", "95% interval"), rows, ("number",) * 4)
    if plot is not None:
        data = base64.b64encode(plot.encode()).decode("ascii")
        yield _node("img", alt="BLEU by source length", src=f"data:image/svg+xml;base64,{data}")


def _attention(health: Health | None) -> Iterator[Element]:
    if health is None:
        yield _node("p", "This model has none.")
        return
    found = verdicts(health)
    yield from (_node("p", text, {"class": "verdict"}) for text in found)
    if not found:
        yield _node("p", "Nothing is surely wrong.")
    several = len(health.heads) > 1
    columns = [health.together, *(health.heads if several else [])]
    titles = ["mean", *(f"head {number}" for number in range(1, len(columns)))] if several else ["value"]
    rows = [
        (title, *(f"{values[name]:.3f}" if name in values else "" for values in columns), meaning)
        for name, (title, meaning) in QUANTITIES.items()
        if name in health.together
    ]
    yield _table(("", *titles, "what it is"), rows, ("", *["number"] * len(columns), "faint"))
    if several:
        yield _faint("The column `mean` is of the mean of the heads' weights, which alignments are read from.")


def _worst(report: Report) -> Iterator[Element]:
    if not report.worst:
        yield _node("p", "Every translation is its reference.")
        return
    text = f"The {len(report.worst)} with the lowest chrF, exact translations left out. BLEU has effective order."
    if report.health is not None:
        text += " No target word is aligned to the source words that are underlined."
    yield _faint(text)
    for sentence, alignment in report.worst:
        yield _sentence(sentence, alignment, report.languages)


def _sentence(sentence: Sentence, alignment: WordAlignment | None, languages: tuple[str, str]) -> Element:
    of, log_prob = sentence.translation, sentence.log_prob_per_token
    facts = f"line {sentence.number:,}   chrF {sentence.chrf:.1f}   BLEU {sentence.bleu:.1f}"
    facts += "" if log_prob is None else f"   log-probability per token {log_prob:.2f}"
    heading = _node("p", facts, {"class": "faint"})
    if of.attention is not None:
        heading = _node(
            "p", facts, "   ", _node("a", "heat map", href=f"{HEATMAPS}#n{sentence.number}"), {"class": "faint"}
        )
    texts = []
    for title, side, content in (
        ("source", 0, _unaligned_marked(of.source, alignment, languages[0])),
        *(("reference", 1, [printable(text)]) for text in alternatives(sentence.reference)),
        ("translation", 1, [printable(of.text)]),
    ):
        texts += [
            _node("dt", title, {"class": "faint"}),
            _node("dd", *content, lang=languages[side].replace("_", "-"), dir="auto"),
        ]
    return _node("article", heading, _node("dl", *texts))


def _unaligned_marked(text: str, alignment: WordAlignment | None, language: str) -> Iterator[str | Element]:
    """The source's text, its words that nothing is aligned to underlined."""
    aligned = None if alignment is None else {i for i, _ in alignment.links}
    position = 0
    for number, (begin, end) in enumerate(find_words(text, language)):
        yield printable(text[position:begin])
        word = printable(text[begin:end])
        yield word if aligned is None or number in aligned else _node("u", word)
        position = end
    yield printable(text[position:])


def _faint(text: str) -> Element:
    return _node("p", text, {"class": "faint"})
