"""What each attention and architecture learns, and what nothing learns without attention: copying and reversing."""

import pytest

from learning.symbols import LENGTHS, Settings, Task, copy, exactly_right, model_options, reverse, train

SETTINGS = Settings()
"""One for all: the cases differ in nothing but their attention."""

LONG = range(15, LENGTHS.stop)
"""Lengths that don't fit into one vector, nor into a window that moves the wrong way."""

PRESETS = {
    "bahdanau2015": ["model/attention=bahdanau2015"],
    "luong2015_global": ["model/attention=luong2015_global"],
    "luong2015_local_m": ["model/attention=luong2015_local_m", "model.attention.window.half_width=2"],
    "luong2015_local_p": ["model/attention=luong2015_local_p", "model.attention.window.half_width=2"],
    "none": ["model/attention=none"],
}

LEARNED: list[tuple[str, str, Task, float]] = [
    ("bahdanau2015", "softmax", copy, 0.99),
    ("luong2015_global", "softmax", copy, 0.99),
    ("luong2015_local_m", "softmax", copy, 0.99),
    ("luong2015_local_p", "softmax", copy, 0.99),
    ("bahdanau2015", "sparsemax", copy, 0.95),
    ("bahdanau2015", "entmax", copy, 0.95),
    ("bahdanau2015", "hard", copy, 0.95),
    ("bahdanau2015", "gumbel", copy, 0.95),
    ("bahdanau2015", "reinforce", copy, 0.90),
    ("bahdanau2015", "softmax", reverse, 0.99),
    ("luong2015_global", "softmax", reverse, 0.99),
    ("luong2015_local_p", "softmax", reverse, 0.99),
]
"""Preset, normaliser, task, and how many of the held-out sequences are exactly right at least."""


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "normaliser", "task", "least"), LEARNED)
def test_attention_learns(preset: str, normaliser: str, task: Task, least: float) -> None:
    options = model_options([*PRESETS[preset], f"model/attention/normaliser={normaliser}"])
    assert exactly_right(train(options, task, SETTINGS), task) >= least


ARCHITECTURES = {
    "transformer": [
        "model/encoder=transformer", "model/decoder=transformer", "model.attention.heads=4",
        "model.encoder.attention.heads=4", "model.decoder.attention.heads=4",
    ],
    "convolutional": ["model=gehring2017", "model.tied_embeddings=none"],
    "hybrid": ["model=chen2018_hybrid", "model.tied_embeddings=none"],
}  # fmt: skip
LAYERS = {"transformer": (2, 2), "convolutional": (2, 3), "hybrid": (2, 1)}
"""Of encoder and decoder."""


@pytest.mark.slow
@pytest.mark.parametrize("task", [copy, reverse])
@pytest.mark.parametrize(
    ("architecture", "updates"), [("transformer", 1800), ("convolutional", 1800), ("hybrid", 1200)]
)
def test_architectures_learn(architecture: str, updates: int, task: Task) -> None:
    encoder, decoder = LAYERS[architecture]
    sizes = [f"model.encoder_layers={encoder}", f"model.decoder_layers={decoder}"]
    options = model_options([*ARCHITECTURES[architecture], *sizes])
    assert exactly_right(train(options, task, Settings(updates=updates)), task) >= 0.99


@pytest.mark.slow
def test_one_vector_does_not_hold_a_long_sequence() -> None:
    """What attention is for: with the same budget, its absence can't copy 15 symbols and more."""
    model = train(model_options(PRESETS["none"]), copy, SETTINGS)
    assert exactly_right(model, copy, LONG) < 0.5


@pytest.mark.slow
def test_a_window_that_moves_forwards_does_not_reverse() -> None:
    """The first target symbol is the last of the source, where local-m has not come yet."""
    model = train(model_options(PRESETS["luong2015_local_m"]), reverse, SETTINGS)
    assert exactly_right(model, reverse) < 0.5
