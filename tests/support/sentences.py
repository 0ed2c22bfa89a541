"""Sentences for tests of whole commands: combinations of a few parts, translated word for word."""

from collections.abc import Sequence
from pathlib import Path

Parts = Sequence[tuple[str, str]]

_SUBJECTS: Parts = (("the cat", "die Katze"), ("a dog", "ein Hund"), ("my friend", "mein Freund"))
_VERBS: Parts = (("sees", "sieht"), ("hears", "hört"), ("likes", "mag"))
_OBJECTS: Parts = (("the old house", "das alte Haus"), ("a tree", "einen Baum"), ("you", "dich"))


def _combine(verbs: Parts, objects: Parts) -> list[tuple[str, str]]:
    return [
        (f"{who} {does} {what} .", f"{wer} {tut} {was} .")
        for who, wer in _SUBJECTS
        for does, tut in verbs
        for what, was in objects
    ]


def write_pairs(prefix: str | Path, pairs: Parts) -> None:
    """Write pairs to PREFIX.en and PREFIX.de."""
    for side, language in enumerate(("en", "de")):
        Path(f"{prefix}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs))


FEW_PAIRS = _combine(_VERBS[:2], _OBJECTS[:2])
PAIRS = _combine(_VERBS, _OBJECTS)
