"""Significance of differences between systems: sacrebleu's paired tests of BLEU, chrF and TER on one test set."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.significance import PairedTest

from seq2seq.inference.metrics import SAMPLES, Reference, bootstrap_samples, corpus_metrics

TESTS = {"bs": "paired bootstrap", "ar": "approximate randomisation"}
"""Koehn 2004, with 1,000 samples; Riezler & Maxwell 2005, with 10,000 trials. Sacrebleu's names and numbers; huge test
sets get fewer."""


@dataclass(frozen=True)
class Significance:
    """Significance of the difference between a system and the baseline."""

    p_values: dict[str, dict[str, float]]
    """For `bleu`, `chrf` and `ter`, by test: how often chance alone makes a difference as large"""
    differences: dict[str, float]
    """By metric: the system's score minus the baseline's"""
    signatures: dict[str, dict[str, str]]

    def as_dict(self) -> dict[str, float | str]:
        """Plain values, as in JSON output."""
        plain: dict[str, float | str] = {}
        for metric, tests in self.p_values.items():
            for test, p in tests.items():
                plain[f"{metric}_p_{test}"] = p
                plain[f"{metric}_p_{test}_signature"] = self.signatures[metric][test]
        return plain


def against_baseline(
    baseline: Sequence[str], systems: Sequence[Sequence[str]], references: Sequence[Reference], tokenizer: str
) -> list[Significance]:
    """Test each system against the baseline; `tokenizer` is the one of sacrebleu's that BLEU takes.

    Random numbers follow SACREBLEU_SEED (12345).
    """
    logging.getLogger("sacrebleu").setLevel(logging.WARNING)
    results = [Significance({}, {}, {}) for _ in systems]
    if not systems:
        return results
    ties = [_ties(baseline, system) for system in systems]
    named = [("baseline", baseline), *((str(number), system) for number, system in enumerate(systems))]
    drawn = bootstrap_samples(len(baseline))
    numbers = {} if drawn == SAMPLES else {"bs": drawn, "ar": 10 * drawn}  # sacrebleu's own, or fewer
    for test in TESTS:
        metrics = corpus_metrics(references, tokenizer)
        number = numbers.get(test, 0)
        signatures, table = PairedTest(named, metrics, None, test_type=test, n_samples=number, n_jobs=1)()
        columns = [column for column in table if column != "System"]  # BLEU, chrF2, TER
        for metric, column in zip(metrics, columns, strict=True):
            first, *others = table[column]
            for significance, result, uncounted in zip(results, others, ties, strict=True):
                difference = result.score - first.score  # type: ignore[union-attr]
                significance.differences[metric] = difference
                p = float(result.p_value) if difference else 1.0  # type: ignore[union-attr, arg-type]
                if test == "ar":
                    p = min(1.0, p + uncounted)
                significance.p_values.setdefault(metric, {})[test] = p
                significance.signatures.setdefault(metric, {})[test] = str(signatures[column])
    return results


def _ties(baseline: Sequence[str], system: Sequence[str]) -> float:
    """Compute how often swapping sentences at random reproduces the observed difference exactly.

    It does when it swaps all or none of those that differ. Sacrebleu counts only larger differences, so a few differing
    sentences would always be significant to it.
    """
    differing = sum(one != other for one, other in zip(baseline, system, strict=True))
    return 2.0 ** (1 - differing)
