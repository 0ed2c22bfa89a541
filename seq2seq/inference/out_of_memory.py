"""Work in parts that fit into memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from seq2seq.errors import ConfigError

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORDS = ("can't allocate memory", "not enough memory", "std::bad_alloc", "ALLOC_FAILED")
"""Words in the errors of torch's CPU allocator and of CUDA's libraries, which have no class of their own"""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device or the host ran out of memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def in_parts_that_fit(work: Callable[[int], Result], parts: int, most: int) -> tuple[Result, int]:
    """Run `work(parts)`, doubling `parts` while memory runs out; return the result and the number of parts.

    `work` starts over each time. Raises ConfigError if `most` parts are still too large.
    """
    while True:
        try:
            return work(parts), parts
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if parts >= most:
                raise ConfigError(
                    f"there is not enough memory for a single pair of a batch ({error}). Use a smaller model, or a "
                    "lower data.max_length."
                ) from error
        parts = min(2 * parts, most)
        _forget()


def in_halves_that_fit(work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]) -> list[Result]:
    """Run `work` on all items at once, or on one half after the other where memory runs out, and join the results.

    Raises ConfigError if a single item is still too large.
    """
    try:
        return work(items)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(items) == 1:
            raise ConfigError(
                f"there is not enough memory for a single sentence ({error}). Use shorter lines, or where "
                "there is a beam a smaller decoding.beam_size."
            ) from error
    _forget()
    half = len(items) // 2
    return [*in_halves_that_fit(work, items[:half]), *in_halves_that_fit(work, items[half:])]


def batches_that_fit(
    rows: Iterable[int], batch_size: int, size: Callable[[Sequence[int]], float]
) -> Iterator[list[int]]:
    """Cut rows into batches of at most `batch_size`, and of at most that `size` unless a single row is larger."""
    batch: list[int] = []
    for row in rows:
        if batch and (len(batch) == batch_size or size([*batch, row]) > batch_size):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _forget() -> None:
    """Free CUDA's cache. Call it after the `except` block: only then are the tensors of the error's traceback gone."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
