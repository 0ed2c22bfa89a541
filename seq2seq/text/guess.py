"""Guesses at what was meant by the name of a corpus that is not there."""

import os
from collections.abc import Sequence
from pathlib import Path

from seq2seq.text.corpus import existing, file_names, near
from seq2seq.text.formats import table_kind

_TABLES = "table (.tsv, .csv, .jsonl, .parquet)"
_MOST = 5
"""Corpora that are named."""


def no_corpus(name: str, languages: Sequence[str], key: str) -> str:
    """Why this name is not that of a corpus in these languages, and the argument that `key` probably needs."""
    path = Path(name)
    if os.path.isdir(path):
        found = [f"{key}={path / corpus}" for corpus in corpora(path, languages)[:_MOST]]
        return f"{name}: a directory, expected a corpus in it. " + (
            f"There {'is' if len(found) == 1 else 'are'} {', '.join(found)}."
            if found
            else f"It has none: neither NAME.{languages[0]} with NAME.{languages[1]}, nor a {_TABLES}."
        )
    if existing(name) is not None:
        return _one_file(name, languages, key)
    names = [*corpora(path.parent, languages), *file_names(path.parent)]
    guess = near(name, names, f"{key}=") or (
        f" A corpus is two files, NAME.{languages[0]} and NAME.{languages[1]}, given as {key}=NAME, or a {_TABLES}."
    )
    if table_kind(name):
        return f"{name}: no such file (nor {name}.gz).{guess}"
    missing = next(f"{name}.{code}" for code in languages if existing(f"{name}.{code}") is None)
    missing = f"{missing}: no such file (nor {missing}.gz)"
    there = [file for file in file_names(path.parent) if _is_side(file, path.name)]
    if there:
        return (
            f"{missing}, but there is {', '.join(str(path.with_name(file)) for file in there)}. Do "
            f"data.source_lang={languages[0]} and data.target_lang={languages[1]} say how the files end?"
        )
    return f"{missing}.{guess}"


def _one_file(name: str, languages: Sequence[str], key: str) -> str:
    """Why a file without columns is no corpus: it is one side of it, or its name does not say what it is."""
    plain = name.removesuffix(".gz")
    prefix = str(Path(plain).with_suffix(""))
    if all(existing(f"{prefix}.{code}") for code in languages):
        return f"{name}: one side of a corpus, expected what both files' names begin with: {key}={prefix}"
    ends = [code for code in languages if plain.endswith(f".{code}")]
    if ends:
        other = next((code for code in languages if code not in ends), ends[0])
        return f"{name}: one side of a corpus, whose other one, {prefix}.{other}, is not there (nor as .gz)"
    return (
        f"{name}: a file without tabs, expected both sides of a corpus: a {_TABLES}, or two files, "
        f"{prefix}.{languages[0]} and {prefix}.{languages[1]}, and then {key}={prefix}"
    )


def _is_side(file: str, prefix: str) -> bool:
    """Whether it is the prefix and a language code."""
    code = file.removeprefix(f"{prefix}.")
    return code != file and code.replace("-", "").replace("_", "").isalpha() and not table_kind(file)


def corpora(directory: Path, languages: Sequence[str]) -> list[str]:
    """The names of the tables in a directory, and of the prefixes that have both languages."""
    names = file_names(directory)
    ends = [f".{code}" for code in languages]
    prefixes = [name.removesuffix(ends[0]) for name in names if name.endswith(ends[0])]
    return [prefix for prefix in prefixes if f"{prefix}{ends[1]}" in names] + [n for n in names if table_kind(n)]
