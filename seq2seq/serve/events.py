"""What is told about a translation while it is made, as plain values for server-sent events."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from seq2seq.inference.heatmap import word_spans
from seq2seq.inference.live import Live, Step
from seq2seq.inference.weights import Weights


def event(kind: str, values: dict[str, Any]) -> str:
    """Return a server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(values, ensure_ascii=False)}\n\n"


def source_event(tokens: Sequence[str]) -> str:
    """Tell the columns of the weights: pieces with EOS, and the first and last piece of words of several."""
    return event("source", {"tokens": tokens, "words": word_spans(tokens)})


def step_event(step: Step) -> str:
    """Tell a step and its token. Energies outside a window are null."""
    values = {
        "number": step.number,
        "token": step.token,
        "score": _rounded(step.score),
        "weights": _rows(step.weights),
        "energies": _rows(step.energies),
        "window": None if step.window is None else asdict(step.window),
        "candidates": [[token, _rounded(score)] for token, score in step.candidates],
    }
    return event("step", values)


def posterior_event(attention: Weights | None) -> str:
    """Tell the attention given the tokens: a row for each of them."""
    return event("posterior", {"weights": None if attention is None else _rows(attention.mean(0))})


def end_event(found: Live) -> str:
    """Tell the finished translation."""
    words = word_spans(found.tokens)
    return event("end", {"text": found.text, "tokens": found.tokens, "words": words, "score": _rounded(found.score)})


def _rows(values: Weights | None) -> list[list[float | None]] | None:
    return None if values is None else [[_rounded(value) for value in row] for row in values.tolist()]


def _rounded(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None
