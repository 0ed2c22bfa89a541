"""What follows a target word does not change what is predicted before it."""

from typing import Any

import pytest
import torch
from support.variants import fill, log_probs

from seq2seq import build, config
from seq2seq.model.translation import TranslationModel

DECODERS = {
    "recurrent": {"name": "recurrent"},
    "transformer": {"name": "transformer"},
    "transformer-pre": {"name": "transformer", "norm": "pre"},
    "convolutional": {"name": "convolutional"},
}
WINDOWS: dict[str, dict[str, Any]] = {
    "global": {"name": "global"},
    "local_m": {"name": "local_m", "half_width": 1},
    "local_p": {"name": "local_p", "half_width": 2},
}
SOURCE, LENGTHS = torch.tensor([[4, 5, 6, 3]]), torch.tensor([4])
INPUTS = torch.tensor([[2, 5, 4, 8, 6, 7]])


def build_model(decoder: dict[str, Any], *, attends: bool = True) -> TranslationModel:
    placement = {"name": "between"} if attends else {"name": "none", "feed_source": True}
    parts = {"score": {"name": "scaled_dot"}, "window": {"name": "global"}, "normaliser": {"name": "softmax"}}
    values = {
        "encoder": {"name": "recurrent"},
        "decoder": decoder,
        "attention": {**parts, "placement": placement, "heads": 2},
        "bridge": {"name": "mean"},
        "hidden_size": 4,
        "embedding_size": 3,
        "decoder_layers": 2,
        "dropout": 0.0,
    }
    return fill(build.translation_model(config.parse("model", values), 9, 9).double()).eval()


def assert_causal(model: TranslationModel) -> None:
    """Each input word in turn is another one."""
    before = log_probs(model, SOURCE, LENGTHS, INPUTS)
    for t in range(1, INPUTS.size(1)):
        changed = INPUTS.clone()
        changed[0, t] = 3
        after = log_probs(model, SOURCE, LENGTHS, changed)
        torch.testing.assert_close(after[:, :t], before[:, :t], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(after[:, t], before[:, t], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize("name", DECODERS)
def test_no_decoder_sees_later_words(name: str, attends: bool) -> None:
    decoder = dict(DECODERS[name])
    if decoder["name"] == "transformer":
        decoder["attention"] = {"heads": 2}
    assert_causal(build_model(decoder, attends=attends))


@pytest.mark.parametrize("normaliser", ["softmax", "sparsemax", "hard"])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("score", ["scaled_dot", "additive", "location"])
def test_no_self_attention_sees_later_words(score: str, window: str, normaliser: str) -> None:
    attention = {"score": {"name": score}, "window": WINDOWS[window], "normaliser": {"name": normaliser}, "heads": 2}
    assert_causal(build_model({"name": "transformer", "attention": attention}))
