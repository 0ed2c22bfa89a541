"""How far a command is, on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@contextmanager
def progress(total: int | None, done: int = 0) -> Iterator[Callable[[int], object]]:
    """A bar on stderr where that is a terminal; gives what is to be called with each number of further lines.

    There is none where `total` is not known because a person types: the answers are seen.
    """
    typed = total is None and sys.stdin.isatty()
    with (
        tqdm(total=total, initial=done, unit="line", disable=typed or None, dynamic_ncols=True) as bar,
        logging_redirect_tqdm(),
    ):
        yield bar.update
