"""One translation, token by token: what the model attends to in each step, and what happens if it looks elsewhere.

Shapes: h heads, s source, w positions of a window, u vocabulary.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.config import Decoding
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.models import check_length
from seq2seq.inference.translator import Translator
from seq2seq.inference.weights import AttentionWindow, Weights
from seq2seq.model.protocol import Focus
from seq2seq.search.greedy import greedy
from seq2seq.search.protocol import Ranking, Stepper
from seq2seq.search.stepper import ModelState, ModelStepper

_CANDIDATES = 8
"""Tokens that are listed for a step"""


@dataclass(frozen=True)
class Step:
    """A step of the decoder, and the token that it chose."""

    number: int
    """From 0"""
    token: str
    score: float
    """Natural-log probability of the token"""
    weights: Weights | None
    """[h s]; None without attention"""
    energies: Weights | None
    """[h s]: what the normaliser was given, −∞ outside a local window; None for an ensemble and for edited steps"""
    window: AttentionWindow | None
    """Where a local window stood"""
    candidates: list[tuple[str, float]]
    """The most probable tokens with their log-probabilities, best first"""


@dataclass(frozen=True)
class Live:
    """A finished translation."""

    text: str
    tokens: list[str]
    score: float


def source_tokens(translator: Translator, line: str) -> list[str]:
    """Return the pieces of a source line, with EOS: the columns of each step's weights. A blank line has none."""
    if translator.source.is_blank(line):
        return []
    return translator.source.pieces(translator.source.encode([line], [translator.source.protected(line)])[0])


def translate_live(
    translator: Translator,
    line: str,
    show: Callable[[Step], object],
    *,
    prefix: Sequence[str] = (),
    edits: Mapping[int, Sequence[float]] | None = None,
    decoding: Decoding | None = None,
) -> Live:
    """Translate a line greedily, as `translate` does with a beam of 1, and show each step as soon as it is done.

    `prefix` are the tokens to begin with. `edits` maps numbers of steps to weights over the source tokens, which all
    heads of the attention that alignments are read from then have. `show` may raise, which ends the translation.
    Raises DataError for tokens that the model lacks and for weights of another number, ConfigError for edits of an
    ensemble or of a model without attention.
    """
    options = decoding or Decoding()
    if translator.source.is_blank(line):
        return Live("", [], 0.0)
    readings = translator.read([line], [()], [translator.source.protected(line)])
    encoded = translator.of_source(readings)
    check_length(max(len(reading[0]) for reading in readings), "the sentence")
    begun = translator.numbers(prefix)
    models = translator.models(options.precision)
    edits = edits or {}
    if edits and (len(models) > 1 or not translator.attends):
        raise ConfigError("edits: expected a single model with attention; an ensemble has several attentions")
    for number, weights in edits.items():
        if len(weights) != len(encoded[0]):
            raise DataError(f"edits.{number}: {len(weights)} weights for {len(encoded[0])} source tokens, EOS included")
    stepper = translator.combined([ModelStepper(model, translator.device) for model in models], readings)
    watched = _Watched(stepper, edits, lambda *chosen: show(_as_step(translator, *chosen)))
    ranking = Ranking(options.length_normalisation, options.length_penalty)
    ((found,),) = greedy(watched, encoded, translator.limits(options), ranking, [begun])
    watched.finish(found.tokens[-1])
    text = translator.target.decode(found.tokens, translator.source.protected(line))
    return Live(text, translator.target.pieces(found.tokens), found.score)


_Taken = tuple[Tensor, Tensor | None, Tensor | None, AttentionWindow | None]
"""A step whose token is not chosen yet: log-probabilities [u], weights, energies, window"""


class _Watched:
    """A model for one sentence, whose steps are shown, and whose attention can be told where to look."""

    def __init__(
        self, stepper: Stepper[Any], edits: Mapping[int, Sequence[float]], show: Callable[[int, int, _Taken], object]
    ) -> None:
        """`show` gets the number of each step, its token, and what was seen."""
        self._stepper, self._edits, self._show = stepper, edits, show
        self._taken: _Taken | None = None
        self._number = 0

    def start(self, sources: Sequence[Sequence[int]]) -> Any:
        return self._stepper.start(sources)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        if self._taken is not None:
            self.finish(int(tokens[0]))
        if isinstance(self._stepper, ModelStepper):
            log_probs, state, energies, window = self._look(self._stepper, tokens, state)
        else:
            log_probs, state = self._stepper.step(tokens, state)
            energies = window = None
        # Search overwrites the log-probabilities.
        self._taken = log_probs[0].clone(), state.attention, energies, window
        return log_probs, state

    def finish(self, token: int) -> None:
        """Show the last step, which has chosen this token."""
        assert self._taken is not None
        self._show(self._number, token, self._taken)
        self._number += 1

    def _look(
        self, stepper: ModelStepper, tokens: Tensor, state: ModelState
    ) -> tuple[Tensor, ModelState, Tensor | None, AttentionWindow | None]:
        source = state.source
        if self._number in self._edits:
            weights = torch.tensor([self._edits[self._number]], device=stepper.device)
            focus = Focus(stepper.model.decoder.alignment_layer, weights)
            state = replace(state, source=replace(source, pointer=focus))
        attention = stepper.model.attention
        with _energies(None if attention is None else attention.score) as seen:
            log_probs, attended, new = stepper.attend(tokens, state)
        spans = stepper.model.windows(attended, source.lengths)
        window = None
        if spans is not None:
            first, last, centre = (float(end[0, 0]) for end in spans)
            window = AttentionWindow(int(first), int(last), centre)
        energies = None
        if seen:
            energies = seen[0][0, :, 0].float()  # [h w]
            if attended.index is not None:
                outside = energies.new_full((len(energies), source.size), -torch.inf)
                energies = outside.scatter_(1, attended.index[0].expand_as(energies), energies)
            if window is not None:
                energies[:, : window.first] = energies[:, window.last + 1 :] = -torch.inf
        return log_probs, replace(new, source=source), energies, window


@contextmanager
def _energies(score: nn.Module | None) -> Iterator[list[Tensor]]:
    """Collect what a score gives in this thread."""
    seen: list[Tensor] = []
    thread = threading.get_ident()

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        if threading.get_ident() == thread:
            seen.append(output)

    with nullcontext() if score is None else score.register_forward_hook(keep):
        yield seen


def _as_step(translator: Translator, number: int, token: int, taken: _Taken) -> Step:
    log_probs, weights, energies, window = taken
    best = log_probs.topk(min(_CANDIDATES, len(log_probs)))
    pieces = translator.target.pieces([token, *best.indices.tolist()])
    return Step(
        number,
        pieces[0],
        float(log_probs[token]),
        None if weights is None else weights[0].cpu().numpy(),
        None if energies is None else energies.cpu().numpy(),
        window,
        list(zip(pieces[1:], best.values.tolist(), strict=True)),
    )
