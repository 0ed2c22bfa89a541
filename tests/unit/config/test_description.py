"""What a model's options amount to."""

from typing import Any

import pytest

from seq2seq.cli.command_line import read
from seq2seq.cli.compose import run_composed
from seq2seq.config import Model, architecture, parse, peer_attention, peer_sizes, reaches

DATA = ["data.train=t", "data.valid=v", "data.source_lang=en", "data.target_lang=de"]


def composed(*overrides: str) -> Model:
    found: list[Any] = []
    run_composed("train", read("train", [*DATA, *overrides]), lambda values: found.append(parse("train", values)))
    model: Model = found[0].model
    return model


@pytest.mark.parametrize(
    ("preset", "title", "sides"),
    [
        ("", "recurrent encoder-decoder", []),
        ("vaswani2017_tiny", "Transformer encoder-decoder", ["encoder", "decoder"]),
        ("gehring2017", "convolutional encoder-decoder", []),
        ("gehring2016", "convolutional encoder with a recurrent decoder", []),
        ("chen2018_hybrid", "Transformer encoder with a recurrent decoder", ["encoder"]),
    ],
)
def test_an_architecture_has_a_name(preset: str, title: str, sides: list[str]) -> None:
    model = composed(*([f"model={preset}"] if preset else []))
    assert architecture(model) == title
    assert list(model.self_attentions()) == sides


def test_limits_of_positions_are_found_wherever_they_are() -> None:
    assert not list(reaches(composed("model=vaswani2017_tiny")))
    location = ["model/attention/score=location", "model.attention.score.max_length=7"]
    assert list(reaches(composed(*location))) == [("location", "source", 7)]
    own = ["model/decoder/attention/score=location", "model.decoder.attention.score.max_length=8"]
    learned = ["model/positions=learned", "model.positions.max_length=9"]
    found = list(reaches(composed("model=vaswani2017_tiny", *own, *learned)))
    assert found == [
        ("location in the decoder's self-attention", "target", 8),
        ("learned positions of the encoder", "source", 9),
        ("learned positions of the decoder", "target", 9),
    ]
    hybrid = list(reaches(composed("model=gehring2016", "model.positions.max_length=9")))
    assert hybrid == [("learned positions of the encoder", "source", 9)]  # a recurrent decoder has none


def test_peers_have_recurrent_models_and_usual_transformers() -> None:
    assert peer_attention(composed()) == "mlp"
    assert peer_attention(composed("model/attention/score=general")) == "general"
    assert peer_attention(composed("model/attention/score=cosine")) is None
    assert not peer_sizes(composed())
    usual = composed("model=vaswani2017_tiny")
    assert peer_attention(usual) == "transformer"
    assert peer_sizes(usual) == {"layers": 4, "size": 128, "heads": 4, "feed-forward": 256}
    assert peer_attention(composed("model=vaswani2017_base")) is None  # post-norm
    assert peer_attention(composed("model=chen2018_hybrid")) is None
