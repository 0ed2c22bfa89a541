"""For tests of whole commands: several modules share trained models."""

from pathlib import Path

import pytest
from filelock import FileLock
from support.sentences import FEW_PAIRS, write_pairs
from support.trainers import learn_few_pairs

from seq2seq.cli.main import main


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A corpus, `train`, and small models of it: `additive`, which has learned it, and `fixed` without attention.

    They are trained once, by the first process of pytest-xdist that needs them. Only read them.
    """
    base = tmp_path_factory.getbasetemp()
    where = (base.parent if hasattr(request.config, "workerinput") else base) / "models"
    with FileLock(f"{where}.lock"):
        if not (where / "finished").exists():
            where.mkdir(exist_ok=True)
            write_pairs(where / "train", FEW_PAIRS * 3)
            common = learn_few_pairs(where, where)
            assert main([*common, f"run_dir={where}/additive", "training.max_updates=200"]) == 0
            assert main([*common, f"run_dir={where}/fixed", "model/attention=none"]) == 0
            (where / "finished").touch()
    return where
