"""Samples on TensorBoard."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from seq2seq.inference.translation import Translation
from seq2seq.training.progress import Progress, board_samples


def sample(attention: Tensor | None) -> Translation:
    pieces = ["▁a", "▁*cat*", "</s>"], ["猫", "</s>"]
    return Translation("a *cat*", "猫 `er`", -1.0, -1.0, *pieces, [-0.5] * 2, attention)


class Board:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.pictures: dict[str, tuple[int, ...]] = {}

    def add_text(self, tag: str, text: str, step: int) -> None:
        assert step == 7
        self.texts[tag] = text

    def add_image(self, tag: str, pixels: Tensor, step: int, dataformats: str) -> None:
        assert (step, dataformats) == (7, "HWC")
        assert 0 <= pixels.min() < 0.2
        assert pixels.max() == 1
        self.pictures[tag] = pixels.shape


def test_samples_are_text_and_pictures() -> None:
    pytest.importorskip("matplotlib")
    board, weights = Board(), torch.tensor([[[0.0, 1.0, 0.0], [0.0, 0.1, 0.9]]]).numpy()
    board_samples(board, 7, [(sample(weights), "die Katze"), (sample(None), "")], ("en", "zh"))
    assert board.texts["samples/1"].splitlines() == [
        "    source:      a *cat*",
        "    reference:   die Katze",
        "    translation: 猫 `er`",
    ]
    assert board.texts.keys() == {"samples/1", "samples/2"}
    assert list(board.pictures) == ["attention/1"]  # a blank line has none
    assert board.pictures["attention/1"][2] == 3


def test_tensorboard_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        board_samples(writer, 3, [(sample(torch.full((2, 2, 3), 1 / 3).numpy()), "die Katze")], ("en", "zh"))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["images"] == ["attention/1"]
    assert events.Images("attention/1")[0].encoded_image_string.startswith(b"\x89PNG")
    assert "samples/1/text_summary" in events.Tags()["tensors"]


def test_a_resumed_run_replaces_what_came_after_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    class Writer:
        def __init__(self, directory: str, purge_step: int) -> None:
            given.append(purge_step)

        def close(self) -> None:
            pass

    monkeypatch.setattr("seq2seq.training.progress.summary_writer", lambda: Writer)
    sizes = {"epoch": 10, "validate_every": 10, "tensorboard": True}
    Progress(tmp_path, 100, torch.device("cpu"), update=7, **sizes).close()  # type: ignore[arg-type]
    assert given == [8]
