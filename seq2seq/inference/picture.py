"""Attention matrices as pictures for print: PNG, SVG, PDF. Needs matplotlib.

As in Bahdanau 2015, fig. 3, the source runs along the top and the target down the side; here ink is weight, 0 is white
and 1 is black in every picture. Lengths are inches, sizes of type points.
"""

import io
import logging
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation

from seq2seq.inference.fonts import Fonts, is_cff
from seq2seq.inference.heatmap import Heatmap, fold, label, printable, word_spans
from seq2seq.inference.weights import Windows

_COLOURS = "gray_r"
"""From white to black, even in lightness"""
_FOCUS = "#d95f02"
_FAINT = 0.5 / 255
"""Smaller weights would be white."""
_LARGEST, _SMALLEST = 0.25, 0.11
"""Sides of a cell, depending on the length of the sentence"""
_USUAL = 6.0
"""Side of a matrix, to which cells shrink"""
_MOST = 60.0
"""Side of a picture, to which cells of very long sentences shrink"""
_ACROSS = 4
"""Heads side by side; more go below"""
_GAP = 0.25
_TYPE = 9.0
_TITLE = 7.0
_MIN_TITLE = 3.0
"""Inches that a title may fill, however small the matrix is"""
_LABEL_GAP = 4.0
"""Points between labels and matrix"""
_WORD = "0.4"
"""The grey of titles and of the lines beside words"""
_RESOLUTION = 200
"""Dots per inch"""
_SIDEWAYS = set("ー～〜…‥—―「」『』（）｛｝〔〕【】《》〈〉［］：；＝－｜")
"""Wide characters that look different in a column of text than in a row"""
Script = dict[str, Any]
"""How matplotlib writes a language: `family`, the fonts in order, and `language`"""
_STYLE: dict[Any, Any] = {
    "axes.linewidth": 0.4,
    "svg.fonttype": "none",  # text stays text, in the viewer's fonts
    "svg.hashsalt": "seq2seq",
    "text.usetex": False,
    "text.parse_math": False,
    "text.hinting": "none",
}


class Painter:
    """Draws heat maps of one pair of languages; `missing` collects the characters that no font has."""

    def __init__(self, source_lang: str, target_lang: str) -> None:
        self.languages = (source_lang.replace("_", "-"), target_lang.replace("_", "-"))
        self.fonts = (Fonts(source_lang), Fonts(target_lang))

    @property
    def missing(self) -> set[str]:
        return self.fonts[0].missing | self.fonts[1].missing

    def draw(self, heatmap: Heatmap, file_format: str) -> bytes:
        """Return the content of a png, svg or pdf file: the same heat map gives the same bytes."""
        sides = (heatmap.columns, heatmap.source), (heatmap.rows, heatmap.target)
        faces = [
            fonts.choose([*map(label, tokens), printable(sentence)])
            for fonts, (tokens, sentence) in zip(self.fonts, sides, strict=True)
        ]
        # matplotlib embeds PostScript outlines as type 42 in a way that several viewers can't read.
        outlines = 3 if any(is_cff(face) for side in faces for face in side) else 42
        logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports each glyph that it embeds
        with matplotlib.rc_context({**_STYLE, "pdf.fonttype": outlines}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # see `missing`
            source, target = (
                {"family": [family for family, _, _ in side] + ["sans-serif"], "language": language}
                for side, language in zip(faces, self.languages, strict=True)
            )
            return _content(_figure(heatmap, source, target), file_format)


def _figure(heatmap: Heatmap, source: Script, target: Script) -> Figure:
    heads, t, s = heatmap.weights.shape
    across = min(heads, _ACROSS)
    down = -(-heads // across)
    cell = min(_LARGEST, max(_USUAL / max(t, s), _SMALLEST), _MOST / (across * s), _MOST / (down * t))
    size = min(_TYPE, 0.62 * 72 * cell)
    width, height = s * cell, t * cell
    whole_width = across * (width + _GAP)
    figure = Figure(figsize=(whole_width, down * (height + _GAP)))

    def place(axes: Axes, left: float, top: float, wide: float, high: float) -> None:
        """Set the position in inches from the figure's upper left."""
        full_width, full_height = figure.get_size_inches()
        axes.set_position((left / full_width, 1 - (top + high) / full_height, wide / full_width, high / full_height))

    panels = [figure.add_axes((0, 0, 1, 1)) for _ in range(heads)]
    overhang = 0.0
    for number, axes in enumerate(panels):
        first_of_row = number % across == 0
        _draw_matrix(axes, heatmap.weights[number].tolist(), heatmap.windows, cell)
        _join_pieces(axes, word_spans(heatmap.columns), word_spans(heatmap.rows) if first_of_row else [])
        labels = _label_columns(axes, map(label, heatmap.columns), fontsize=size, **source)
        if first_of_row:
            for j, token in enumerate(heatmap.rows):
                at, side = (0, j), axes.get_yaxis_transform()
                _write(axes, label(token), at, (-_LABEL_GAP, 0), side, ha="right", va="center", fontsize=size, **target)
        if number == 0:
            overhang = max(text.get_window_extent().height for text in labels) / figure.dpi
        if heads > 1:
            axes.set_xlabel(f"head {number + 1}", fontsize=max(size, 5), labelpad=3)
    room = int(max(whole_width, _MIN_TITLE) * 72 / (0.55 * _TITLE))
    for line, sentence, script in ((1, heatmap.source, source), (0, heatmap.target, target)):
        above = (0, overhang * 72 + 2 * _LABEL_GAP + line * 1.4 * _TITLE)
        style = {"ha": "left", "va": "bottom", "fontsize": _TITLE, "color": _WORD}
        _write(panels[0], _shorten(sentence, room), (0, 1), above, "axes fraction", **style, **script)
    pitch = overhang + height + _GAP + 0.1  # down to the next row of panels
    for number, axes in enumerate(panels):
        place(axes, number % across * (width + _GAP), number // across * pitch, width, height)
    bar = figure.add_axes((0, 0, 1, 1))
    place(bar, whole_width - _GAP + 0.1, 0, 0.08, min(height, 1.0))
    scale = figure.colorbar(ScalarMappable(Normalize(0, 1), _COLOURS), cax=bar, ticks=[0, 1])
    scale.ax.tick_params(length=0, pad=2, labelsize=6)
    scale.set_label("weight", fontsize=6, labelpad=-2)
    return figure


def _content(figure: Figure, file_format: str) -> bytes:
    no_date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[file_format]
    content = io.BytesIO()
    figure.savefig(content, format=file_format, dpi=_RESOLUTION, bbox_inches="tight", pad_inches=0.03, metadata=no_date)
    return content.getvalue()


def _draw_matrix(axes: Axes, weights: list[list[float]], windows: Windows | None, cell: float) -> None:
    """Draw a square for each weight that is not white, and on top each row's window and its centre."""
    t, s = len(weights), len(weights[0])
    axes.set(xlim=(-0.5, s - 0.5), ylim=(t - 0.5, -0.5), xticks=[], yticks=[])
    axes.spines[:].set_color("0.6")
    cells = [(i, j, weight) for j, row in enumerate(weights) for i, weight in enumerate(row) if weight > _FAINT]
    corners = [[(i + x, j + y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))] for i, j, _ in cells]
    squares = PolyCollection(corners, cmap=_COLOURS, norm=Normalize(0, 1), edgecolors="white", linewidths=2 * cell)
    squares.set_array([weight for _, _, weight in cells])
    axes.add_collection(squares, autolim=False)
    if windows:
        style: dict[str, Any] = {"linewidths": 0.7, "capstyle": "projecting", "clip_on": False}
        axes.add_collection(LineCollection(_outline(windows), colors=_FOCUS, **style), autolim=False)
        style = {"color": _FOCUS, "edgecolors": "white", "linewidths": 0.4, "zorder": 3, "clip_on": False}
        axes.scatter([window.centre for window in windows], range(t), s=(0.3 * 72 * cell) ** 2, **style)


def _outline(windows: Windows) -> list[list[tuple[float, float]]]:
    """Return the lines around what the rows see: they run wherever one of two neighbours is seen and the other not."""
    sides = [(window.first - 0.5, window.last + 0.5) for window in windows]
    lines = [[(x, j - 0.5), (x, j + 0.5)] for j, side in enumerate(sides) for x in side]
    nothing = (sides[0][0], sides[0][0]), (sides[-1][0], sides[-1][0])
    for j, (above, below) in enumerate(pairwise([nothing[0], *sides, nothing[1]])):
        a, b, c, d = sorted((*above, *below))
        lines += [[(x, j - 0.5), (y, j - 0.5)] for x, y in ((a, b), (c, d)) if x < y]
    return lines


def _join_pieces(axes: Axes, columns: Sequence[tuple[int, int]], rows: Sequence[tuple[int, int]]) -> None:
    """Draw a line beside the pieces of each word that has several, between their labels and the matrix."""
    above = axes.get_xaxis_transform() + ScaledTranslation(0, _LABEL_GAP / 144, axes.figure.dpi_scale_trans)
    left = axes.get_yaxis_transform() + ScaledTranslation(-_LABEL_GAP / 144, 0, axes.figure.dpi_scale_trans)
    lines = [[(first - 0.36, 1), (last + 0.36, 1)] for first, last in columns], above
    sides = [[(0, first - 0.36), (0, last + 0.36)] for first, last in rows], left
    for segments, transform in (lines, sides):
        collection = LineCollection(segments, colors=_WORD, linewidths=0.9, transform=transform, clip_on=False)
        axes.add_collection(collection, autolim=False)


def _write(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], coordinates: Any, **style: Any
) -> Text:
    """Write a text that many points away from a place in these coordinates."""
    return axes.annotate(
        text, at, offset, xycoords=coordinates, textcoords="offset points", annotation_clip=False, **style
    )


def _shorten(text: str, columns: int) -> str:
    """Cut a sentence to the room that it has."""
    first, *more = fold(text, columns)
    return f"{first} …" if more else first


def _label_columns(axes: Axes, labels: Iterable[str], **style: Any) -> list[Text]:
    """Write labels above the matrix, to be read upwards; wide characters stand upright, to be read downwards."""
    texts = []
    for i, text in enumerate(labels):
        style |= {"rotation": 90, "ha": "left", "va": "center", "rotation_mode": "anchor", "linespacing": 1.0}
        if _is_upright(text):
            text, style = "\n".join(text), {**style, "rotation": 0, "ha": "center", "va": "bottom"}
        texts.append(_write(axes, text, (i, 1), (0, _LABEL_GAP), axes.get_xaxis_transform(), **style))
    return texts


def _is_upright(text: str) -> bool:
    return all(unicodedata.east_asian_width(c) in "WF" for c in text) and (len(text) == 1 or not _SIDEWAYS & set(text))
