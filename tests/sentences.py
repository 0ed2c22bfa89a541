"""Sentences for tests of whole commands: every combination of a few parts, word for word in both languages."""

from collections.abc import Sequence

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


FEW_PAIRS = _combine(_VERBS[:2], _OBJECTS[:2])
PAIRS = _combine(_VERBS, _OBJECTS)
