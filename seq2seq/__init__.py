"""seq2seq: train, swap, see and compare recurrent translation models with attention.

translator = seq2seq.load("runs/NAME/best")
for (best, *_) in translator.translate(["A sentence."]):
    print(best.text)
"""

from typing import TYPE_CHECKING, Any

from seq2seq.version import __version__

if TYPE_CHECKING:
    from seq2seq.inference.loading import load_translator as load
    from seq2seq.inference.translator import Translator

__all__ = ["Translator", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # torch is imported when it is needed: `seq2seq --help` is quick.
    if name == "load":
        from seq2seq.inference.loading import load_translator

        return load_translator
    if name == "Translator":
        from seq2seq.inference.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
