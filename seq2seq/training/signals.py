"""SIGINT and SIGTERM: a training ends after the update that it is at, with its state saved."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)


class StoppedBySignal(Exception):
    """SIGINT or SIGTERM came; the state is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@contextmanager
def noted_signals(*, forgiving: bool) -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; a second one acts as ever, unless this is `forgiving`: what came to one of several
    processes comes to it a second time from the launcher, which ends them all itself if they take too long.
    """
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # to which alone signals come
        yield seen
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        for each, handler in before.items():
            signal.signal(each, signal.SIG_IGN if forgiving else handler)
        again = "" if forgiving else " (again: stop at once)"
        logger.info("%s: saving the state after this update%s", signal.Signals(number).name, again)

    for number in before:
        signal.signal(number, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
