"""Numbers in files: as the arrays that they were, and memory only for what is asked for."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seq2seq.text.batches import plan_batches
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.disk_arrays import Stored, stored
from seq2seq.text.stored_rows import StoredRows

SLICES = [slice(None), slice(0, 3), slice(2, 4), slice(3, 99), slice(4, 2), slice(-2, None), slice(None, None, 2)]


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("width", [None, 2])
def test_slices_are_those_of_the_array(tmp_path: Path, count: int, width: int | None) -> None:
    expected = np.arange(count * (width or 1), dtype=np.uint32)
    path = tmp_path / "numbers"
    path.write_bytes(expected.tobytes())
    found = stored(path, np.dtype(np.uint32), width)
    if width is not None:
        expected = expected.reshape(-1, width)
    assert len(found) == len(expected)
    path.unlink()  # what is open stays readable
    for part in SLICES:
        assert found[part].dtype == np.uint32
        assert found[part].shape == expected[part].shape
        assert found[part].tolist() == expected[part].tolist()


def test_files_of_numpy_are_read(tmp_path: Path) -> None:
    expected = np.arange(5) * 10**12
    np.save(tmp_path / "x.npy", expected)
    found = stored(tmp_path / "x.npy", np.dtype(np.int64))
    assert isinstance(found, Stored)
    assert (len(found), found[1:3].tolist()) == (5, [10**12, 2 * 10**12])


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(40))
    found = stored(path, np.dtype(np.uint32))
    path.write_bytes(bytes(36))
    with pytest.raises(OSError, match="ends 4 bytes too soon"):
        found[:]


def test_lengths_are_between_the_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.text.stored_rows._AT_A_TIME", 3)
    sizes = [3, 1, 4, 1, 5, 9, 2]
    side = side_of(np.array(sizes))
    assert side.lengths.tolist() == sizes
    assert [len(side[row]) for row in range(len(sizes))] == sizes


def test_a_plan_takes_few_bytes_a_pair() -> None:
    pairs = 200_000
    sizes = 5 + np.arange(pairs) % 50
    corpus = EncodedCorpus(side_of(sizes), side_of(sizes[::-1]), {"kept": pairs})
    tracemalloc.start()
    plan = plan_batches(corpus, 4096, (1, 2))
    of_plan, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(map(len, plan)) == pairs
    assert of_plan / pairs < 16
    assert most / pairs < 45


def side_of(sizes: Any) -> StoredRows:
    offsets = np.concatenate([[0], sizes.cumsum()])
    return StoredRows(np.zeros(offsets[-1], np.uint32), offsets)
