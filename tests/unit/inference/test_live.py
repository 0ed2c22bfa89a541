"""A translation watched token by token is the one that `translate` gives, and its attention can be edited."""

from typing import Any

import numpy as np
import pytest
import torch
from support.variants import DEFAULT, Row, fill, label, model_options

from seq2seq import build
from seq2seq.benchmark.corpora import word_tokenizer
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.live import Live, Step, source_tokens, translate_live
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translator import Translator
from seq2seq.search.lengths import Lengths

WORDS = word_tokenizer([f"w{number}" for number in range(9)])
LINE = "w0 w4 w2 w8 w1"
LAYERS = {**DEFAULT, "encoder": "transformer", "decoder": "transformer", "placement": "between", "decoder_layers": 2}
ROWS: list[Row] = [
    DEFAULT,
    {**DEFAULT, "heads": 2},
    {**DEFAULT, "window": "local_p", "placement": "after"},
    {**DEFAULT, "coverage": True},
    {**DEFAULT, "lexical_model": True, "placement": "between"},
    {**DEFAULT, "normaliser": "hard", "score": "dot"},
    LAYERS,
    {**LAYERS, "decoder": "convolutional"},
]


def translator(*rows: Row) -> Translator:
    members = []
    for row in rows:
        model = fill(build.translation_model(model_options(row), len(WORDS), len(WORDS)).double()).eval()
        members.append(EnsembleMember(model, WORDS, lengths=Lengths()))
    return Translator(members, WORDS, torch.device("cpu"), ("en", "de"))


def watch(made: Translator, line: str = LINE, **options: Any) -> tuple[Live, list[Step]]:
    steps: list[Step] = []
    return translate_live(made, line, steps.append, **options), steps


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_it_is_the_translation_of_greedy_search(row: Row) -> None:
    made = translator(row)
    (expected,) = made.translate([LINE], beam_size=1)
    found, steps = watch(made)
    assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert found.score == pytest.approx(expected.score)
    assert [(step.number, step.token) for step in steps] == list(enumerate(expected.tokens))
    np.testing.assert_allclose([step.score for step in steps], expected.token_scores, rtol=1e-9)
    np.testing.assert_allclose(np.stack([step.weights for step in steps], 1), expected.attention, rtol=1e-6)
    for step in steps:
        assert [score for _, score in step.candidates] == sorted((score for _, score in step.candidates), reverse=True)


@pytest.mark.parametrize("row", [DEFAULT, {**DEFAULT, "heads": 2}, LAYERS], ids=label)
def test_weights_are_the_softmax_of_the_energies(row: Row) -> None:
    for step in watch(translator(row))[1]:
        energies = torch.from_numpy(step.energies)
        np.testing.assert_allclose(energies.softmax(-1), step.weights, rtol=1e-4)


def test_energies_outside_a_window_are_minus_infinity() -> None:
    for step in watch(translator({**DEFAULT, "window": "local_m"}))[1]:
        assert step.energies is not None
        assert step.window is not None
        seen = np.isfinite(step.energies[0])
        assert [bool(x) for x in seen] == [step.window.first <= i <= step.window.last for i in range(len(seen))]


@pytest.mark.parametrize("row", [{**row, "heads": 1} for row in ROWS], ids=label)
def test_an_edit_with_the_model_s_own_weights_changes_nothing(row: Row) -> None:
    made = translator(row)
    plain, steps = watch(made)
    edits = {step.number: step.weights.mean(0).tolist() for step in steps}
    edited, seen = watch(made, edits=edits)
    assert edited.tokens == plain.tokens
    assert edited.score == pytest.approx(plain.score, rel=1e-4)
    assert [step.energies for step in seen] == [None] * len(seen)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_an_edit_changes_its_step_and_is_what_the_step_shows(row: Row) -> None:
    made = translator(row)
    _, plain = watch(made)
    n = len(source_tokens(made, LINE))
    weights = [0.0] * n
    weights[int(plain[1].weights.mean(0).argmin())] = 1.0
    _, steps = watch(made, edits={1: weights})
    assert steps[0].candidates == plain[0].candidates
    assert steps[1].candidates != plain[1].candidates
    np.testing.assert_array_equal(steps[1].weights, [weights] * len(steps[1].weights))


def test_a_prefix_is_kept_and_shown() -> None:
    made = translator(DEFAULT)
    found, steps = watch(made, prefix=["▁w3", "▁w3"])
    assert [step.token for step in steps[:2]] == found.tokens[:2] == ["▁w3", "▁w3"]


def test_an_ensemble_is_watched_but_not_edited() -> None:
    made = translator(DEFAULT, {**DEFAULT, "cell": "lstm"})
    (expected,) = made.translate([LINE], beam_size=1)
    found, steps = watch(made)
    assert found.tokens == expected.tokens
    assert steps[0].energies is None
    assert steps[0].weights.shape == (1, len(source_tokens(made, LINE)))
    with pytest.raises(ConfigError, match="expected a single model"):
        watch(made, edits={0: [1.0]})


def test_without_attention_there_are_no_weights() -> None:
    _, steps = watch(translator({**DEFAULT, "placement": "none"}))
    assert [step.weights for step in steps] == [None] * len(steps)


def test_a_blank_line_has_no_steps() -> None:
    made = translator(DEFAULT)
    assert watch(made, "  ") == (Live("", [], 0.0), [])
    assert source_tokens(made, "  ") == []


def test_mistakes() -> None:
    made = translator(DEFAULT)
    with pytest.raises(DataError, match="no piece 'zz'"):
        watch(made, prefix=["zz"])
    with pytest.raises(DataError, match=r"edits\.1: 2 weights for 6 source tokens"):
        watch(made, edits={1: [0.5, 0.5]})


def test_what_shows_a_step_can_end_the_translation() -> None:
    def leave(step: Step) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        translate_live(translator(DEFAULT), LINE, leave)


def test_another_layer_is_read_with_the_same_weights() -> None:
    made = translator(LAYERS)
    first, second = made.reading_layer(1), made.reading_layer(2)
    usual = watch(made)[1][0].weights
    np.testing.assert_array_equal(watch(first)[1][0].weights, usual)  # the last but one of two
    assert not np.allclose(watch(second)[1][0].weights, usual)
    assert watch(second)[0] == watch(made)[0]
    assert second.model.output.weight is made.model.output.weight
    with pytest.raises(ConfigError, match="layer=3"):
        made.reading_layer(3)
