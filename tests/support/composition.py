"""Hydra's compositions, remembered: each set of choices is composed once in a process, values are set anew each time.

Composing takes longer than most of the tests' trainings. Hydra sets `++key=value` in what it has composed of the
choices, so the result is the same: tests/integration/test_composition.py compares both.
"""

import functools
import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository, IConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from seq2seq.cli import command_line
from seq2seq.cli.names import CONFIGS

_SEARCHED = ["pkg://hydra.conf", str(CONFIGS), "structured://"]
"""Where compositions come from unless the user has configurations of their own."""
_compose = ConfigLoaderImpl._load_configuration_impl
_copy = CachingConfigRepository.__init__
_read = ConfigRepository.load_config
_choices = defaults_list._create_interpolation_map
_composed: dict[Any, bytes] = {}
_files: dict[str, bytes] = {}


def _is_value(word: str) -> bool:
    return re.match(r"\+\+(?!hydra\.)[\w.]{1,100}=", word) is not None


@functools.cache
def _parse(word: str) -> Override | None:
    """Parse an override; return None for one that Hydra may complain about, that has several values or deletes."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return None
    return None if override.is_sweep_override() or override.is_delete() else override


def _load(loader: ConfigLoaderImpl, config_name: str, overrides: list[str], *more: Any, **others: Any) -> DictConfig:
    """Do what `ConfigLoaderImpl._load_configuration_impl` does."""
    parsed = [_parse(word) for word in overrides]
    if None in parsed or [path.path for path in loader.config_search_path.get_path()] != _SEARCHED:
        return _compose(loader, config_name, overrides, *more, **others)
    choices = [word for word in overrides if not _is_value(word)]
    key = str((config_name, choices, more, sorted(others.items())))
    if key not in _composed:
        try:
            _composed[key] = pickle.dumps(_compose(loader, config_name, choices, *more, **others))
        except HydraException:  # with all words it names the mistake as it does without this
            return _compose(loader, config_name, overrides, *more, **others)
    config: DictConfig = pickle.loads(_composed[key])  # noqa: S301
    given = [override for override in parsed if override is not None]
    ConfigLoaderImpl._apply_overrides_to_config([each for each in given if _is_value(each.input_line or "")], config)
    tasks = [override for override in given if not override.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in tasks]
    config.hydra.runtime.cwd = os.getcwd()
    form = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(tasks, form.exclude_keys, form.item_sep, form.kv_sep)
    return config


def _cache(repository: CachingConfigRepository, delegate: IConfigRepository) -> None:
    """Do without Hydra's deep copy, a third of its time, which only a search path in a configuration would need."""
    repository.delegate = delegate
    repository.cache = {}


def _load_file(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
    """Do what `ConfigRepository.load_config` does, but read and parse each file once in a process."""
    if [source.path for source in repository.get_sources()] != ["hydra.conf", str(CONFIGS), ""]:
        return _read(repository, config_path)
    if config_path not in _files:
        _files[config_path] = pickle.dumps(_read(repository, config_path))
    result: ConfigResult | None = pickle.loads(_files[config_path])  # noqa: S301
    return result


def _without_choices(*given: Any) -> DictConfig:
    """Do without Hydra's table of choices, a fifth of its time, which names of files like `${choice}` would need."""
    return OmegaConf.create()


@contextmanager
def remembered() -> Iterator[None]:
    """Compose this way, and remember as well what the words of command lines were parsed to."""
    words = mock.patch.object(command_line, "_parsed", functools.cache(command_line._parsed))
    uncopied = mock.patch.object(CachingConfigRepository, "__init__", _cache)
    files = mock.patch.object(ConfigRepository, "load_config", _load_file)
    choices = mock.patch.object(defaults_list, "_create_interpolation_map", _without_choices)
    with mock.patch.object(ConfigLoaderImpl, "_load_configuration_impl", _load), uncopied, words, files, choices:
        yield
