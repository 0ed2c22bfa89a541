"""The model card of a checkpoint with the metadata that the Hugging Face Hub reads."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seq2seq.checkpoint import Checkpoint
from seq2seq.config import several
from seq2seq.errors import DataError
from seq2seq.hub import is_name, load_library, split_name
from seq2seq.inference.metrics import TITLES, TOKENISED
from seq2seq.text.json_io import number
from seq2seq.text.languages import base_language
from seq2seq.training.model_card import USE, shared_name
from seq2seq.version import DISTRIBUTION

_TYPES = {"tok_lc": "bleu"}
"""Measure -> its type on the Hub, where that has another name."""


def hub_card(text: str, checkpoint: Checkpoint, name: str, licence: str, evaluation: Mapping[str, Any]) -> str:
    """Return a checkpoint's card with metadata, and with how to use it under this name on the Hub.

    `evaluation` maps test sets to what `evaluate` prints as JSON. Metadata that the card has already is kept, except
    for what is known here. Raises DataError if it can't be read, or for scores that are none.
    """
    library, data = load_library(), checkpoint.data
    languages = [data.source_lang, data.target_lang]
    body = text or f"# {' to '.join(languages)}\n"
    try:
        card = library.ModelCard(body if body.startswith("---\n") else f"---\n{{}}\n---\n\n{body}")
    except Exception as error:  # ValueError, or one of the YAML parser
        raise DataError(
            f"README.md: its metadata can't be read ({error}). Correct the block between the ---."
        ) from error
    results = [*_validation_results(checkpoint)]
    for test_set, scores in evaluation.items():
        results += _results(f"evaluation.{test_set}", scores, test_set, "test", languages)
    known = card.data
    known.language = list(dict.fromkeys(map(base_language, languages)))
    known.license, known.library_name, known.pipeline_tag = licence, "seq2seq", "translation"
    kinds = {checkpoint.options.encoder.name, checkpoint.options.decoder.name}
    tags = ["translation", "attention"] if checkpoint.model.attends else ["translation"]
    known.tags = list(dict.fromkeys([*(known.tags or []), *tags, *sorted(kinds)]))
    known.base_model = _parents(checkpoint.origin) or known.base_model
    if results:
        known.model_name, known.eval_results = split_name(Path(name))[0].rpartition("/")[2], results
        known.metrics = sorted({result.metric_type for result in results})
    card.text = _with_use(card.text, name)
    return str(card)


def _with_use(text: str, name: str) -> str:
    """Replace the line about the use of a directory, or add a section to a card that has none."""
    lines = f"""    pip install "{DISTRIBUTION}[hub]"
    seq2seq translate checkpoint={name} input=FILE
    python -c 'import seq2seq; print(seq2seq.load("{name}").translate("A sentence.").text)'"""
    if USE in text or lines in text:
        return text.replace(USE, lines)
    return f"{text.rstrip()}\n\n## Use\n\n{lines}\n"


def _parents(origin: Mapping[str, Any]) -> list[str]:
    """Return the repositories whose weights a training began with."""
    try:
        paths = map(Path, several(origin.get("training", {}).get("start_from")))
        return [split_name(path)[0] for path in paths if is_name(path)]
    except (TypeError, AttributeError) as error:
        raise DataError(f"config.json: its origin is not that of a training ({error})") from error


def _validation_results(checkpoint: Checkpoint) -> Iterator[Any]:
    """Yield the scores recorded when the checkpoint was saved; none in one of an earlier version or an average."""
    if scores := checkpoint.origin.get("validation"):
        data = checkpoint.data
        name = ", ".join(map(shared_name, several(data.valid))) or "pairs held out of the training corpus"
        yield from _results("config.json", scores, name, "validation", [data.source_lang, data.target_lang])


def _results(where: str, scores: Any, name: str, split: str, languages: list[str]) -> Iterator[Any]:
    """Yield each score that has a signature. Raises DataError if there is none, or a value of another type."""
    try:
        signed = {
            key: (value, str(scores[f"{key}_signature"]))
            for key in TITLES | TOKENISED
            if (value := number(scores, key)) is not None
        }
        if not signed:
            raise ValueError(f"it has none of {', '.join(TITLES)}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{where}: no scores with signatures ({error}). Expected what seq2seq evaluate output_format=json prints."
        ) from error
    for key, (value, signature) in signed.items():
        yield load_library().EvalResult(
            task_type="translation",
            task_name=f"Translation {'-'.join(languages)}",
            dataset_type=re.sub(r"\W+", "-", name.lower()).strip("-") or split,
            dataset_name=name,
            dataset_split=split,
            metric_type=_TYPES.get(key, key),
            metric_name=(TITLES | TOKENISED)[key],
            metric_value=round(value, 2),
            metric_args={"signature": signature},
        )
