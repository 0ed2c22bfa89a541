"""Texts of several lines as translation services get them: what is translated, and what stays as it is around it.

Plain text, HTML, and subtitles in SubRip's format.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from typing import NamedTuple

from seq2seq.errors import DataError
from seq2seq.text.markup import Markup

_BLOCK_NAMES = """address article aside audio base blockquote body br button canvas caption center col colgroup
dd details dialog dir div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header
hgroup hr html iframe input legend li link main menu meta nav noframes noscript object ol optgroup option p param search
section select source summary table tbody td template tfoot th thead title tr track ul video"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
"""HTML's elements between which no sentence goes on"""
_TAG = re.compile(
    r"<(?:svg|math)(?=[\s/])[^<>]*/>|<!--.*?(?:-->|$)|<[!?][^>]*(?:>|$)"
    # What is not translated
    r"|<(script|style|textarea|code|pre|svg|math)(?=[\s/>])(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>.*?(?:</\1\s*>|$)"
    r"|</?([a-z][a-z0-9-]*)(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>",
    re.IGNORECASE | re.DOTALL,
)
_TIMES = re.compile(r"\ufeff?\s*\d+:\d\d:\d\d[,.]\d+\s+-->\s+\d+:\d\d:\d\d[,.]\d+.*")
_LINES = re.compile(r"(?<=\n)")
_BRACES = r"\{(?=\\|/?[A-Za-z](?:\}|:))[^{}]*\}"
_MARKS = re.compile(rf"(?:</?[A-Za-z][^<>]*>|{_BRACES})++")
"""Marks of style in subtitles: <i>, </font>, {\an8}, {b}, {y:i}"""
_NAMES = re.compile(r"<(/?\w*)")
"""Names of the tags among them"""


class Segment(NamedTuple):
    """What is translated as one line."""

    text: str
    markup: Markup | None = None
    """Its tags, which are placed in the translation"""


@dataclass
class Parts:
    """A text as what stays, and the segments between."""

    frame: list[str] = field(default_factory=lambda: [""])
    """What stands before, between and after the segments"""
    segments: list[Segment] = field(default_factory=list)
    beginnings: set[int] = field(default_factory=set)
    """Places of segments that begin a document, after a blank line"""

    def keep(self, text: str) -> None:
        """Add what stays as it is."""
        self.frame[-1] += text

    def add(self, segment: Segment) -> None:
        """Add what is translated."""
        self.segments.append(segment)
        self.frame.append("")

    def add_line(self, line: str) -> None:
        """Add a line of plain text without the white space around it, which stays; a blank one stays whole."""
        before, text, after = _edges(line)
        self.keep(before)
        if text:
            self.add(Segment(text))
        self.keep(after)

    def fill(self, translations: Sequence[str]) -> str:
        """Put the translations in place of the segments."""
        first, *others = self.frame
        return first + "".join(t + after for t, after in zip(translations, others, strict=True))


def read_text(text: str) -> Parts:
    """Read plain text, line by line."""
    parts = Parts()
    for line in _LINES.split(text):
        if not line.strip():
            parts.beginnings.add(len(parts.segments))
        parts.add_line(line)
    return parts


def read_html(text: str) -> Parts:
    """Read HTML. What stands between tags of blocks, such as paragraphs and cells, is a segment with inline markup.

    Scripts, code, comments and the like stay. If the inline tags of a segment don't match, such as those of an element
    around several paragraphs, they stay where they are, and what is between them are segments.
    """
    parts = Parts()
    for inline in _between_blocks(text, parts):
        if not unescape(_TAG.sub("", inline)).strip():
            parts.keep(inline)
            continue
        before, core, after = _edges(inline)
        try:
            markup = Markup.read(core, "html", "the text")
        except DataError:
            _add_apart(parts, inline)
            continue
        parts.keep(before)
        parts.add(Segment(markup.plain, markup))
        parts.keep(after)
    return parts


def read_subtitles(text: str) -> Parts:
    """Read subtitles (.srt): numbers and times stay, and the lines of a subtitle are one segment.

    The lines of a dialogue, which begin with dashes, are segments each. Marks of style stay around a segment; those
    inside it are left out. Raises DataError if there are no times.
    """
    lines = _LINES.split(text)
    times = [number for number, line in enumerate(lines) if _TIMES.fullmatch(line.rstrip("\r\n"))]
    if not times:
        raise DataError("the file has no times such as 00:00:01,000 --> 00:00:02,000; expected subtitles (.srt)")
    parts, begin = Parts(), 0
    for number, end in zip(times, [*times[1:], len(lines)], strict=True):
        parts.keep("".join(lines[begin : number + 1]))
        begin = end - 1 if end < len(lines) and lines[end - 1].strip().isdigit() else end
        _add_subtitle(parts, lines[number + 1 : begin])
    return parts


def _add_subtitle(parts: Parts, lines: Sequence[str]) -> None:
    spoken = [line for line in lines if line.strip()]
    dialogue = len(spoken) > 1 and all(
        _MARKS.sub("", line).lstrip().startswith(("-", "\u2013", "\u2014")) for line in spoken
    )
    last = spoken[-1] if spoken else ""
    whole = " ".join(map(str.strip, spoken)) + last[len(last.rstrip("\r\n")) :]
    for words in spoken if dialogue else [whole]:
        before, core, rest = _edges(words)
        begin, end = _around(core)
        parts.keep(before + core[:begin])
        if said := _MARKS.sub("", core[begin:end]).strip():
            parts.add(Segment(said))
        parts.keep(core[end:] + rest)
    after = next((n for n, line in enumerate(reversed(lines)) if line.strip()), len(lines))
    parts.keep("".join(lines[len(lines) - after :]))


def _around(text: str) -> tuple[int, int]:
    """Find the text between the marks that stand around all of it: its begin and end.

    Tags count if they are closed at the end, and not before. `{...}` needs no end.
    """
    runs = list(_MARKS.finditer(text))
    if not runs or runs[0].start():
        return 0, len(text)
    if runs[0].end() == len(text):  # nothing is said
        return len(text), len(text)
    opened, last = _NAMES.findall(runs[0][0]), runs[-1]
    closed = [f"/{name}" for name in reversed(opened)]
    inside = [name for run in runs[1:-1] for name in _NAMES.findall(run[0])]
    if opened and (last.end() < len(text) or _NAMES.findall(last[0]) != closed or {*closed} & {*inside}):
        braces = re.match(f"(?:{_BRACES})*", text)
        return braces.end() if braces else 0, len(text)
    return runs[0].end(), last.start() if opened else len(text)


def _edges(text: str) -> tuple[str, str, str]:
    """The white space before a text, the text, and the white space after it."""
    core = text.strip()
    begin = text.index(core)
    return text[:begin], core, text[begin + len(core) :]


def _between_blocks(text: str, parts: Parts) -> Iterator[str]:
    """Yield runs of inline HTML; keep what is between them in the parts."""
    begin = 0
    for tag in _TAG.finditer(text):
        verbatim, name = tag.groups()
        if verbatim is None and name is not None and name.lower() not in _BLOCKS:
            continue
        if tag.start() > begin:
            yield text[begin : tag.start()]
        parts.keep(tag[0])
        begin = tag.end()
    if begin < len(text):
        yield text[begin:]


def _add_apart(parts: Parts, inline: str) -> None:
    begin = 0
    for tag in [*_TAG.finditer(inline), None]:
        before, core, after = _edges(inline[begin : len(inline) if tag is None else tag.start()])
        parts.keep(before)
        if core:
            markup = Markup.read(escape(unescape(core)), "html", "the text")
            parts.add(Segment(markup.plain, markup))
        parts.keep(after)
        if tag is not None:
            parts.keep(tag[0])
            begin = tag.end()
