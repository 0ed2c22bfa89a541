"""For all tests: one thread, so that numbers don't depend on the machine, and a seed."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.default_generator.manual_seed(0)  # torch.manual_seed takes a thousand times as long, for thousands of tests
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)
