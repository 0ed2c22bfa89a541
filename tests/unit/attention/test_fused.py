"""Fused attention gives the numbers of the unfused, and is used exactly where it does."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.variants import SMALL, assert_same, fill, gradients, mixed, numbers, variants
from torch import Tensor

from seq2seq import build, config
from seq2seq.attention import window
from seq2seq.attention.attention import Attention, AttentionOutput
from seq2seq.attention.positions import Rotary
from seq2seq.attention.score import ProductScore
from seq2seq.device import fp32_products

SIZE = 4
SCORES = {label: values for label, values in variants(config.Score).items() if not values.get("coverage")}
PRODUCTS = ("dot", "scaled_dot", "general", "cosine", "cosine-learned_scale=False")


def make(
    score: str,
    view: str = "global",
    normaliser: str = "softmax",
    heads: int = 1,
    *,
    query_size: int = SIZE,
    rotary: bool = False,
    parallel: bool = True,
) -> Attention:
    """Make an attention as build.py does of these words, in float64."""
    values: dict[str, Any] = {
        "attention": {
            "score": SCORES[score],
            "window": {"name": view, **SMALL.get(view, {})},
            "normaliser": {"name": normaliser},
            "heads": heads,
            "placement": {"name": "before"},
        },
        "bridge": {"name": "last"},
        "hidden_size": SIZE,
    }
    made = build.attention(config.parse("model", values).attention, query_size, SIZE)
    assert isinstance(made, Attention)
    turn = Rotary() if rotary else None
    again = Attention(made.heads, made.score, made.window, made.normaliser, rotary=turn, parallel=parallel)
    return fill(again.double()).train()


def run(
    attention: Attention, query: Tensor, states: Tensor, *, causal: bool, need_weights: bool, first: int = 0
) -> AttentionOutput:
    """Sentences of 5, 1 and 3 words, or of 5 with the causal mask."""
    lengths = torch.tensor([5, 5, 5] if causal else [5, 1, 3])
    memory = attention.prepare(states, states, lengths, causal=causal, first=first)
    positions = torch.arange(first, first + query.size(1)).expand(3, -1)
    return attention(query, memory, positions, need_weights=need_weights)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of queries of each call of fused attention."""
    seen: list[int] = []
    fused = F.scaled_dot_product_attention

    def watched(query: Tensor, *rest: Any, **options: Any) -> Tensor:
        seen.append(query.size(2))
        return fused(query, *rest, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    return seen


@pytest.mark.parametrize(
    ("products", "short", "expected"), [("highest", 5, [5]), ("medium", 5, []), ("medium", 4, [5])]
)
def test_with_onednns_products_long_sources_alone_are_fused(
    products: str, short: int, expected: list[int], calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.attention.attention._SHORT", short)
    with fp32_products(products):
        run(make("scaled_dot"), numbers(3, 5, SIZE), numbers(3, 5, SIZE), need_weights=False, causal=False)
    assert calls == expected


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("score", PRODUCTS)
def test_fused_is_unfused(score: str, heads: int, causal: bool, rotary: bool, calls: list[int]) -> None:
    attention = make(score, heads=heads, rotary=rotary)
    query, states = numbers(3, 5, SIZE, offset=1.0).requires_grad_(), numbers(3, 5, SIZE).requires_grad_()
    fused = run(attention, query, states, need_weights=False, causal=causal)
    assert (calls, fused.weights) == ([5], None)
    plain = run(attention, query, states, need_weights=True, causal=causal)
    assert len(calls) == 1
    assert plain.weights is not None
    assert_same({"context": fused.context}, {"context": plain.context})
    inputs = attention, query, states
    assert_same(gradients(mixed([fused.context]), *inputs), gradients(mixed([plain.context]), *inputs))


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("score", [name for name in PRODUCTS if name != "general"])
def test_rotary_attention_knows_only_distances(score: str, need_weights: bool) -> None:
    """Memories that begin later give the same contexts, as queries and keys are turned by absolute positions.

    Not so `general`, whose W stands between the two turns.
    """
    attention, query, states = make(score, rotary=True), numbers(3, 5, SIZE, offset=1.0), numbers(3, 5, SIZE)
    contexts = {
        first: run(attention, query, states, causal=False, need_weights=need_weights, first=first).context
        for first in (0, 3)
    }
    torch.testing.assert_close(contexts[3], contexts[0], rtol=1e-10, atol=1e-10)
    attention.rotary = None
    unturned = run(attention, query, states, causal=False, need_weights=need_weights).context
    assert not torch.allclose(unturned, contexts[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_local_window_is_fused_unless_it_gathers(
    heads: int, causal: bool, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = make("scaled_dot", "local_m", heads=heads)
    attention.window.half_width = 1
    found = []
    for widths in (0, 2):
        monkeypatch.setattr(window, "WIDTHS_AT_ONCE", widths)
        query, states = numbers(3, 5, SIZE, offset=1.0).requires_grad_(), numbers(3, 5, SIZE).requires_grad_()
        context = run(attention, query, states, need_weights=False, causal=causal).context
        found.append({"context": context, **gradients(mixed([context]), attention, query, states)})
    assert calls == [5]
    assert_same(*found)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("score", SCORES)
def test_a_window_of_many_steps_gathers_later_if_they_share_a_product(
    score: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "WIDTHS", 0)
    attention, (query, states) = make(score, "local_m"), (numbers(3, steps, SIZE), numbers(3, 5, SIZE))
    seen = run(attention, query, states, need_weights=True, causal=False)
    assert (seen.index is None) == (score in PRODUCTS and steps == 5)


@pytest.mark.parametrize("score", PRODUCTS)
def test_queries_of_another_size(score: str, calls: list[int]) -> None:
    """The keys are projected to the query's size, and the values keep theirs."""
    attention = make(score, query_size=6)
    query, states = numbers(3, 5, 6, offset=1.0).requires_grad_(), numbers(3, 5, SIZE).requires_grad_()
    fused, plain = (run(attention, query, states, causal=False, need_weights=need) for need in (False, True))
    assert calls == [5]
    assert_same({"context": fused.context}, {"context": plain.context})
    inputs = attention, query, states
    assert_same(gradients(mixed([fused.context]), *inputs), gradients(mixed([plain.context]), *inputs))


@pytest.mark.parametrize("normaliser", variants(config.Normaliser))
@pytest.mark.parametrize("view", variants(config.Window))
@pytest.mark.parametrize("score", SCORES)
def test_fused_exactly_where_it_is_the_same(score: str, view: str, normaliser: str, calls: list[int]) -> None:
    """Products under a softmax without gains; of several steps, in parallel layers, and no weights wanted."""
    legal = score in PRODUCTS and view != "local_p" and normaliser == "softmax"
    for heads, parallel, weights, steps in itertools.product((1, 2), (False, True), (False, True), (1, 5)):
        attention = make(score, view, normaliser, heads, parallel=parallel)
        query, states = numbers(3, steps, SIZE, offset=1.0), numbers(3, 5, SIZE)
        calls.clear()
        seen = run(attention, query, states, causal=False, need_weights=weights)
        assert calls == ([steps] if legal and parallel and not weights and steps > 1 else [])
        assert (seen.weights is not None) == weights


def test_every_product_is_here() -> None:
    assert {name for name in SCORES if isinstance(make(name).score, ProductScore)} == set(PRODUCTS)


def test_layers_fuse_and_the_recurrent_decoder_does_not(calls: list[int]) -> None:
    """Self-attention of both sides and attention to the source, of whole sentences, unless weights are wanted."""
    values = {
        "encoder": {"name": "transformer", "attention": {"heads": 2}},
        "attention": {
            "score": {"name": "scaled_dot"},
            "window": {"name": "global"},
            "normaliser": {"name": "softmax"},
            "heads": 2,
            "placement": {"name": "between"},
        },
        "bridge": {"name": "mean"},
        "hidden_size": SIZE,
        "embedding_size": SIZE,
        "dropout": 0.0,
    }
    decoders = {"transformer": {"name": "transformer", "attention": {"heads": 2}}, "recurrent": {"name": "recurrent"}}
    source, lengths, inputs = torch.tensor([[4, 5, 3]]), torch.tensor([3]), torch.tensor([[2, 5]])
    found = {}
    for name, need_weights in itertools.product(decoders, (False, True)):
        options = config.parse("model", copy.deepcopy({**values, "decoder": decoders[name]}))
        model = build.translation_model(options, 6, 6)
        calls.clear()
        model(source, lengths, inputs, need_weights=need_weights)
        found[name, need_weights] = list(calls)
    assert found == {
        ("transformer", False): [3, 2, 2],
        ("transformer", True): [3, 2],
        ("recurrent", False): [3],
        ("recurrent", True): [3],
    }
