"""The marginal likelihood of attention: a loop over sentences, tokens and positions, and its gradient by hand."""

from typing import Any

import pytest
import torch
from support.variants import DEFAULT, HIDDEN_SIZE, VOCAB, build_model, one_by_one_rows, plain_model
from torch import Tensor

from seq2seq.config import parse
from seq2seq.errors import ConfigError
from seq2seq.model.translation import TranslationModel
from seq2seq.nn.dropout import Dropout
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training import marginal
from seq2seq.training.loss import TranslationLoss
from seq2seq.training.marginal import MarginalCrossEntropy, MarginalLikelihood

UNFED = {**DEFAULT, "placement": "after-unfed"}
CHANGES = {"window": "local_p", "normaliser": "entmax", "encoder": "transformer", "lexical_model": True}
ROWS = [UNFED, *({**UNFED, axis: value} for axis, value in CHANGES.items())]


def batch() -> Batch:
    targets = torch.tensor([[5, 6, 3], [7, 3, PAD]])
    inputs = torch.tensor([[2, 5, 6], [2, 7, PAD]])
    return Batch(torch.tensor([[4, 5, 7, 3], [6, 3, PAD, PAD]]), torch.tensor([4, 2]), inputs, targets)


def by_loops(model: TranslationModel, batch: Batch, least: float) -> Tensor:
    """−Σ_t log Σ_i α_{t,i} p(y_t | i) of each sentence alone."""
    found = torch.zeros((), dtype=torch.float64)
    decoder: Any = model.decoder
    lexical = decoder.lexical is not None
    for row, (size, length) in enumerate(zip([4, 2], [3, 2], strict=True)):
        source, state = model.encode(batch.source[row : row + 1, :size], torch.tensor([size]))
        decoded = decoder(batch.inputs[row : row + 1, :length], source, state)
        weights = decoded.attended.to_dense(size)[0, 0]  # [t s]
        embedded = decoder.embedding(batch.inputs[row, :length])
        outputs, _, _ = decoder.placement.stack.sequence(embedded[None], state.layers)
        for t in range(length):
            p = torch.zeros((), dtype=torch.float64)
            for i in range(size):
                if weights[t, i] >= min(least, float(weights[t].detach().max())):
                    read, word = source.memories[0].values[0, 0, i].split([HIDDEN_SIZE, len(embedded[0]) * lexical])
                    features = torch.tanh(decoder.placement.combine.weight @ torch.cat([read, outputs[0, t]]))
                    if lexical:
                        word = torch.tanh(word)
                        features = torch.cat([features, torch.tanh(decoder.lexical.map.weight @ word) + word])
                    logits = model.output.logits(model.output.features(features))
                    p = p + weights[t, i] * logits.softmax(-1)[batch.targets[row, t]]
            found = found - p.log()
    return found


@pytest.mark.parametrize("least", [1e-9, 0.26])
@pytest.mark.parametrize("row", ROWS, ids=["default", *CHANGES])
def test_the_loss_is_the_loops(row: dict[str, Any], least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marginal, "_LEAST", least)
    monkeypatch.setattr(marginal, "LOGITS", 3 * VOCAB)  # a token or two at a time
    model = build_model(row)
    found, expected = MarginalLikelihood()(model, batch()), by_loops(model, batch(), least)
    torch.testing.assert_close(found.total, expected, rtol=1e-10, atol=1e-10)
    assert found.tokens == 5
    wanted = torch.autograd.grad(expected, list(model.parameters()), allow_unused=True)
    actual = torch.autograd.grad(found.total, list(model.parameters()), allow_unused=True)
    assert sum(gradient is not None for gradient in wanted) > 10
    for (name, _), one, other in zip(model.named_parameters(), actual, wanted, strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10, msg=name)


def test_gradients_are_those_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marginal, "LOGITS", 21)
    tokens, targets = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([3, 0, 6])
    shapes = ((6, 4), (6,), (7, 4), (7,))
    given = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *args: MarginalCrossEntropy.apply(*args, targets, tokens)[0], given)


def test_in_bf16_it_is_near() -> None:
    tokens, targets = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([3, 0, 6])
    x, log_weights, weight, bias = (torch.randn(*shape) for shape in ((6, 4), (6,), (7, 4), (7,)))
    exact, _ = MarginalCrossEntropy.apply(x, log_weights, weight, bias, targets, tokens)
    near, nll = MarginalCrossEntropy.apply(x.bfloat16(), log_weights, weight, bias, targets, tokens)
    assert near.dtype is nll.dtype is torch.float32
    torch.testing.assert_close(near, exact, rtol=0.02, atol=0.02)


def test_in_autocast_it_is_that_of_rounded_features() -> None:
    tokens, targets = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([3, 0, 6])
    x, log_weights, weight, bias = (torch.randn(*shape) for shape in ((6, 4), (6,), (7, 4), (7,)))

    def loss_and_gradients(features: torch.Tensor) -> list[torch.Tensor]:
        given = [part.clone().requires_grad_() for part in (features, log_weights, weight, bias)]
        total, _ = MarginalCrossEntropy.apply(*given, targets, tokens)
        return [total, *(gradient.float() for gradient in torch.autograd.grad(total, given))]

    rounded = loss_and_gradients(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        found = loss_and_gradients(x.bfloat16().float())
    assert all(torch.equal(one, other) for one, other in zip(found, rounded, strict=True))


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_is_the_same_for_all_positions_of_a_token(variational: bool) -> None:
    model = build_model(UNFED).train()
    model.decoder.dropout = Dropout(0.5, variational=variational)
    torch.manual_seed(5)
    source, state = model.encode(batch().source, batch().source_lengths)
    pointed = model.decoder.point(batch().inputs, source, state, 1e-9)
    dropped: dict[tuple[int, int], set[tuple[bool, ...]]] = {}
    for row, step, features in zip(pointed.rows.tolist(), pointed.steps.tolist(), pointed.features, strict=True):
        dropped.setdefault((row, step), set()).add(tuple((features == 0).tolist()))
    assert all(len(masks) == 1 for masks in dropped.values())
    assert any(any(mask) and not all(mask) for masks in dropped.values() for mask in masks)
    sentences = [set.union(*(masks for (row, _), masks in dropped.items() if row == number)) for number in (0, 1)]
    assert (max(map(len, sentences)) == 1) == variational


def test_links_guide_it_like_the_other_loss() -> None:
    model, links = build_model(UNFED), torch.zeros(2, 3, 4)
    links[0, 1, 2] = links[1, 0, 0] = 1
    guided = Batch(**{**vars(batch()), "links": links.double()})
    found = MarginalLikelihood(guided_weight=0.5)(model, guided)
    other = TranslationLoss(guided_weight=0.5)(model, guided)
    torch.testing.assert_close(found.terms["guided_alignment"], other.terms["guided_alignment"])
    torch.testing.assert_close(found.total, found.terms["nll"] + 0.5 * found.terms["guided_alignment"])


@pytest.mark.parametrize("row", [row for row in one_by_one_rows() if row["placement"] != "after-unfed"][:8])
def test_decoders_whose_steps_read_each_other_refuse(row: dict[str, Any]) -> None:
    model = build_model(row)
    source, state = model.encode(batch().source, batch().source_lengths)
    with pytest.raises(TypeError, match="what a step reads reaches the others"):
        model.decoder.point(batch().inputs, source, state, 0.1)


@pytest.mark.parametrize(
    ("row", "training", "message"),
    [
        ({"placement": "before"}, {}, "luong2015_unfed"),
        ({"placement": "after"}, {}, "luong2015_unfed"),
        ({"normaliser": "hard"}, {}, "soft weights"),
        ({"heads": 2}, {}, "one head"),
        ({"coverage": True}, {}, "no coverage"),
        ({"window": "local_p"}, {}, "add up to 1, as those of window=local_p don't"),
        ({}, {"label_smoothing": 0.1}, "label_smoothing=0.1 and training.loss=marginal"),
        ({}, {"r_drop": 1.0}, "r_drop=1.0 and training.loss=marginal"),
    ],
)
def test_what_has_no_marginal_is_refused(row: dict[str, Any], training: dict[str, Any], message: str) -> None:
    data = {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"}
    options = plain_model({**UNFED, "embedding_size": 4, **row}) | {"dropout": 0.1}
    options_of_training = {"loss": "marginal", "label_smoothing": 0.0, **training}
    with pytest.raises(ConfigError, match=message):
        parse("train", {"data": data, "model": options, "training": options_of_training})
    assert parse(
        "train", {"data": data, "model": plain_model(UNFED), "training": {"loss": "marginal", "label_smoothing": 0.0}}
    )
