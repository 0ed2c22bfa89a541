"""Fonts for pictures of any language: those of matplotlib's style, then installed ones that have the characters.

Needs matplotlib. The package noto-cjk-sans-otc brings a font for Chinese, Japanese and Korean where none is installed.
"""

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress

from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, weight_dict
from matplotlib.ft2font import FT2Font

from seq2seq.text.languages import base_language

Face = tuple[str, str, int]
"""Family, file, number of the face in the file"""

_PREFERRED = {
    "zh": ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
           "Microsoft YaHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Heiti SC", "SimHei"),
    "ja": ("Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans JP", "Source Han Sans", "Hiragino Sans",
           "Hiragino Kaku Gothic ProN", "Yu Gothic", "Meiryo", "IPAexGothic", "IPAGothic", "MS Gothic"),
    "ko": ("Noto Sans CJK KR", "Noto Sans KR", "Source Han Sans KR", "Apple SD Gothic Neo", "Malgun Gothic",
           "NanumGothic"),
}  # fmt: skip
"""Families with a language's own forms of the characters that it shares with other languages"""
_UNIVERSAL = "DejaVu Sans"
"""Comes with matplotlib; has Latin, Greek, Cyrillic, Arabic, Hebrew and more"""
_FOR_NOBODY = ("Last Resort", ".LastResort", "Adobe Blank")
"""Fonts that claim to have every character, and show boxes or nothing"""


class Fonts:
    """The fonts for one language; remembers the characters that none has."""

    def __init__(self, language: str) -> None:
        self.preferred = _PREFERRED.get(base_language(language), ())
        self.missing: set[str] = set()
        self._faces = list(dict.fromkeys((_styled(FontProperties()), _styled(FontProperties(family=_UNIVERSAL)))))

    def choose(self, texts: Iterable[str]) -> list[Face]:
        """Choose the faces to draw these texts with, in the order in which matplotlib looks for a character."""
        rest = {c for text in texts for c in text if not _invisible(c)}
        chosen: list[Face] = []
        for face in self._faces:
            covered = _covered(face, rest)
            if covered or not chosen:  # the style's own font stays the first
                chosen.append(face)
            rest = rest - covered
        rest -= self.missing
        while rest:
            # The first, and so best, of the fonts that have the most.
            face = max(_installed(self.preferred), key=lambda face: len(_covered(face, rest)))
            covered = _covered(face, rest)
            if not covered:
                break
            chosen.append(face)
            self._faces.append(face)
            rest = rest - covered
        self.missing |= rest
        return chosen


def is_cff(face: Face) -> bool:
    """Whether a face has PostScript outlines, as most fonts for Chinese do."""
    with TTFont(face[1], fontNumber=face[2], lazy=True) as font:
        return bool(font.sfntVersion == "OTTO")


@functools.cache
def _installed(preferred: Sequence[str]) -> list[Face]:
    """Return the most regular face of each family: preferred families first, then those without serifs."""
    with suppress(ImportError):
        from noto_cjk_sans_otc import FONT_PATH

        if str(FONT_PATH) not in {entry.fname for entry in fontManager.ttflist}:
            fontManager.addfont(str(FONT_PATH))

    def irregularity(entry: FontEntry) -> tuple[bool, float]:
        weight = entry.weight if isinstance(entry.weight, int) else weight_dict.get(entry.weight, 0)
        return entry.style != "normal", abs(weight - weight_dict["normal"])

    def rank(entry: FontEntry) -> tuple[int, bool, bool, float, str]:
        place = preferred.index(entry.name) if entry.name in preferred else len(preferred)
        return place, "Mono" in entry.name, "Serif" in entry.name, irregularity(entry)[1], entry.name

    families: dict[str, FontEntry] = {}
    for entry in sorted(fontManager.ttflist, key=irregularity):
        if not entry.name.startswith(_FOR_NOBODY):
            families.setdefault(entry.name, entry)
    return [(entry.name, entry.fname, entry.index) for entry in sorted(families.values(), key=rank)]


def _styled(properties: FontProperties) -> Face:
    path = findfont(properties)
    font = FT2Font(path, face_index=path.face_index)
    return font.family_name, str(path), path.face_index


def _covered(face: Face, characters: set[str]) -> set[str]:
    """Return the characters that a face has; none if its file is gone or broken since matplotlib listed it."""
    try:
        font = FT2Font(face[1], face_index=face[2])
    except (OSError, RuntimeError):
        return set()
    return {c for c in characters if font.get_char_index(ord(c))}


def _invisible(character: str) -> bool:
    """Whether it is a joiner, a variant selector or a space."""
    return character.isspace() or unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f"
