"""Every variant there is, tiny: tables of rows that the tests run over, made from the tables of names.

- `attention_rows`: the whole product of score, window, normaliser and heads, each option with each of its switches.
- `pairwise_rows`: a covering array of whole models: any two values of any two axes meet in some row.
- `one_by_one_rows`: the default model with one axis changed.

A row is a dictionary of an axis' name to its value. What is impossible is found by asking `config.parse`.
"""

import copy
import dataclasses
import functools
import io
import itertools
import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq import build, config
from seq2seq.attention import normaliser
from seq2seq.attention.attention import Attention, AttentionOutput
from seq2seq.model.protocol import DecoderState, Source
from seq2seq.model.translation import TranslationModel
from seq2seq.nn.dropout import Dropout
from seq2seq.text.batches import pad
from seq2seq.text.context import Context, InContext, gather

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
    return _attention(tuple(row.items()), query_size, memory_size)()


@functools.cache
def _attention(items: "Items", query_size: int, memory_size: int) -> Callable[[], Attention]:
    attention = build.attention(_attention_options(items), query_size, memory_size)
    assert isinstance(attention, Attention)
    return copies(fill(attention.double()).eval())


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
        with given_noise(_in_window(attention, inputs, noise)):
            return [attention(query, memory, positions)]
    coverage, steps = attention.initial_coverage(memory), []
    for t in range(query.size(1)):
        now = (query[:, t : t + 1], states, lengths, positions[:, t : t + 1])
        step_noise = _in_window(attention, now, None if noise is None else noise[:, :, t : t + 1])
        with given_noise(step_noise):
            steps.append(attention(now[0], memory, now[3], coverage=coverage))
        coverage = steps[-1].coverage
    return steps


@contextmanager
def given_noise(noise: Tensor | None) -> Iterator[None]:
    """Let normalisers draw this noise inside the block; None: what they draw themselves."""
    with nullcontext() if noise is None else mock.patch.object(normaliser, "gumbel_noise", return_value=noise):
        yield


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

BRIDGES: dict[str, dict[str, Any]] = {
    "last": {"name": "last"},
    "mean": {"name": "mean"},
    "attention": {"name": "attention"},
    "attention-recurrent": {"name": "attention", "query": "recurrent"},
    "zero": {"name": "zero"},
}

AXES: dict[str, tuple[Any, ...]] = {
    "encoder": tuple(names(config.Encoder)),
    "decoder": tuple(names(config.Decoder)),
    "score": tuple(names(config.Score)),
    "window": tuple(names(config.Window)),
    "normaliser": tuple(names(config.Normaliser)),
    "heads": (1, 2),
    "coverage": (False, True),
    "placement": tuple(PLACEMENTS),
    "readout": ("maxout", "tanh"),
    "bridge": tuple(BRIDGES),
    "lexical_model": (False, True),
    "cell": ("gru", "lstm"),
    "transitions": (1, 2),
    "decoder_layers": (1, 2),
    "encoder_layers": (1, 2),
    "bidirectional": (True, False),
    "residual": (False, True),
    "layer_norm": (False, True),
    "tied_embeddings": ("none", "source_target", "target_output", "all"),
    "memory_size": (HIDDEN_SIZE, 6),
    "embedding_size": (3, HIDDEN_SIZE),
    "positions": ("sinusoidal", "none", "learned", "rotary"),
    "norm": ("post", "pre"),
    "self_score": tuple(names(config.Score)),
    "self_window": tuple(names(config.Window)),
    "self_normaliser": tuple(names(config.Normaliser)),
    "self_heads": (2, 1),
    "activation": ("glu", "tanh"),
    "separate_values": (False, True),
    "attention_placement": ("before", "none", "after"),
    "context": tuple(names(config.Context)),
}
"""Axis -> its values. Those of self-attention, of recurrent layers and of norms are for both sides alike, and the
attentions of context are those of self-attention."""

DEFAULT: Row = {axis: values[0] for axis, values in AXES.items()} | {
    "score": "additive",
    "decoder_layers": 2,
    "encoder_layers": 2,
    "self_score": "scaled_dot",
}

BASES: list[Row] = [
    {**DEFAULT, "encoder": encoder, "decoder": decoder, "placement": "before" if decoder == "recurrent" else "between"}
    for encoder, decoder in itertools.product(AXES["encoder"], AXES["decoder"])
] + [{**DEFAULT, "encoder": kind, "decoder": kind, "placement": "none-fed"} for kind in AXES["decoder"][1:]]
BASES.append({**DEFAULT, "context": "hierarchical"})
"""The default row of each architecture, those of layers that get the bridge's vector in place of attention, and one in
context, which has the axes of self-attention without layers that attend to themselves.

Any two values that are possible together are possible in one of these.
"""

PAIRWISE = Path(__file__).with_name("pairwise.json")
"""The covering array. A test asserts that it covers; `write_pairwise_rows()` makes it anew."""

OF_ATTENTION = ("score", "window", "normaliser", "heads", "coverage")
"""Axes that mean nothing without attention to the source."""
OF_SELF_ATTENTION = ("self_score", "self_window", "self_normaliser", "self_heads")
"""Axes that mean nothing without self-attention."""
AROUND_SELF_ATTENTION = (
    "encoder", "decoder", "bridge", "decoder_layers", "encoder_layers", "positions", "norm", "activation",
    "separate_values", "attention_placement", "context",
)  # fmt: skip
"""What self-attention has to meet: axes of the layers that it stands in, not those of another attention or cell."""


def plain_model(row: Row) -> dict[str, Any]:
    """A row as the plain values that `parse` takes."""
    placement = dict(PLACEMENTS[row["placement"]])
    # Said only where it is not the default: a part that has no such choice then still is possible.
    coverage = {"coverage": True} if row["coverage"] else {}
    if row["readout"] != "maxout":
        placement["readout"] = row["readout"]
    encoder, decoder = ({"name": row[side], **_layers(row, row[side])} for side in ("encoder", "decoder"))
    if row["encoder"] == "recurrent":
        encoder["bidirectional"] = row["bidirectional"]
        encoder["hidden_size"] = row["memory_size"] // (2 if row["bidirectional"] else 1)
    if row["lexical_model"]:
        decoder["lexical_model"] = True
    if row["encoder"] == "convolutional":
        encoder |= {axis: row[axis] for axis in ("activation", "separate_values", "attention_placement")}
        if row["attention_placement"] != "none":
            encoder["attention"] = _product(row, "self_")
    same = ("decoder_layers", "encoder_layers", "tied_embeddings", "embedding_size")
    return {
        "encoder": encoder,
        "decoder": decoder,
        "attention": {**_product(row, "", coverage), "placement": placement},
        "bridge": BRIDGES[row["bridge"]],
        "positions": {"name": row["positions"], **({"max_length": 3} if row["positions"] == "learned" else {})},
        "context": {"name": row["context"], **_levels(row)},
        "hidden_size": HIDDEN_SIZE,
        "dropout": 0.0,
        **{axis: row[axis] for axis in same},
    }


def _levels(row: Row) -> dict[str, Any]:
    return {} if row["context"] == "none" else {level: _product(row, "self_") for level in ("words", "sentences")}


def _layers(row: Row, kind: str) -> dict[str, Any]:
    """The options that an architecture has on both sides."""
    if kind == "recurrent":
        return {axis: row[axis] for axis in OF_RECURRENCE}
    if kind == "transformer":
        return {"norm": row["norm"], "feed_forward_size": 6, "attention": _product(row, "self_")}
    return {}


OF_RECURRENCE = ("cell", "transitions", "residual", "layer_norm")


def _product(row: Row, prefix: str, coverage: dict[str, Any] | None = None) -> dict[str, Any]:
    """The axes of an attention, or with the prefix of the self-attentions."""

    def part(axis: str) -> dict[str, Any]:
        name = row[prefix + axis]
        return {"name": name, **SMALL.get(name, {})}

    score = {**part("score"), **(coverage or {})}
    heads = row[f"{prefix}heads"]
    return {"score": score, "window": part("window"), "normaliser": part("normaliser"), "heads": heads}


def model_options(row: Row) -> config.Model:
    """The parsed options of a whole model."""
    return config.parse("model", plain_model(row))


def build_model(row: Row) -> TranslationModel:
    """A new copy of a row's model in float64, in evaluation mode."""
    return _model(tuple(row.items()))()


@functools.cache
def _model(items: "Items") -> Callable[[], TranslationModel]:
    model = fill(build.translation_model(model_options(dict(items)), VOCAB, VOCAB).double()).eval()
    if model.context is not None:
        model.__class__ = InMadeUpContext
    return copies(model)


class InMadeUpContext(TranslationModel):
    """A context-aware model that needs to be given none: the sentences before follow from the words of a source.

    So what holds for a sentence-level model can be asked of it as well.
    """

    def encode(self, source: Tensor, lengths: Tensor, context: Context | None = None) -> tuple[Source, DecoderState]:
        rows = [row[:n].tolist() for row, n in zip(source, lengths.tolist(), strict=True)]
        made_up = gather([InContext(row, made_up_context(row)) for row in rows], pad)
        if context is None and made_up is not None:
            context = made_up.to(source.device)
        return super().encode(source, lengths, context)


def made_up_context(words: list[int]) -> list[list[int]]:
    """The sentences before, the nearest first: two, one or none; some are sources of `batch`."""
    *plain, end = words
    return [[*reversed(plain), end], [6, 4, end]][: min(len(plain), 4) // 2]


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
    """The default row of each architecture, and for each other value of each axis the first of them it changes."""
    rows = list(BASES)
    for axis in AXES:
        for value in AXES[axis]:
            changed = ({**base, axis: value} for base in BASES)
            row = next((row for row in changed if (axis, value) in _held(tuple(row.items()))), None)
            if row is not None and row not in rows:
                rows.append(row)
    return [dict(row) for row in rows]


Items = tuple[tuple[str, Any], ...]
Pair = frozenset[tuple[str, Any]]


def pairs(row: Row) -> set[Pair]:
    """The pairs of values that meet in a row, or none when it is impossible."""
    return set(_pairs(_held(tuple(row.items()))))


def _pairs(items: Items) -> Iterator[Pair]:
    """The pairs of these values that have to meet, and each value with an architecture on both sides."""
    beside = {*OF_SELF_ATTENTION, *AROUND_SELF_ATTENTION}
    for (one, x), (other, y) in itertools.combinations(items, 2):
        if {one, other} & set(OF_SELF_ATTENTION) and not {one, other} <= beside:
            continue
        yield frozenset(((one, x), (other, y)))
    for kind in AXES["encoder"]:
        both = (("encoder", kind), ("decoder", kind))
        if set(both) <= set(items):
            yield from (frozenset((*both, item)) for item in items if item[0] not in ("encoder", "decoder"))


@functools.cache
def possible_pairs() -> list[Pair]:
    """All pairs of values of different axes that can meet."""
    values = [(axis, value) for axis in AXES for value in AXES[axis]]
    different = (pair for pair in _pairs(tuple(values)) if len(dict(pair)) == len(pair))
    return [pair for pair in different if any(True for _ in _bases_of(pair))]


def _bases_of(pair: Pair) -> Iterator[Row]:
    """The default rows in which these values can meet."""
    return (base for base in BASES if pair <= set(_held(tuple({**base, **dict(pair)}.items()))))


@functools.cache
def _held(row: Items) -> Items:
    """The values that mean something in a row; nothing when it is impossible."""
    try:
        model = model_options(dict(row))
    except config.ConfigError:
        return ()
    idle = {(axis, dict(row)[axis]) for axis in _idle_axes(model)}
    if ("positions", model.positions.name) not in row:
        idle.add(("positions", dict(row)["positions"]))  # which recurrent layers have none of
    sides = ((model.encoder, model.encoder_layers), (model.decoder, model.decoder_layers))
    if min((layers for side, layers in sides if side.name == "recurrent"), default=1) == 1:
        idle.add(("residual", True))  # which begins at the second layer
    if model.decoder_layers == 1:
        idle.add(("placement", "before-bottom"))  # where the top is the bottom
    return tuple(item for item in row if item not in idle)


def _idle_axes(model: config.Model) -> Iterator[str]:
    """The axes that mean nothing in a model."""
    sides = {model.encoder.name, model.decoder.name}
    if model.attention.score is None:
        yield from OF_ATTENTION
    attending = any(getattr(side, "attention", None) for side in (model.encoder, model.decoder))
    if not attending and model.context.name == "none":
        yield from OF_SELF_ATTENTION
    if "recurrent" not in sides:
        yield from OF_RECURRENCE
    if model.decoder.name != "recurrent":
        yield "lexical_model"
    if "transformer" not in sides:
        yield "norm"
    if model.encoder.name != "recurrent":
        yield from ("bidirectional", "memory_size")
    if model.encoder.name != "convolutional":
        yield from ("activation", "separate_values", "attention_placement")
    if model.decoder.name != "recurrent":
        yield "readout"
    if model.bridge is None:
        yield "bridge"


def find_pairwise_rows() -> Iterator[Row]:
    """The rows of `PAIRWISE`, searched greedily, which takes thousands of times as long as reading them."""
    rarest_first = sorted(possible_pairs(), key=lambda pair: sum(1 for _ in _bases_of(pair)))
    left = dict.fromkeys(rarest_first)  # an ordered set
    while left:
        wanted = next(iter(left))
        found = [_filled(base, wanted, left) for base in _bases_of(wanted)]
        row = max(found, key=lambda row: sum(pair in left for pair in pairs(row)))
        met = pairs(row)
        assert wanted in met
        for pair in met:
            left.pop(pair, None)
        yield row


def _filled(base: Row, wanted: Pair, left: dict[Pair, None]) -> Row:
    """The architecture of a default row, two values, and what else makes most of the pairs that are left meet."""
    row = {"encoder": base["encoder"], "decoder": base["decoder"], **dict(wanted)}
    for axis in AXES:
        if axis not in row:
            gains = [_gain({**row, axis: value}, base, wanted, left) for value in AXES[axis]]
            row[axis] = AXES[axis][gains.index(max(gains))]
    return {axis: row[axis] for axis in AXES}


def write_pairwise_rows() -> None:
    """Write `PAIRWISE` again, which a change of the axes calls for."""
    rows = [json.dumps([row[axis] for axis in AXES]) for row in find_pairwise_rows()]
    axes = json.dumps(list(AXES))
    PAIRWISE.write_text(f'{{"axes": {axes},\n"rows": [\n' + ",\n".join(rows) + "\n]}\n", encoding="utf-8")


def _gain(row: Row, base: Row, wanted: Pair, left: dict[Pair, None]) -> int:
    """How many of the pairs that are left meet in an unfinished row; −1 where the wanted pair no longer does."""
    held = _held(tuple({**base, **row}.items()))
    if not wanted <= set(held):
        return -1
    return sum(pair in left for pair in _pairs(tuple(item for item in held if item[0] in row)))


# --- for all ---------------------------------------------------------------------------------------------------------


def label(row: Row) -> str:
    """A row's name in the list of tests: its architecture, and where it is not the default."""
    if "encoder" in row:
        row = {axis: x for axis, x in row.items() if axis in ("encoder", "decoder") or x != DEFAULT[axis]}
    plain = [isinstance(value, str) and not axis.startswith("self_") for axis, value in row.items()]
    words = [str(x) if alone else f"{axis}={x}" for alone, (axis, x) in zip(plain, row.items(), strict=True)]
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


def copies(module: Module) -> Callable[[], Module]:
    """What makes a copy of a module at each call, eight times as fast as `copy.deepcopy`."""
    tensors: list[Tensor] = []
    places: dict[int, int] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> int | None:
            if not isinstance(value, Tensor):
                return None
            if id(value) not in places:
                places[id(value)] = len(tensors)
                tensors.append(value)
            return places[id(value)]

    class Unpickler(pickle.Unpickler):
        def __init__(self, file: io.BytesIO) -> None:
            super().__init__(file)
            self.tensors = copy.deepcopy(tensors)

        def persistent_load(self, place: int) -> Tensor:
            return self.tensors[place]

    written = io.BytesIO()
    Pickler(written).dump(module)
    return lambda: Unpickler(io.BytesIO(written.getvalue())).load()


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
