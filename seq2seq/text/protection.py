"""Text that is kept to the letter: in its place the model reads and says a numbered piece, ⟦0⟧ for the first one."""

import re
from collections.abc import Sequence

from seq2seq.errors import DataError
from seq2seq.text.cleaning import Replacement

_NAMED = {
    "placeholders": r"\$?\{\w*\}|%(?:\(\w+\))?[0-9]*\$?[-+0#]?[0-9]*(?:\.[0-9]+)?[diouxXeEfFgGcrsa@](?!\w)",
    "urls": r"(?:https?://|ftp://|www\.)[^\s<>\"]*[\w/]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "markup": r"</?[A-Za-z][^<>]*>|&(?:\w+|#\w+);",
}
"""Patterns that have a name. Checkpoints hold the name alone: what it stands for may not change."""

MOST = 10
"""Different protected texts of a sentence; further ones are ordinary text."""
SYMBOLS = [f"⟦{number}⟧\n" for number in range(MOST)]
"""Names of their pieces; as lines have no line feed, no text is taken for one."""
_SYMBOL = re.compile("⟦([0-9])⟧\n")


class Protection:
    """Finds what matches one of the patterns, of overlapping ones what begins first."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Patterns are regular expressions, or names of some. Raises DataError for what is neither."""
        self.patterns = [_NAMED.get(pattern, pattern) for pattern in patterns]
        for pattern in self.patterns:
            _check(pattern)
        self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in self.patterns)) if patterns else None

    def find(self, line: str) -> list[str]:
        """The different texts of a line that are protected, in order."""
        if self._pattern is None:
            return []
        return list(dict.fromkeys(match[0] for match in self._pattern.finditer(line) if match[0]))[:MOST]

    def remove(self, line: str) -> str:
        """The line with spaces for what is protected."""
        return line if self._pattern is None else self._pattern.sub(" ", line)

    def hide(self, line: str, texts: Sequence[str]) -> list[Replacement]:
        """The symbols in place of these texts, where the line has them as a whole match."""
        if self._pattern is None or not texts:
            return []
        numbers = {text: number for number, text in enumerate(texts)}
        matches = (match for match in self._pattern.finditer(line) if match[0] in numbers)
        return [Replacement(match.start(), match.end(), SYMBOLS[numbers[match[0]]]) for match in matches]


def _check(pattern: str) -> None:
    try:
        empty = re.compile(pattern).fullmatch("")
    except re.error as error:
        names = ", ".join(_NAMED)
        raise DataError(
            f"data.protect: {pattern} is no regular expression ({error}). Expected one, or a name: {names}."
        ) from error
    if empty:
        raise DataError(f"data.protect: {pattern} matches where nothing is. Let it match at least one character.")


def show(text: str, texts: Sequence[str]) -> list[Replacement]:
    """These texts in place of the symbols; nothing in place of a symbol that has no text."""
    return [
        Replacement(match.start(), match.end(), texts[number] if (number := int(match[1])) < len(texts) else "")
        for match in _SYMBOL.finditer(text)
    ]


def common(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """The texts that both sides of a pair have, in the order of the source."""
    return [text for text in source if text in target]
