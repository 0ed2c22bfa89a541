"""A translation model as search sees it.

Shapes: b sentences in memory, n rows (hypotheses), k places per sentence, h heads, s source, u columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seq2seq.attention.attention import AttentionOutput
from seq2seq.model.protocol import DecoderState, Readers, Source
from seq2seq.model.translation import Output, TranslationModel
from seq2seq.search.protocol import Integers
from seq2seq.search.shortlist import Selection
from seq2seq.text.batches import pad
from seq2seq.text.context import gather

_WORTH_KEEPING = 0.75
"""Share of the sentences in memory still read, below which the memory of the others is released."""


@dataclass(frozen=True)
class ModelState:
    """What the decoder reads of the sources, and how far each hypothesis is.

    The hypotheses of a sentence share its memory, which is copied only when many sentences have left.
    """

    source: Source
    state: DecoderState
    sentences: Integers
    """[n]: the sentence in memory that each hypothesis reads."""
    absent: Tensor | None = None
    """[b u]: −∞ for the columns that a sentence in memory does not have, else 0; None: all have all."""
    vocabulary: Integers | None = None
    attention: Tensor | None = None
    """[n h s]: weights of the last step."""

    def select(self, rows: Tensor) -> "ModelState":
        """Take these rows [n], given on the CPU, in that order."""
        sentences = self.sentences[rows.numpy()]
        state = self.state.select(rows.to(self.state.position.device))
        if np.array_equal(sentences, self.sentences):
            return replace(self, state=state)
        source, absent, device = self.source, self.absent, self.source.lengths.device
        read, place = np.unique(sentences, return_inverse=True)
        if len(read) < _WORTH_KEEPING * len(source.lengths):
            kept = torch.from_numpy(read).to(device)
            source, absent, sentences = source.select(kept), None if absent is None else absent[kept], place
        source = replace(source, readers=_readers(sentences, len(source.lengths), device))
        return replace(self, source=source, state=state, sentences=sentences, absent=absent)


def _readers(sentences: Integers, b: int, device: torch.device) -> Readers | None:
    """Place rows that read these of b sentences [n] in a grid; None where each sentence has one row, in order."""
    counts = np.bincount(sentences, minlength=b)
    k = int(counts.max())
    order = sentences.argsort(kind="stable")
    rank = np.empty_like(order)  # among the rows of the same sentence
    rank[order] = np.arange(len(order)) - (counts.cumsum() - counts)[sentences[order]]
    places = sentences * k + rank
    in_order = len(places) == b * k and bool((places[:-1] < places[1:]).all())
    if in_order and k == 1:
        return None
    grid_places = None if in_order else torch.from_numpy(places).to(device)
    return Readers(torch.from_numpy(sentences).to(device), grid_places, (b, k))


@dataclass(frozen=True)
class Columns:
    """The part of the vocabulary that a batch may use, on a device."""

    project: Callable[[Tensor], Tensor]
    """Features [n r] -> logits [n u]"""
    vocabulary: Integers | None
    """The tokens of the columns [u]; None: the whole vocabulary."""
    absent: Tensor | None
    """[b u]: −∞ for the columns that a sentence does not have, else 0; None: all have all."""

    @classmethod
    def select(cls, output: Output, selection: Selection | None, device: torch.device) -> "Columns":
        """`selection` has a row for each sentence; None: the whole vocabulary."""
        if selection is None:
            return cls(output.logits, None, None)
        absent = selection.absent
        if absent is not None:
            absent = torch.zeros(absent.shape).masked_fill_(absent, -torch.inf).to(device)
        tokens = torch.from_numpy(selection.tokens).to(device)
        return cls(output.restricted_to(tokens), selection.tokens, absent)


class ModelStepper:
    """One model, and the part of its vocabulary that a batch may use."""

    def __init__(
        self,
        model: TranslationModel,
        device: torch.device,
        selection: Selection | None = None,
        *,
        keep_attention: bool = True,
    ) -> None:
        """`selection` has a row for each source given to `start`; None: the whole vocabulary.

        `keep_attention`: states hold the weights of their last step.
        """
        self.model = model.eval() if model.training else model
        self.device = device
        self.keep_attention = keep_attention
        self._columns = Columns.select(model.output, selection, device)

    def start(self, sources: Sequence[Sequence[int]]) -> ModelState:
        """Source tokens, EOS included -> the state before the first step."""
        (tokens, lengths), context = pad(sources), gather(sources, pad)
        moved = None if context is None else context.to(self.device)
        source, state = self.model.encode(tokens.to(self.device), lengths.to(self.device), moved)
        return ModelState(source, state, np.arange(len(sources)), self._columns.absent, self._columns.vocabulary)

    def step(self, tokens: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """The previous tokens [n] -> log-probabilities of the next [n u], the next state."""
        log_probs, _, new = self.attend(tokens, state)
        return log_probs, new

    def attend(self, tokens: Tensor, state: ModelState) -> tuple[Tensor, AttentionOutput, ModelState]:
        """`step`, with what was attended."""

        def project(features: Tensor) -> Tensor:
            logits = self._columns.project(features)
            return logits if state.absent is None else _without(logits, state.absent, state.source.readers)

        log_probs, attended, new = self.model.step(
            tokens.to(self.device), state.source, state.state, project, need_weights=self.keep_attention
        )
        weights = attended.to_dense(state.source.size)
        last = None if weights is None else weights[:, :, 0].float()
        return log_probs, attended, replace(state, state=new, attention=last)


def _without(logits: Tensor, absent: Tensor, readers: Readers | None) -> Tensor:
    """Add to logits [n u] what is −∞ for the rows' sentences [b u]."""
    if readers is None:
        return logits.add_(absent)
    if readers.places is None:
        logits.view(*readers.shape, -1).add_(absent[:, None])
        return logits
    return logits.add_(absent.index_select(0, readers.sentences))
