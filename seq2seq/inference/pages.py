"""HTML pages that need nothing else: templates, filled in with everything escaped.

Shapes: h heads, t rows, s columns.
"""

import io
from collections.abc import Iterable
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from seq2seq.inference.heatmap import Heatmap, printable, word_spans
from seq2seq.inference.weights import Weights

if TYPE_CHECKING:
    from jinja2 import Environment

_DIGITS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
_ROW, _LETTER, _FRAME = 24, 9, 190
"""Pixels of a row and of a letter of a column's name, at most, and of all else on a page of one heat map"""
_STEPS = len(_DIGITS) ** 2 - 1


@cache
def templates() -> "Environment":
    """The templates of this package. Whatever they show is escaped, and a missing value is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("seq2seq.inference"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["printable"] = printable
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment


def write_heatmaps(
    file: TextIO, title: str, languages: tuple[str, str], heatmaps: Iterable[tuple[int, Heatmap]]
) -> None:
    """Write numbered heat maps as a page, one by one: the weights are data, which the page's script draws in view.

    `languages` are those of source and target.
    """
    tags = [language.replace("_", "-") for language in languages]
    records = (_record(number, heatmap) for number, heatmap in heatmaps)
    template = templates().get_template("heatmaps.html")
    file.writelines(template.generate(title=title, languages=tags, records=records))


def in_notebook(heatmap: Heatmap | None) -> str | None:
    """Return a heat map as HTML for the output of a notebook: the same page, in a frame. None without one."""
    if heatmap is None:
        return None
    page = io.StringIO()
    write_heatmaps(page, heatmap.target, ("und", "und"), [(1, heatmap)])
    height = _FRAME + _ROW * len(heatmap.rows) + _LETTER * max(map(len, heatmap.columns), default=0)
    return f'<iframe srcdoc="{escape(page.getvalue())}" style="width: 100%; height: {height}px; border: 0"></iframe>'


def _record(number: int, heatmap: Heatmap) -> dict[str, Any]:
    windows = heatmap.windows
    return {
        "number": number,
        "part": heatmap.part,
        "source": heatmap.source,
        "target": heatmap.target,
        "columns": [printable(token) for token in heatmap.columns],
        "rows": [printable(token) for token in heatmap.rows],
        "words": [word_spans(heatmap.columns), word_spans(heatmap.rows)],
        "weights": [encode_weights(weights) for weights in heatmap.weights],
        "score": round(heatmap.score, 4),
        "scores": [round(score, 4) for score in heatmap.scores],
        "windows": windows and [(window.first, window.last, round(window.centre, 2)) for window in windows],
    }


def encode_weights(weights: Weights) -> str:
    """Encode weights [t s], row after row, in 4095ths, as two base-64 digits each."""
    steps = (weights.astype(np.float64).clip(0, 1) * _STEPS).round().astype(int)  # [t s]
    return _DIGITS[np.stack(np.divmod(steps, len(_DIGITS)), -1)].tobytes().decode("ascii")
