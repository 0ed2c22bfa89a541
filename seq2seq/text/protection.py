"""Text that is kept to the letter: the model reads and produces a numbered piece in its place, ⟦0⟧ for the first."""

import re
from collections.abc import Sequence

from seq2seq.errors import DataError
from seq2seq.text.cleaning import Replacement

_NAMED = {
    "placeholders": r"\$?\{\w*\}|%(?:\(\w+\))?[0-9]*\$?[-+0#]?[0-9]*(?:\.[0-9]+)?[diouxXeEfFgGcrsa@](?!\w)",
    "urls": r"(?:https?://|ftp://|www\.)[^\s<>\"]*[\w/]|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "markup": r"</?[A-Za-z][^<>]*>|&(?:\w+|#\w+);",
}
"""Patterns with names. Checkpoints hold only the name, so the pattern behind it may not change."""

MOST = 10
"""Distinct protected texts in a sentence, at most; further ones are ordinary text."""
SYMBOLS = [f"⟦{number}⟧\n" for number in range(MOST)]
"""Names of the numbered pieces. Lines have no line feed, so no text is mistaken for one."""
_SYMBOL = re.compile("⟦([0-9])⟧\n")


class Protection:
    """Finds what matches any of the patterns; of overlapping matches the one that begins first."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile patterns: regular expressions, or names of known ones. Raises DataError for anything else."""
        self.patterns = [_NAMED.get(pattern, pattern) for pattern in patterns]
        for pattern in self.patterns:
            try:
                empty = re.fullmatch(pattern, "")
            except re.error as error:
                raise DataError(
                    f"data.protect: {pattern} is no regular expression ({error}). Expected one, or a name: "
                    f"{', '.join(_NAMED)}."
                ) from error
            if empty:
                raise DataError(f"data.protect: {pattern} matches empty text. Let it match at least one character.")
        self.pattern = "|".join(f"(?:{pattern})" for pattern in self.patterns)
        """One for all of them; empty without any."""
        self._pattern = re.compile(self.pattern) if patterns else None

    def find(self, line: str) -> list[str]:
        """The distinct protected texts of a line, in order."""
        if self._pattern is None:
            return []
        return list(dict.fromkeys(match[0] for match in self._pattern.finditer(line) if match[0]))[:MOST]

    def remove(self, line: str) -> str:
        """Put a space in place of each protected text."""
        return line if self._pattern is None else self._pattern.sub(" ", line)

    def hide(self, line: str, texts: Sequence[str]) -> list[Replacement]:
        """Replace these texts by their symbols, where they are whole matches in the line."""
        if self._pattern is None or not texts:
            return []
        symbols = dict(zip(texts, SYMBOLS, strict=False))
        matches = (match for match in self._pattern.finditer(line) if match[0] in symbols)
        return [Replacement(match.start(), match.end(), symbols[match[0]]) for match in matches]


def show(text: str, texts: Sequence[str]) -> list[Replacement]:
    """Replace the symbols by these texts, and a symbol without a text by nothing."""
    return [
        Replacement(match.start(), match.end(), texts[number] if (number := int(match[1])) < len(texts) else "")
        for match in _SYMBOL.finditer(text)
    ]


def common(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """The texts that both sides of a pair have, in the order of the source."""
    return [text for text in source if text in target]
