"""Attention matrices as pictures for print: PNG, SVG, PDF. Needs matplotlib.

As in Bahdanau 2015, fig. 3, the source runs along the top and the target down the side; here ink is weight, 0 is white
and 1 is black in every picture. Lengths are inches, sizes of type points.
"""

import io
import logging
import unicodedata
import warnings
from collections.abc import Sequence
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
from seq2seq.inference.windows import Windows

_COLOURS = "gray_r"
"""From white to black, even in lightness."""
_FOCUS = "#d95f02"
_FAINT = 0.5 / 255
"""Weights below would be white."""
_LARGEST, _SMALLEST = 0.25, 0.11
"""Cells, where the sentence decides."""
_USUAL = 6.0
"""Side of a matrix, where the cells may shrink to it."""
_MOST = 60.0
"""Side of a picture: cells of very long sentences shrink to it."""
_ACROSS = 4
"""Heads side by side; more go below."""
_GAP = 0.25
_TYPE = 9.0
_TITLE = 7.0
_LEAST_TITLE = 3.0
"""Inches that a title may fill, however small the matrix is."""
_LABEL_GAP = 4.0
"""Points between labels and matrix."""
_WORD = "0.4"
"""The grey of titles, and of the lines beside words."""
_RESOLUTION = 200
"""Dots an inch."""
_SIDEWAYS = set("ー～〜…‥—―「」『』（）｛｝〔〕【】《》〈〉［］：；＝－｜")
"""Wide characters that look otherwise in a column of text than in a row."""
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
        """The content of a png, svg or pdf file: the same heat map gives the same bytes."""
        columns, rows = [label(token) for token in heatmap.columns], [label(token) for token in heatmap.rows]
        titles = printable(heatmap.source), printable(heatmap.target)
        faces = self.fonts[0].choose([*columns, titles[0]]), self.fonts[1].choose([*rows, titles[1]])
        # matplotlib embeds PostScript outlines as type 42 in a way that several viewers can't read.
        outlines = 3 if any(is_cff(face) for side in faces for face in side) else 42
        logging.getLogger("fontTools").setLevel(logging.WARNING)  # tells of each glyph it embeds
        with matplotlib.rc_context({**_STYLE, "pdf.fonttype": outlines}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # `missing` says so once
            families = [[family for family, _, _ in side] + ["sans-serif"] for side in faces]
            figure = _figure(heatmap, columns, rows, families, self.languages)
            return _content(figure, file_format)


def _figure(
    heatmap: Heatmap,
    columns: Sequence[str],
    rows: Sequence[str],
    families: Sequence[Sequence[str]],
    languages: tuple[str, str],
) -> Figure:
    heads, t, s = heatmap.weights.shape
    across = min(heads, _ACROSS)
    down = -(-heads // across)
    cell = min(_LARGEST, max(_USUAL / max(t, s), _SMALLEST), _MOST / (across * s), _MOST / (down * t))
    size = min(_TYPE, 0.62 * 72 * cell)
    width, height = s * cell, t * cell
    figure = Figure(figsize=(across * (width + _GAP), down * (height + _GAP)))

    def place(axes: Axes, left: float, top: float, wide: float, high: float) -> None:
        """Position in inches from the figure's upper left."""
        full_width, full_height = figure.get_size_inches()
        axes.set_position((left / full_width, 1 - (top + high) / full_height, wide / full_width, high / full_height))

    panels = [figure.add_axes((0, 0, 1, 1)) for _ in range(heads)]
    overhang = 0.0
    for number, axes in enumerate(panels):
        _draw_matrix(axes, heatmap.weights[number].tolist(), heatmap.windows, cell)
        _join_pieces(axes, word_spans(heatmap.columns), word_spans(heatmap.rows) if number % across == 0 else [])
        labels = _label_columns(axes, columns, size, families[0], languages[0])
        if number % across == 0:
            _label_rows(axes, rows, size, families[1], languages[1])
        if number == 0:
            overhang = max(text.get_window_extent().height for text in labels) / figure.dpi
        if heads > 1:
            axes.set_xlabel(f"head {number + 1}", fontsize=max(size, 5), labelpad=3)
    _draw_title(panels[0], (heatmap.source, heatmap.target), overhang, across * (width + _GAP), families, languages)
    pitch = overhang + height + _GAP + 0.1  # down to the next row of panels
    for number, axes in enumerate(panels):
        place(axes, number % across * (width + _GAP), number // across * pitch, width, height)
    bar = figure.add_axes((0, 0, 1, 1))
    place(bar, across * (width + _GAP) - _GAP + 0.1, 0, 0.08, min(height, 1.0))
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
    """A square for each weight that is not white, in vectors; what a row could see and where its centre was on top."""
    t, s = len(weights), len(weights[0])
    axes.set(xlim=(-0.5, s - 0.5), ylim=(t - 0.5, -0.5), xticks=[], yticks=[])
    axes.spines[:].set_color("0.6")
    cells = [(i, j, weight) for j, row in enumerate(weights) for i, weight in enumerate(row) if weight > _FAINT]
    corners = [[(i + x, j + y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))] for i, j, _ in cells]
    squares = PolyCollection(corners, cmap=_COLOURS, norm=Normalize(0, 1), edgecolors="white", linewidths=2 * cell)
    squares.set_array([weight for _, _, weight in cells])
    axes.add_collection(squares, autolim=False)
    if windows:
        outline = LineCollection(_outline(windows), colors=_FOCUS, linewidths=0.7, capstyle="projecting")
        axes.add_collection(outline, autolim=False)
        axes.scatter(
            [focus.centre for focus in windows],
            range(t),
            s=(0.3 * 72 * cell) ** 2,
            color=_FOCUS,
            edgecolors="white",
            linewidths=0.4,
            zorder=3,
            clip_on=False,
        )
        outline.set_clip_on(False)


def _outline(windows: Windows) -> list[list[tuple[float, float]]]:
    """The lines around what the rows see: between two rows where one of them sees and the other does not."""
    sides = [(focus.first - 0.5, focus.last + 0.5) for focus in windows]
    lines = [[(x, j - 0.5), (x, j + 0.5)] for j, side in enumerate(sides) for x in side]
    nothing = (sides[0][0], sides[0][0]), (sides[-1][0], sides[-1][0])
    for j, (above, below) in enumerate(pairwise([nothing[0], *sides, nothing[1]])):
        a, b, c, d = sorted((*above, *below))
        lines += [[(x, j - 0.5), (y, j - 0.5)] for x, y in ((a, b), (c, d)) if x < y]
    return lines


def _join_pieces(axes: Axes, columns: Sequence[tuple[int, int]], rows: Sequence[tuple[int, int]]) -> None:
    """A line beside the pieces of each word that has several, between their labels and the matrix."""
    above = axes.get_xaxis_transform() + ScaledTranslation(0, _LABEL_GAP / 144, axes.figure.dpi_scale_trans)
    left = axes.get_yaxis_transform() + ScaledTranslation(-_LABEL_GAP / 144, 0, axes.figure.dpi_scale_trans)
    lines = [[(first - 0.36, 1), (last + 0.36, 1)] for first, last in columns], above
    sides = [[(0, first - 0.36), (0, last + 0.36)] for first, last in rows], left
    for segments, transform in (lines, sides):
        collection = LineCollection(segments, colors=_WORD, linewidths=0.9, transform=transform, clip_on=False)
        axes.add_collection(collection, autolim=False)


def _draw_title(
    axes: Axes,
    sentences: Sequence[str],
    above: float,
    width: float,
    families: Sequence[Sequence[str]],
    languages: Sequence[str],
) -> None:
    """Source and target, one above the other, over the labels of the columns."""
    columns = int(max(width, _LEAST_TITLE) * 72 / (0.55 * _TITLE))
    for line, text, family, language in zip((1, 0), sentences, families, languages, strict=True):
        axes.annotate(
            _shorten(text, columns),
            (0, 1),
            (0, above * 72 + 2 * _LABEL_GAP + line * 1.4 * _TITLE),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=_TITLE,
            color=_WORD,
            family=list(family),
            language=language,
            annotation_clip=False,
        )


def _shorten(text: str, columns: int) -> str:
    """The beginning of a sentence, as much as there is room for."""
    first, *more = fold(text, columns)
    return f"{first} …" if more else first


def _label_columns(
    axes: Axes, labels: Sequence[str], size: float, families: Sequence[str], language: str
) -> list[Text]:
    """Above the matrix, read upwards; what is written in wide characters stands upright, read downwards."""
    texts: list[Text] = []
    for i, text in enumerate(labels):
        upright = _is_upright(text)
        texts.append(
            axes.annotate(
                "\n".join(text) if upright else text,
                (i, 1),
                (0, _LABEL_GAP),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                rotation=0 if upright else 90,
                rotation_mode="anchor",
                ha="center" if upright else "left",
                va="bottom" if upright else "center",
                linespacing=1.0,
                fontsize=size,
                family=list(families),
                language=language,
                annotation_clip=False,
            )
        )
    return texts


def _label_rows(axes: Axes, labels: Sequence[str], size: float, families: Sequence[str], language: str) -> None:
    for j, text in enumerate(labels):
        axes.annotate(
            text,
            (0, j),
            (-_LABEL_GAP, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=size,
            family=list(families),
            language=language,
            annotation_clip=False,
        )


def _is_upright(text: str) -> bool:
    return all(unicodedata.east_asian_width(c) in "WF" for c in text) and (len(text) == 1 or not _SIDEWAYS & set(text))
