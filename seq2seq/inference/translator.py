"""Raw text in, translations out."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from seq2seq.attention.attention import Attention
from seq2seq.config import Decoding
from seq2seq.inference.stepper import ModelStepper
from seq2seq.model.translation import TranslationModel
from seq2seq.search.beam import beam
from seq2seq.search.greedy import greedy
from seq2seq.search.protocol import Hypothesis, LengthPenalty, Limits
from seq2seq.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

_SORTED_BATCHES = 16
"""So many batches of sentences are sorted by length together."""


@dataclass(frozen=True)
class Translation:
    """A sentence, its translation, and how the model came to it."""

    source: str
    text: str
    score: float
    """Natural-log probability of the tokens, `</s>` included when it was produced; no penalty."""
    rank: float
    """What search sorted by: the score over the length penalty."""
    source_tokens: list[str]
    tokens: list[str]
    token_scores: list[float]
    attention: Tensor | None
    """[h t s]: a row of weights over the source tokens for each token; None without attention."""


class Translator:
    """A trained model with its tokenizers."""

    def __init__(
        self, model: TranslationModel, source: Tokenizer, target: Tokenizer, device: torch.device, target_lang: str
    ) -> None:
        self.model = model.to(device).eval()
        self.source, self.target = source, target
        self.device = device
        self.target_lang = target_lang

    def translate(self, lines: Iterable[str], decoding: Decoding | None = None) -> Iterator[list[Translation]]:
        """For each line, in order, its n best translations, best first. A blank line gives an empty one.

        Lines are taken in groups of a few batches and sorted by length within a group.
        """
        options = decoding or Decoding()
        model = ModelStepper(self.model, self.device, options.precision)
        limits = Limits(self.target.forbidden(), options.max_length, options.max_length_ratio)
        penalty = LengthPenalty(options.length_normalisation, options.length_penalty)

        def search(sources: Sequence[Sequence[int]]) -> list[list[Hypothesis]]:
            if options.beam_size == 1:
                return greedy(model, sources, limits, penalty)
            return beam(model, sources, limits, penalty, options.beam_size, options.n_best)

        reach = self._reach()
        out_of_reach = 0
        remaining = iter(lines)
        while group := list(islice(remaining, options.batch_size * _SORTED_BATCHES)):
            encoded = self.source.encode(group)
            filled = sorted((i for i, line in enumerate(group) if line.strip()), key=lambda i: len(encoded[i]))
            found: dict[int, list[Hypothesis]] = {}
            for start in range(0, len(filled), options.batch_size):
                rows = filled[start : start + options.batch_size]
                found.update(zip(rows, search([encoded[row] for row in rows]), strict=True))
            out_of_reach += sum(len(tokens) > reach for tokens in encoded)
            for row, line in enumerate(group):
                yield [self._translation(line, encoded[row], h) for h in found.get(row, [])] or [_blank(line)]

        if out_of_reach:
            logger.info("%d sources are longer than the %d positions that `location` can attend", out_of_reach, reach)

    def _reach(self) -> float:
        """How many source positions the score can tell apart."""
        attention = self.model.decoder.attention
        reach = attention.score.reach if isinstance(attention, Attention) else None
        return math.inf if reach is None else reach

    def _translation(self, line: str, source: list[int], hypothesis: Hypothesis) -> Translation:
        return Translation(
            line,
            self.target.decode(hypothesis.tokens),
            hypothesis.score,
            hypothesis.rank,
            self.source.pieces(source),
            self.target.pieces(hypothesis.tokens),
            hypothesis.token_scores,
            hypothesis.attention,
        )


def _blank(line: str) -> Translation:
    return Translation(line, "", 0.0, 0.0, [], [], [], None)
