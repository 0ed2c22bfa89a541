"""Settings for all tests: one thread, so that numbers don't depend on the machine, a seed, and little work per test."""

import gc
import logging
import os
from collections.abc import Iterator

import pytest
import torch
from support.composition import remembered

from seq2seq.attention import window
from seq2seq.model import quantised

torch.set_num_threads(1)
quantised.LEAST_BYTES = 1  # the models of the tests are small, and int8 would leave them as they are
window.WIDTHS = window.WIDTHS_AT_ONCE = 1  # the sources of the tests are short, and meet both ways of seeing them

for _logger in logging.root.manager.loggerDict.values():
    if isinstance(_logger, logging.Logger):
        _logger.propagate = True  # pytest gives handlers to all that do not, in each test, and torch has forty of them


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    """Compose configurations quickly, and don't wait for the disk: nobody cuts the power."""
    with remembered(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", os.fstat)  # which refuses what is no file as well
        yield


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.default_generator.manual_seed(0)  # torch.manual_seed takes a thousand times as long, for thousands of tests
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of collected tests would be searched for garbage again and again
