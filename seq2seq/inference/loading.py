"""A translator from checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import torch

from seq2seq.checkpoint import find, load
from seq2seq.device import choose_device
from seq2seq.errors import ConfigError
from seq2seq.inference.translator import EnsembleMember, Translator
from seq2seq.search.shortlist import Shortlist
from seq2seq.text.languages import base_language


def load_translator(path: str | Path | Sequence[str | Path], device: str | torch.device = "cpu") -> Translator:
    """A translator from a checkpoint, or from the best one of a run directory; several are an ensemble.

    `device` is `auto`, or a name or device of torch. Raises ConfigError for one that is not here, and unless the
    checkpoints have the same target vocabulary.
    """
    place = choose_device(device)
    paths = [path] if isinstance(path, (str, Path)) else path
    if not paths:
        raise ConfigError("checkpoint=[]: expected a checkpoint, or several, [a,b]")
    loaded = [load(Path(one), place) for one in paths]
    first = loaded[0]
    for one, where in zip(loaded, paths, strict=True):
        if one.target.model != first.target.model:
            raise ConfigError(
                f"checkpoint=[{paths[0]},{where}]: their target vocabularies differ ({len(first.target)} and "
                f"{len(one.target)} pieces). An ensemble needs models that were trained with the same target.model."
            )
        if base_language(one.data.source_lang) != base_language(first.data.source_lang):
            raise ConfigError(
                f"checkpoint=[{paths[0]},{where}]: they translate from {first.data.source_lang} and "
                f"{one.data.source_lang}. An ensemble needs models of one source language."
            )
    languages = (first.data.source_lang, first.data.target_lang)
    readers = [
        EnsembleMember(
            one.model, one.source, Shortlist.load(find(Path(where)), len(one.source), len(one.target)), one.lengths
        )
        for one, where in zip(loaded, paths, strict=True)
    ]
    return Translator(readers, first.target, place, languages)
