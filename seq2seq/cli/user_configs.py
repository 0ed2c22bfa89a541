"""Checks the user's configuration files from --config-dir=DIR, which may only choose options and set values.

Hydra calls what it finds under `_target_`, or in a configuration of loggers under `()`, before `parse` sees anything;
OmegaConf's resolvers, `${oc.env:NAME}`, read the environment and make such keys out of text; aliases of aliases fill
any memory.
"""

import re
from pathlib import Path

import yaml

from seq2seq.errors import ConfigError
from seq2seq.text.json_io import read_bytes

_MOST_BYTES = 1 << 20
"""Maximum size of a file."""
_CALLS = ("_target_", "()")
_RESOLVED = re.compile(r"\$\{[^}]*(:|\$\{)")
"""Interpolations that do more than copy another value, such as `${data.train}`."""


def check_user_configs(directory: str) -> None:
    """Raises ConfigError where a file of the directory is more than values and choices."""
    for path in sorted(Path(directory).rglob("*")):
        try:
            _check(path)
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: can't be read as a configuration ({error})") from error


def _check(path: Path) -> None:
    if path.is_symlink():
        raise ValueError("a link; replace it with a copy of its target")
    if path.suffix != ".yaml":
        return
    for token in yaml.scan(read_bytes(path, _MOST_BYTES).decode("utf-8")):
        if isinstance(token, yaml.AliasToken):
            raise ValueError(f"an alias, *{token.value[:60]}; write it out")
        if isinstance(token, yaml.ScalarToken) and (token.value in _CALLS or _RESOLVED.search(token.value)):
            raise ValueError(
                f"{token.value[:60]!r} in line {token.start_mark.line + 1}; values and choices are allowed"
            )
