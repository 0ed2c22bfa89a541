"""These tests' way to compose configurations gives what Hydra gives."""

from typing import Any

import hydra
import pytest
from hydra import initialize_config_dir
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository
from hydra.errors import HydraException
from omegaconf import OmegaConf
from support import composition

from seq2seq.cli.compose import _QUIET, register
from seq2seq.cli.names import CONFIGS


def composed(command: str, words: list[str]) -> Any:
    """The configuration with Hydra's own part, or its complaint."""
    register()
    with initialize_config_dir(str(CONFIGS), "seq2seq", version_base="1.3"):
        try:
            config = hydra.compose(command, [*words, *_QUIET], return_hydra_config=True)
        except HydraException as error:
            return str(error)
    return OmegaConf.to_container(config), OmegaConf.is_struct(config), OmegaConf.is_readonly(config.hydra)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "++data.train=a", "++model.hidden_size=3", '++data.valid="x=y, z"', "++no.such.key=1"],
        ["train", "++data.train=b", "model/attention=none", "++model.hidden_size=4", "++data.train=[c,d]"],
        [
            "train",
            "++data.train=c",
            "model/attention=none",
            "++data.columns={a: 1}",
            "++training.patience=3",
            "~training.patience",
        ],
        ["train", "experiment=smoke", "++training.max_epochs=null", "++hydra.sweep.dir=x", "++model.attention.heads=2"],
        ["train", "model/attention=none", "experiment=demo", "++model.dropout='${training.label_smoothing}'"],
        ["translate", "++checkpoint=[a,b]", "++decoding.beam_size=2"],
        ["compare", "comparison=embedded", "++variants={a: b, c: 'd=e'}", "++variants.wild=x", "++seeds=[1,2]"],
        ["benchmark", "experiment=benchmark/model_a", "++seconds=0.1", "++model.hidden_size=3"],
        ["train", "model/attention=no_such_option", "++data.train=a"],
        ["train", "no/such/group=x", "++data.train=a"],
        ["train", "++data.train=a,b"],
        ["train", "++data.train.x=1", "++data.train=1", "++data.train.y=[{"],
    ],
    ids=" ".join,
)
def test_it_is_the_same(words: list[str]) -> None:
    for _ in range(2):  # composed, and remembered
        quick = composed(words[0], words[1:])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ConfigLoaderImpl, "_load_configuration_impl", composition._compose)
            patch.setattr(CachingConfigRepository, "__init__", composition._copy)
            patch.setattr(ConfigRepository, "load_config", composition._read)
            patch.setattr(defaults_list, "_create_interpolation_map", composition._choices)
            assert composed(words[0], words[1:]) == quick


def test_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    first = composed("train", ["++seed=1"])
    monkeypatch.setattr(composition, "_compose", None)
    second = composed("train", ["++seed=2"])
    assert (first[0]["seed"], second[0]["seed"]) == (1, 2)
