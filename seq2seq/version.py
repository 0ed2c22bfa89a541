"""The version, and how this installation gets an optional part, in a module that all others can import."""

import json
from pathlib import Path

__version__ = "0.1.0"

DISTRIBUTION = "seq2seq-attention-trainer"
"""The name that package installers know; the package and the command are `seq2seq`."""


def install_command(extra: str) -> str:
    """The command that adds an extra of pyproject.toml to this installation: from the checkout that is running, or from
    where it was installed.
    """
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():
        return f'pip install -e "{"." if root == Path.cwd() else root}[{extra}]"'
    if source := _source():
        return f'pip install "{DISTRIBUTION}[{extra}] @ {source}"'
    return f'pip install -e ".[{extra}]" in a checkout of the project'


def _source() -> str | None:
    """The URL that an installer has recorded (PEP 610); None where it took the project from an index."""
    from importlib.metadata import PackageNotFoundError, distribution  # only messages need it

    try:
        recorded = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    system = recorded.get("vcs_info", {}).get("vcs")
    return recorded.get("url") and f"{system}+{recorded['url']}" if system else recorded.get("url")
