"""How far a command is, on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@contextmanager
def progress(total: int | None, done: int = 0, *, hidden: bool = False) -> Iterator[Callable[[int], object]]:
    """A bar on stderr where that is a terminal; gives what is to be called with each number of further lines."""
    if sys.stderr is None:  # closed
        yield lambda lines: None
        return
    with (
        tqdm(total=total, initial=done, unit="line", disable=hidden or None, dynamic_ncols=True) as bar,
        logging_redirect_tqdm(),
    ):
        yield bar.update
