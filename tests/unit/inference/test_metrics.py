"""Scores and their intervals are sacrebleu's."""

import json
from typing import Any

import pytest
from sacrebleu.metrics.bleu import BLEU

from seq2seq.inference import metrics
from seq2seq.inference.metrics import bleu_by_length, score, sentence_metric
from seq2seq.text.moses import MosesTokens

REFERENCES = [f"the {size} cat sees a {colour} tree {place} ." for size in ("big", "small", "old")
              for colour in ("green", "brown") for place in ("here", "there", "")]  # fmt: skip
HYPOTHESES = [line.replace("green", "brown").replace("old cat", "dog") for line in REFERENCES]


def test_intervals_are_what_sacrebleu_prints() -> None:
    scores = score(HYPOTHESES, REFERENCES, "13a", bootstrap=True)
    metric = BLEU()
    result = metric.corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=1000)
    printed: dict[str, Any] = json.loads(result.format(width=4, signature=str(metric.get_signature()), is_json=True))
    interval = scores.intervals["bleu"]
    assert interval is not None
    assert interval.mean == pytest.approx(printed["confidence_mean"], abs=1e-4)
    assert interval.half_width == pytest.approx(printed["confidence_var"], abs=1e-4)
    assert interval.half_width > 1
    assert interval.signature == str(metric.get_signature())
    assert "bs:1000|seed:12345" in interval.signature


def test_intervals_change_nothing_else() -> None:
    plain, more = (score(HYPOTHESES, REFERENCES, "13a", bootstrap=wanted) for wanted in (False, True))
    assert plain.as_dict() == more.as_dict()
    assert str(plain) == str(more)
    assert plain.intervals == {}
    assert more.intervals.keys() == {"bleu", "chrf", "ter"}


def test_intervals_are_the_same_again_and_others_with_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = (score(HYPOTHESES, REFERENCES, "13a", bootstrap=True).intervals for _ in range(2))
    assert first == again
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    other = score(HYPOTHESES, REFERENCES, "13a", bootstrap=True).intervals
    assert all(other[name] != interval for name, interval in first.items())


def test_more_sentences_make_intervals_narrower_and_exact_ones_have_none() -> None:
    few = score(HYPOTHESES, REFERENCES, "13a", bootstrap=True).intervals
    many = score(HYPOTHESES * 16, REFERENCES * 16, "13a", bootstrap=True).intervals
    for name, interval in few.items():
        of_many = many[name]
        assert interval is not None
        assert of_many is not None
        assert of_many.half_width == pytest.approx(interval.half_width / 4, rel=0.25), name
    exact = score(REFERENCES, REFERENCES, "13a", bootstrap=True).intervals
    assert all(interval and interval.half_width == pytest.approx(0, abs=1e-4) for interval in exact.values())
    assert score(["a"], ["b"], "13a", bootstrap=True).intervals == {"bleu": None, "chrf": None, "ter": None}


def test_moses_tokens_add_a_score_that_ignores_case_and_spaces() -> None:
    pytest.importorskip("sacremoses")
    moses = MosesTokens("de")
    hypotheses, references = (
        ["Der Hund, der bellt, rennt."] * 2,
        [("der Hund , der bellt , rennt .",) * 2, ("x", "Der Hund.")],
    )
    scores = score(hypotheses, references, "13a", moses=moses, bootstrap=True)
    split = "der hund , der bellt , rennt ."
    expected = BLEU(tokenize="none", force=True).corpus_score([split] * 2, [[split, "x"], [split, "der hund ."]])
    assert scores.tok_lc == pytest.approx(expected.score)
    assert scores.tok_lc != pytest.approx(scores.bleu)
    assert scores.signatures["tok_lc"].startswith("nrefs:2|case:lc|eff:no|tok:moses-de|")
    assert list(scores.as_dict())[:4] == ["bleu", "chrf", "ter", "tok_lc"]
    assert scores.intervals.keys() == scores.titles.keys()
    without = score(hypotheses, references, "13a")
    assert without.tok_lc is None
    assert "tok_lc" not in without.as_dict()


def test_hopeless_translations_have_intervals_too() -> None:
    hopeless = score(["x", "the", "y", ""], ["a b c d", "the", "e f g h", ""], "13a", bootstrap=True)
    half_widths = [interval and interval.half_width for interval in hopeless.intervals.values()]
    assert half_widths == [0, 50, 50]  # BLEU is 0 in all samples, the others in some


def test_of_huge_test_sets_fewer_samples_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_DRAWN", 500 * len(REFERENCES))
    half = score(HYPOTHESES, REFERENCES, "13a", bootstrap=True).intervals["bleu"]
    assert half is not None
    assert "bs:500|" in half.signature
    monkeypatch.setattr(metrics, "_DRAWN", 1)
    least = score(HYPOTHESES, REFERENCES, "13a", bootstrap=True).intervals["bleu"]
    assert least is not None
    assert "bs:100|" in least.signature


def test_bins_are_of_ten_words_and_each_has_its_interval() -> None:
    lengths = [0, 1, 10, 11, 20, 21, *[45] * 12]
    bins = bleu_by_length(lengths, HYPOTHESES, REFERENCES, "13a", bootstrap=True)
    assert [(of.words, of.sentences) for of in bins] == [
        ("1-10", 2), ("11-20", 2), ("21-30", 1), ("41-50", 12)
    ]  # fmt: skip
    assert [of.interval is None for of in bins] == [False, False, True, False]
    last = score(HYPOTHESES[6:], REFERENCES[6:], "13a", bootstrap=True)
    assert bins[-1].bleu == last.bleu
    assert bins[-1].interval == last.intervals["bleu"]
    plain = bleu_by_length(lengths, HYPOTHESES, REFERENCES, "13a")
    assert [of.bleu for of in plain] == [of.bleu for of in bins]
    assert all(of.interval is None for of in plain)


def test_the_edits_of_chinese_are_of_characters() -> None:
    assert score(["我有一只猫"], ["我有两只猫"], "zh").ter == pytest.approx(100 / 5)
    assert score(["I have one cat"], ["I have two cat"], "13a").ter == pytest.approx(100 / 4)


def test_sentences_are_scored_one_by_one() -> None:
    for name in ("chrf", "bleu"):
        scorer = sentence_metric(name, "13a")
        assert scorer("Ja.", "Ja.") == pytest.approx(100)
        assert scorer("", "Ja.") == 0
        worse, better = scorer("the dog sees me", "the cat sees it"), scorer("the cat sees me", "the cat sees it")
        assert 0 < worse < better < 100
