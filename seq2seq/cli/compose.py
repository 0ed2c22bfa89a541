"""Composition of a command's configuration by Hydra: defaults from the dataclasses, choices from configs/."""

import dataclasses
import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from seq2seq.cli.own_configs import check_own_configs
from seq2seq.config import COMMANDS, GROUPS, ConfigError
from seq2seq.schema import REQUIRED, nearest

logger = logging.getLogger(__name__)

Job = Callable[[dict[str, Any], dict[str, str]], None]
"""Takes plain values, and which option of each group was chosen."""

_PACKAGE = Path(__file__).parent.parent
CONFIGS = next(path for path in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if path.is_dir())
"""Inside an installed package, or beside it in a checkout."""

_QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.sweep.dir=runs/multirun",
    "hydra.sweep.subdir=.",
)


def run_composed(command: str, overrides: Sequence[str], job: Job) -> None:
    """Compose and run the job, once or (with --multirun) once for each combination."""
    flags = [word for word in overrides if word.startswith("-")]
    settings = [_settable(word) for word in overrides if not word.startswith("-")]
    if command == "compare" and {"-m", "--multirun"} & set(flags):
        raise ConfigError("--multirun: compare makes a multirun of its cells by itself. Leave it out.")
    check_own_configs(flags, settings)
    register()
    if flags or any(re.match(r"\+*hydra\.mode=", word) for word in settings):
        _run_by_hydra(command, flags, settings, job)
    else:
        _run_once(command, settings, job)


def _run_once(command: str, settings: Sequence[str], job: Job) -> None:
    """Without flags: composed a single time, where Hydra's command line composes twice."""
    with initialize_config_dir(str(CONFIGS), "seq2seq", version_base="1.3"):
        before = HydraConfig.instance().cfg
        try:
            with _mistakes(), _surprises():
                config = hydra.compose(command, [*settings, *_QUIET], return_hydra_config=True)
                HydraConfig.instance().set_config(config)
                choices = dict(config.hydra.runtime.choices)
                with open_dict(config):
                    del config["hydra"]
                values = plain(config)
            job(values, choices)
        finally:
            HydraConfig.instance().cfg = before


def _run_by_hydra(command: str, flags: Sequence[str], settings: Sequence[str], job: Job) -> None:
    """As its command line does: several runs, other directories of configurations, and what it can show."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come here instead of being printed
    failures: list[Exception] = []
    begun = [True] if {"-m", "--multirun"} & set(flags) else []  # whose jobs may run elsewhere

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=command)
    def task(config: DictConfig) -> None:
        begun.append(True)
        if not logging.getLogger().handlers:  # a launcher's own process
            logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        try:
            with _mistakes():
                values = plain(config)
            job(values, dict(HydraConfig.get().runtime.choices))
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                logger.error("failed: %s: %s", HydraConfig.get().job.override_dirname, error)
                raise  # Hydra brings it here from wherever the job runs, when all have ended
            failures.append(error)  # else Hydra would print its own report first

    fixed = ",".join(word.key_or_group for word in _overrides(settings) if not word.is_sweep_override())
    names = f"hydra.job.config.override_dirname.exclude_keys=[{fixed}]"
    before, sys.argv = sys.argv, [f"seq2seq {command}", *flags, *settings, *_QUIET, names]
    try:
        with _mistakes(), _surprises(begun):
            task()
    finally:
        sys.argv = before
    if failures:
        raise failures[0]


def swept() -> dict[str, str]:
    """Inside a job: the keys that its --multirun varies, with the values of this job as text."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return {}
    job = HydraConfig.get()
    fixed = job.job.config.override_dirname.exclude_keys
    varied = [word for word in _overrides(job.overrides.task) if word.key_or_group not in fixed]
    return {word.key_or_group: word.get_value_element_as_str() for word in varied}


def _overrides(words: Sequence[str]) -> list[Override]:
    parsed: list[Override] = OverridesParser.create().parse_overrides(list(words))
    return parsed


def composed(command: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The values of another command's configuration, inside a job."""
    settings = [_settable(word) for word in overrides]
    register()
    with _mistakes():
        return plain(hydra.compose(command, settings))


def launch(task: Callable[[Any], None], key: str, values: Sequence[int], directory: str) -> None:
    """From inside a job: run the task once for each value of a key, as a multirun with the user's launcher.

    The task gets the composed configuration of this job with the key in it. It may run in another process, so it is
    a function of a module and leaves its results in files. Hydra writes into the directory what it has to.
    """
    current = HydraConfig.get()
    for noisy in ("hydra", "hydra_plugins"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    running = GlobalHydra.instance().hydra
    assert running is not None
    more = [_quoted("hydra.sweep.dir", directory), f"++{key}={','.join(map(str, values))}"]
    overrides = [*current.overrides.hydra, *current.overrides.task, *more]
    running.multirun(current.job.config_name, task, overrides, with_log_configuration=False)


def plain(config: DictConfig) -> dict[str, Any]:
    """What Hydra composed, as plain values."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


@contextmanager
def _mistakes() -> Iterator[None]:
    """Hydra's complaints as ours."""
    try:
        yield
    except MissingConfigException as error:
        raise ConfigError(_missing(str(error))) from error
    except ConfigCompositionException as error:
        raise ConfigError(_unknown_group(_said(error))) from error
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(_said(error)) from error
    except RecursionError as error:
        raise ConfigError("the configuration has lists or groups too deep within each other") from error


@contextmanager
def _surprises(begun: Sequence[bool] = ()) -> Iterator[None]:
    """What Hydra has no class of errors for; once a job has `begun` it need not be Hydra's."""
    try:
        yield
    except (ConfigError, HydraException, OmegaConfBaseException, yaml.YAMLError, RecursionError):
        raise
    except Exception as error:
        if begun:
            raise
        raise ConfigError(f"the configuration can't be composed ({type(error).__name__}: {error})") from error


def _said(error: Exception) -> str:
    """Its message, or where it has none what it is."""
    return str(error).strip() or f"the configuration can't be composed ({type(error).__name__})"


@functools.cache
def register() -> None:
    """Put every dataclass into Hydra's store, as plain values: `parse` checks them all at once afterwards."""
    store = ConfigStore.instance()
    for command, kind in COMMANDS.items():
        store.store(name=f"{command}_defaults", node=defaults(kind))
    for group, table in GROUPS.values():
        for name, option in table.items():
            store.store(group=group, name=name, node=defaults(option))


def defaults(kind: type) -> dict[str, Any]:
    """The defaults of a dataclass as plain values, without what a group of options fills."""
    values: dict[str, Any] = {}
    for option in dataclasses.fields(kind):
        if option.default is not dataclasses.MISSING:
            values[option.name] = option.default
        elif option.default_factory is not dataclasses.MISSING:
            value = option.default_factory()
            values[option.name] = value if isinstance(value, (list, dict)) else dataclasses.asdict(value)
        elif isinstance(option.type, type) and option.type not in GROUPS:
            values[option.name] = defaults(option.type)
    return {key: value for key, value in values.items() if value is not REQUIRED}


def _settable(override: str) -> str:
    """`key=value` sets any key, known or not, so that `parse` can name all unknown ones; a/group=option chooses."""
    key, _, value = override.partition("=")
    try:
        if "=" in value and value[0] not in "[{(\"'":  # text that Hydra would only take in quotes
            override = _quoted(key, value)
        OverridesParser.create().parse_override(override)
    except HydraException as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{override}: can't be read ({reason}). Expected key=value; put a value with special characters in "
            f"quotes of its own: '{key}=\"...\"'."
        ) from error
    is_group = key.startswith("hydra.") or os.path.isdir(CONFIGS / key)
    return f"++{override}" if re.match(r"[A-Za-z_][\w.]*=", override) and not is_group else override


def _quoted(key: str, text: str) -> str:
    """An override with any text as its value: Hydra takes a backslash as it is unless it stands before a quote."""
    doubled = re.sub(r'(\\+)("|$)', r"\1\1\2", text)
    return f'{key}="' + doubled.replace('"', '\\"') + '"'


def _missing(message: str) -> str:
    """Hydra's complaint about an unknown option, with the nearest one."""
    found = re.search(r"Could not (?:find|load) '([^']+)'", message)
    if not found:
        return message
    group, _, name = found[1].rpartition("/")
    if group == "hydra/launcher":
        package = re.sub("_(local|slurm|aws)$", "", name)  # of which one package has several
        return f"{group}={name}: not installed. Install hydra-{package}-launcher."
    names = options(group)
    return f"{group}={name}: no such option.{nearest(name, names)} Choices: {', '.join(names)}."


def _unknown_group(message: str) -> str:
    """Hydra's complaint about a group that no defaults list has, with the nearest one."""
    found = re.search(r"Could not override '([^'@]+)'", message)
    if not found:
        return message
    groups = ["comparison", "experiment", "model/attention", *(group for group, _ in GROUPS.values())]
    return f"{found[1]}: no such group.{nearest(found[1], groups)} Groups: {', '.join(groups)}."


def options(group: str) -> list[str]:
    """The names in a group: rows of a table, or files under configs/."""
    for known, table in GROUPS.values():
        if known == group:
            return list(table)
    folder = CONFIGS / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
