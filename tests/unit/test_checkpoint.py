"""A checkpoint gives back the model that was saved."""

import os
from pathlib import Path

import pytest
import torch
from support.checkpoints import checkpoint

from seq2seq.checkpoint import TrainingState, load, save

CPU = torch.device("cpu")
CHANGES = [
    {}, {"cell": "lstm"}, {"score": "cosine", "heads": 2}, {"bridge": "attention", "window": "local_p"},
    {"tied_embeddings": "source_target"}, {"tied_embeddings": "target_output"}, {"tied_embeddings": "all"},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, change: dict[str, object]) -> None:
    saved = checkpoint(change)
    save(tmp_path / "checkpoint", saved, "card")
    before = torch.get_rng_state()
    model = load(tmp_path / "checkpoint", CPU).model.eval()
    assert torch.get_rng_state().equal(before)
    assert model.state_dict().keys() == saved.model.state_dict().keys()
    assert all(weight.equal(model.state_dict()[name]) for name, weight in saved.model.state_dict().items())
    # Tied weights are one, not only equal, and everything can be trained further.
    names = [name for name, _ in saved.model.named_parameters()]
    assert [name for name, weight in model.named_parameters() if weight.requires_grad] == names
    batch = (torch.tensor([[4, 5, 3]]), torch.tensor([3]), torch.tensor([[2, 6]]))
    with torch.inference_mode():
        assert model(*batch).features.equal(saved.model(*batch).features)


def test_a_loaded_model_is_not_the_file(tmp_path: Path) -> None:
    save(tmp_path / "checkpoint", checkpoint({}), "card")
    model = load(tmp_path / "checkpoint", CPU).model
    weights = tmp_path / "checkpoint/model.safetensors"
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with weights.open("r+b") as file:
        file.seek(weights.stat().st_size // 2)
        file.write(bytes(weights.stat().st_size // 2))
    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())
    assert all(weight.data_ptr() % 16 == 0 for weight in model.state_dict().values())


def test_whoever_may_read_one_file_may_read_all(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save(tmp_path / "checkpoint", checkpoint({}), "card", TrainingState({}, {"one": torch.zeros(1)}))
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode) for path in (tmp_path / "checkpoint").iterdir()}
    assert len(modes) == 8
    assert set(modes.values()) == {"0o100640"}, modes
