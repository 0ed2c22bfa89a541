"""Which layer's attention alignments, pictures and reports read."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from support.variants import VOCAB, batch
from torch import Tensor

from seq2seq import build
from seq2seq.config import LearnedPositions, parse
from seq2seq.errors import ConfigError
from seq2seq.model.parameters import parameters_by_part
from seq2seq.model.quantised import QuantisedModels
from seq2seq.model.translation import TranslationModel

LAYERS = 3


def options(decoder: str, encoder: str = "recurrent", placement: str = "between") -> Any:
    parts = {"score": "scaled_dot", "window": "global", "normaliser": "softmax"}
    attention: dict[str, Any] = {**{part: {"name": name} for part, name in parts.items()}, "heads": 2}
    sides: dict[str, Any] = {"encoder": {"name": encoder}, "decoder": {"name": decoder}}
    for side in sides.values():
        side |= {"attention": attention} if side["name"] == "transformer" else {}
    where = {"name": placement, **({"feed_source": True} if placement == "none" else {})}
    sizes = {"embedding_size": 4, "hidden_size": 4, "decoder_layers": LAYERS, "positions": {"name": "sinusoidal"}}
    return parse(
        "model", {**sizes, **sides, "attention": {**attention, "placement": where}, "bridge": {"name": "mean"}}
    )


def made(config: Any, alignment_layer: int | None = None) -> TranslationModel:
    if alignment_layer is not None:
        config = dataclasses.replace(
            config, decoder=dataclasses.replace(config.decoder, alignment_layer=alignment_layer)
        )
    torch.manual_seed(1)
    return build.translation_model(config, VOCAB, VOCAB).eval()


def weights(model: TranslationModel) -> Tensor:
    source, lengths, inputs, _ = batch()
    found = model(source, lengths, inputs).attended.weights
    assert found is not None
    return found.detach()


@pytest.mark.parametrize("decoder", ["transformer", "convolutional"])
def test_a_chosen_layer_is_read_as_if_the_model_were_made_so(decoder: str) -> None:
    config = options(decoder)
    model, copies = made(config), QuantisedModels(made(config))
    seen = []
    for layer in range(1, LAYERS + 1):
        expected = made(config, layer)
        model.choose_layer(layer)
        copies.model.choose_layer(layer)
        assert weights(model).equal(weights(expected))
        for precision in ("bf16", "int8"):
            assert weights(copies.at(precision)).equal(weights(QuantisedModels(expected).at(precision)))
        seen.append(weights(model))
    assert not any(one.equal(other) for one, other in itertools.pairwise(seen))


@pytest.mark.parametrize(("decoder", "layers"), [("transformer", 3), ("convolutional", 3), ("recurrent", 1)])
def test_a_layer_that_is_not_there_is_refused(decoder: str, layers: int) -> None:
    model = made(options(decoder))
    model.choose_layer(layers)
    with pytest.raises(ConfigError, match=rf"layer={layers + 1}: .* attend to the source: {layers}\. .* 1 to {layers}"):
        model.choose_layer(layers + 1)


def test_without_attention_there_is_no_layer_to_choose() -> None:
    model = made(options("transformer", placement="none"))
    assert not model.attends
    with pytest.raises(ConfigError, match=r"layer=1: .* attend to the source: 0\."):
        model.choose_layer(1)


def test_attention_within_layers_counts_as_attention() -> None:
    model = made(options("transformer", "transformer"))
    counts = parameters_by_part(model)
    assert counts["attention"] == (1 + 2 * LAYERS) * 4 * 4 * 4  # W_q, W_k, W_v, W_o of each
    assert counts["bridge"] == 0
    assert sum(counts.values()) == sum(parameter.numel() for parameter in model.parameters())


def test_the_encoder_tells_how_many_positions_it_learned() -> None:
    config = options("recurrent", "convolutional")
    assert made(config).learned_positions is None
    learned = dataclasses.replace(config, positions=LearnedPositions(max_length=7))
    assert made(learned).learned_positions == 7
