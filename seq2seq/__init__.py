"""seq2seq: train, use, inspect and compare translation models with attention.

    translator = seq2seq.load("runs/NAME/best")
    print(translator.translate("A sentence.").text)

See docs/python.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seq2seq.version import __version__

if TYPE_CHECKING:
    from seq2seq.cli.from_python import train
    from seq2seq.config import Decoding
    from seq2seq.inference.loading import load_translator as load
    from seq2seq.inference.translation import Translation
    from seq2seq.inference.translator import Translator

__all__ = ["Decoding", "Translation", "Translator", "__version__", "load", "train"]

_PLACES = {
    "Decoding": ("seq2seq.config", "Decoding"),
    "Translation": ("seq2seq.inference.translation", "Translation"),
    "Translator": ("seq2seq.inference.translator", "Translator"),
    "load": ("seq2seq.inference.loading", "load_translator"),
    "train": ("seq2seq.cli.from_python", "train"),
}
"""Imported when first used: torch takes its time, and `seq2seq --help` does not need it."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return list(__all__)
