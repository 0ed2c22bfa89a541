"""The result files of a comparison: one for each cell, found again by the settings and the data of its cell.

A result file holds everything about a cell, so a comparison can be rebuilt from these files alone.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seq2seq import checkpoint
from seq2seq.cli.files import output_stream
from seq2seq.cli.grid import Cell, decoding_of, settings, value_hash
from seq2seq.cli.grid_measurement import Task
from seq2seq.config import CompareConfig, parse, several, to_plain
from seq2seq.errors import ConfigError
from seq2seq.inference.comparison import COLUMNS, Failed, Measured
from seq2seq.text.corpus import content_hash, find_file
from seq2seq.text.json_io import read_json, typed
from seq2seq.text.parallel import ParallelText
from seq2seq.training.run_directory import differences, start_hash


def identities(cells: Sequence[Cell], task: Task, config: CompareConfig) -> list[dict[str, Any]]:
    """Return the identity of each cell's result: settings as plain values, and hashes of the files it reads."""
    file_hash = functools.cache(lambda name: content_hash(find_file(name)))

    @functools.cache
    def corpus(*place: Any) -> tuple[str, str | None]:
        text = ParallelText.find(*place)
        return text.content_hash(), text.documents_hash() if text.documents_file else None

    made = []
    for cell in cells:
        data, contents = cell.training.data, dict(task.contents)
        if data.context and task.begins is not None:
            contents["test_documents"] = value_hash(task.begins)
        decoding = decoding_of(cell, config)
        if decoding.dictionary is not None:
            contents["dictionary"] = file_hash(decoding.dictionary)
        if cell.run is not None:
            contents["weights"] = checkpoint.weights_hash(cell.run)
        else:
            columns = tuple(data.columns) if data.columns else None
            place = (data.source_lang, data.target_lang, columns, "data.train", data.documents)
            train, valid = ([corpus(name, *place) for name in several(names)] for names in (data.train, data.valid))
            hashes = {"train": [text for text, _ in train], "valid": [text for text, _ in valid]}
            optional = {
                "alignments": [file_hash(name) for name in several(data.alignments)],
                "tokenizer_model": [file_hash(name) for name in several(data.tokenizer_model)],
                "documents": [documents for _, documents in (*train, *valid) if documents is not None],
            }
            hashes |= {key: found for key, found in optional.items() if found}  # older results keep their identity
            contents |= {key: found[0] if len(found) == 1 else value_hash(found) for key, found in hashes.items()}
            if start := several(cell.training.training.start_from):
                contents["start_from"] = start_hash(start)
        made.append(
            {
                "training": settings(cell.training),
                "decoding": to_plain(decoding),
                "bleu_tokenizer": task.tokenizer,
                "contents": contents,
            }
        )
    return made


def changes(old: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the differences between two identities; empty if they agree."""
    try:
        data = old["training"]["data"]
        listed = next((data[key] for key in ("weights", "alignments") if isinstance(data.get(key), list)), ["-"])
        held_out = {} if (data.get("split") or {}).get("valid") else {"valid": "-"}
        data = {**data, **held_out, "train": ["-"] * len(listed)}
        before = {
            **old,
            "training": settings(parse("train", {**old["training"], "data": data})),
            "decoding": to_plain(parse("decoding", old["decoding"])),
        }  # with today's defaults for keys that did not exist yet
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        return [f"its identity can't be read ({error})"]
    return list(differences(before, now, ""))


def result_path(cell: Cell, output: str) -> Path:
    """Return the path of a cell's result."""
    return Path(output) / "cells" / f"{cell.name}.json"


def read_result(
    cell: Cell, output: str, expected: dict[str, Any], sentences: int, tell: Callable[[str], None]
) -> Measured | Failed | None:
    """Read the result of a cell; None, passing the reason to `tell`, unless it has this size and identity."""
    path = result_path(cell, output)
    try:
        values = read_json(path)
        result: Measured | Failed
        result = typed(Failed, values["result"]) if "message" in values["result"] else typed(Measured, values["result"])
        if (result.label, result.seed) != (cell.label, cell.seed):
            raise ValueError(f"it is for {result.label[:60]!r}, seed {result.seed}")
        if isinstance(result, Measured) and not result.signatures.keys() <= COLUMNS.keys():
            raise ValueError(f"it has signatures of {', '.join(result.signatures)[:60]}")
        if not all(math.isfinite(value) for value in vars(result).values() if isinstance(value, float)):
            raise ValueError("it has numbers that are not finite")
        if isinstance(result, Measured) and len(result.translations) != sentences:
            raise ValueError(f"it has {len(result.translations)} translations of {sentences} sentences")
        changed = changes(values["identity"], expected)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        tell(f"{path}: can't be read ({error}); measuring it again")
        return None
    if changed:
        tell("\n  ".join([f"{path}: made with other settings or data; measuring it again:", *changed]))
        return None
    return result


def write_result(cell: Cell, output: str, identity: dict[str, Any], result: Measured | Failed) -> None:
    """Write the result file of a cell, whole or not at all."""
    path = result_path(cell, output)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"result": dataclasses.asdict(result), "identity": identity}
    with output_stream(str(path)) as file:
        print(json.dumps(values, ensure_ascii=False, indent=1), file=file)


def run_directory(cell: Cell, identity: dict[str, Any], output: str) -> Path:
    """Return the run directory of a cell; it depends on settings and corpora."""
    contents = identity["contents"]
    made_of = [identity["training"], contents.get("train"), contents.get("valid")]
    made_of += [
        contents[key] for key in ("start_from", "alignments", "tokenizer_model", "documents") if key in contents
    ]
    return cell.run or Path(output) / "runs" / f"{cell.name}-{value_hash(made_of)[:8]}"
