"""Parts of a model: what it takes over from another one."""

from typing import Any

import pytest
import torch
from support.variants import DEFAULT, VOCAB, Row, label, model_options, one_by_one_rows
from torch import nn

from seq2seq import build
from seq2seq.config import parse
from seq2seq.errors import ConfigError
from seq2seq.model.translation import TranslationModel
from seq2seq.training.warm_start import reuse, start_from


def fresh(change: Row, seed: int) -> TranslationModel:
    torch.manual_seed(seed)
    return build.translation_model(model_options({**DEFAULT, **change}), VOCAB, VOCAB)


def size(tensors: object) -> int:
    assert isinstance(tensors, dict)
    return sum(tensor.numel() for tensor in tensors.values())


@pytest.mark.parametrize("row", one_by_one_rows(), ids=label)
def test_what_has_the_same_name_and_shape_is_taken_and_nothing_else(row: Row) -> None:
    trained, model, untouched = fresh({}, 1), fresh(row, 2), fresh(row, 2)
    found = reuse(model, trained)
    theirs, drawn = dict(trained.named_parameters()), dict(untouched.named_parameters())
    assert found.reused
    assert found.reused.keys() | found.new.keys() == drawn.keys()
    assert not found.reused.keys() & found.new.keys()
    for name, parameter in model.named_parameters():
        fits = name in theirs and theirs[name].shape == parameter.shape
        assert (name in found.reused) == fits
        assert parameter.equal(theirs[name] if fits else drawn[name])
        assert parameter.requires_grad
    assert found.dropped.keys() == theirs.keys() - found.reused.keys()
    # What an axis changes is not much: all else is taken.
    assert size(found.new) < 0.9 * sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("theirs", ["none", "source_target", "target_output", "all"])
@pytest.mark.parametrize("ours", ["none", "source_target", "target_output", "all"])
def test_tied_tensors_are_found_by_any_of_their_names(theirs: str, ours: str) -> None:
    # Of one size, so that a readout tied to the embeddings has no projection of its own.
    trained, model = (fresh({"tied_embeddings": ties, "embedding_size": 4}, 1) for ties in (theirs, ours))
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1)
    found = reuse(model, trained)
    assert not found.new
    source, target, output = (m.weight for m in (model.source_embedding, model.decoder.embedding, model.output))
    assert (source is target) == (ours in ("source_target", "all"))
    assert (target is output) == (ours in ("target_output", "all"))
    given = dict(trained.named_parameters(remove_duplicate=False))
    assert all(parameter.equal(given[name]) for name, parameter in model.named_parameters())
    taken = {id(given[name]) for name in found.reused}
    assert {id(tensor) for tensor in found.dropped.values()} == {id(p) for p in trained.parameters()} - taken


def test_the_list_is_grouped_by_part() -> None:
    found = reuse(fresh({"score": "cosine", "encoder_layers": 1}, 1), fresh({}, 2))
    lines = str(found).splitlines()
    assert lines[0] == "  source_embedding: reused 1 tensor, 27 parameters"
    encoder = [line for line in lines if line.startswith("  encoder")]
    assert [line.split(":")[1].split(",")[0] for line in encoder] == [" reused 8 tensors", " dropped 8 tensors"]
    assert "layers.1.1.rnn.weight_hh_l0 [6, 2]" in encoder[1]
    assert any(line.startswith("  decoder.attention: new 1 tensor, 1 parameters") for line in lines)


def test_nothing_in_common_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"training\.start_from=there: none of its tensors"):
        start_from(fresh({}, 1), ["there"], lambda name: nn.Linear(2, 3))


def of_architectures(encoder: str, decoder: str, seed: int) -> TranslationModel:
    parts = {"score": "dot", "window": "global", "normaliser": "softmax"}
    attention: dict[str, Any] = {**{part: {"name": name} for part, name in parts.items()}, "heads": 2}
    sides: dict[str, Any] = {"encoder": {"name": encoder}, "decoder": {"name": decoder}}
    for side in sides.values():
        side |= {"attention": attention} if side["name"] == "transformer" else {}
    options = {**sides, "attention": {**attention, "placement": {"name": "between"}}, "bridge": {"name": "mean"}}
    torch.manual_seed(seed)
    sizes = {"embedding_size": 4, "hidden_size": 4, "positions": {"name": "sinusoidal"}}
    return build.translation_model(parse("model", {**sizes, **options}), VOCAB, VOCAB)


def test_the_encoder_is_of_one_model_and_the_decoder_of_another(caplog: pytest.LogCaptureFixture) -> None:
    """Each tensor is that of the first model that has it; the log says which model gave what."""
    caplog.set_level("INFO")
    encodes, decodes = of_architectures("transformer", "transformer", 1), of_architectures("recurrent", "recurrent", 2)
    model = of_architectures("transformer", "recurrent", 3)
    trained = {"one": encodes, "other": decodes}
    start_from(model, list(trained), trained.__getitem__)
    parts = {"encoder": encodes, "source_embedding": encodes, "output": encodes, "decoder.attention": decodes,
             "decoder.placement": decodes, "bridge": decodes, "decoder.embedding": encodes}  # fmt: skip
    for name, parameter in model.named_parameters():
        (giver,) = [of for part, of in parts.items() if name.startswith(f"{part}.")]
        assert parameter.equal(dict(giver.named_parameters(remove_duplicate=False))[name]), name
    first, second = caplog.messages
    assert first.startswith("training.start_from=one:\n")
    assert "encoder: reused" in first
    assert "bridge" not in first
    assert second.startswith("training.start_from=other:\n")
    assert "decoder.placement: reused" in second
    assert "new" not in first + second


def test_a_further_model_that_gives_nothing_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"start_from=b: none .* that the checkpoints before it lack"):
        start_from(fresh({}, 1), ["a", "b"], lambda name: fresh({}, 2))
