"""The command that messages name for an optional part installs this project, and not another one of its name."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import seq2seq
from seq2seq import version
from seq2seq.version import DISTRIBUTION, install_command

ROOT = Path(seq2seq.__file__).parent.parent


def test_the_name_is_pyprojects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION != "seq2seq"
    assert set(project["scripts"]) == {"seq2seq"}


def test_a_checkout_installs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("plots") == 'pip install -e ".[plots]"'
    monkeypatch.chdir(tmp_path)
    assert install_command("plots") == f'pip install -e "{ROOT}[plots]"'


@pytest.mark.parametrize(
    ("recorded", "command"),
    [
        ('{"url": "file:///a/b", "dir_info": {}}', f'pip install "{DISTRIBUTION}[plots] @ file:///a/b"'),
        (
            '{"url": "https://a.example/b.git", "vcs_info": {"vcs": "git", "commit_id": "0"}}',
            f'pip install "{DISTRIBUTION}[plots] @ git+https://a.example/b.git"',
        ),
        (None, 'pip install -e ".[plots]" in a checkout of the project'),
        ("no JSON", 'pip install -e ".[plots]" in a checkout of the project'),
    ],
)
def test_elsewhere_it_comes_from_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: str | None, command: str
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            return recorded

    monkeypatch.setattr(version, "__file__", str(tmp_path / "seq2seq/version.py"))
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())
    assert install_command("plots") == command


def test_without_any_record_there_is_still_a_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(version, "__file__", str(tmp_path / "seq2seq/version.py"))
    monkeypatch.setattr(metadata, "distribution", missing)
    assert install_command("plots") == 'pip install -e ".[plots]" in a checkout of the project'


def test_no_message_names_a_distribution_of_that_name() -> None:
    for path in [*(ROOT / "seq2seq").rglob("*.py"), *(ROOT / "scripts").iterdir()]:
        if path.is_file():
            assert "seq2seq[" not in path.read_text(), path
