"""For tests of whole commands: several modules share trained models."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from support.sentences import FEW_PAIRS, write_pairs
from support.trainers import learn_few_pairs

from seq2seq.cli.main import main


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A corpus, `train`, and small models of it: `additive`, which has learned it, and `fixed` without attention.

    Only read them.
    """

    def train(where: Path) -> None:
        write_pairs(where / "train", FEW_PAIRS * 3)
        common = learn_few_pairs(where, where)
        assert main([*common, f"run_dir={where}/additive", "training.max_updates=200"]) == 0
        assert main([*common, f"run_dir={where}/fixed", "model/attention=none"]) == 0

    return _made_once("models", train, tmp_path_factory, request)


@pytest.fixture(scope="session")
def with_graphs(models: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A copy of `additive` with its graphs in fp32 and a shortlist. Only read it."""

    def export(where: Path) -> None:
        shutil.copytree(models / "additive/best", where, dirs_exist_ok=True)
        assert main(["export", f"checkpoint={where}"]) == 0
        assert main(["shortlist", f"checkpoint={where}", "candidates=5"]) == 0

    return _made_once("with_graphs", export, tmp_path_factory, request)


def _made_once(
    name: str, make: Callable[[Path], None], factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """A directory that the first process of pytest-xdist to need it makes, for all of them."""
    base = factory.getbasetemp()
    where = (base.parent if hasattr(request.config, "workerinput") else base) / name
    finished = where.with_suffix(".finished")
    with FileLock(f"{where}.lock"):
        if not finished.exists():
            where.mkdir(exist_ok=True)
            make(where)
            finished.touch()
    return where
