"""Layered architectures agree with the papers' loops: each encoder, pooling and whole models of any encoder with any
decoder, with any attention in each of the three places, forward and gradient, on a padded batch against each sentence
alone."""

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference.bridge import bridge as reference_bridge
from reference.decoder import translate
from reference.encoder import encode
from reference.parameters import parameters_of
from support.variants import SMALL, Row, assert_same, assert_translated, fill, gradients, label, mixed, names, numbers

from seq2seq import build, config
from seq2seq.model.translation import TranslationModel

VOCAB, EMBEDDING_SIZE, HIDDEN_SIZE = 9, 3, 8
"""Heads of four numbers: two angles of rotary positions."""
LENGTHS = torch.tensor([5, 1, 3])

ENCODERS: dict[str, dict[str, Any]] = {
    "recurrent": {"name": "recurrent", "hidden_size": 3},
    "transformer-post": {"name": "transformer", "feed_forward_size": 5},
    "transformer-pre": {"name": "transformer", "feed_forward_size": 5, "norm": "pre"},
    **{
        f"convolutional-{activation}-{place}{'-separate' if separate else ''}": {
            "name": "convolutional",
            "activation": activation,
            "attention_placement": place,
            "separate_values": separate,
        }
        for activation in ("glu", "tanh")
        for place in ("none", "before", "after")
        for separate in (False, True)
    },
}
DECODERS: dict[str, dict[str, Any]] = {
    "recurrent": {"name": "recurrent", "cell": "lstm"},
    "transformer-post": {"name": "transformer", "feed_forward_size": 5},
    "transformer-pre": {"name": "transformer", "feed_forward_size": 5, "norm": "pre"},
    "convolutional": {"name": "convolutional", "kernel_size": 2},
}
POSITIONS: dict[str, dict[str, Any]] = {
    "none": {"name": "none"},
    "sinusoidal": {"name": "sinusoidal"},
    "learned": {"name": "learned", "max_length": 3},
    "rotary": {"name": "rotary"},
}
BRIDGES: dict[str, dict[str, Any]] = {
    "last": {"name": "last"},
    "mean": {"name": "mean"},
    "learned": {"name": "attention"},
    "recurrent": {"name": "attention", "query": "recurrent"},
}
PLACES = ("encoder", "source", "decoder")
"""Where an attention stands, and what its axes' names begin with."""
PARTS: dict[str, tuple[Any, ...]] = {
    "score": tuple(names(config.Score)),
    "window": tuple(names(config.Window)),
    "normaliser": tuple(name for name in names(config.Normaliser) if name != "reinforce"),
    "heads": (1, 2),
}
AXES: dict[str, tuple[Any, ...]] = {
    "encoder": tuple(ENCODERS),
    "decoder": tuple(DECODERS),
    "positions": tuple(POSITIONS),
    "bridge": tuple(BRIDGES),
    "attends": (True, True, False),
    "encoder_layers": (1, 2),
    "decoder_layers": (1, 2),
    "embedding_size": (EMBEDDING_SIZE, HIDDEN_SIZE),
    **{f"{place}_{part}": values for place in PLACES for part, values in PARTS.items()},
}
DEFAULT: Row = {axis: values[0] for axis, values in AXES.items()} | {f"{place}_score": "scaled_dot" for place in PLACES}


def drawn_rows(count: int, candidates: int) -> list[Row]:
    """Rows of which each is the one, of some drawn, with the most pairs of values that no row before it has."""
    draw, seen, rows = random.Random(15), set(), []
    for _ in range(count):
        drawn = [possible({axis: draw.choice(values) for axis, values in AXES.items()}) for _ in range(candidates)]
        rows.append(max(drawn, key=lambda row: len(pairs(row) - seen)))
        seen |= pairs(rows[-1])
    return rows


def possible(row: Row) -> Row:
    """The row, with other positions where it has nothing to rotate."""
    rotates = row["decoder"].startswith("transformer") or self_attends(row["encoder"])
    return {**row, "positions": "learned"} if row["positions"] == "rotary" and not rotates else row


def self_attends(encoder: str) -> bool:
    return encoder.startswith("transformer") or "before" in encoder or "after" in encoder


def pairs(row: Row) -> set[tuple[Any, ...]]:
    """Pairs of values of different axes that mean something in a row."""
    idle = {
        "encoder": not self_attends(row["encoder"]),
        "source": not row["attends"],
        "decoder": not row["decoder"].startswith("transformer"),
    }
    held = [item for item in row.items() if not any(item[0].startswith(f"{p}_") and idle[p] for p in PLACES)]
    return {(one, other) for number, one in enumerate(held) for other in held[:number]}


def attention(row: Row, place: str) -> dict[str, Any]:
    """The plain values of the attention in one of the three places."""
    values = {part: row[f"{place}_{part}"] for part in PARTS}
    groups = {part: {"name": values[part], **SMALL.get(values[part], {})} for part in ("score", "window", "normaliser")}
    if "half_width" in groups["window"]:
        groups["window"]["half_width"] = 1  # targets are short
    return {**groups, "heads": values["heads"]}


def model_options(row: Row) -> config.Model:
    encoder, decoder = dict(ENCODERS[row["encoder"]]), dict(DECODERS[row["decoder"]])
    if self_attends(row["encoder"]):
        encoder["attention"] = attention(row, "encoder")
    if decoder["name"] == "transformer":
        decoder["attention"] = attention(row, "decoder")
    placement = {"name": "between"} if row["attends"] else {"name": "none", "feed_source": True}
    source = {**attention(row, "source"), "placement": placement}
    same = ("encoder_layers", "decoder_layers", "embedding_size")
    return config.parse(
        "model",
        {
            "encoder": encoder,
            "decoder": decoder,
            "attention": source,
            "bridge": BRIDGES[row["bridge"]],
            "positions": POSITIONS[row["positions"]],
            "hidden_size": HIDDEN_SIZE,
            "dropout": 0.0,
            **{axis: row[axis] for axis in same},
        },
    )


def build_model(options: config.Model) -> TranslationModel:
    return fill(build.translation_model(options, VOCAB, VOCAB).double()).eval()


ROWS = drawn_rows(40, 40)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_model_is_the_papers(row: Row) -> None:
    compare(row)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize("decoder", [name for name in DECODERS if name != "recurrent"])
def test_decoder(decoder: str, attends: bool, positions: str) -> None:
    """The defaults of the papers, three layers high."""
    row = {**DEFAULT, "encoder": "transformer-pre", "decoder": decoder, "attends": attends, "positions": positions}
    compare({**row, "decoder_layers": 3})


def compare(row: Row) -> None:
    """Logits, weights of the alignment layer, and gradients."""
    options = model_options(row)
    model = build_model(options)
    source = torch.tensor([[4, 5, 6, 7, 8, 3], [3, 0, 0, 0, 0, 0], [6, 4, 3, 0, 0, 0]])
    inputs = torch.tensor([[2, 5, 4, 8, 7], [2, 7, 6, 0, 0], [2, 0, 0, 0, 0]])
    lengths, target_lengths = [6, 1, 3], [5, 3, 1]
    decoded = model(source, torch.tensor(lengths), inputs)
    logits = F.linear(decoded.features, model.output.weight, model.output.bias)
    dense = decoded.attended.to_dense(source.size(1))
    assert (dense is not None) == row["attends"]
    p, alone = parameters_of(model), []
    for b, (s, t) in enumerate(zip(lengths, target_lengths, strict=True)):
        expected = translate(options, p, source[b, :s].tolist(), inputs[b, :t].tolist())
        alone.append(torch.stack(expected.logits))
        if dense is not None:
            expected_weights = torch.stack([torch.stack(heads) for heads in expected.weights], 1)  # [h t s]
            torch.testing.assert_close(dense[b, :, :t, :s], expected_weights, rtol=1e-10, atol=1e-10)
    assert_translated(model, logits, alone)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name != "recurrent"])
def test_encoder(encoder: str, positions: str) -> None:
    """Keys and values of two layers, with 1e-10 of the loops."""
    row = {**DEFAULT, "encoder": encoder, "decoder": "transformer-post", "positions": positions, "encoder_layers": 2}
    options = model_options(row)
    module = build_model(options).encoder
    x = numbers(3, 5, EMBEDDING_SIZE).requires_grad_()
    encoded = module(x, LENGTHS)
    actual, expected = [], []
    for b, length in enumerate(LENGTHS.tolist()):
        sentence = encode(options, parameters_of(module), list(x[b, :length]))
        actual += [encoded.keys[b, :length], encoded.values[b, :length]]
        expected += [torch.stack(sentence.keys), torch.stack(sentence.values)]
    assert_same(dict(enumerate(actual)), dict(enumerate(expected)))
    assert_same(gradients(mixed(actual), module, x), gradients(mixed(expected), module, x))


@pytest.mark.parametrize("embedding_size", [EMBEDDING_SIZE, HIDDEN_SIZE])
def test_pooling_with_a_recurrent_query(embedding_size: int) -> None:
    row = {**DEFAULT, "bridge": "recurrent", "attends": False, "embedding_size": embedding_size}
    options = model_options(row)
    bridge = build_model(options).bridge
    states = numbers(3, 5, options.memory_size).requires_grad_()
    embedded = numbers(3, 5, embedding_size, offset=1.0).requires_grad_()
    summary, first = bridge(states, LENGTHS, embedded)
    actual = [summary, *(part for layer in first for part in layer)]
    sentences = []
    for b, length in enumerate(LENGTHS.tolist()):
        sentence = list(states[b, :length]), list(embedded[b, :length])
        x, layers_first = reference_bridge(options, parameters_of(bridge), *sentence)
        sentences.append([x, *(part for layer in layers_first for part in layer)])
    expected = [torch.stack(part) for part in zip(*sentences, strict=True)]
    inputs = bridge, states, embedded
    assert_same(dict(enumerate(actual)), dict(enumerate(expected)))
    assert_same(gradients(mixed(actual), *inputs), gradients(mixed(expected), *inputs))


def test_rows_cover() -> None:
    """Every value of every axis meets every encoder, decoder and kind of positions that can have it."""
    met = {frozenset(pair) for row in ROWS for pair in pairs(row)}
    print(len(met))
