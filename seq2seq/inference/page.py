"""Many sentences on one page that needs nothing else: the weights as data, drawn by page.html's script where in view.

Shapes: h heads, t rows, s columns.
"""

import html
import json
from collections.abc import Iterable
from importlib import resources
from typing import Any, TextIO

import numpy as np
from torch import Tensor

from seq2seq.inference.heatmap import Heatmap, printable, word_spans

_DIGITS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
_STEPS = len(_DIGITS) ** 2 - 1


def write_page(file: TextIO, title: str, languages: tuple[str, str], heatmaps: Iterable[tuple[int, Heatmap]]) -> None:
    """The numbered heat maps as a page, written as they come. `languages` are those of source and target."""
    template = resources.files("seq2seq.inference").joinpath("page.html").read_text(encoding="utf-8")
    before, after = template.split("{{data}}")
    file.write(before.replace("{{title}}", html.escape(title)))
    tags = [language.replace("_", "-") for language in languages]
    file.write(f'{{"languages":{_plain(tags)},"sentences":[')
    for place, (number, heatmap) in enumerate(heatmaps):
        file.write(("," if place else "") + "\n" + _plain(_record(number, heatmap)))
    file.write(f"\n]}}{after}")


def _record(number: int, heatmap: Heatmap) -> dict[str, Any]:
    windows = heatmap.windows
    return {
        "number": number,
        "source": heatmap.source,
        "target": heatmap.target,
        "columns": [printable(token) for token in heatmap.columns],
        "rows": [printable(token) for token in heatmap.rows],
        "words": [word_spans(heatmap.columns), word_spans(heatmap.rows)],
        "weights": [_digits(weights) for weights in heatmap.weights],
        "score": round(heatmap.score, 4),
        "scores": [round(score, 4) for score in heatmap.scores],
        "windows": windows and [(focus.first, focus.last, round(focus.centre, 2)) for focus in windows],
    }


def _digits(weights: Tensor) -> str:
    """Weights [t s], row after row, in 4095ths, each as two digits to the base of 64."""
    steps = (weights.double().clamp(0, 1) * _STEPS).round().long().numpy()  # [t s]
    digits: bytes = _DIGITS[np.stack([steps // len(_DIGITS), steps % len(_DIGITS)], -1)].tobytes()
    return digits.decode("ascii")


def _plain(value: Any) -> str:
    """As JSON that no tag or comment can end the script in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
