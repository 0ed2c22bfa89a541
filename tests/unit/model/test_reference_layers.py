"""Layered architectures agree with the papers' loops: each encoder, pooling and whole models of any encoder with any
decoder, with any attention in each of the three places, forward and gradient, on a padded batch against each sentence
alone."""

import itertools
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference.bridge import bridge as reference_bridge
from reference.decoder import translate
from reference.encoder import encode
from reference.parameters import parameters_of
from support.variants import SMALL, Row, assert_same, assert_translated, fill, gradients, mixed, names, numbers

from seq2seq import build, config
from seq2seq.model.translation import TranslationModel

VOCAB, EMBEDDING_SIZE, HIDDEN_SIZE = 9, 3, 8
"""Heads of four numbers: two angles of rotary positions."""
LENGTHS = torch.tensor([5, 1, 3])

ENCODERS: dict[str, dict[str, Any]] = {
    "recurrent": {"name": "recurrent", "hidden_size": 3},
    "transformer-post": {"name": "transformer", "feed_forward_size": 5},
    "transformer-pre": {"name": "transformer", "feed_forward_size": 5, "norm": "pre"},
    "convolutional-glu": {"name": "convolutional", "activation": "glu"},
    "convolutional-tanh": {"name": "convolutional", "activation": "tanh"},
}
DECODERS: dict[str, dict[str, Any]] = {
    "recurrent-before": {"name": "recurrent", "cell": "lstm"},
    "recurrent-after": {"name": "recurrent"},
    "recurrent-between": {"name": "recurrent"},
    "transformer-post": {"name": "transformer", "feed_forward_size": 5},
    "transformer-pre": {"name": "transformer", "feed_forward_size": 5, "norm": "pre"},
    "convolutional": {"name": "convolutional", "kernel_size": 2},
}
LAYERED = ("transformer-post", "transformer-pre", "convolutional")
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
    "around": ("none", "before", "after"),
    "separate": (False, True),
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


ARCHITECTURES = [
    *itertools.product(ENCODERS, DECODERS),
    *itertools.product(("transformer-post", "convolutional-glu", "convolutional-tanh"), LAYERED),
]
WANTED = [
    *(("encoder", "decoder"), ("encoder", "positions"), ("decoder", "positions"), ("decoder", "attends")),
    *((f"{place}_{one}", f"{place}_heads") for place in PLACES for one in ("score", "window", "normaliser")),
]
"""Pairs of axes whose values meet, as far as the number of rows allows."""


def drawn_rows(candidates: int) -> list[Row]:
    """A row for each architecture: of some drawn, the one with the most pairs of values that no row before it has."""
    draw, seen, rows = random.Random(15), set(), []

    def gain(row: Row) -> tuple[int, int]:
        new = pairs(row) - seen
        return sum(tuple(axis for axis, _ in pair) in WANTED for pair in new), len(new)

    for encoder, decoder in ARCHITECTURES:
        others = [{axis: draw.choice(values) for axis, values in AXES.items()} for _ in range(candidates)]
        rows.append(max((possible({**row, "encoder": encoder, "decoder": decoder}) for row in others), key=gain))
        seen |= pairs(rows[-1])
    return rows


def possible(row: Row) -> Row:
    """The row, with other positions where it has nothing to rotate."""
    rotates = row["decoder"].startswith("transformer") or self_attends(row)
    return {**row, "positions": "learned"} if row["positions"] == "rotary" and not rotates else row


def self_attends(row: Row) -> bool:
    """Whether the encoder attends to itself."""
    kind = row["encoder"].split("-")[0]
    return kind == "transformer" or (kind == "convolutional" and row["around"] != "none")


def pairs(row: Row) -> set[tuple[tuple[str, Any], ...]]:
    """Pairs of values of different axes that mean something in a row."""
    unused = {
        "encoder": not self_attends(row),
        "source": not row["attends"],
        "decoder": not row["decoder"].startswith("transformer"),
    }
    idle = {f"{place}_{part}" for place in PLACES if unused[place] for part in PARTS}
    if not row["encoder"].startswith("convolutional"):
        idle |= {"around", "separate"}
    held = [item for item in row.items() if item[0] not in idle]
    return set(itertools.combinations(held, 2))


def attention(row: Row, place: str) -> dict[str, Any]:
    """The plain values of the attention in one of the three places."""
    values = {part: row[f"{place}_{part}"] for part in PARTS}
    groups = {part: {"name": values[part], **SMALL.get(values[part], {})} for part in ("score", "window", "normaliser")}
    if "half_width" in groups["window"]:
        groups["window"]["half_width"] = 1  # targets are short
    return {**groups, "heads": values["heads"]}


def model_options(row: Row) -> config.Model:
    encoder, decoder = dict(ENCODERS[row["encoder"]]), dict(DECODERS[row["decoder"]])
    if encoder["name"] == "convolutional":
        encoder |= {
            "attention_placement": row["around"],
            "separate_values": row["separate"] and row["attends"],
        }  # else unread
    if self_attends(row):
        encoder["attention"] = attention(row, "encoder")
    if decoder["name"] == "transformer":
        decoder["attention"] = attention(row, "decoder")
    where = row["decoder"].removeprefix("recurrent-") if decoder["name"] == "recurrent" else "between"
    placement = {"name": where} if row["attends"] else {"name": "none", "feed_source": True}
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


ROWS = drawn_rows(30)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ",".join(map(str, row.values())))
def test_model_is_the_papers(row: Row) -> None:
    compare(row)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize("decoder", LAYERED)
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
@pytest.mark.parametrize(
    ("encoder", "around", "separate"),
    [
        ("transformer-post", "none", False),
        ("transformer-pre", "none", False),
        *itertools.product(("convolutional-glu", "convolutional-tanh"), AXES["around"], AXES["separate"]),
    ],
)
def test_encoder(encoder: str, around: str, separate: bool, positions: str) -> None:
    """Keys and values of two layers."""
    row = {**DEFAULT, "encoder": encoder, "around": around, "separate": separate, "encoder_layers": 2}
    row |= {"decoder": "transformer-post", "positions": positions}
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
    met = set().union(*(pairs(row) for row in ROWS))
    missing = {
        ((one, x), (other, y))
        for one, other in WANTED
        for x, y in itertools.product(AXES[one], AXES[other])
        if ((one, x), (other, y)) not in met
    }
    # Too few rows have a Transformer decoder, and without attention all recurrent decoders are the same.
    excused = {pair for pair in missing if pair[0][0] == "decoder_score" or pair[1] == ("attends", False)}
    assert missing == excused
    assert not any(("decoder", name) in pair for pair in excused for name in LAYERED)
    assert {value for pair in met for axis, value in pair if axis == "decoder_score"} == set(PARTS["score"])
