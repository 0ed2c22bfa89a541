"""BLEU, chrF and TER, by sacrebleu, with their signatures."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER
from sacrebleu.significance import PairedTest

from seq2seq.errors import ConfigError
from seq2seq.text.languages import base_language, is_unspaced
from seq2seq.text.moses import MosesTokens

logger = logging.getLogger(__name__)

_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_OF_CHARACTERS = ("zh", "ja-mecab", "char")
_LONGEST_NGRAM = 4
"""Tokens. BLEU of a corpus without any n-gram of this length is 0."""
SAMPLES = 1000
"""Bootstrap samples, sacrebleu's own number"""
_DRAWN = 10_000_000
"""Sentences in all samples together, which sacrebleu holds in memory: huge test sets get fewer samples."""

TITLES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}
TOKENISED = {"tok_lc": "tok. lc BLEU"}
"""The measure that can be added to them, comparable with papers that do not use sacrebleu"""

Reference = str | tuple[str, ...]
"""What a translation is compared with: one text, or several that are all correct"""


def alternatives(reference: Reference) -> tuple[str, ...]:
    """Return all texts of a reference."""
    return (reference,) if isinstance(reference, str) else reference


@dataclass(frozen=True)
class Interval:
    """Where 95% of the scores of bootstrap samples lie (Koehn 2004), in sacrebleu's terms."""

    mean: float
    """Mean of the samples"""
    half_width: float
    signature: str


@dataclass(frozen=True)
class Scores:
    """Scores of a corpus of translations."""

    bleu: float
    chrf: float
    ter: float
    signatures: dict[str, str]
    tok_lc: float | None = None
    """BLEU of lower-cased Moses tokens, if asked for"""
    intervals: dict[str, Interval | None] = field(default_factory=dict)
    """Empty unless asked for; None for a single sentence, whose samples are all equal"""

    def as_dict(self) -> dict[str, float | str]:
        """Plain values, as in JSON output."""
        signatures = {f"{name}_signature": text for name, text in self.signatures.items()}
        return {name: getattr(self, name) for name in self.titles} | signatures

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the scores by name."""
        return TITLES if self.tok_lc is None else TITLES | TOKENISED

    def __str__(self) -> str:
        width = max(map(len, self.titles.values()))
        return "\n".join(
            f"{title:{width}} {getattr(self, name):6.2f}  {self.signatures[name]}"
            for name, title in self.titles.items()
        )


@cache
def bleu_tokenizer(language: str | None) -> str:
    """Choose sacrebleu's tokenizer for a target language; log once if it counts characters."""
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
    """Whether any translation can score above 0 on these references: BLEU needs one of at least four tokens."""
    if metric != "bleu":
        return True
    read = BLEU(tokenize=tokenizer).tokenizer
    return any(len(read(reference).split()) >= _LONGEST_NGRAM for reference in references)


def check_tokenizer(name: str) -> None:
    """Raises ConfigError for a tokenizer that sacrebleu does not have or that can't run here."""
    if name not in BLEU.TOKENIZERS:
        raise ConfigError(f"bleu_tokenizer={name}: sacrebleu has {', '.join(BLEU.TOKENIZERS)}")
    try:
        BLEU(tokenize=name).corpus_score(["a"], [["a"]])
    except (RuntimeError, ImportError, OSError) as error:
        raise ConfigError(
            f"bleu_tokenizer={name}: can't run here ({' '.join(str(error).split())}). Install it, or use "
            "bleu_tokenizer=char, whose scores count characters and compare with no others."
        ) from error


def score(
    hypotheses: Sequence[str],
    references: Sequence[Reference],
    tokenizer: str,
    *,
    moses: MosesTokens | None = None,
    bootstrap: bool = False,
) -> Scores:
    """Score a corpus of translations; `tokenizer` is the one of sacrebleu's that BLEU takes.

    TER counts characters for Chinese and Japanese, which have no words to edit. `moses` adds BLEU of its tokens.
    `bootstrap` adds intervals, whose random numbers follow SACREBLEU_SEED (12345).
    """
    values, signatures, intervals = {}, {}, {}
    for name, metric in corpus_metrics(references, tokenizer).items():
        signatures[name] = str(metric.get_signature())
        values[name], intervals[name] = _scored(metric, hypotheses, bootstrap)
    if moses is not None:
        values["tok_lc"], signatures["tok_lc"], intervals["tok_lc"] = tokenised_bleu(
            hypotheses, references, moses, bootstrap=bootstrap
        )
    return Scores(**values, signatures=signatures, intervals=intervals if bootstrap else {})


def tokenised_bleu(
    hypotheses: Sequence[str], references: Sequence[Reference], moses: MosesTokens, *, bootstrap: bool = False
) -> tuple[float, str, Interval | None]:
    """Compute BLEU of lower-cased Moses tokens; return it with its signature, and an interval if asked for."""
    tokens = [tuple(map(moses.split, alternatives(reference))) for reference in references]
    metric = BLEU(tokenize="none", references=_by_alternative(tokens), force=True)
    bleu, interval = _scored(metric, [moses.split(text) for text in hypotheses], bootstrap)
    interval = interval and replace(interval, signature=moses.signature(interval.signature))
    return bleu, moses.signature(str(metric.get_signature())), interval


def _scored(metric: Metric, hypotheses: Sequence[str], bootstrap: bool) -> tuple[float, Interval | None]:
    if not bootstrap or len(hypotheses) < 2:
        return float(metric.corpus_score(list(hypotheses), None).score), None
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    samples = bootstrap_samples(len(hypotheses))
    # A test of one system: corpus_score(n_bootstrap=...) draws the same samples, but fails where one of them scores 0.
    test = PairedTest([("system", list(hypotheses))], {"metric": metric}, None, test_type="bs", n_samples=samples)
    signatures, results = test()
    ((name, signature),) = signatures.items()
    result: Any = results[name][0]
    return float(result.score), Interval(float(result.mean), float(result.ci), str(signature))


def bootstrap_samples(sentences: int) -> int:
    """Return how many samples of so many sentences are drawn."""
    return max(min(SAMPLES, _DRAWN // max(sentences, 1)), SAMPLES // 10)


def corpus_metrics(references: Sequence[Reference], tokenizer: str) -> dict[str, Metric]:
    """Return sacrebleu's `bleu`, `chrf` and `ter`, ready to score translations of these references."""
    read = _by_alternative(references)
    characters = tokenizer in _OF_CHARACTERS
    return {
        "bleu": BLEU(tokenize=tokenizer, references=read),
        "chrf": CHRF(references=read),
        "ter": TER(asian_support=characters, normalized=characters, references=read),
    }


def signatures(tokenizer: str) -> dict[str, str]:
    """Return `NAME_signature` -> sacrebleu's signature of scores with one reference for each translation."""
    return {f"{name}_signature": str(m.get_signature()) for name, m in corpus_metrics([""], tokenizer).items()}


def _by_alternative(references: Sequence[Reference]) -> list[list[str]]:
    """Arrange references as sacrebleu takes them: all first ones, then all second ones."""
    return [list(texts) for texts in zip(*map(alternatives, references), strict=True)] or [[]]


@dataclass(frozen=True)
class LengthBin:
    """BLEU of the sentences with a source of similar length."""

    words: str
    """Range of the source's words, both ends included"""
    sentences: int
    bleu: float
    interval: Interval | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in JSON output."""
        return {"words": self.words, "sentences": self.sentences, "bleu": self.bleu}


def bleu_by_length(
    lengths: Sequence[int],
    hypotheses: Sequence[str],
    references: Sequence[Reference],
    tokenizer: str,
    bootstrap: bool = False,
) -> list[LengthBin]:
    """Compute BLEU by the source's number of words (Bahdanau 2015, figure 2), in bins of 10 without the empty ones.

    Blank sources, which separate documents, are in none.
    """
    bins: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        if length:
            bins.setdefault((length - 1) // 10, []).append(row)
    table = []
    for number, rows in sorted(bins.items()):
        metric = BLEU(tokenize=tokenizer, references=_by_alternative([references[row] for row in rows]))
        bleu, interval = _scored(metric, [hypotheses[row] for row in rows], bootstrap)
        table.append(LengthBin(f"{10 * number + 1}-{10 * number + 10}", len(rows), bleu, interval))
    return table


def sentence_metric(name: str, tokenizer: str) -> Callable[[str, Reference], float]:
    """Return `bleu` or `chrf` of a sentence and its reference.

    BLEU is smoothed by sacrebleu and leaves out n-grams that are longer than the sentence (effective order).
    """
    metric: Metric = CHRF() if name == "chrf" else BLEU(tokenize=tokenizer, effective_order=True)
    return lambda hypothesis, reference: float(metric.sentence_score(hypothesis, alternatives(reference)).score)
