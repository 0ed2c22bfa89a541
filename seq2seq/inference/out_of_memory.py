"""What does not fit into memory at once is done in more parts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from seq2seq.errors import ConfigError

Item = TypeVar("Item")
Result = TypeVar("Result")

_WORDS = ("can't allocate memory", "not enough memory", "std::bad_alloc", "ALLOC_FAILED")
"""Of torch's allocator for the CPU, and of the libraries of CUDA, in errors that have no class of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that there was no memory left, on the device or on the host."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def in_parts_that_fit(work: Callable[[int], Result], parts: int, most: int) -> tuple[Result, int]:
    """`work` in so many parts, in twice as many as long as memory is not enough; and how many it were.

    `work` begins anew each time. Raises ConfigError if `most` parts are still too large.
    """
    while True:
        try:
            return work(parts), parts
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if parts >= most:
                raise ConfigError(
                    f"there is not enough memory for a single pair of a batch ({error}). Take a smaller model, or a "
                    "lower data.max_length."
                ) from error
        parts = min(2 * parts, most)
        _forget()


def in_halves_that_fit(work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]) -> list[Result]:
    """What `work` gives for the items, done for all at once, or one half after the other as far as memory demands.

    Raises ConfigError if a single item is still too large.
    """
    try:
        return work(items)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(items) == 1:
            raise ConfigError(
                f"there is not enough memory for a single sentence ({error}). Take shorter lines, or where "
                "there is a beam a smaller decoding.beam_size."
            ) from error
    _forget()
    half = len(items) // 2
    return [*in_halves_that_fit(work, items[:half]), *in_halves_that_fit(work, items[half:])]


def _forget() -> None:
    """Only outside of its `except` is an error gone, and with it the tensors that its traceback held."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
