"""Scheduled sampling: its schedules, what is drawn, and that training sees it as if it had been given."""

import math
from typing import Any

import pytest
import torch
from support.variants import VOCAB, Row, build_model, label, log_probs, one_by_one_rows, set_dropout

from seq2seq import config
from seq2seq.errors import ConfigError
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import BOS, PAD
from seq2seq.training.sampled_inputs import SampledInputs

DEFAULT = one_by_one_rows()[0]
ALWAYS = SampledInputs("linear", 1, 1.0)
"""At update 2 and later all inputs are the model's own."""


def batch(copies: int = 1) -> Batch:
    source = torch.tensor([[4, 5, 6, 3], [7, 3, PAD, PAD], [8, 4, 3, PAD]]).repeat(copies, 1)
    targets = torch.tensor([[5, 6, 7, 8, 3], [7, 3, PAD, PAD, PAD], [4, 4, 8, 3, PAD]]).repeat(copies, 1)
    inputs = targets.roll(1, 1)
    inputs[:, 0] = BOS
    inputs[(targets == PAD)] = PAD
    return Batch(source, torch.tensor([4, 2, 3]).repeat(copies), inputs, targets)


def certain(row: Row) -> TranslationModel:
    """The row's model, sure of each word."""
    model = build_model(row)
    model.output.weight.data.mul_(1e6)
    return model


@pytest.mark.parametrize("schedule", ["linear", "inverse_sigmoid"])
@pytest.mark.parametrize("half", [1, 10, 1000, 100_000])
def test_schedules_grow_and_are_half_where_they_should(schedule: str, half: int) -> None:
    sampled = SampledInputs(schedule, half, 0.9)
    assert sampled.probability(half) == pytest.approx(0.5, abs=1e-9)
    steps = [sampled.probability(update) for update in range(0, 4 * half, max(half // 50, 1))]
    assert steps == sorted(steps)
    assert sampled.probability(100 * half) == 0.9
    if half >= 1000:
        assert steps[0] < 0.01


def test_inverse_sigmoid_is_the_papers() -> None:
    k = 50.0
    sampled = SampledInputs("inverse_sigmoid", round(k * math.log(k)), 1.0)
    for update in (0, 10, 200, 400):
        assert sampled.probability(update) == pytest.approx(1 - k / (k + math.exp(update / k)), abs=0.005)


def test_at_the_beginning_all_is_as_it_was_given() -> None:
    model = build_model(DEFAULT).train()
    assert torch.equal(SampledInputs("linear", 100, 1.0)(model, batch(), 0).inputs, batch().inputs)
    assert model.training


@pytest.mark.parametrize("row", one_by_one_rows(), ids=label)
def test_a_model_that_is_sure_gets_what_it_would_say(row: Row) -> None:
    model, given = certain(row).train(), batch()
    drawn = ALWAYS(model, given, 5)
    assert model.training
    assert not drawn.inputs.requires_grad
    said = log_probs(model.eval(), given.source, given.source_lengths, drawn.inputs)
    said[..., [PAD, BOS]] = -torch.inf
    real = given.inputs != PAD
    assert torch.equal(drawn.inputs[:, 1:][real[:, 1:]], said.argmax(-1)[:, :-1][real[:, 1:]])
    assert torch.equal(drawn.inputs[:, 0], given.inputs[:, 0])
    assert not drawn.inputs[~real].any()
    for name in ("source", "source_lengths", "targets"):
        assert getattr(drawn, name) is getattr(given, name)


def test_words_are_drawn_without_dropout() -> None:
    model, found = build_model(DEFAULT), []
    for p in (0.5, 0.0):
        set_dropout(model, p)
        torch.manual_seed(1)
        found.append(ALWAYS(model.train(), batch(copies=9), 2).inputs)
    assert torch.equal(*found)


def test_words_come_as_often_as_the_model_says() -> None:
    model, given = build_model(DEFAULT), batch(copies=4000)
    torch.manual_seed(1)
    inputs = SampledInputs("linear", 10, 1.0)(model, given, 10).inputs[::3]  # half of them
    kept = (inputs == batch().inputs[0]).float().mean(0)
    model.eval()
    memory, state = model.encode(*(x[:1] for x in (given.source, given.source_lengths)))
    first, _, state = model.step(torch.tensor([BOS]), memory, state)
    second, _, _ = model.step(torch.tensor([5]), memory, state)
    after = inputs[inputs[:, 1] == 5, 2]  # the reference's second word, or one that was drawn
    for words, log_p, word in ((inputs[:, 1], first[0], 5), (after, second[0], 6)):
        log_p[[PAD, BOS]] = -torch.inf
        expected = 0.5 * log_p.softmax(-1)
        expected[word] += 0.5
        found = words.bincount(minlength=VOCAB) / len(words)
        torch.testing.assert_close(found, expected.float(), rtol=0, atol=0.025)
    assert kept[0] == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scheduled_sampling": "linear"}, ("scheduled_sampling=linear", "training.scheduled_sampling_half=null")),
        (
            {"sampled_inputs_half": 9},
            ("scheduled_sampling=none", "training.scheduled_sampling_half=9", "inverse_sigmoid"),
        ),
        ({"sampled_inputs_most": 0.5}, ("scheduled_sampling=none", "training.scheduled_sampling_max=0.5")),
    ],
)
def test_halves_of_the_option_are_refused(values: dict[str, Any], words: tuple[str, ...]) -> None:
    model = {"attention": {"placement": {"name": "none"}}, "bridge": {"name": "last"}}
    data = {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"}
    with pytest.raises(ConfigError) as refused:
        config.parse("train", {"model": model, "data": data, "training": values})
    assert [word for word in words if word not in str(refused.value)] == []
    config.parse("train", {"model": model, "data": data,
                           "training": {"scheduled_sampling": "linear", "sampled_inputs_half": 9}})  # fmt: skip
