"""BLEU, chrF and TER, by sacrebleu, with their signatures."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest, Result

from seq2seq.errors import ConfigError
from seq2seq.text.languages import base_language, is_unspaced

logger = logging.getLogger(__name__)

_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_OF_CHARACTERS = ("zh", "ja-mecab", "char")
_LONGEST_NGRAM = 4
"""Tokens: BLEU of a corpus without any n-gram of this length is 0."""
_SAMPLES = 1000
"""Of the bootstrap: sacrebleu's own number."""
_DRAWN = 10_000_000
"""Sentences in all samples together, which sacrebleu holds in memory at once: of huge test sets fewer are drawn."""

Reference = str | tuple[str, ...]
"""What a translation of a sentence is compared with: one text, or several that are all right."""


def alternatives(reference: Reference) -> tuple[str, ...]:
    """All texts of a reference."""
    return (reference,) if isinstance(reference, str) else reference


@dataclass(frozen=True)
class Interval:
    """Of a score: where 95% of bootstrap samples of the test set lie (Koehn 2004), as sacrebleu says it."""

    mean: float
    """Of the samples"""
    half_width: float
    signature: str


@dataclass(frozen=True)
class Scores:
    """Of a corpus of translations."""

    bleu: float
    chrf: float
    ter: float
    signatures: dict[str, str]
    intervals: dict[str, Interval | None] = field(default_factory=dict)
    """Empty unless asked for; None for a single sentence, of which all samples are equal."""

    def as_dict(self) -> dict[str, float | str]:
        """Plain values, as the JSON output has them."""
        return {
            "bleu": self.bleu,
            "chrf": self.chrf,
            "ter": self.ter,
            **{f"{name}_signature": text for name, text in self.signatures.items()},
        }

    def __str__(self) -> str:
        rows = (("BLEU", self.bleu, "bleu"), ("chrF", self.chrf, "chrf"), ("TER", self.ter, "ter"))
        return "\n".join(f"{name:4} {value:6.2f}  {self.signatures[key]}" for name, value, key in rows)


@cache
def bleu_tokenizer(language: str | None) -> str:
    """Sacrebleu's tokenizer for a target language; logs once why it is none for words."""
    if language is None or not (is_unspaced(language) or base_language(language) == "ko"):
        return "13a"
    if tokenizer := _TOKENIZERS.get(base_language(language)):
        return tokenizer
    logger.info(
        "bleu_tokenizer=char: %s is written without spaces, and sacrebleu has no tokenizer for it; BLEU counts "
        "characters",
        language,
    )
    return "char"


def can_rise(metric: str, references: Sequence[str], tokenizer: str) -> bool:
    """Whether a translation of these references can have any other score than 0: BLEU needs one of four tokens."""
    if metric != "bleu":
        return True
    read = BLEU(tokenize=tokenizer).tokenizer
    return any(len(read(reference).split()) >= _LONGEST_NGRAM for reference in references)


def check_tokenizer(name: str) -> None:
    """Raises ConfigError for a tokenizer that sacrebleu does not have or can't run here."""
    if name not in BLEU.TOKENIZERS:
        raise ConfigError(f"bleu_tokenizer={name}: sacrebleu has {', '.join(BLEU.TOKENIZERS)}")
    try:
        BLEU(tokenize=name).corpus_score(["a"], [["a"]])
    except (RuntimeError, ImportError, OSError) as error:
        raise ConfigError(
            f"bleu_tokenizer={name}: can't run here ({' '.join(str(error).split())}). Install it, or take "
            "bleu_tokenizer=char, whose scores count characters and compare with no others."
        ) from error


def score(
    hypotheses: Sequence[str], references: Sequence[Reference], tokenizer: str, bootstrap: bool = False
) -> Scores:
    """Corpus scores of as many translations as references; BLEU with this tokenizer of sacrebleu's.

    Chinese and Japanese have no words to edit: their TER counts characters. `bootstrap` adds the intervals; their
    random numbers are those of SACREBLEU_SEED (12345).
    """
    values, signatures, intervals = {}, {}, {}
    for name, metric in corpus_metrics(references, tokenizer).items():
        signatures[name] = str(metric.get_signature())
        values[name], interval = _scored(metric, hypotheses, bootstrap)
        if bootstrap:
            intervals[name] = interval
    return Scores(values["bleu"], values["chrf"], values["ter"], signatures, intervals)


def _scored(metric: Metric, hypotheses: Sequence[str], bootstrap: bool) -> tuple[float, Interval | None]:
    if not bootstrap or len(hypotheses) < 2:
        return float(metric.corpus_score(list(hypotheses), None).score), None
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    samples = max(min(_SAMPLES, _DRAWN // len(hypotheses)), _SAMPLES // 10)
    # A test of one system: corpus_score(n_bootstrap=...) draws the same samples, but fails where one of them scores 0.
    test = PairedTest([("system", list(hypotheses))], {"metric": metric}, None, test_type="bs", n_samples=samples)
    signatures, results = test()
    ((name, signature),) = signatures.items()
    (result,) = results[name]
    assert isinstance(result, Result)
    assert result.mean is not None
    assert result.ci is not None
    return float(result.score), Interval(float(result.mean), float(result.ci), str(signature))


def corpus_metrics(references: Sequence[Reference], tokenizer: str) -> dict[str, Metric]:
    """Sacrebleu's `bleu`, `chrf` and `ter`, ready to score translations of these references."""
    read = _by_alternative(references)
    characters = tokenizer in _OF_CHARACTERS
    return {
        "bleu": BLEU(tokenize=tokenizer, references=read),
        "chrf": CHRF(references=read),
        "ter": TER(asian_support=characters, normalized=characters, references=read),
    }


def _by_alternative(references: Sequence[Reference]) -> list[list[str]]:
    """The references as sacrebleu takes them: first all first ones, then all second ones."""
    return [list(texts) for texts in zip(*map(alternatives, references), strict=True)] or [[]]


@dataclass(frozen=True)
class LengthBin:
    """BLEU of the sentences in a range of source length in words, `first` to `last`, `last` included."""

    first: int
    last: int
    sentences: int
    bleu: float
    interval: Interval | None = None

    @property
    def words(self) -> str:
        return f"{self.first}-{self.last}"


def bleu_by_length(
    lengths: Sequence[int],
    hypotheses: Sequence[str],
    references: Sequence[Reference],
    tokenizer: str,
    bootstrap: bool = False,
) -> list[LengthBin]:
    """BLEU by the source's number of words (Bahdanau 2015, figure 2), in bins of 10; empty ones are left out."""
    bins: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        bins.setdefault(max(length - 1, 0) // 10, []).append(row)
    table = []
    for number, rows in sorted(bins.items()):
        metric = BLEU(tokenize=tokenizer, references=_by_alternative([references[row] for row in rows]))
        bleu, interval = _scored(metric, [hypotheses[row] for row in rows], bootstrap)
        table.append(LengthBin(10 * number + 1, 10 * number + 10, len(rows), bleu, interval))
    return table


def sentence_metric(name: str, tokenizer: str) -> Callable[[str, Reference], float]:
    """`bleu` or `chrf` of a single sentence and its reference; BLEU without the n-grams that a short one has not
    (effective order), smoothed as sacrebleu does, with this tokenizer of its."""
    metric: Metric = CHRF() if name == "chrf" else BLEU(tokenize=tokenizer, effective_order=True)
    return lambda hypothesis, reference: float(metric.sentence_score(hypothesis, alternatives(reference)).score)


class SentenceScorer:
    """chrF and BLEU of single sentences."""

    def __init__(self, tokenizer: str) -> None:
        self._chrf, self._bleu = (sentence_metric(name, tokenizer) for name in ("chrf", "bleu"))

    def __call__(self, hypothesis: str, reference: Reference) -> tuple[float, float]:
        """-> chrF, BLEU"""
        return self._chrf(hypothesis, reference), self._bleu(hypothesis, reference)
