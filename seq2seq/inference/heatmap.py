"""Attention matrices to look at: in the terminal, or as a picture."""

import unicodedata
from pathlib import Path

from seq2seq.inference.translator import Translation

_SHADES = " ░▒▓█"


def text_heatmap(translation: Translation) -> str:
    """A row for each target token, a column for each source token, darker for more weight (the mean over heads)."""
    if translation.attention is None:
        return "(no attention)"
    weights = translation.attention.mean(0)  # [t s]
    sources = [_clean(piece) for piece in translation.source_tokens]
    targets = [_clean(piece) for piece in translation.tokens]
    margin = max(_width(target) for target in targets)
    height = max(len(source) for source in sources)
    lines = []
    for level in range(height):  # source tokens read downwards
        letters = [source.rjust(height)[level] for source in sources]
        lines.append(" " * (margin + 2) + "".join(letter + " " * (2 - _width(letter)) for letter in letters))
    for target, row in zip(targets, weights.tolist(), strict=True):
        cells = "".join(_SHADES[min(int(weight * len(_SHADES)), len(_SHADES) - 1)] * 2 for weight in row)
        lines.append(" " * (margin - _width(target)) + target + " |" + cells + "|")
    return "\n".join(line.rstrip() for line in lines)


def draw(translation: Translation, path: Path) -> None:
    """Write the matrix as a picture, heads side by side; the format follows the file's ending. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    assert translation.attention is not None
    heads, t, s = translation.attention.shape
    figure, panels = pyplot.subplots(
        1, heads, squeeze=False, sharey=True, figsize=(max(3.0, heads * (0.32 * s + 1.2)), max(2.4, 0.32 * t + 1.4))
    )
    sources = [_clean(piece) for piece in translation.source_tokens]
    targets = [_clean(piece) for piece in translation.tokens]
    for number, (axes, weights) in enumerate(zip(panels[0], translation.attention, strict=True)):
        image = axes.imshow(weights.numpy(), cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(s), sources, rotation=90)
        axes.set_yticks(range(t), targets)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        if heads > 1:
            axes.set_xlabel(f"head {number + 1}")
    figure.colorbar(image, ax=list(panels[0]), label="weight", fraction=0.04)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)


def _clean(piece: str) -> str:
    """A sub-word without sentencepiece's mark for a space, and nothing a terminal would act on."""
    shown = "".join(c if c.isprintable() else "·" for c in piece.replace("▁", " ").strip())
    return shown or "·"


def _width(text: str) -> int:
    """Terminal columns: East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
