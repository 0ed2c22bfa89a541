"""Raw text in, translations out."""

import logging
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
_USUAL_LENGTH = 64
"""Source tokens of a sentence up to which a batch has its full number of them."""


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
        self,
        model: TranslationModel,
        source: Tokenizer,
        target: Tokenizer,
        device: torch.device,
        languages: tuple[str, str],
    ) -> None:
        """`languages` are those of source and target."""
        self.model = model.to(device).eval()
        self.source, self.target = source, target
        self._forbidden = target.forbidden()
        self.device = device
        self.source_lang, self.target_lang = languages

    def translate(self, lines: Iterable[str], decoding: Decoding | None = None) -> Iterator[list[Translation]]:
        """For each line, in order, its n best translations, best first. A blank line gives an empty one.

        Lines are taken in groups of a few batches.
        """
        if isinstance(lines, str):
            raise TypeError("lines: expected several sentences, got one text; give [text]")
        options = decoding or Decoding()
        remaining = iter(lines)
        while group := list(islice(remaining, self.group_size(options))):
            yield from self.translate_group(group, options)

    @staticmethod
    def group_size(decoding: Decoding) -> int:
        """How many lines are best translated together: sorted by length they fill whole batches."""
        return decoding.batch_size * _SORTED_BATCHES

    def translate_group(self, lines: Sequence[str], decoding: Decoding) -> list[list[Translation]]:
        """The n best translations of each line, searched for in batches of similar length."""
        model = ModelStepper(self.model, self.device, decoding.precision)
        limits = Limits(self._forbidden, decoding.max_length, decoding.max_length_ratio)
        penalty = LengthPenalty(decoding.length_normalisation, decoding.length_penalty)
        encoded = self.source.encode(lines)
        self._warn_of_reach(encoded)
        filled = sorted((i for i, line in enumerate(lines) if line.strip()), key=lambda i: len(encoded[i]))
        found: list[list[Translation]] = [[_blank(line)] * decoding.n_best for line in lines]
        for rows in _batches(filled, [len(tokens) for tokens in encoded], decoding.batch_size):
            sources = [encoded[row] for row in rows]
            if decoding.beam_size == 1:
                hypotheses = greedy(model, sources, limits, penalty)
            else:
                hypotheses = beam(model, sources, limits, penalty, decoding.beam_size, decoding.n_best)
            for row, ranked in zip(rows, hypotheses, strict=True):
                found[row] = [self._translation(lines[row], encoded[row], hypothesis) for hypothesis in ranked]
        return found

    def _warn_of_reach(self, sources: Sequence[Sequence[int]]) -> None:
        attention = self.model.decoder.attention
        reach = attention.score.reach if isinstance(attention, Attention) else None
        longer = 0 if reach is None else sum(len(source) > reach for source in sources)
        if longer:
            logger.info("%d sources are longer than the %s positions that `location` can attend", longer, reach)

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


def _batches(rows: Sequence[int], lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Rows of ascending length in batches; of very long sentences fewer go together."""
    batch: list[int] = []
    for row in rows:
        if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[row] > batch_size * _USUAL_LENGTH):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _blank(line: str) -> Translation:
    return Translation(line, "", 0.0, 0.0, [], [], [], None)
