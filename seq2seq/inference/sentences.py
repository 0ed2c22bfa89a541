"""Lines of several sentences: splitting them, and joining the sentences' translations."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import WordAlignment
from seq2seq.inference.translation import Translation
from seq2seq.text.languages import base_language, is_unspaced
from seq2seq.version import install_command

logger = logging.getLogger(__name__)


class SentenceSplitter:
    """Splits the lines of one language into sentences."""

    def __init__(self, language: str) -> None:
        """Raises ConfigError unless sentencex is installed."""
        try:
            from sentencex import segment
        except ImportError as error:
            raise ConfigError(
                f"split=sentences needs sentencex. Install it: {install_command('split')}; or use split=none."
            ) from error
        self._segment = segment
        self._language = base_language(language)
        self._unspaced = is_unspaced(language)

    def __call__(self, line: str) -> list[str]:
        """Return the sentences of a line, at least one, without white space around them.

        A sentence ends only at white space, unless the language is written without it, so that no word is split.
        """
        sentences = [""]
        for part in self._segment(self._language, line):
            if self._unspaced or not sentences[-1] or sentences[-1][-1:].isspace() or part[:1].isspace():
                sentences.append(part)
            else:
                sentences[-1] += part
        return [sentence.strip() for sentence in sentences if sentence.strip()] or [line]


def join_translations(line: str, parts: Sequence[Translation], language: str) -> Translation:
    """Join the translations of a line's sentences into this language; scores are added."""
    if len(parts) == 1:
        return replace(parts[0], source=line)
    separator = "" if is_unspaced(language) else " "
    attention = [part.attention for part in parts if part.attention is not None]
    return Translation(
        line,
        separator.join(part.text for part in parts if part.text),
        sum(part.score for part in parts),
        sum(part.rank for part in parts),
        [token for part in parts for token in part.source_tokens],
        [token for part in parts for token in part.tokens],
        [score for part in parts for score in part.token_scores],
        np.stack([_block_diagonal(heads) for heads in zip(*attention, strict=True)]) if attention else None,
        shortlist=parts[0].shortlist,
        cut=any(part.cut for part in parts),
        sentences=len(parts),
    )


def join_alignments(parts: Sequence[WordAlignment]) -> WordAlignment:
    """Join the alignments of a line's sentences; no word is linked to one of another sentence."""
    source: list[str] = []
    target: list[str] = []
    links = []
    for part in parts:
        links += [(i + len(source), j + len(target)) for i, j in part.links]
        source += part.source
        target += part.target
    return WordAlignment(source, target, _block_diagonal([part.matrix for part in parts]), links)


def _block_diagonal(blocks: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Join matrices along the diagonal of one that is 0 elsewhere."""
    joined: NDArray[Any] = torch.block_diag(*map(torch.from_numpy, blocks)).numpy()  # type: ignore[no-untyped-call]
    return joined


class LongSources:
    """Counts sources that are longer than any that the model was trained on."""

    def __init__(self, longest: int | None) -> None:
        """`longest` is in source tokens with EOS; None if unknown."""
        self._longest = longest
        self._count = self._example = self._tokens = 0

    def add(self, line: int, translations: Iterable[Translation]) -> None:
        """Count the sources of these translations of a line, given its number."""
        if self._longest is None:
            return
        for tokens in (len(translation.source_tokens) for translation in translations):
            self._count += tokens > self._longest
            if tokens > max(self._longest, self._tokens):
                self._example, self._tokens = line, tokens

    def warn(self, advice: str = "") -> None:
        """Log how many there were, and the longest one."""
        if self._count:
            logger.warning(
                "%d %s longer than the longest that the model was trained on, which has %d tokens (line %d has %d). "
                "Expect poor translations.%s",
                self._count,
                "source is" if self._count == 1 else "sources are",
                self._longest,
                self._example,
                self._tokens,
                advice,
            )
