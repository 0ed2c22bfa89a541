"""Word alignments given with a parallel text, and the pieces they link.

Shapes: t target pieces, s source pieces, i source words, j target words, n linked pairs of pieces.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import DataError
from seq2seq.text.corpus import content_hash, find_file, read_lines
from seq2seq.text.parallel import ParallelText
from seq2seq.text.words import Words, find_words

Link = tuple[int, int]
"""Source word and target word, counted from 0."""


@dataclass(frozen=True)
class WordLinks:
    """A file in Pharaoh's format: each line has the links `i-j` of a pair, source word i and target word j, from 0."""

    path: Path
    languages: tuple[str, str]
    """Languages of source and target, which decide what a word is."""

    @classmethod
    def find(cls, name: str, source_lang: str, target_lang: str) -> "WordLinks":
        """Find the file `name`, or NAME.gz."""
        return cls(find_file(name), (source_lang, target_lang))

    def beside(self, text: ParallelText) -> Iterator[tuple[str, str, list[Link]]]:
        """Source, target and links of each pair. Raises DataError unless every link joins two words of its pair."""
        for number, (pair, line) in enumerate(zip_longest(text.pairs(), read_lines(self.path)), 1):
            where = f"{self.path}:{number}"
            if line is None:
                raise DataError(
                    f"{where}: the file ends here, but {text.name} has a pair {number}; "
                    "a line is needed for each pair, blank where nothing is linked"
                )
            if pair is None:
                raise DataError(
                    f"{where}: {text.name} has no pair {number}; a line is needed for each pair, and no more"
                )
            links = read_links(line, where)
            words = [len(find_words(side, language)) for side, language in zip(pair, self.languages, strict=True)]
            for i, j in links:
                if i >= words[0] or j >= words[1]:
                    raise DataError(
                        f"{where}: the link {i}-{j} is out of range: this pair has {words[0]} source and "
                        f"{words[1]} target words, counted from 0; source comes first"
                    )
            yield *pair, links

    def content_hash(self) -> str:
        """SHA-256 of the uncompressed bytes."""
        return content_hash(self.path)


def read_links(line: str, where: str) -> list[Link]:
    """Parse links `i-j`, words counted from 0. Raises DataError naming the place."""
    return [_parse(link, where) for link in line.split()]


def _parse(link: str, where: str) -> Link:
    parts = re.fullmatch("([0-9]{1,9})-([0-9]{1,9})", link)
    if not parts:
        raise DataError(f"{where}: {link[:60]!r} is no link; expected i-j, words counted from 0")
    return int(parts[1]), int(parts[2])


def join_pieces(links: Iterable[Link], source: Words, target: Words) -> NDArray[np.uint32]:
    """Each target piece with each source piece that the links of their words join [n 2].

    Pairs are in the order of the target, each of them once.
    """
    linked = np.zeros((len(target.words), len(source.words)))  # [j i]
    for i, j in links:
        linked[j, i] = 1
    joined = target.membership() @ linked @ source.membership().T  # [t s]
    return np.argwhere(joined).astype(np.uint32)
