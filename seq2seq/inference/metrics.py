"""BLEU, chrF and TER, by sacrebleu, with their signatures."""

from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from seq2seq.config import ConfigError
from seq2seq.text.words import base_language

_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_OF_CHARACTERS = ("zh", "ja-mecab")


@dataclass(frozen=True)
class Scores:
    """Of a corpus of translations."""

    bleu: float
    chrf: float
    ter: float
    signatures: dict[str, str]

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


def bleu_tokenizer(language: str | None) -> str:
    """Sacrebleu's tokenizer for a target language."""
    return _TOKENIZERS.get(base_language(language or ""), "13a")


def check_tokenizer(name: str) -> None:
    """Raises ConfigError for a tokenizer that sacrebleu does not have or can't run here."""
    if name not in BLEU.TOKENIZERS:
        raise ConfigError(f"bleu_tokenizer={name}: sacrebleu has {', '.join(BLEU.TOKENIZERS)}")
    try:
        BLEU(tokenize=name).corpus_score(["a"], [["a"]])
    except (RuntimeError, ImportError, OSError) as error:
        raise ConfigError(f"bleu_tokenizer={name}: can't run here ({error}). Install it, or take another.") from error


def score(hypotheses: Sequence[str], references: Sequence[str], tokenizer: str) -> Scores:
    """Corpus scores of as many translations as references; BLEU with this tokenizer of sacrebleu's.

    Chinese and Japanese have no words to edit: their TER counts characters.
    """
    characters = tokenizer in _OF_CHARACTERS
    ter = TER(asian_support=characters, normalized=characters)
    values, signatures = {}, {}
    for name, metric in (("bleu", BLEU(tokenize=tokenizer)), ("chrf", CHRF()), ("ter", ter)):
        values[name] = float(metric.corpus_score(list(hypotheses), [list(references)]).score)
        signatures[name] = str(metric.get_signature())
    return Scores(values["bleu"], values["chrf"], values["ter"], signatures)


def bleu_by_length(
    lengths: Sequence[int], hypotheses: Sequence[str], references: Sequence[str], tokenizer: str
) -> list[tuple[str, int, float]]:
    """BLEU of the sentences in each range of source length in words: (range, sentences, BLEU).

    Bahdanau 2015, figure 2, in bins of 10.
    """
    bins: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        bins.setdefault(max(length - 1, 0) // 10, []).append(row)
    metric = BLEU(tokenize=tokenizer)
    table = []
    for number, rows in sorted(bins.items()):
        result = metric.corpus_score([hypotheses[row] for row in rows], [[references[row] for row in rows]])
        table.append((f"{10 * number + 1}-{10 * number + 10}", len(rows), float(result.score)))
    return table
