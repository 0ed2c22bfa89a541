"""`seq2seq fetch`: downloads a public corpus and makes it ready for training."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from seq2seq.cli.files import check_directory, make_directory, output_stream
from seq2seq.config import FetchConfig
from seq2seq.corpora import download
from seq2seq.corpora.catalogue import CORPORA, Corpus, Download
from seq2seq.errors import ConfigError, DataError, nearest

logger = logging.getLogger(__name__)


def run(config: FetchConfig) -> int:
    """Download and verify the files of a corpus, and write its text; without a name, print the table of corpora."""
    if config.corpus is None:
        with output_stream("-") as output:
            print("\n\n".join(_described(corpus) for corpus in CORPORA.values()), file=output)
        return 0
    corpus = CORPORA.get(config.corpus)
    if corpus is None:
        raise ConfigError(
            f"corpus={config.corpus}: not in the table.{nearest(config.corpus, CORPORA)} Names: {', '.join(CORPORA)}."
        )
    files = _files(corpus, config.languages, config.parts)
    if not files:
        if config.parts == []:
            raise ConfigError("parts=[]: expected one or more, such as [train,val], or parts=null for all")
        raise ConfigError(
            f"languages=[{','.join(config.languages or ())}]: {corpus.name} has no file of these alone. Name another "
            f"language too: {', '.join(corpus.languages)}."
        )
    directory = Path(config.output or corpus.name.removeprefix("package:"))
    check_directory(str(directory))
    logger.info("%s: %s (%s)", corpus.name, corpus.licence, corpus.home)
    make_directory(directory)
    if missing := _fetch(files, directory, None if config.mirror is None else Path(config.mirror)):
        raise DataError(
            f"{next(iter(missing.values()))} Put these files, from a machine that can reach them, into a directory, "
            f"and use mirror=DIRECTORY: {', '.join(missing)}."
        )
    logger.info("%s: %s", directory, ", ".join(_texts(directory)))
    return 0


def _fetch(files: Sequence[Download], directory: Path, mirror: Path | None) -> dict[str, download.Unreachable]:
    """Get all files that can be had, and return the names of the others, each with its error.

    After one failure, no more downloads are tried: each could wait a minute for the same server.
    """
    missing: dict[str, download.Unreachable] = {}
    for file in files:
        name = download.file_name(file)
        if missing and mirror is None:
            if not (directory / name).exists():
                missing[name] = next(iter(missing.values()))
            continue
        try:
            download.fetch(file, directory, mirror, _bar)
        except download.Unreachable as error:
            missing[name] = error
    return missing


def _files(
    corpus: Corpus, languages: Sequence[str] | None = None, parts: Sequence[str] | None = None
) -> list[Download]:
    """Return the files of these languages and parts, each once. Raises ConfigError for what the corpus lacks."""
    _check("languages", languages, corpus.languages, corpus)
    of_languages = [file for language in languages or corpus.languages for file in corpus.files(language)]
    if parts is None:
        return list(dict.fromkeys(of_languages))
    by_part = [(file.name.partition(".")[0], file) for file in of_languages if file.convert is None]
    _check("parts", parts, list(dict.fromkeys(part for part, _ in by_part)), corpus)
    return [file for part, file in by_part if part in parts]


def _check(key: str, chosen: Sequence[str] | None, known: Sequence[str], corpus: Corpus) -> None:
    for name in chosen or ():
        if name not in known:
            has = f"It has {', '.join(known)}." if known else f"Leave {key}=null."
            raise ConfigError(f"{key}=[{','.join(chosen or ())}]: {corpus.name} has no {name}. {has}")


def _texts(directory: Path) -> Iterator[str]:
    """Yield the names of files that hold text, neither archives nor what is unfinished."""
    others = (".whl", ".zip", ".tgz", ".part", ".rejected", download.HASHES)
    yield from sorted(path.name for path in directory.iterdir() if not path.name.endswith(others))


@contextmanager
def _bar(total: int | None, done: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar of bytes on a terminal."""
    with tqdm(total=total, initial=done, unit="B", unit_scale=True, disable=None) as bar:
        yield bar.update


def _described(corpus: Corpus) -> str:
    files = _files(corpus)
    known = sum(file.sha256 is not None for file in files)
    sizes = [file.size for file in files if file.size is not None]
    size = f", {sum(sizes) / 1e6:.1f} MB" if len(sizes) == len(files) else ""
    return "\n    ".join(
        [
            f"{corpus.name}: {', '.join(corpus.languages)}",
            f"licence: {corpus.licence}",
            f"source: {corpus.home}",
            corpus.parts,
            f"files: {len(files)}{size}; {known} with a known SHA-256, the others must equal their first download",
        ]
    )
