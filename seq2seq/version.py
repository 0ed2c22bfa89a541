"""The version, and the command that installs an optional dependency."""

import json
from pathlib import Path

__version__ = "0.1.0"

DISTRIBUTION = "seq2seq-attention-trainer"
"""The name that package installers know; the package and the command are `seq2seq`."""


def install_command(extra: str) -> str:
    """The command that adds an extra of pyproject.toml, from the running checkout or the origin of the installation."""
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():
        return f'pip install -e "{"." if root == Path.cwd() else root}[{extra}]"'
    if source := _source():
        return f'pip install "{DISTRIBUTION}[{extra}] @ {source}"'
    return f'pip install -e ".[{extra}]" in a checkout of the project'


def _source() -> str | None:
    """The URL recorded by the installer (PEP 610); None if the project came from an index."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import, needed for messages only

    try:
        recorded = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    system = recorded.get("vcs_info", {}).get("vcs")
    return recorded.get("url") and f"{system}+{recorded['url']}" if system else recorded.get("url")
