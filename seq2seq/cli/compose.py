"""Composes a command's configuration with Hydra: defaults from the dataclasses, choices from configs/."""

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

from seq2seq.cli.command_line import CommandLine, quoted, settable
from seq2seq.cli.names import CONFIGS, SETTINGS, groups, meant, options
from seq2seq.cli.user_configs import check_user_configs
from seq2seq.config import COMMANDS, GROUPS, REQUIRED, default_of, removed, upgrade
from seq2seq.errors import ConfigError, nearest

logger = logging.getLogger(__name__)

Job = Callable[[dict[str, Any]], float | None]
"""Takes plain values; its result is what a sweeper optimises."""

_WRITTEN = ("output", "report", "alignments")
"""Keys that name what a command writes"""
_QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.sweep.subdir=.",
)


def run_composed(command: str, line: CommandLine, job: Job) -> None:
    """Compose and run the job, once or (with --multirun) once for each combination."""
    if command == "compare" and line.multirun:
        raise ConfigError("--multirun: compare already runs its cells as a multirun. Leave it out.")
    if "config_dir" in line.flags:
        check_user_configs(line.flags["config_dir"])
    register()
    run = _run_by_hydra if line.flags or line.multirun else _run_once
    run(command, line, job)


def _run_once(command: str, line: CommandLine, job: Job) -> None:
    """Compose only once; Hydra's command line would compose twice."""
    with initialize_config_dir(str(CONFIGS), "seq2seq", version_base="1.3"):
        before = HydraConfig.instance().cfg
        try:
            with _mistakes(command, line, begun=()):
                settings = [*line.settings, *_QUIET, *_sweep_dir(line)]
                config = hydra.compose(command, settings, return_hydra_config=True)
                HydraConfig.instance().set_config(config)
                with open_dict(config):
                    del config["hydra"]
                values = _settled(command, line, config)
            job(values)
        finally:
            HydraConfig.instance().cfg = before


def _settled(command: str, line: CommandLine, config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain values, with today's names."""
    values = plain(config)
    group = SETTINGS.get(command)
    if group in values and (name := chosen(group)):
        raise ConfigError(
            f"{group}={name}: its keys were read as {group}.KEY. Write `# @package _global_` into the first line of "
            f"{group}/{name}.yaml."
        )
    for key in removed(values):
        logger.warning("%s: no longer has any effect. Leave it out", key)
    today: dict[str, Any] = upgrade(values, {word.lstrip("+").partition("=")[0] for word in line.settings})
    return today


def _run_by_hydra(command: str, line: CommandLine, job: Job) -> None:
    """Run like Hydra's command line: multiruns, the user's configuration directories, --cfg and --info."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come here instead of being printed
    failures: list[Exception] = []
    outputs: set[str] = set()
    begun = [True] if line.multirun else []  # its jobs may run elsewhere
    if "info" in line.flags:
        logging.getLogger().handlers.clear()  # Hydra prints it by a handler of its own

    @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=command)
    def task(config: DictConfig) -> float | None:
        begun.append(True)
        if not logging.getLogger().handlers:  # a launcher's own process
            logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        try:
            with _mistakes(command, line):
                values = _settled(command, line, config)
                for key in _WRITTEN:
                    output = values.get(key)
                    if output in outputs:
                        path = Path(output)
                        numbered = path.parent / f"{path.stem}-${{hydra:job.num}}{path.suffix}"
                        raise ConfigError(
                            f"{key}={output}: another job of this multirun writes it. Put the job's number into the "
                            f"name: '{key}={numbered}'."
                        )
                    if output not in (None, "-"):
                        outputs.add(output)
            return job(values)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                logger.error("failed: %s: %s", HydraConfig.get().job.override_dirname, error)
                raise  # Hydra brings it here from wherever the job runs, when all have ended
            failures.append(error)  # else Hydra would print its own report first
            return None

    flags = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in line.flags.items()
    ]
    fixed = ",".join(word.key_or_group for word in _overrides(line.settings) if not word.is_sweep_override())
    names = f"hydra.job.config.override_dirname.exclude_keys=[{fixed}]"
    before, sys.argv = sys.argv, [f"seq2seq {command}", *flags, *line.settings, *_QUIET, *_sweep_dir(line), names]
    try:
        with _mistakes(command, line, begun):
            task()
    finally:
        sys.argv = before
    if failures:
        raise failures[0]


def chosen(group: str) -> str | None:
    """Return the chosen option of a group; for use inside a job."""
    choice: str | None = HydraConfig.get().runtime.choices.get(group)
    return choice


def swept() -> dict[str, str]:
    """Return the keys that the --multirun varies, with this job's values as text; for use inside a job."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return {}
    job = HydraConfig.get()
    fixed = job.job.config.override_dirname.exclude_keys
    varied = [word for word in _overrides(job.overrides.task) if word.key_or_group not in fixed]
    return {word.key_or_group: word.get_value_element_as_str() for word in varied}


def _overrides(words: Sequence[str]) -> list[Override]:
    parsed: list[Override] = OverridesParser.create().parse_overrides(list(words))
    return parsed


def _sweep_dir(line: CommandLine) -> list[str]:
    """Return the default directory for the files of Hydra and its sweepers."""
    if any(word.startswith("hydra.sweep.dir=") for word in line.settings):
        logger.info("hydra.sweep.dir: for the files of Hydra and its sweeper; each run is in its own run_dir")
        return []
    return ["hydra.sweep.dir=runs/multirun"]


def composed(command: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values of another command's configuration; for use inside a job."""
    line = CommandLine({}, [settable(command, word) for word in overrides])
    register()
    with _mistakes(command, line):
        return _settled(command, line, hydra.compose(command, line.settings))


def launch(task: Callable[[Any], None], key: str, values: Sequence[int], directory: str) -> None:
    """Run the task once for each value of a key, as a multirun with the user's launcher; for use inside a job.

    The task gets the composed configuration of this job with the key in it. It may run in another process, so it must
    be a module's function and leave its results in files. Hydra keeps its own files in the directory.
    """
    current = HydraConfig.get()
    running = GlobalHydra.instance().hydra
    assert running is not None
    more = [f"hydra.sweep.dir={quoted(directory)}", f"++{key}={','.join(map(str, values))}"]
    overrides = [*current.overrides.hydra, *current.overrides.task, *more]
    noisy = [logging.getLogger(name) for name in ("hydra", "hydra_plugins")]
    levels = [log.level for log in noisy]
    try:
        for log in noisy:
            log.setLevel(logging.WARNING)
        running.multirun(current.job.config_name, task, overrides, with_log_configuration=False)
    finally:
        for log, level in zip(noisy, levels, strict=True):
            log.setLevel(level)


def plain(config: DictConfig) -> dict[str, Any]:
    """Return what Hydra composed as plain values, paths resolved."""
    values: dict[str, Any] = _resolved(OmegaConf.to_container(config, resolve=True))
    return values


def _resolved(value: Any) -> Any:
    """Resolve paths: `~/` is the home directory, and the embedded corpus comes with the program."""
    if isinstance(value, dict):
        return {key: _resolved(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner) for inner in value]
    if isinstance(value, str) and value.startswith("~/"):
        return os.path.expanduser(value)
    if isinstance(value, str) and value.startswith(_EMBEDDED) and not os.path.isdir(_EMBEDDED):
        return str(CONFIGS.parent / value)
    return value


_EMBEDDED = "data/embedded/"
"""Directory beside CONFIGS, in a checkout and in an installed package."""


@contextmanager
def _mistakes(command: str, line: CommandLine, begun: Sequence[bool] = (True,)) -> Iterator[None]:
    """Turn Hydra's errors into ConfigErrors; until a job has `begun`, any other error as well."""
    try:
        yield
    except ConfigError:
        raise
    except MissingConfigException as error:
        raise ConfigError(_missing(str(error), command, line.flags.get("config_dir"))) from error
    except ConfigCompositionException as error:
        raise ConfigError(_unknown_group(_said(error), command, line)) from error
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(_said(error)) from error
    except RecursionError as error:
        raise ConfigError("the configuration nests lists or groups too deeply") from error
    except Exception as error:
        if begun:
            raise
        raise ConfigError(f"the configuration can't be composed ({type(error).__name__}: {error})") from error


def _said(error: Exception) -> str:
    """Return the error's message, or its class if it has none."""
    return str(error).strip() or f"the configuration can't be composed ({type(error).__name__})"


@functools.cache
def register() -> None:
    """Put every dataclass into Hydra's store, as plain values: `parse` checks them all at once afterwards."""
    store = ConfigStore.instance()
    for command, kind in COMMANDS.items():
        store.store(name=f"{command}_defaults", node=defaults(kind))
    for group, table in groups("train").items():
        for name, option in table.items():
            overrides = [
                {f"override /{other}@_global_.{other.replace('/', '.')}": choice}
                for other, choice in getattr(option, "overrides", {}).items()
            ]
            choices = [{inner: choice} for inner, choice in default_choices(option)]
            store.store(group=group, name=name, node={"defaults": [*choices, "_self_", *overrides], **defaults(option)})


def defaults(kind: Any) -> dict[str, Any]:
    """Return the defaults of a dataclass as plain values, without what a group's option fills in.

    `kind` may also be an instance, whose values are the defaults.
    """
    values: dict[str, Any] = {}
    for option in dataclasses.fields(kind):
        default = default_of(option) if isinstance(kind, type) else getattr(kind, option.name)
        if dataclasses.is_dataclass(default):
            if _table(default) is None:
                values[option.name] = defaults(default)
        elif default is not dataclasses.MISSING:
            values[option.name] = default
        elif isinstance(option.type, type) and not GROUPS.get(option.type):
            values[option.name] = defaults(option.type)
    return {key: value for key, value in values.items() if value is not REQUIRED}


def default_choices(kind: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each group below a dataclass or an instance that has a default, with the name of that option."""
    for option in dataclasses.fields(kind):
        default: Any = default_of(option) if isinstance(kind, type) else getattr(kind, option.name)
        if default is not dataclasses.MISSING and hasattr(default, "__dataclass_fields__"):
            if _table(default) is None:
                yield from default_choices(default, f"{prefix}{option.name}/")
            else:
                yield f"{prefix}{option.name}", default.name


def _table(default: Any) -> Any:
    """Return the table of names that an option comes from, if any."""
    return next((table for table in GROUPS.values() if type(default) in table.values()), None)


def _missing(message: str, command: str, user_configs: str | None) -> str:
    """Reword Hydra's error about an unknown option, suggesting the nearest one."""
    found = re.search(r"Could not (?:find|load) '([^']+)'", message)
    if not found:
        return message
    plugin = re.fullmatch(r"hydra/(launcher|sweeper)/(.+?)(_local|_slurm|_aws)?", found[1])
    if plugin:  # one package has several launchers
        return f"hydra/{plugin[1]}={plugin[2]}{plugin[3] or ''}: not installed. Install hydra-{plugin[2]}-{plugin[1]}."
    known = [group for group in groups(command) if found[1].startswith(f"{group}/")]
    group = max(known, key=len, default=found[1].rpartition("/")[0])
    name, choices = found[1].removeprefix(f"{group}/"), options(group, user_configs)
    elsewhere = [f"{other}={name}" for other in groups(command) if name in options(other, user_configs)]
    near = f" Did you mean {min(elsewhere, key=len)!r}?" if elsewhere else nearest(name, choices)
    return f"{group}={name}: no such option.{near}" + (f" Choices: {', '.join(choices)}." if choices else "")


def _unknown_group(message: str, command: str, line: CommandLine) -> str:
    """Reword Hydra's error about an unknown group, suggesting the nearest name."""
    found = re.search(r"Could not override '([^'@]+)'", message)
    if not found:
        return message
    given = next((word for word in line.settings if word.startswith(f"{found[1]}=")), found[1])
    guess = meant(command, found[1], given.removeprefix(found[1]))
    return f"{given}: no such group.{guess} Groups: {', '.join(groups(command)) or 'none'}."
