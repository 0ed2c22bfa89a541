"""Finds the training and held-out corpora of a run, and warns about suspicious ones."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from seq2seq.config import Data, several
from seq2seq.errors import ConfigError
from seq2seq.text.cache import digest
from seq2seq.text.json_io import read_json
from seq2seq.text.languages import count_letters, described, is_foreign
from seq2seq.text.parallel import ParallelText
from seq2seq.text.split import TEST, VALID, Sizes, part_names, split
from seq2seq.text.storage import replace_directory

logger = logging.getLogger(__name__)

DIRECTORY = "split"
"""Name within the run directory."""
_ABOUT = "split.json"
_SHOWN, _WIDTH = 2, 100
"""Number of logged pairs, and characters of each side."""
_SAMPLE = 1000
"""Number of pairs whose letters are counted."""
_MANY_SHARED = 0.05
"""Share of a held-out set's sources in the training data from which its scores say little about new text."""


@dataclass(frozen=True)
class Texts:
    """Corpora of a training."""

    train: list[ParallelText]
    valid: list[ParallelText]
    test: ParallelText | None


def find_texts(data: Data, directory: Path | None = None, *, begun: bool = False) -> Texts:
    """Return the corpora that the options name; with data.split, parts of `train` in `directory` or in the cache.

    A training that has `begun` keeps its parts. Raises DataError for missing files.
    """
    trains, valids = several(data.train), several(data.valid)
    if data.split.given():
        where = directory if begun and directory and directory.is_dir() else _split(data, directory)
        trains = [str(where / name) for name in part_names(len(trains))]
        valids = [str(where / VALID)] if data.split.valid else valids
        directory = where
    train = _find(data, "data.train", *trains, part=data.split.given())
    valid = _find(data, "data.valid", *valids, part=data.split.valid is not None)
    return Texts(train, valid, find_test(data, directory))


def find_test(data: Data, directory: Path | None = None) -> ParallelText | None:
    """Return data.test, or the part that data.split holds out, in this directory or in the cache."""
    names = several(data.test)
    if data.split.test:
        names = [str((directory if directory and directory.is_dir() else _split(data, None)) / TEST)]
    return next(iter(_find(data, "data.test", *names, part=data.split.test is not None)), None)


def _find(data: Data, key: str, *names: str, part: bool = False) -> list[ParallelText]:
    """Find corpora; a `part` of a split one has its documents between blank lines."""
    documents = None if part else data.documents
    return [ParallelText.find(name, data.source_lang, data.target_lang, data.columns, key, documents) for name in names]


def _split(data: Data, directory: Path | None) -> Path:
    """Return the directory of the parts, making it if necessary; log their sizes."""
    texts = _find(data, "data.train", *several(data.train))
    languages = (data.source_lang, data.target_lang)
    documents = [text.documents_hash() for text in texts] if data.context else []
    key = digest([text.content_hash() for text in texts], languages, asdict(data.split), *documents)
    where = directory or Path(data.cache_dir) / f"split-{key}"
    if not _is_made(where, key):
        sizes = Sizes(data.split.valid or 0, data.split.test or 0, data.split.seed, bool(data.context))
        with replace_directory(where, keep=directory is None and not where.is_dir()) as unfinished:
            counts = split(texts, languages, sizes, unfinished)
            (unfinished / _ABOUT).write_text(json.dumps({"key": key, "pairs": counts}) + "\n")
    counts = read_json(where / _ABOUT)["pairs"]
    parts = ", ".join(f"{pairs:,} pairs in {part}" for part, pairs in counts.items() if pairs)
    what = "document" if data.context else "source sentence"
    logger.info("data.split: %s; no %s is in two of them: %s", parts, what, where)
    return where


def _is_made(where: Path, key: str) -> bool:
    try:
        return bool(read_json(where / _ABOUT)["key"] == key)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_columns(texts: Texts, data: Data) -> None:
    """Raise ConfigError if data.columns is given and no corpus has columns."""
    if data.columns is not None:
        trains = _find(data, "data.train", *several(data.train))
        if not any(text.table for text in (*trains, *texts.valid, *filter(None, [texts.test]))):
            raise ConfigError(
                f"data.columns=[{','.join(data.columns)}]: no corpus is a table: {trains[0].name} is two files. "
                "Leave data.columns=null."
            )


def show(texts: Texts, data: Data) -> None:
    """Log the first pairs, and warn about anything suspicious in the corpora that the options name."""
    trains = _find(data, "data.train", *several(data.train))
    held_out = [("data.valid", text) for text in texts.valid if data.valid is not None]
    held_out += [("data.test", texts.test)] if texts.test is not None and data.test is not None else []
    for text in trains:
        logger.info("%s, first pairs:", text.name)
        for pair in islice(text.pairs(), _SHOWN):
            sides = zip((data.source_lang, data.target_lang), pair, strict=True)
            logger.info("  %s", "  |  ".join(f"{code}: {side[:_WIDTH]}" for code, side in sides))
    for text in (*trains, *(text for _, text in held_out)):
        _check_scripts(text, data)
    _check_overlap(held_out, texts.train)


def _check_scripts(text: ParallelText, data: Data) -> None:
    """Warn if a side is not in the script of its language."""
    pairs = list(islice(text.pairs(), _SAMPLE))
    languages = (data.source_lang, data.target_lang)
    sides = [count_letters(pair[side] for pair in pairs) for side in (0, 1)]
    foreign = [
        f"the {title} side can't be {code} (its letters are {described(letters)})"
        for title, code, letters in zip(("source", "target"), languages, sides, strict=True)
        if is_foreign(letters, code)
    ]
    if foreign:
        swapped = not any(is_foreign(letters, code) for letters, code in zip(sides, reversed(languages), strict=True))
        way_out = "Are these the right columns, files and languages?"
        if swapped:
            exchange = "exchange the names of the two files, or data.source_lang and data.target_lang"
            if text.table is not None:
                exchange = f"use data.columns=[{','.join(reversed(text.table.names()))}]"
            way_out = f"Source and target seem to be swapped: {exchange}."
        logger.warning("%s: in its first %d pairs %s. %s", text.name, len(pairs), " and ".join(foreign), way_out)


def _check_overlap(held_out: Sequence[tuple[str, ParallelText]], trains: Sequence[ParallelText]) -> None:
    """Report the pairs and sources of held-out sets that are also in the training data; warn if they are many."""
    if not held_out:
        return
    sets = [Counter((_plain(source), _plain(target)) for source, target in text.pairs()) for _, text in held_out]
    known = {source for pairs in sets for source, _ in pairs}
    trained = {
        (s, _plain(target)) for text in trains for source, target in text.pairs() if (s := _plain(source)) in known
    }
    sources = {source for source, _ in trained}
    for (key, text), pairs in zip(held_out, sets, strict=True):
        total, shared = pairs.total(), sum(count for pair, count in pairs.items() if pair in trained)
        shared_sources = sum(count for (source, _), count in pairs.items() if source in sources)
        counts = f"{shared} of its {total} pairs are also in data.train, and the source of {shared_sources} of them"
        if shared_sources >= _MANY_SHARED * max(total, 1):
            logger.warning(
                "%s=%s: %s. Its scores say little about new text. Use %s=1000 instead to hold out pairs whose source "
                "is in no other part.",
                *(key, text.name, counts, key.replace("data.", "data.split.")),
            )
        elif shared_sources:
            logger.info("%s=%s: %s", key, text.name, counts)


def _plain(text: str) -> str:
    return " ".join(text.split())
