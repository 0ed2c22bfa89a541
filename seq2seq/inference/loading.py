"""Loading a translator from checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import torch

from seq2seq.checkpoint import find, load
from seq2seq.device import choose_device, keep_freed_memory
from seq2seq.errors import ConfigError
from seq2seq.inference.link_rules import LinkRules
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.precision import MeasuredPrecision
from seq2seq.inference.translator import Translator
from seq2seq.search.shortlist import Shortlist
from seq2seq.text.languages import base_language


def load_translator(path: str | Path | Sequence[str | Path], device: str | torch.device = "auto") -> Translator:
    """Load a checkpoint, or the best one of a run directory; several make an ensemble.

    `hf://USER/NAME[@REVISION]` is a checkpoint on the Hugging Face Hub. `device` is `auto`, or a device of torch or its
    name. On Linux, the process then keeps freed memory. Raises ConfigError if the device is not available here, or if
    the checkpoints differ in target vocabulary or source language.
    """
    place = choose_device(device)
    keep_freed_memory()
    paths = [path] if isinstance(path, (str, Path)) else path
    if not paths:
        raise ConfigError("checkpoint=[]: expected a checkpoint, or several, [a,b]")
    loaded = [load(Path(name), place) for name in paths]
    first, members = loaded[0], []
    for other, name in zip(loaded, paths, strict=True):
        if other.target.model != first.target.model:
            raise ConfigError(
                f"checkpoint=[{paths[0]},{name}]: their target vocabularies differ ({len(first.target)} and "
                f"{len(other.target)} pieces). An ensemble needs models that were trained with the same target.model."
            )
        if base_language(other.data.source_lang) != base_language(first.data.source_lang):
            raise ConfigError(
                f"checkpoint=[{paths[0]},{name}]: they translate from {first.data.source_lang} and "
                f"{other.data.source_lang}. An ensemble needs models of one source language."
            )
        directory = find(Path(name))
        shortlist = Shortlist.load(directory, len(other.source), len(other.target))
        rules, measured = LinkRules.load(directory), MeasuredPrecision.load(directory)
        member = EnsembleMember(
            other.model, other.source, shortlist, other.lengths, other.data.context, rules, directory, measured
        )
        members.append(member)
    return Translator(members, first.target, place, (first.data.source_lang, first.data.target_lang))
