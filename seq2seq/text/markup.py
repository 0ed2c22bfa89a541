"""Lines of inline HTML or XML: the text without its tags, and which characters each element encloses."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from typing import NamedTuple
from xml.parsers import expat

from seq2seq.errors import DataError
from seq2seq.text.cleaning import Span

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
"""HTML's elements without an end tag"""
_RAW = frozenset(["script", "style", "xmp", "iframe", "noembed", "noframes", "plaintext", "textarea", "title"])
"""HTML's elements whose content is no ordinary text"""
_BREAKS = frozenset(["br", "hr"])
"""Empty elements that separate words"""
_ROOT = b"<_>"


class Element(NamedTuple):
    """A pair of tags, or what has no end: an empty element, a comment, a processing instruction."""

    begin_tag: str
    """As it is written, like the other"""
    end_tag: str
    """Empty if there is none"""
    span: Span
    """Characters of the text that it encloses"""
    parent: int
    """Place of the element around it in the list of all"""


@dataclass(frozen=True)
class Markup:
    """A line with tags, its text without them, and its elements."""

    line: str
    text: str
    """With all white space between and beside the tags"""
    elements: list[Element]
    """In the order of their beginnings, after the line itself, an element without tags"""

    @classmethod
    def read(cls, line: str, form: str, place: str) -> "Markup":
        """Read a line of inline `html` or `xml`. Raises DataError naming the place if it is not well-formed."""
        try:
            return _build(line, (_xml_events if form == "xml" else _html_events)(line))
        except _MalformedError as error:
            raise DataError(f"{place}: {error} (the signs < and & are written &lt; and &amp;)") from error

    @property
    def plain(self) -> str:
        """The text to translate: each run of white space is one character."""
        return re.sub(r"\s\s+", " ", self.text).strip()


class _MalformedError(Exception):
    """Says what is not well-formed, and what was expected."""


class _Event(NamedTuple):
    kind: str
    """begin, end, empty or text"""
    value: str
    """Name of the element, or the text itself"""
    tag: str


def _xml_events(line: str) -> list[_Event]:
    raw, found = line.encode(), list[tuple[str, str, int]]()
    parser = expat.ParserCreate("utf-8")

    def note(kind: str) -> Callable[..., None]:
        return lambda value="", *_: found.append((kind, value, parser.CurrentByteIndex - len(_ROOT)))

    parser.CommentHandler = parser.ProcessingInstructionHandler = note("empty")
    parser.CharacterDataHandler = parser.StartCdataSectionHandler = note("text")
    parser.StartElementHandler, parser.EndElementHandler = note("begin"), note("end")
    try:
        parser.Parse(_ROOT + raw + b"</_>", True)
    except expat.ExpatError as error:
        place = len(raw[: max(parser.ErrorByteIndex - len(_ROOT), 0)].decode(errors="ignore"))
        where = f"character {place + 1}, {line[place : place + 30]!r}" if place < len(line) else "the end of the line"
        raise _MalformedError(
            f"{expat.ErrorString(error.code)} at {where}; expected XML elements, each <tag> closed by </tag> or "
            "written <tag/>, and no DOCTYPE"
        ) from error
    tags = (raw[begin:end].decode() for begin, end in pairwise([place for _, _, place in found[1:]]))
    return [_Event(kind, value, tag) for (kind, value, _), tag in zip(found[1:-1], tags, strict=True)]


class _HtmlReader(HTMLParser):
    """Notes what it reads, with the place of each."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, int]] = []
        self.open: list[tuple[str, int, bool]] = []
        """Elements without an end so far: name, place in `found`, and whether the tag ends in />"""

    def updatepos(self, i: int, j: int) -> int:
        """Count characters from the start of the text, not from that of a line."""
        self.offset += max(j - i, 0)
        return j

    def _note(self, kind: str, value: str) -> None:
        self.found.append((kind, value, self.getpos()[1]))

    def _refuse(self, what: str, expected: str) -> None:
        raise _MalformedError(f"{what} at character {self.getpos()[1] + 1}; expected {expected}")

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _RAW:
            self._refuse(f"<{tag}>", "elements with text that can be translated")
        if tag not in _VOID:
            self.open.append((tag, len(self.found), (self.get_starttag_text() or "").endswith("/>")))
        self._note("empty" if tag in _VOID else "begin", tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self._note("empty", tag)

    def handle_endtag(self, tag: str) -> None:
        last = self.last_open(tag)
        if last != tag:
            self._refuse(f"</{tag}>", f"</{last}> before it" if last else f"<{tag}> before it")
        self.open.pop()
        self._note("end", tag)

    def last_open(self, end: str = "") -> str | None:
        """The element that has to end first. Before the end of others, one written <x id=1/> is taken for empty."""
        while self.open and self.open[-1][0] != end and self.open[-1][2]:
            _, place, _ = self.open.pop()
            self.found[place] = ("empty", *self.found[place][1:])
        return self.open[-1][0] if self.open else None

    def handle_data(self, data: str) -> None:
        self._note("text", data)

    def handle_comment(self, data: str) -> None:
        self._note("empty", "")

    handle_pi = unknown_decl = handle_comment

    def handle_decl(self, decl: str) -> None:
        self._refuse(f"<!{decl}>", "inline elements and no DOCTYPE")


def _html_events(line: str) -> list[_Event]:
    reader = _HtmlReader()
    try:
        reader.feed(line)
    except AssertionError as error:  # what html.parser raises for an unknown <![...
        raise _MalformedError(f"{error}; expected inline elements and no <![") from error
    if re.match("<[A-Za-z/!?]", reader.rawdata):
        raise _MalformedError(f"{reader.rawdata[:30]!r} at the end of the line; expected > after it")
    reader.close()
    if last := reader.last_open():
        raise _MalformedError(f"<{last}> has no end; expected </{last}> on the same line")
    begins = [place for _, _, place in reader.found]
    tags = (line[begin:end] for begin, end in pairwise([*begins, len(line)]))
    return [_Event(kind, value, tag) for (kind, value, _), tag in zip(reader.found, tags, strict=True)]


def _build(line: str, events: Iterable[_Event]) -> Markup:
    text, length, open_elements = list[str](), 0, [0]
    elements = [Element("", "", (0, 0), 0)]
    for event in events:
        if event.kind == "end":
            number = open_elements.pop()
            begin = elements[number].span[0]
            elements[number] = elements[number]._replace(end_tag=event.tag, span=(begin, length))
        elif event.kind != "text":
            elements.append(Element(event.tag, "", (length, length), open_elements[-1]))
            if event.kind == "begin":
                open_elements.append(len(elements) - 1)
        more = event.value if event.kind == "text" else " " * (event.kind != "begin" and event.value in _BREAKS)
        text.append(more.replace("\n", " "))
        length += len(more)
    elements[0] = elements[0]._replace(span=(0, length))
    return Markup(line, "".join(text), elements)
