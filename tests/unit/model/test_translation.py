"""What holds for every model: the pairwise array of all axes."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass

import pytest
import torch
import torch.nn.functional as F
from support.variants import (
    AXES,
    BASES,
    DEFAULT,
    VOCAB,
    Row,
    batch,
    build_model,
    find_pairwise_rows,
    gradients,
    label,
    log_probs,
    model_options,
    one_by_one_rows,
    pairs,
    pairwise_rows,
    possible_pairs,
)
from torch import Tensor

from seq2seq import build

ROWS = pairwise_rows()
SPARSE = ("sparsemax", "entmax")
UNUSED = {"linear": r"(score|heads)\.query", "key": r"heads\.query", "location": r"heads\.key"}
"""Scores that don't look at the query, or not at the words: what would bring these to them gets no gradient."""
TO_SOURCE = r"decoder\.(layers\.\d\.)?attention"
TO_SELF = (
    r"(encoder\.(layers\.\d|before|after)\.attention|decoder\.layers\.\d\.self_attention|"
    r"context\.(words|sentences))"
)
every_model = pytest.mark.parametrize("row", ROWS, ids=label)


def same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@every_model
def test_step_is_sequence(row: Row) -> None:
    model = build_model(row)
    source, lengths, inputs, _ = batch()
    whole, attended = log_probs(model, source, lengths, inputs), model(source, lengths, inputs).attended
    memory, state = model.encode(source, lengths)
    for t, tokens in enumerate(inputs.unbind(1)):
        step, seen, state = model.step(tokens, memory, state)
        same(step, whole[:, t])
        same(seen.context[:, 0], attended.context[:, t])
        if row["placement"].startswith("none"):
            assert seen.weights is None
        else:
            same(seen.to_dense(6), attended.to_dense(6)[:, :, t : t + 1])
    assert state.position.tolist() == [4, 4, 4]


@every_model
def test_a_prefix_at_once_and_then_steps(row: Row) -> None:
    """The state after a whole prefix is the one after its steps, and the rest goes on from it at once or by steps."""
    model = build_model(row)
    source, lengths, inputs, _ = batch()
    memory, first = model.encode(source, lengths)
    state = model.decoder(inputs[:, :2], memory, first).state
    stepped = first
    for t in range(2):
        _, _, stepped = model.step(inputs[:, t], memory, stepped)
    for part, other in zip(_parts(state), _parts(stepped), strict=True):
        same(part, other)
    whole = log_probs(model, source, lengths, inputs)
    same(model.step(inputs[:, 2], memory, state)[0], whole[:, 2])
    rest = model.output.features(model.decoder(inputs[:, 2:], memory, state).features)
    same(model.output.logits(rest).log_softmax(-1), whole[:, 2:])


@every_model
def test_padding_changes_nothing(row: Row) -> None:
    model = build_model(row)
    source, lengths, inputs, target_lengths = batch()
    expected = log_probs(model, source, lengths, inputs)
    padded, longer = source.clone(), F.pad(inputs, (0, 2), value=7)
    for b, length in enumerate(lengths.tolist()):
        padded[b, length:] = 5
    actual = log_probs(model, F.pad(padded, (0, 3), value=8), lengths, longer)
    for b, t in enumerate(target_lengths.tolist()):
        same(actual[b, :t], expected[b, :t])


@every_model
def test_batch_is_single_sentences(row: Row) -> None:
    model = build_model(row)
    source, lengths, inputs, target_lengths = batch()
    together = log_probs(model, source, lengths, inputs)
    for b, (s, t) in enumerate(zip(lengths.tolist(), target_lengths.tolist(), strict=True)):
        one = slice(b, b + 1)
        same(log_probs(model, source[one, :s], lengths[one], inputs[one, :t]), together[one, :t])


@every_model
def test_reordering_then_stepping_is_stepping_then_reordering(row: Row) -> None:
    model = build_model(row)
    source, lengths, inputs, _ = batch()
    rows = torch.tensor([2, 0, 0, 1])
    memory, state = model.encode(source, lengths)
    for t in range(2):
        _, _, state = model.step(inputs[:, t], memory, state)
    chosen_memory, chosen = memory.select(rows), state.select(rows)
    for t in (2, 3):
        expected, seen, state = model.step(inputs[:, t], memory, state)
        actual, chosen_seen, chosen = model.step(inputs[rows, t], chosen_memory, chosen)
        same(actual, expected[rows])
        same(chosen_seen.context, seen.context[rows])
    for part, other in zip(_parts(chosen), _parts(state.select(rows)), strict=True):
        same(part, other)


def _parts(state: object) -> list[Tensor]:
    """All tensors of a state or of what is read of a source."""
    if isinstance(state, Tensor):
        return [state]
    values = state if isinstance(state, tuple) else vars(state).values() if is_dataclass(state) else ()
    return [part for value in values for part in _parts(value)]


@every_model
def test_a_state_is_never_changed(row: Row) -> None:
    model = build_model(row)
    source, lengths, inputs, _ = batch()
    memory, state = model.encode(source, lengths)
    kept = [part.clone() for part in [*_parts(state), *_parts(memory)]]
    first = model.step(inputs[:, 0], memory, state)[0]
    again = model.step(inputs[:, 0], memory, state)[0]
    assert torch.equal(first, again)
    assert all(torch.equal(a, b) for a, b in zip(kept, [*_parts(state), *_parts(memory)], strict=True))


@every_model
def test_seed_makes_the_model(row: Row) -> None:
    options = model_options(row)
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(build.translation_model(options, VOCAB, VOCAB).state_dict())
    one, same_seed, other = models
    assert all(torch.equal(one[name], same_seed[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@every_model
def test_training_twice_gives_the_same_gradients(row: Row) -> None:
    model = build_model(row).train()
    source, lengths, inputs, _ = batch()
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        decoded = model(source, lengths, inputs)
        loss = F.linear(decoded.features, model.output.weight, model.output.bias).log_softmax(-1)[..., 5].sum()
        if decoded.attended.log_prob is not None and decoded.attended.entropy is not None:
            loss = loss + decoded.attended.log_prob.sum() + decoded.attended.entropy.sum()
        found.append(gradients(loss, model))
    for name, gradient in found[0].items():
        assert gradient.isfinite().all(), name
        assert torch.equal(gradient, found[1][name]), name
    useless = {name for name, gradient in found[0].items() if not gradient.any()}
    assert not {name for name in useless if not any(re.fullmatch(f"{reason}.*", name) for reason in _excuses(row))}


def _excuses(row: Row) -> Iterator[str]:
    """Patterns of the names of what may get no gradient."""
    for place, score in ((TO_SOURCE, row["score"]), (TO_SELF, row["self_score"])):
        if score in UNUSED:
            yield rf"{place}\.{UNUSED[score]}\."
    if row["score"] in ("linear", "key"):
        yield r"decoder\.layers\.\d\.(query|attention_residual\.norm)\."  # before the query
    if row["normaliser"] in SPARSE:
        yield rf"{TO_SOURCE}\.(score\.(key|query)|heads\.query)\."  # where all the weight is on one position
    if row["self_normaliser"] in SPARSE:
        yield r"context\.(words|sentences)\.(heads|score)\."  # the same, of a sentence or two before
    if row["score"] == "location":
        yield r"encoder\.blocks\."  # of separate keys, which it does not read


@pytest.mark.parametrize("row", one_by_one_rows(), ids=label)
def test_dropout_is_drawn_in_training_only(row: Row) -> None:
    options = model_options(row)
    options.dropout = 0.5
    source, lengths, inputs, _ = batch()
    model = build.translation_model(options, VOCAB, VOCAB).double().train()
    assert not torch.equal(log_probs(model, source, lengths, inputs), log_probs(model, source, lengths, inputs))
    model.eval()
    assert torch.equal(log_probs(model, source, lengths, inputs), log_probs(model, source, lengths, inputs))


def test_more_heads_than_the_query_has_dimensions() -> None:
    row = {**one_by_one_rows()[0], "memory_size": 6, "heads": 6}
    source, lengths, inputs, _ = batch()
    assert log_probs(build_model(row), source, lengths, inputs).isfinite().all()


def test_counts() -> None:
    assert len(ROWS) == 126
    assert len(possible_pairs()) == 4075
    assert len(one_by_one_rows()) == 79
    assert len(BASES) == 12
    assert {axis: len(values) for axis, values in AXES.items()} == {
        "encoder": 3,
        "decoder": 3,
        "score": 10,
        "window": 3,
        "normaliser": 6,
        "heads": 2,
        "coverage": 2,
        "placement": 8,
        "readout": 2,
        "bridge": 5,
        "lexical_model": 2,
        "cell": 2,
        "decoder_layers": 2,
        "encoder_layers": 2,
        "bidirectional": 2,
        "residual": 2,
        "transitions": 2,
        "layer_norm": 2,
        "tied_embeddings": 4,
        "memory_size": 2,
        "embedding_size": 2,
        "positions": 4,
        "norm": 2,
        "self_score": 10,
        "self_window": 3,
        "self_normaliser": 6,
        "self_heads": 2,
        "activation": 2,
        "separate_values": 2,
        "attention_placement": 3,
        "context": 2,
    }


def test_the_default_rows_are_possible() -> None:
    for base in BASES:
        assert pairs(base), base
    assert pairs(BASES[0]) >= {frozenset({("score", "additive"), ("cell", "gru")})}


def test_every_possible_pair_meets_in_some_row() -> None:
    met = set().union(*(pairs(row) for row in ROWS))
    assert met == set(possible_pairs()), "call support.variants.write_pairwise_rows()"


def test_a_search_finds_few_rows_and_again_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a few values of some axes; all of them take minutes."""
    few = {axis: (DEFAULT[axis],) for axis in AXES}
    few |= {"encoder": AXES["encoder"][:2], "decoder": AXES["decoder"][:2], "placement": ("before", "between", "after")}
    few |= {"score": ("additive", "dot"), "self_score": ("scaled_dot", "additive"), "norm": AXES["norm"]}
    monkeypatch.setattr("support.variants.AXES", few)
    bases = [base for base in BASES if all(base[axis] in values for axis, values in few.items())]
    assert len(bases) == 4
    monkeypatch.setattr("support.variants.BASES", bases)
    possible_pairs.cache_clear()
    try:
        found = list(find_pairwise_rows())
        assert set().union(*(pairs(row) for row in found)) >= set(possible_pairs())
        assert found == list(find_pairwise_rows())
        assert 6 <= len(found) <= 15
    finally:
        possible_pairs.cache_clear()


def test_impossible_pairs_are_left_out() -> None:
    pairs_left_out = [
        {("score", "dot"), ("coverage", True)},
        {("placement", "after"), ("readout", "tanh")},
        {("placement", "none"), ("bridge", "zero")},
        {("placement", "none"), ("score", "dot")},
        {("decoder", "transformer"), ("placement", "before")},
        {("decoder", "convolutional"), ("coverage", True)},
        {("positions", "rotary"), ("self_normaliser", "reinforce")},
    ]
    assert not any(frozenset(pair) in possible_pairs() for pair in pairs_left_out)
    assert frozenset({("score", "concat"), ("coverage", True)}) in possible_pairs()
