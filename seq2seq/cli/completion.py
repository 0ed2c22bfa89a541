"""`seq2seq -sc install=bash`: shell completion.

The shell scripts are Hydra's. Their requests are answered here, because Hydra knows the configuration of a program but
not of each command.
"""

import os
import sys
from collections.abc import Sequence
from typing import cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.plugins import Plugins
from hydra.plugins.completion_plugin import CompletionPlugin

from seq2seq.cli.names import completions
from seq2seq.errors import ConfigError


def run(words: Sequence[str]) -> int:
    """Print a script to install or uninstall, or the completions of the shell's COMP_LINE."""
    found = cast(list[type[CompletionPlugin]], Plugins.instance().discover(CompletionPlugin))
    plugins = {plugin.provides(): plugin for plugin in found}
    task, _, shell = words[0].partition("=") if len(words) == 1 else ("", "", "")
    if task not in ("install", "uninstall", "query") or shell not in plugins:
        shells = "|".join(plugins)
        raise ConfigError(f'-sc {" ".join(words)}: expected -sc install={shells}, or uninstall=, as eval "$(...)"')
    if task == "query":
        print("\n".join(completions(os.environ.get("COMP_LINE", ""))))
        return 0
    before, sys.argv = sys.argv, ["seq2seq"]
    try:
        getattr(plugins[shell](ConfigLoaderImpl(ConfigSearchPathImpl())), task)()
    finally:
        sys.argv = before
    return 0
