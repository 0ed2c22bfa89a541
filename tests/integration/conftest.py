"""For tests of whole commands: configurations are composed quickly."""

from collections.abc import Iterator

import pytest
from support.composition import remembered


@pytest.fixture(scope="session", autouse=True)
def _composition() -> Iterator[None]:
    with remembered():
        yield
