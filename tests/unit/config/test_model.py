"""`config.parse`: what it accepts, and a message for each kind of mistake."""

import functools
from typing import Any

import pytest

from seq2seq import config
from seq2seq.config import parse
from seq2seq.errors import ConfigError


def model(**changes: Any) -> dict[str, Any]:
    """Plain values of a good model; a key with dots in it (as `attention__heads`) changes what lies deeper."""
    values: dict[str, Any] = {
        "attention": {
            "score": {"name": "additive"},
            "window": {"name": "global"},
            "normaliser": {"name": "softmax"},
            "placement": {"name": "before"},
        },
        "bridge": {"name": "last"},
    }
    for path, value in changes.items():
        *groups, key = path.split("__")
        place = values
        for group in groups:
            place = place[group]
        place[key] = value
    return values


DATA = {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de"}


def train(**changes: Any) -> dict[str, Any]:
    return {"data": dict(DATA), "model": model(), **changes}


def errors(kind: str, values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(kind, values)
    return str(caught.value).splitlines()


def error(kind: str, values: Any) -> str:
    (line,) = errors(kind, values)
    return line


def test_defaults_are_filled_in() -> None:
    parsed = parse("model", model())
    assert isinstance(parsed, config.Model)
    assert parsed.attention.score == config.Additive()
    assert parsed.attention.placement == config.Before()
    assert parsed.attention.heads == 1
    assert parsed.hidden_size == 512


def groups(kind: type) -> list[config.Group]:
    return [entry for entry in config.entries(kind, config.GROUPS) if isinstance(entry, config.Group)]


def choices() -> list[tuple[config.Group, str]]:
    """Each option of each group; a group of two architectures is listed once."""
    listed = {group.path: group for group in groups(config.Model)}
    return [(group, name) for group in listed.values() for name in group.options]


def chosen(path: str, name: str) -> dict[str, Any]:
    """Plain values of a model with this option, and with the architecture that it needs."""
    side = path.split("/")[1]
    values = model(**{"attention__placement": {"name": "between"}} if side == "decoder" else {})
    if "attention" in path.split("/")[2:]:
        values[side] = {"name": "transformer"}
    elif path.startswith("model/context/"):
        values[side] = {"name": "hierarchical"}
    elif side == "positions":
        values["encoder"] = {"name": "transformer"}
    *above, last = path.split("/")[1:]
    functools.reduce(lambda place, key: place.setdefault(key, {}), above, values)[last] = {"name": name}
    return values


@pytest.mark.parametrize(("group", "name"), choices())
def test_every_name_is_parsed_to_its_option(group: config.Group, name: str) -> None:
    values = chosen(f"model/{group.path}", name)
    if name == "reinforce" and group.path != "attention/normaliser":
        reason = "attention to context sees all words" if "context" in group.path else "self-attention sees all steps"
        assert f"model/{group.path}=reinforce and {reason} at once" in error("model", values)
        return
    parsed = functools.reduce(getattr, group.path.split("/"), parse("model", values))
    assert type(parsed) is group.options[name]


def test_the_number_of_names() -> None:
    found = groups(config.TrainConfig)
    products = {
        f"model/{place}/{axis}": size
        for place in ("attention", "encoder/attention", "decoder/attention", "context/words", "context/sentences")
        for axis, size in (("score", 10), ("window", 3), ("normaliser", 6))
    }
    assert {group.path: len(group.options) for group in found} == products | {
        "model": 0,
        "model/encoder": 3,
        "model/decoder": 3,
        "model/attention": 0,
        "model/attention/placement": 4,
        "model/bridge": 4,
        "model/positions": 4,
        "model/context": 2,
    }
    places = [group.path for group in found if group.path.endswith("score")]
    assert len(places) == 6, "two kinds of encoders have self-attention"


@pytest.mark.parametrize("kind", ["model", "train"])
def test_plain_values_come_back(kind: str) -> None:
    parsed = parse(kind, train() if kind == "train" else model(attention__heads=4))
    assert parse(kind, config.to_plain(parsed)) == parsed


def test_without_attention_its_parts_are_null() -> None:
    attention = parse("model", model(attention__placement={"name": "none"})).attention
    assert (attention.score, attention.window, attention.normaliser, attention.heads) == (None,) * 4
    assert parse("model", {"attention": {"placement": {"name": "none"}}, "bridge": {"name": "mean"}})


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_deep_transitions_are_those_of_a_gru(side: str) -> None:
    deep = {"name": "recurrent", "transitions": 2}
    assert getattr(parse("model", model(**{side: deep})), side).transitions == 2
    line = error("model", model(**{side: {**deep, "cell": "lstm"}}))
    assert line.startswith(
        f"model.{side}.transitions=2 and model.{side}.cell=lstm: deep transitions are those of a GRU."
    )


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        ({"heads": 2}, "model.decoder.lexical_model=true and model.attention.heads=2: it needs one weight"),
        ({"placement": {"name": "none"}}, "model.decoder.lexical_model=true and model/attention/placement=none: only"),
    ],
)
def test_a_lexical_model_needs_one_weight_for_each_word(attention: dict[str, Any], message: str) -> None:
    lexical = {"name": "recurrent", "lexical_model": True}
    line = error("model", model(decoder=lexical, attention={**model()["attention"], **attention}))
    assert line.startswith(message)


def test_unknown_key() -> None:
    line = error("model", model(hiden_size=3))
    assert line.startswith(
        "model.hiden_size: no such key. Did you mean 'hidden_size'? Keys here: encoder, decoder, attention,"
    )


def test_unknown_key_of_an_option_has_its_path() -> None:
    line = error("train", train(model=model(attention__window={"name": "local_m", "half_widht": 3})))
    assert line.startswith("model.attention.window.half_widht: no such key. Did you mean 'half_width'?")


def test_unknown_key_like_none_gets_no_guess() -> None:
    assert "Did you mean" not in error("model", model(zzz=1))


def test_a_key_of_another_option() -> None:
    line = error("model", model(attention__score={"name": "dot", "coverage": True}))
    assert line == (
        "model.attention.score.coverage: no such key. These options have it: additive, normed_additive, concat. "
        "Keys here: name."
    )


def test_unknown_name() -> None:
    line = error("model", model(attention__score={"name": "aditive"}))
    assert line == (
        "model/attention/score=aditive: no such option. Did you mean 'additive'? Choices: dot, scaled_dot, general, "
        "additive, normed_additive, concat, linear, key, location, cosine."
    )


def test_unknown_choice() -> None:
    line = error("model", model(decoder={"cell": "gruu"}))
    assert line == "model.decoder.cell=gruu: no such choice. Did you mean 'gru'? Choices: gru, lstm."


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("hidden_size", "big", "a whole number"),
        ("hidden_size", 8.0, "a whole number"),
        ("hidden_size", True, "a whole number"),
        ("dropout", "0.1", "a number"),
        ("dropout", True, "a number"),
        ("variational_dropout", 1, "true or false"),
        ("variational_dropout", "yes", "true or false"),
        ("tied_embeddings", ["all"], "text"),
        ("hidden_size", [3], "a whole number"),
    ],
)
def test_wrong_type(key: str, value: Any, expected: str) -> None:
    assert error("model", model(**{key: value})) == f"model.{key}: expected {expected}, got {value!r}."


def test_a_word_that_yaml_reads_as_true_or_false() -> None:
    """Such as the code of Norwegian."""
    says = 'model.tied_embeddings: expected text, got False. Put a word such as no into quotes, "no".'
    assert error("model", model(tied_embeddings=False)) == says


def test_whole_numbers_are_numbers_and_numbers_are_text() -> None:
    assert parse("model", model(dropout=0)).dropout == 0.0
    assert parse("data", {**DATA, "train": 2024}).train == "2024"


@pytest.mark.parametrize("values", [3, None, [], "additive"])
def test_a_value_where_a_group_belongs(values: Any) -> None:
    assert "bridge" in error("model", model(bridge=values))
    assert error("model", values) == f"model={values}: an option is chosen with a slash: model={values}."
    assert error("data", values).startswith("data: expected a group of keys")


def test_null_where_there_must_be_something() -> None:
    assert error("model", model(hidden_size=None)) == "model.hidden_size: may not be null."
    assert parse("model", model(encoder={"hidden_size": None})).encoder.hidden_size is None


@pytest.mark.parametrize(
    ("kind", "values", "line"),
    [
        ("model", model(hidden_size=0), "model.hidden_size=0: must be at least 1."),
        ("model", model(dropout=1.0), "model.dropout=1.0: must be less than 1."),
        ("data", {**DATA, "character_coverage": 1.5}, "data.character_coverage=1.5: must be at most 1."),
        ("data", {**DATA, "character_coverage": 0.0}, "data.character_coverage=0.0: must be greater than 0."),
        (
            "model",
            model(attention__window={"name": "local_p", "half_width": 0}),
            "model.attention.window.half_width=0: must be at least 1.",
        ),
        (
            "model",
            model(attention__normaliser={"name": "gumbel", "temperature": 0}),
            "model.attention.normaliser.temperature=0.0: must be greater than 0.",
        ),
    ],
)
def test_bounds(kind: str, values: Any, line: str) -> None:
    assert errors(kind, values)[0] == line


def test_not_a_number() -> None:
    assert errors("model", model(dropout=float("nan")))[0].startswith("model.dropout=nan: must be ")


def test_the_limits_that_belong_to_the_range() -> None:
    narrowest = {"name": "local_m", "half_width": 0}
    assert parse("model", model(attention__window=narrowest)).attention.window.half_width == 0
    assert parse("data", {**DATA, "character_coverage": 1.0}).character_coverage == 1


def test_interpolations_are_refused() -> None:
    line = error("data", {**DATA, "train": "${oc.env:SECRET}"})
    assert line == "data.train: interpolations are not allowed here, got '${oc.env:SECRET}'."


@pytest.mark.parametrize("values", [{key: value for key, value in DATA.items() if key != "train"},
                                    {**DATA, "train": "???"}])  # fmt: skip
def test_missing(values: Any) -> None:
    assert error("data", values) == "data.train: required, give data.train=..."


def test_missing_group() -> None:
    line = error("model", {"attention": model()["attention"]})
    assert "model/bridge" in line
    assert "Choices: last, mean, attention, zero." in line


def test_all_errors_at_once() -> None:
    data = {**DATA, "train": "???", "vocab_size": 2}
    lines = errors(
        "train", train(data=data, model=model(encoder={"cell": "gruu"}, hiden_size=3), seed=-1, colour="blue")
    )
    assert {line.split(":")[0].split("=")[0] for line in lines} == {
        "colour", "data.train", "data.vocab_size", "model.hiden_size", "model.encoder.cell", "seed",
    }  # fmt: skip


IMPOSSIBLE: list[tuple[str, Any, tuple[str, ...]]] = [
    (
        "model",
        model(hidden_size=5),
        ("model.hidden_size=5", "model.encoder.bidirectional=true", "model.encoder.hidden_size"),
    ),
    (
        "model",
        model(attention__placement={"name": "none"}, bridge={"name": "zero"}),
        ("model/attention/placement=none", "model/bridge=zero", "last, mean, attention"),
    ),
    (
        "model",
        model(attention__score=None),
        ("model/attention/placement=before", "model/attention/score=null", "placement=none"),
    ),
    (
        "model",
        model(attention__window=None),
        ("model/attention/placement=before", "model/attention/window=null", "global, local_m, local_p"),
    ),
    (
        "model",
        model(attention__normaliser=None),
        ("model/attention/placement=before", "model/attention/normaliser=null", "softmax"),
    ),
    (
        "model",
        model(attention__heads=None),
        ("model/attention/placement=before", "model.attention.heads=null", "1 for the papers' equations"),
    ),
    (
        "model",
        model(attention__heads=3),
        ("model.attention.heads=3", "model.hidden_size", "model.encoder.hidden_size", "512", "divide"),
    ),
    (
        "data",
        {**DATA, "byte_fallback": True, "tokenizer": "word"},
        ("data.byte_fallback=true", "data.tokenizer=word", "data.byte_fallback=null"),
    ),
    (
        "decoding",
        {"n_best": 9, "beam_size": 4},
        ("decoding.n_best=9", "decoding.beam_size=4", "Raise decoding.beam_size"),
    ),
    (
        "train",
        train(data={**DATA, "joint": False}, model=model(tied_embeddings="all")),
        ("model.tied_embeddings=all", "data.joint=false", "data.joint=true", "target_output"),
    ),
    (
        "train",
        train(training={"max_epochs": None}),
        ("training.max_updates=null", "training.max_epochs=null", "Set one of them"),
    ),
]


@pytest.mark.parametrize(("kind", "values", "words"), IMPOSSIBLE, ids=[words[0] for _, _, words in IMPOSSIBLE])
def test_impossible_pairs_name_both_keys_and_a_way_out(kind: str, values: Any, words: tuple[str, ...]) -> None:
    line = error(kind, values)
    assert [word for word in words if word not in line] == []


def test_ways_out_lead_out() -> None:
    parse("model", model(hidden_size=5, encoder={"hidden_size": 4}))
    parse("model", model(hidden_size=5, encoder={"bidirectional": False}))
    parse("train", train(data={**DATA, "joint": False}, model=model(tied_embeddings="target_output")))
    parse("train", train(training={"max_epochs": None, "max_updates": 1}))
    parse("decoding", {"n_best": 4, "beam_size": 4})


def test_impossible_pairs_inside_a_command_are_found() -> None:
    line = error("translate", {"checkpoint": "c", "decoding": {"n_best": 9, "beam_size": 4}})
    assert "decoding.n_best=9" in line


@pytest.mark.parametrize("name", [None, 3, "", "Additive", "__class__", ["dot"]])
def test_strange_names_are_refused(name: Any) -> None:
    assert f"model/attention/score={name}: no such option." in error("model", model(attention__score={"name": name}))


def test_numbers_are_finite() -> None:
    error("model", model(attention__normaliser={"name": "gumbel", "temperature": float("inf")}))


def test_numbers_too_large() -> None:
    error("model", model(dropout=10**400))


def test_memory_size_is_that_of_both_directions() -> None:
    for values, size in [
        (model(hidden_size=8), 8),
        (model(hidden_size=8, encoder={"bidirectional": False}), 8),
        (model(hidden_size=8, encoder={"hidden_size": 3}), 6),
        (model(hidden_size=8, encoder={"hidden_size": 3, "bidirectional": False}), 3),
    ]:
        options = parse("model", values)
        assert options.encoder.memory_size(options.hidden_size) == size
