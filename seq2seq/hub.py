"""Checkpoints on the Hugging Face Hub: names `hf://USER/NAME[@REVISION]`, downloads and uploads.

huggingface_hub does the work and keeps the cache. It is imported only where a name leads to the Hub.
"""

import functools
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.errors import ConfigError, DataError
from seq2seq.version import __version__, install_command

logger = logging.getLogger(__name__)

PREFIX = "hf://"
MAIN = "main"
_NAME = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@([\w.-]+(?:/[\w.-]+)*))?", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token with access"


def is_name(path: Path) -> bool:
    """Whether a path is a name on the Hub; `Path` writes it with one slash after `hf:`."""
    return path.parts[:1] == ("hf:",)


def split_name(path: Path) -> tuple[str, str]:
    """Return the repository and the revision of a name on the Hub. Raises DataError for a malformed name."""
    text = "/".join(path.parts[1:])
    found = _NAME.fullmatch(text)
    if not found or ".." in text:
        raise DataError(
            f"{PREFIX}{text}: not a name on the Hub. Expected {PREFIX}USER/NAME, or {PREFIX}USER/NAME@REVISION with a "
            "branch, a tag or a commit hash."
        )
    return found[1], found[2] or MAIN


def load_library() -> Any:
    """Import huggingface_hub. Raises ConfigError if it is missing."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigError(f"The Hub needs huggingface_hub. Install it: {install_command('hub')}") from error
    for name in ("httpx", "httpx2"):  # they log each request
        logging.getLogger(name).setLevel(logging.WARNING)
    return huggingface_hub


@functools.cache
def download(path: Path, files: tuple[str, ...], required: tuple[str, ...]) -> Path:
    """Return a directory with these files of the repository of this name; it may lack some that are not required.

    They come from huggingface_hub's cache if they are up to date, or if the Hub can't be reached. A process asks the
    Hub only once for each name, so all that it reads is of one commit. Raises DataError if the files can't be had.
    """
    repo, revision = split_name(path)
    library, name = load_library(), f"{PREFIX}{repo}@{revision}"
    fetch = functools.partial(
        library.snapshot_download, repo, revision=revision, allow_patterns=[*files], **_user_agent()
    )
    try:
        if not _COMMIT.fullmatch(revision):  # snapshot_download would use an old copy without a word
            library.HfApi(**_user_agent()).model_info(
                repo, revision=revision, timeout=library.constants.HF_HUB_ETAG_TIMEOUT
            )
        directory = Path(fetch())
    except Exception as error:  # of many kinds, from several libraries
        if refusal := _refusal(error, repo):
            raise DataError(f"{name}: {refusal}") from error
        directory = _cached(fetch, name, error)
    if missing := [file for file in required if not (directory / file).exists()]:
        raise DataError(f"{name}: not a checkpoint of seq2seq; the repository has no {', '.join(missing)}")
    return directory


def _cached(fetch: Any, name: str, reason: Exception) -> Path:
    """Return an earlier download. Raises DataError without a complete one."""
    try:
        directory = Path(fetch(local_files_only=True))
    except Exception as error:
        raise DataError(
            f"{name}: can't be downloaded ({_shortened(reason)}), and the cache has no complete copy. Check the "
            "connection and run the command again; files that have arrived are kept. To work offline, run it once with "
            "a connection, or copy the cache (HF_HOME) from another machine."
        ) from error
    if not isinstance(reason, load_library().errors.OfflineModeIsEnabled):
        logger.warning(
            "%s: the Hub can't be reached (%s). Using the copy in the cache, commit %s",
            *(name, _shortened(reason), directory.name),
        )
    return directory


@dataclass(frozen=True)
class Pushed:
    """The result of a push."""

    url: str
    commit: str
    changed: bool
    """False if the Hub had the same files already."""


def push(
    repo: str, files: Mapping[str, bytes | Path | None], card: str, *, branch: str, private: bool, message: str
) -> Pushed:
    """Upload files and a model card in one commit, which deletes the files that are None.

    Makes the repository and the branch if they are missing. Raises ConfigError or DataError if the Hub refuses.
    """
    library = load_library()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns if nothing has changed
    api = library.HfApi(**_user_agent())
    with _clear_errors(repo):
        library.ModelCard(card).validate()  # before anything is made
        api.create_repo(repo, private=private, exist_ok=True)
        if branch != MAIN:
            api.create_branch(repo, branch=branch, exist_ok=True)
        before = api.model_info(repo, revision=branch)
        if private and not before.private:
            raise ConfigError(
                f"private=true: the repository {repo} exists and is public. Make it private in its settings on the "
                "Hub, or use another repo."
            )
        there = {file.rfilename for file in before.siblings}
        operations = [
            library.CommitOperationDelete(name) if content is None else library.CommitOperationAdd(name, content)
            for name, content in {**files, "README.md": card.encode()}.items()
            if content is not None or name in there
        ]
        made = api.create_commit(repo, operations, commit_message=message, revision=branch, parent_commit=before.sha)
    return Pushed(str(made.commit_url), made.oid, made.oid != before.sha)


@contextmanager
def _clear_errors(repo: str) -> Iterator[None]:
    """Turn whatever a request raises into a DataError that names the repository."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # of many kinds, from several libraries
        cause = error.__cause__ if type(error) is RuntimeError and error.__cause__ else error
        reason = _refusal(cause, repo) or (
            f"can't be pushed to ({_shortened(cause)}). Check the connection and run the command again; nothing is "
            "published until all files have arrived."
        )
        raise DataError(f"{PREFIX}{repo}: {reason}") from error


def _refusal(error: BaseException, repo: str) -> str | None:
    """Say why the Hub refused a request, and what to do; None if the request or its answer got lost."""
    errors = load_library().errors
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision. Expected a branch, a tag or a commit hash."
    if isinstance(error, errors.GatedRepoError):
        return f"its owner grants access on request. Ask for it on the page of {repo}, then {_LOG_IN}."
    if status == 401 and "Invalid credentials" in str(error):
        return f"the Hub does not accept your token. To get another one, {_LOG_IN}."
    if status == 401 or isinstance(error, errors.LocalTokenNotFoundError):
        return f"no such repository, or it needs a login. Check the name; if it is right, {_LOG_IN}."
    if status == 403:
        return f"your token may not do this. To use another one, {_LOG_IN}."
    if status == 404:
        return "no such repository, or a private one that your token may not read. Check the name and the token."
    if type(error) in (errors.HFValidationError, ValueError):  # a malformed name, or refused metadata
        return _shortened(error)
    return None


def _shortened(error: BaseException) -> str:
    """Return the message of an error on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."


def _user_agent() -> dict[str, str]:
    return {"library_name": "seq2seq", "library_version": __version__}
