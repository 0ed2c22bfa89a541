"""Dropout that is one for a whole sequence: of inputs and of recurrent states."""

from functools import partial

import pytest
import torch
from reference.decoder import translate
from reference.parameters import parameters_of, under
from reference.recurrent import run_sentences
from support.variants import (
    DEFAULT,
    VOCAB,
    Row,
    assert_same,
    assert_translated,
    batch,
    fill,
    gradients,
    label,
    mixed,
    numbers,
    one_by_one_rows,
    plain_model,
)
from torch import Tensor

from seq2seq import build, config
from seq2seq.errors import ConfigError
from seq2seq.model.recurrent.layers import CELLS, GRU, Stack, run_together
from seq2seq.model.translation import TranslationModel
from seq2seq.nn.dropout import Dropout
from seq2seq.training.run_directory import default_run_dir

STEPPED = ["before", "before-bottom", "after", "between"]
"""Placements whose decoder goes step by step."""


def model_of(row: Row, **options: object) -> TranslationModel:
    """The model of a row and more options, in float64 and not training."""
    plain = plain_model(row)
    sides = [plain[side] for side in ("encoder", "decoder") if row[side] == "recurrent"]
    for side in sides:
        side |= {key: value for key, value in options.items() if key == "recurrent_dropout"}
    rest = {key: value for key, value in options.items() if key != "recurrent_dropout"}
    parsed = config.parse("model", {**plain, **rest})
    return fill(build.translation_model(parsed, VOCAB, VOCAB).double()).eval()


def test_a_variational_mask_is_the_same_at_all_steps_and_its_mean_is_one() -> None:
    dropout = Dropout(0.25, variational=True)
    x = torch.ones(200, 7, 300)
    y = dropout(x)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert (y[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert not torch.equal(y[0], y[1])
    assert torch.equal(dropout.eval()(x), x)


@pytest.mark.parametrize("cell", CELLS)
def test_the_mask_of_a_state_is_one_of_the_columns_of_its_matrix(cell: str) -> None:
    layer = fill(CELLS[cell](3, 4, recurrent_dropout=0.5).double())
    x, state = numbers(6, 5, 3).requires_grad_(), tuple(numbers(6, 4, offset=n) for n in range(layer.state_parts))
    torch.manual_seed(1)
    hidden, last = layer.sequence(x, state)
    torch.manual_seed(1)
    mask = layer.state_mask(x)
    assert mask is not None
    assert set(mask.unique().tolist()) == {0.0, 2.0}
    # What the cell carries on is not dropped, so the reference's own state stays whole.
    p = under(parameters_of(layer), "rnn")
    expected = run_sentences(cell, [{**p, "weight_hh_l0": p["weight_hh_l0"] * mask[b]} for b in range(6)], x, state)
    assert_same(dict(enumerate([hidden, *last])), dict(enumerate(expected)))
    assert_same(gradients(mixed([hidden, *last]), layer, x), gradients(mixed(expected), layer, x))


def test_layers_that_run_together_have_a_mask_each() -> None:
    layers = [fill(GRU(3, 4, recurrent_dropout=0.5).double()) for _ in range(2)]
    inputs = [numbers(5, 6, 3, offset=n) for n in range(2)]
    torch.manual_seed(2)
    together = run_together(layers, inputs)
    torch.manual_seed(2)
    alone = [layer.sequence(x)[0] for layer, x in zip(layers, inputs, strict=True)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("placement", [*STEPPED, "after-unfed", "none"])
def test_a_decoder_with_masks_is_one_with_masked_matrices(placement: str, cell: str) -> None:
    """Each sentence is translated by a model of its own: the paper's loop with the columns that it drops at 0."""
    options: dict[str, object] = {"recurrent_dropout": 0.5}
    if placement in STEPPED:
        options |= {"dropout": 0.5, "variational_dropout": True}
    row = {**DEFAULT, "placement": placement, "cell": cell, "decoder_layers": 3}
    model = model_of(row, **options)
    where = model.decoder.placement.train()
    source, lengths, inputs, target_lengths = batch()
    torch.manual_seed(4)
    logits = model.output.logits(model(source, lengths, inputs).features)
    torch.manual_seed(4)
    masks = where.masks(numbers(len(source), 4, 1))
    parsed = config.parse("model", {**plain_model(row), **options})
    columns = {f"stack.layers.{n}.rnn.weight_hh_l0": mask for n, mask in enumerate(masks.stack.states)}
    columns |= {f"stack.layers.{n}.rnn.weight_ih_l0": mask for n, mask in enumerate(masks.stack.inputs, 1)}
    columns |= {"feed_gates.weight": masks.input_feed, "first.rnn.weight_hh_l0": masks.first_cell}
    drawn = {f"decoder.placement.{name}": mask for name, mask in columns.items() if mask is not None}
    assert len(drawn) == (5 if placement in STEPPED else 3) + (placement in ("after", "between"))
    alone = []
    for b, (s, t) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True)):
        p = dict(parameters_of(model))
        p.update({name: p[name] * mask[b] for name, mask in drawn.items()})
        alone.append(torch.stack(translate(parsed, p, source[b, :s].tolist(), inputs[b, :t].tolist()).logits))
    assert_translated(model, logits, alone)


def features(model: TranslationModel) -> Tensor:
    source, lengths, inputs, _ = batch()
    return model(source, lengths, inputs).features


REGULARISED: list[dict[str, object]] = [{"recurrent_dropout": 0.5}, {"dropout": 0.5, "variational_dropout": True}]


CASES = [
    (row, options)
    for row in one_by_one_rows()
    for options in REGULARISED
    if "recurrent_dropout" not in options or "recurrent" in (row["encoder"], row["decoder"])
]


@pytest.mark.parametrize(("row", "options"), CASES, ids=lambda x: label(x) if "encoder" in x else ",".join(x))
def test_every_model_draws_it_in_training_only_and_by_the_seed(row: Row, options: dict[str, object]) -> None:
    model = model_of(row, **options)
    whole = features(model)
    torch.testing.assert_close(whole, features(model_of(row)), rtol=0, atol=0)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(features(model.train()))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0], whole)
    assert all(gradient.isfinite().all() for gradient in gradients(found[0].sum(), model).values())


def test_a_stack_draws_nothing_where_nothing_is_dropped() -> None:
    stack = Stack(partial(GRU, hidden_size=4), 3, 2, residual=False, dropout=Dropout(0.5))
    before = torch.get_rng_state()
    masks = stack.masks(numbers(2, 3))
    assert (masks.states, masks.inputs) == ((None, None), (None,))
    assert torch.equal(before, torch.get_rng_state())


def test_the_same_mask_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.variational_dropout=true and model\.dropout=0"):
        config.parse("model", {**plain_model(DEFAULT), "variational_dropout": True})


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("model", {"variational_dropout": True}),
        ("model", {"recurrent_dropout": 0.2}),
        ("model", {"layer_norm": True}),
        ("data", {"subword_sampling": 0.1}),
    ],
)
def test_another_option_is_another_run_directory(section: str, changes: dict[str, object]) -> None:
    data = {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"}
    plain = {"data": data, "model": {**plain_model(DEFAULT), "dropout": 0.1}}
    before = config.parse("train", plain)
    after = config.parse("train", {**plain, section: {**plain[section], **changes}})
    assert default_run_dir(before, "a") != default_run_dir(after, "a")
