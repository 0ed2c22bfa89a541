"""Text that is kept to the letter: in its place the model reads and says a numbered piece, ⟦0⟧ for the first one."""

import re
from collections.abc import Sequence

from seq2seq.text.cleaning import Replacement

MOST = 10
"""Different protected texts of a sentence; further ones are ordinary text."""
SYMBOLS = [f"⟦{number}⟧\n" for number in range(MOST)]
"""Names of their pieces; as lines have no line feed, no text is taken for one."""
_SYMBOL = re.compile("⟦([0-9])⟧\n")


class Protection:
    """Finds what matches one of the patterns, of overlapping ones what begins first."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None

    def find(self, line: str) -> list[str]:
        """The different texts of a line that are protected, in order."""
        if self._pattern is None:
            return []
        return list(dict.fromkeys(match[0] for match in self._pattern.finditer(line) if match[0]))[:MOST]

    def hide(self, line: str, texts: Sequence[str]) -> list[Replacement]:
        """The symbols in place of these texts, where the line has them as a whole match."""
        if self._pattern is None or not texts:
            return []
        numbers = {text: number for number, text in enumerate(texts)}
        matches = (match for match in self._pattern.finditer(line) if match[0] in numbers)
        return [Replacement(match.start(), match.end(), SYMBOLS[numbers[match[0]]]) for match in matches]


def show(text: str, texts: Sequence[str]) -> list[Replacement]:
    """These texts in place of the symbols; nothing in place of a symbol that has no text."""
    return [
        Replacement(match.start(), match.end(), texts[number] if (number := int(match[1])) < len(texts) else "")
        for match in _SYMBOL.finditer(text)
    ]


def common(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """The texts that both sides of a pair have, in the order of the source."""
    return [text for text in source if text in target]
