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

_BLOCKS = [
    "address",
    "article",
    "aside",
    "base",
    "blockquote",
    "body",
    "br",
    "button",
    "caption",
    "center",
    "col",
    "colgroup",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "frame",
    "frameset",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hgroup",
    "hr",
    "html",
    "iframe",
    "legend",
    "li",
    "link",
    "main",
    "menu",
    "meta",
    "nav",
    "noframes",
    "noscript",
    "object",
    "ol",
    "optgroup",
    "option",
    "p",
    "param",
    "search",
    "section",
    "select",
    "source",
    "summary",
    "table",
    "tbody",
    "td",
    "template",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "track",
    "ul",
    "video",
    "audio",
    "canvas",
    "input",
]
"""HTML's elements between which no sentence goes on"""
_VERBATIM = "script style textarea code pre svg math"
"""HTML's elements whose content is not translated"""
_TAG = re.compile(
    rf"<!--.*?(?:-->|$)|<[!?][^>]*>|<({_VERBATIM.replace(' ', '|')})\b[^>]*>.*?(?:</\1\s*>|$)"
    r"|</?([a-z][a-z0-9-]*)(?:[^>\"']|\"[^\"]*\"|'[^']*')*>",
    re.IGNORECASE | re.DOTALL,
)
_SPACE = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
_TIMES = re.compile(r"\d+:\d\d:\d\d[,.]\d+\s+-->\s+\d+:\d\d:\d\d[,.]\d+.*")


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

    def keep(self, text: str) -> None:
        """Add what stays as it is."""
        self.frame[-1] += text

    def add(self, segment: Segment) -> None:
        """Add what is translated."""
        self.segments.append(segment)
        self.frame.append("")

    def add_line(self, line: str) -> None:
        """Add a line of plain text without the white space around it, which stays; a blank one stays whole."""
        match = _SPACE.fullmatch(line)
        assert match is not None
        before, text, after = match.groups()
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
    for line in text.splitlines(keepends=True):
        parts.add_line(line)
    return parts


def read_html(text: str) -> Parts:
    """Read HTML. What stands between tags of blocks, such as paragraphs and cells, is a segment with inline markup.

    Scripts, code, comments and the like stay. If the inline tags of a segment don't match, such as those of an element
    around several paragraphs, they stay where they are, and what is between them are segments.
    """
    parts = Parts()
    for inline in _between_blocks(text, parts):
        if not re.sub(_TAG, "", inline).strip():
            parts.keep(inline)
            continue
        match = _SPACE.fullmatch(inline)
        assert match is not None
        before, core, after = match.groups()
        try:
            markup = Markup.read(core, "html", "the text")
        except (DataError, RecursionError):
            _add_apart(parts, inline)
            continue
        parts.keep(before)
        parts.add(Segment(markup.plain, markup))
        parts.keep(after)
    return parts


def read_subtitles(text: str) -> Parts:
    """Read subtitles (.srt): numbers and times stay, and the lines of a subtitle are one segment.

    Raises DataError if there are no times.
    """
    parts, found = Parts(), False
    for block in re.split(r"(\n\s*\n)", text.replace("\r\n", "\n")):
        lines = block.split("\n")
        at = next((number for number, line in enumerate(lines) if _TIMES.fullmatch(line.strip("\ufeff "))), None)
        if at is None:
            parts.keep(block)
            continue
        found = True
        parts.keep("\n".join([*lines[: at + 1], ""]))
        if words := " ".join(filter(None, map(str.strip, lines[at + 1 :]))):
            parts.add(Segment(words))
        if lines[at + 1 :] and not lines[-1]:
            parts.keep("\n")
    if not found:
        raise DataError("the file has no times such as 00:00:01,000 --> 00:00:02,000; expected subtitles (.srt)")
    return parts


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
        words = inline[begin : len(inline) if tag is None else tag.start()]
        if words.strip():
            before, core, after = _SPACE.fullmatch(words).groups()  # type: ignore[union-attr]
            parts.keep(before)
            markup = Markup.read(escape(unescape(core)), "html", "the text")
            parts.add(Segment(markup.plain, markup))
            parts.keep(after)
        else:
            parts.keep(words)
        if tag is not None:
            parts.keep(tag[0])
            begin = tag.end()
