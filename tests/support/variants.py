"""Every variant there is, tiny: tables of rows that the tests run over, made from the tables of names.

- `attention_rows`: the whole product of score, window, normaliser and heads, each option with each of its switches.
- `pairwise_rows`: a covering array of whole models: any two values of any two axes meet in some row.
- `one_by_one_rows`: the default model with one axis changed.

A row is a dictionary of an axis' name to its value. What is impossible is found by asking `config.parse`.
"""

import copy
import dataclasses
import functools
import itertools
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import build, config
from seq2seq.attention.attention import Attention, AttentionOutput
from seq2seq.model.translation import TranslationModel
from seq2seq.nn.dropout import Dropout

Row = dict[str, Any]
Module = TypeVar("Module", bound=nn.Module)

VOCAB = 9
QUERY_SIZE, MEMORY_SIZE = 5, 6
"""Of the rows at the level of attention: different, so that what has to be projected is."""
HIDDEN_SIZE = 4

SMALL: dict[str, dict[str, Any]] = {
    "local_m": {"half_width": 2},
    "local_p": {"half_width": 2},
    "location": {"max_length": 4},
    "gumbel": {"temperature": 0.7},
}
"""Numbers that make the limits of an option matter in sentences of six words."""

# --- attention -------------------------------------------------------------------------------------------------------


def names(base: type) -> list[str]:
    """The names of a group, in the order of its table."""
    return list(config.GROUPS[base])


def variants(base: type) -> dict[str, dict[str, Any]]:
    """Label -> plain values: each option of a group as it comes, and with each of its switches turned."""
    found: dict[str, dict[str, Any]] = {}
    for name, option in config.GROUPS[base].items():
        plain = {"name": name, **SMALL.get(name, {})}
        found[name] = plain
        for field in dataclasses.fields(option):
            if isinstance(field.default, bool):
                found[f"{name}-{field.name}={not field.default}"] = {**plain, field.name: not field.default}
    return found


def attention_rows() -> list[Row]:
    """score x window x normaliser x heads."""
    axes = (variants(config.Score), variants(config.Window), variants(config.Normaliser), (1, 2))
    return [dict(zip(("score", "window", "normaliser", "heads"), row, strict=True)) for row in itertools.product(*axes)]


def attention_options(row: Row) -> config.Attention:
    """The parsed options of a row of `attention_rows`."""
    return _attention_options(tuple(row.items()))


@functools.cache
def _attention_options(items: "Items") -> config.Attention:
    row = dict(items)
    plain = {
        "score": variants(config.Score)[row["score"]],
        "window": variants(config.Window)[row["window"]],
        "normaliser": variants(config.Normaliser)[row["normaliser"]],
        "heads": row["heads"],
        "placement": {"name": "before"},
    }
    model = {"attention": plain, "bridge": {"name": "last"}, "encoder_hidden_size": MEMORY_SIZE // 2}
    return config.parse("model", model).attention


def build_attention(row: Row, query_size: int = QUERY_SIZE, memory_size: int = MEMORY_SIZE) -> Attention:
    """A new copy of a row's attention in float64, in evaluation mode."""
    return copy.deepcopy(_attention(tuple(row.items()), query_size, memory_size))


@functools.cache
def _attention(items: "Items", query_size: int, memory_size: int) -> Attention:
    attention = build.attention(_attention_options(items), query_size, memory_size)
    assert isinstance(attention, Attention)
    return fill(attention.double()).eval()


def attention_inputs(query_size: int = QUERY_SIZE, memory_size: int = MEMORY_SIZE) -> tuple[Tensor, ...]:
    """query [b t q], states [b s m], lengths [b], positions [b t].

    Sentences longer than a window, shorter, and of one word; steps within the source and beyond its end.
    """
    query = numbers(3, 3, query_size, offset=1.0)
    states = numbers(3, 6, memory_size, offset=2.0)
    return query, states, torch.tensor([6, 1, 3]), torch.tensor([[0, 3, 7], [0, 1, 2], [4, 5, 6]])


def run_attention(
    attention: Attention, inputs: tuple[Tensor, ...], noise: Tensor | None = None
) -> list[AttentionOutput]:
    """The module on `attention_inputs`, with noise over source positions [b h t s].

    All steps at once, or one by one where coverage is used.
    """
    query, states, lengths, positions = inputs
    memory = attention.prepare(states, states, lengths)
    if not attention.uses_coverage:
        return [attention(query, memory, positions, noise=_in_window(attention, inputs, noise))]
    coverage, steps = attention.initial_coverage(memory), []
    for t in range(query.size(1)):
        now = (query[:, t : t + 1], states, lengths, positions[:, t : t + 1])
        step_noise = _in_window(attention, now, None if noise is None else noise[:, :, t : t + 1])
        steps.append(attention(now[0], memory, now[3], coverage=coverage, noise=step_noise))
        coverage = steps[-1].coverage
    return steps


def _in_window(attention: Attention, inputs: tuple[Tensor, ...], noise: Tensor | None) -> Tensor | None:
    """Noise over source positions [b h t s] -> over the positions of the window, which is what the module takes."""
    if noise is None:
        return None
    query, states, lengths, positions = inputs
    index = attention.window(query, positions, lengths[:, None].expand_as(positions), states.size(1)).index
    return noise if index is None else noise.gather(-1, index[:, None].expand(-1, noise.size(1), -1, -1))


# --- whole models ----------------------------------------------------------------------------------------------------

PLACEMENTS: dict[str, dict[str, Any]] = {
    "before": {"name": "before"},
    "before-bottom": {"name": "before", "attend_from": "bottom"},
    "before-previous": {"name": "before", "readout_state": "previous"},
    "after": {"name": "after"},
    "after-unfed": {"name": "after", "input_feeding": False},
    "between": {"name": "between"},
    "none": {"name": "none"},
    "none-fed": {"name": "none", "feed_source": True},
}

AXES: dict[str, tuple[Any, ...]] = {
    "score": tuple(names(config.Score)),
    "window": tuple(names(config.Window)),
    "normaliser": tuple(names(config.Normaliser)),
    "heads": (1, 2),
    "coverage": (False, True),
    "placement": tuple(PLACEMENTS),
    "readout": ("maxout", "tanh"),
    "bridge": tuple(names(config.Bridge)),
    "cell": ("gru", "lstm"),
    "decoder_layers": (1, 2),
    "encoder_layers": (1, 2),
    "bidirectional": (True, False),
    "residual": (False, True),
    "layer_norm": (False, True),
    "tied_embeddings": ("none", "source_target", "target_output", "all"),
    "memory_size": (HIDDEN_SIZE, 6),
    "embedding_size": (3, HIDDEN_SIZE),
}
"""Axis -> its values."""

DEFAULT: Row = {axis: values[0] for axis, values in AXES.items()} | {
    "score": "additive",
    "decoder_layers": 2,
    "encoder_layers": 2,
}
"""Any two values that are possible together are possible in this row."""

PAIRWISE = Path(__file__).with_name("pairwise.json")
"""The covering array. A test asserts that it covers; `write_pairwise_rows()` makes it anew."""

OF_ATTENTION = ("score", "window", "normaliser", "heads", "coverage")
"""Axes that mean nothing without attention."""


def plain_model(row: Row) -> dict[str, Any]:
    """A row as the plain values that `parse` takes."""
    score = {"name": row["score"], **SMALL.get(row["score"], {})}
    placement = dict(PLACEMENTS[row["placement"]])
    # Said only where it is not the default: a part that has no such choice then still is possible.
    if row["coverage"]:
        score["coverage"] = True
    if row["readout"] != "maxout":
        placement["readout"] = row["readout"]
    same = ("cell", "decoder_layers", "encoder_layers", "bidirectional", "residual", "layer_norm", "tied_embeddings")
    return {
        "attention": {
            "score": score,
            "window": {"name": row["window"], **SMALL.get(row["window"], {})},
            "normaliser": {"name": row["normaliser"], **SMALL.get(row["normaliser"], {})},
            "heads": row["heads"],
            "placement": placement,
        },
        "bridge": {"name": row["bridge"]},
        "hidden_size": HIDDEN_SIZE,
        "encoder_hidden_size": row["memory_size"] // (2 if row["bidirectional"] else 1),
        "embedding_size": row["embedding_size"],
        "dropout": 0.0,
        **{axis: row[axis] for axis in same},
    }


def model_options(row: Row) -> config.Model:
    """The parsed options of a whole model."""
    return config.parse("model", plain_model(row))


def build_model(row: Row) -> TranslationModel:
    """A new copy of a row's model in float64, in evaluation mode."""
    return copy.deepcopy(_model(tuple(row.items())))


@functools.cache
def _model(items: "Items") -> TranslationModel:
    return fill(build.translation_model(model_options(dict(items)), VOCAB, VOCAB).double()).eval()


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """source [b s], lengths [b], inputs [b t], target lengths [b]: a target longer than its source among them."""
    source = torch.tensor([[4, 5, 6, 7, 8, 3], [3, 0, 0, 0, 0, 0], [6, 4, 3, 0, 0, 0]])
    inputs = torch.tensor([[2, 5, 4, 8], [2, 7, 7, 0], [2, 0, 0, 0]])
    return source, torch.tensor([6, 1, 3]), inputs, torch.tensor([4, 3, 1])


def pairwise_rows() -> list[Row]:
    """Rows in which any two values of any two axes that can meet do meet, as `find_pairwise_rows` found them."""
    table = json.loads(PAIRWISE.read_text(encoding="utf-8"))
    return [dict(zip(table["axes"], row, strict=True)) for row in table["rows"]]


def one_by_one_rows() -> list[Row]:
    """The default row, and a row for each other value of each axis."""
    changed = [{**DEFAULT, axis: value} for axis in AXES for value in AXES[axis] if value != DEFAULT[axis]]
    return [dict(DEFAULT), *changed]


Items = tuple[tuple[str, Any], ...]
Pair = frozenset[tuple[str, Any]]


def pairs(row: Row) -> set[Pair]:
    """The pairs of values that meet in a row, or none when it is impossible."""
    return {frozenset(pair) for pair in itertools.combinations(_held(tuple(row.items())), 2)}


def possible_pairs() -> list[Pair]:
    """All pairs of values of different axes that can meet."""
    found = []
    for one, other in itertools.combinations(AXES, 2):
        for values in itertools.product(AXES[one], AXES[other]):
            pair = frozenset(zip((one, other), values, strict=True))
            if pair <= set(_held(tuple({**DEFAULT, **dict(pair)}.items()))):
                found.append(pair)
    return found


@functools.cache
def _held(row: Items) -> Items:
    """The values that mean something in a row; nothing when it is impossible."""
    try:
        model = model_options(dict(row))
    except config.ConfigError:
        return ()
    idle = {(axis, dict(row)[axis]) for axis in OF_ATTENTION if model.attention.score is None}
    if min(model.decoder_layers, model.encoder_layers) == 1:
        idle.add(("residual", True))  # which begins at the second layer
    if model.decoder_layers == 1:
        idle.add(("placement", "before-bottom"))  # where the top is the bottom
    return tuple(item for item in row if item not in idle)


def find_pairwise_rows() -> list[Row]:
    """The rows of `PAIRWISE`, searched greedily, which takes thousands of times as long as reading them."""
    left = dict.fromkeys(possible_pairs())  # an ordered set
    rows: list[Row] = []
    while left:
        wanted = next(iter(left))
        row = dict(wanted)
        for axis in AXES:
            if axis not in row:
                gains = [_gain({**row, axis: value}, wanted, left) for value in AXES[axis]]
                row[axis] = AXES[axis][gains.index(max(gains))]
        row = {axis: row[axis] for axis in AXES}
        rows.append(row)
        for pair in pairs(row):
            left.pop(pair, None)
    return rows


def write_pairwise_rows() -> None:
    """Write `PAIRWISE` again, which a change of the axes calls for."""
    rows = [json.dumps([row[axis] for axis in AXES]) for row in find_pairwise_rows()]
    axes = json.dumps(list(AXES))
    PAIRWISE.write_text(f'{{"axes": {axes},\n"rows": [\n' + ",\n".join(rows) + "\n]}\n", encoding="utf-8")


def _gain(row: Row, wanted: Pair, left: dict[Pair, None]) -> int:
    """How many of the pairs that are left meet in an unfinished row; −1 where the wanted pair no longer does."""
    held = _held(tuple({**DEFAULT, **row}.items()))
    if not wanted <= set(held):
        return -1
    chosen = [item for item in held if item[0] in row]
    return sum(frozenset(pair) in left for pair in itertools.combinations(chosen, 2))


# --- for all ---------------------------------------------------------------------------------------------------------


def label(row: Row) -> str:
    """A row's name in the list of tests."""
    words = [f"{axis}={value}" if isinstance(value, (bool, int)) else str(value) for axis, value in row.items()]
    return ",".join(words)


def numbers(*shape: int, offset: float = 0.0) -> Tensor:
    """Numbers in (−1, 1) that have no pattern, and need no random generator."""
    size = 1
    for length in shape:
        size *= length
    k = torch.arange(1, size + 1, dtype=torch.float64)
    return torch.sin(0.37 * k**2 + offset).view(shape)


def fill(module: Module) -> Module:
    """Every parameter gets such numbers, biases and the padding's embedding too: nothing may rely on zeros."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(0.8 * numbers(*parameter.shape, offset=1.3 * number))
    return module


def set_dropout(module: nn.Module, p: float) -> None:
    """Let all dropout within it drop with this probability."""
    for part in module.modules():
        if isinstance(part, Dropout):
            part.p = p


def mixed(values: list[Tensor]) -> Tensor:
    """One number that depends on everything, differently."""
    return sum((numbers(*value.shape, offset=0.1 * n) * value).sum() for n, value in enumerate(values))


def gradients(loss: Tensor, module: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Of each parameter and input, by name; zeros where the loss doesn't depend on it."""
    named = dict(module.named_parameters()) | {f"input {number}": x for number, x in enumerate(inputs)}
    wanted = list(named.values())
    if not loss.requires_grad:
        return {name: torch.zeros_like(x) for name, x in named.items()}
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return {name: torch.zeros_like(x) if g is None else g for (name, x), g in zip(named.items(), found, strict=True)}


def assert_translated(model: TranslationModel, logits: Tensor, alone: list[Tensor]) -> None:
    """A model's logits [b t v] are those of each sentence alone [t v], and so are the gradients through them."""
    loss, expected_loss = logits.new_zeros(()), logits.new_zeros(())
    for b, expected in enumerate(alone):
        actual = logits[b, : len(expected)]
        assert_close(actual, expected, 1e-10, 1e-10)
        factors = numbers(*expected.shape, offset=b)
        loss = loss + (factors * actual.log_softmax(-1)).sum()
        expected_loss = expected_loss + (factors * expected.log_softmax(-1)).sum()
    assert_same(gradients(loss, model), gradients(expected_loss, model))


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    """Equal by name within the tolerance."""
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        assert_close(value, expected[name], tolerance, tolerance, name)


def assert_close(actual: Tensor, expected: Tensor, rtol: float, atol: float, name: str = "") -> None:
    """`torch.testing.assert_close`, which is slow and so is only asked where something differs."""
    alike = (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    if not (alike and torch.allclose(actual, expected, rtol=rtol, atol=atol)):
        torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol, msg=lambda text: f"{name}: {text}")


def log_probs(model: TranslationModel, source: Tensor, lengths: Tensor, inputs: Tensor) -> Tensor:
    """[b t v] of the whole target at once."""
    features = model(source, lengths, inputs).features
    return F.linear(features, model.output.weight, model.output.bias).log_softmax(-1)
