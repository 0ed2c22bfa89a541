"""Inline markup around a translation: always well-formed, always the same tags, and where a reader expects them."""

import contextlib
from collections import Counter
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.errors import DataError
from seq2seq.text.markup import Markup
from seq2seq.text.tag_placement import place_tags
from seq2seq.text.words import find_words

VOID = {"br", "img"}
Path = tuple[str, ...]
"""An element and those around it, outermost first"""

# --- well-formed lines, and another reader of them -------------------------------------------------------------------


def _tag(form: str, name: str, value: str | None, end: str = "") -> str:
    if value is None:
        return f"<{name}{end}>"
    return f"<{name} id={value}{end}>" if form == "html" and value.isalnum() else f"<{name} id={quoteattr(value)}{end}>"


def _pair(form: str, name: str, value: str | None, inner: list[str]) -> str:
    return f"{_tag(form, name, value)}{''.join(inner)}</{name.lower() if form == 'html' else name}>"


def lines(form: str) -> st.SearchStrategy[str]:
    values = st.none() | st.sampled_from(["1", "a b", '<">&'])
    text = st.lists(
        st.sampled_from([" ", "  ", "Haus", "un", ",", ".", "(", "&", "<", "ä", "\u00a0", "猫", "\u200b"]), max_size=4
    )
    leaves = text.map("".join).map(escape)
    empty = st.builds(lambda name, value: _tag(form, name, value, " /"), st.sampled_from(["x", "br", "img"]), values)
    leaves |= empty | st.just("<!--a-->")
    leaves |= st.sampled_from(
        ["<br>", "<img alt>", "<BR>", "<x/>"] if form == "html" else ["<x/>", "<x></x>", "<?a b?>"]
    )
    if form == "xml":
        leaves |= st.just("<![CDATA[a <&]]>")
    names = st.sampled_from(["b", "i", "B", "a:b"])
    inner = st.recursive(
        leaves, lambda inner: st.builds(_pair, st.just(form), names, values, st.lists(inner, max_size=4)), max_leaves=8
    )
    return st.lists(inner, max_size=6).map("".join)


class Paths(HTMLParser):
    """Checks that tags are paired, and collects the elements and the text."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.paths: Counter[Path] = Counter()
        self.text = ""
        self.feed(line)
        self.close()
        assert self.open == []

    def add(self, label: str) -> None:
        self.paths[*self.open, label] += 1

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.add(f"{tag} {attrs}")
        if tag not in VOID:
            self.open.append(f"{tag} {attrs}")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.add(f"{tag} {attrs}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().split()[0] == tag

    def handle_comment(self, data: str) -> None:
        self.add(f"#{data}")

    def handle_data(self, data: str) -> None:
        self.text += data


def html_paths(line: str) -> tuple[Counter[Path], str]:
    read = Paths(line)
    return read.paths, read.text


def xml_paths(line: str) -> tuple[Counter[Path], str]:
    builder = ElementTree.TreeBuilder(insert_comments=True, insert_pis=True)
    root = ElementTree.fromstring(f'<_ xmlns:a="a">{line}</_>', ElementTree.XMLParser(target=builder))
    paths: Counter[Path] = Counter()
    text = [root.text or ""]

    def add(element: Any, around: Path) -> None:
        label = f"{element.tag} {element.attrib} {element.text if callable(element.tag) else ''}"
        paths[*around, label] += 1
        text.append("" if callable(element.tag) else element.text or "")
        for child in element:
            add(child, (*around, label))
        text.append(element.tail or "")

    for child in root:
        add(child, ())
    return paths, "".join(text)


READ = {"html": html_paths, "xml": xml_paths}


def squeeze(text: str) -> str:
    return " ".join(text.split())


# --- laws ------------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["Haus", "house,", "(a", "<b>", "&amp;", ".", "«x»", "猫", "ab-", "\u200b"])


@pytest.mark.parametrize("form", ["html", "xml"])
@pytest.mark.parametrize("language", ["en", "zh"])
@given(data=st.data())
def test_whatever_the_alignment_tags_and_text_stay_the_same(form: str, language: str, data: st.DataObject) -> None:
    line = data.draw(lines(form))
    paths, text = READ[form](line)
    markup = Markup.read(line, form, "in:1")
    if "<br" not in line.lower():
        assert squeeze(markup.plain) == squeeze(text)
    source = [markup.plain[slice(*span)] for span in find_words(markup.plain, language)]
    translation = (" " if language == "en" else "").join(data.draw(st.lists(WORDS, max_size=6)))
    target = [translation[slice(*span)] for span in find_words(translation, language)]
    links = []
    if source and target:
        ends = st.integers(0, len(source) - 1), st.integers(0, len(target) - 1)
        links = data.draw(st.lists(st.tuples(*ends), max_size=10))
    written = place_tags(markup, source, translation, target, links)
    found, said = READ[form](written)
    assert found == paths
    assert squeeze(said) == translation
    again = Markup.read(written, form, "out:1")
    assert Counter(element[:2] for element in again.elements) == Counter(element[:2] for element in markup.elements)


@settings(max_examples=300)
@given(
    form=st.sampled_from(["html", "xml"]),
    line=st.lists(st.sampled_from([*"<>/!?[]-&;=\"' ab\0\r", "<b>", "</b>", "<!--", "<![", "CDATA[", "&#", "<!D"])).map(
        "".join
    )
    | st.text(st.characters(codec="utf-8", exclude_characters="\n")),
)
def test_any_line_is_read_or_refused(form: str, line: str) -> None:
    with contextlib.suppress(DataError):
        markup = Markup.read(line, form, "in:7")
        assert "\n" not in markup.plain
        place_tags(markup, markup.plain.split(), "", [], [])


def test_a_thousand_tags_in_each_other_are_no_problem() -> None:
    line = f"{'<b>' * 5000}x{'</b>' * 5000}"
    for form in READ:
        assert place_tags(Markup.read(line, form, "in:1"), ["x"], "y", ["y"], [(0, 0)]) == line.replace("x", "y")


# --- places ----------------------------------------------------------------------------------------------------------


def place(line: str, translation: str, links: str, form: str = "html") -> str:
    markup = Markup.read(line, form, "in:1")
    pairs = [(int(i), int(j)) for i, j in (link.split("-") for link in links.split())]
    return place_tags(markup, markup.plain.split(), translation, translation.split(), pairs)


PLACES = [
    # punctuation at the edges of a word stays on its side of the tag
    ("The <b>house</b>, &amp; I", "Das Haus, & ich", "0-0 1-1 2-2 3-3", "Das <b>Haus</b>, &amp; ich"),
    ("The <b>house.</b>", "Das Haus!", "0-0 1-1", "Das <b>Haus!</b>"),
    ("<b>the house</b>.", "Das Haus .", "0-0 1-1 1-2", "<b>Das Haus</b> ."),
    ("(<b>a house</b>)", "(ein Haus)", "0-0 1-1", "(<b>ein Haus</b>)"),
    ("<b>(a house)</b>.", "(ein Haus).", "0-0 1-1", "<b>(ein Haus)</b>."),
    ("<b>the <i>house</i>.</b>", "Das Haus.", "0-0 1-1", "<b>Das <i>Haus</i>.</b>"),
    ("<b><i>a.</i> c</b>", "C A.", "0-1 1-0", "<b>C <i>A.</i></b>"),
    # pairs change places with their words, and lie in the same one as before
    ("<i>a <b>red</b></i> <u>house</u>", "maison une rouge", "0-1 1-2 2-0", "<u>maison</u> <i>une <b>rouge</b></i>"),
    ("un<b>believ</b>able!", "unglaublich!", "0-0", "<b>unglaublich</b>!"),
    # the words between are enclosed, but for those of others, if they are as many
    ("<b>give up</b> now", "gibt jetzt ganz auf", "0-0 1-3 2-1", "<b>gibt jetzt ganz auf</b>"),
    ("<b>give up</b> it now", "gibt es jetzt auf", "0-0 1-3 2-1 3-2", "<b>gibt</b> es jetzt auf"),
    ("<b>a b</b> <i>c d</i>", "A C B D", "0-0 2-1 1-2 3-3", "<b>A C B</b> <i>D</i>"),
    # a pair without translated words stands beside its neighbour
    ("he <b>has</b> seen", "er sah", "0-0 2-1", "er<b></b> sah"),
    ("<b>a</b> cat", "Katze", "1-0", "<b></b>Katze"),
    ("see <a id=1></a>it", "sieht es", "0-0 1-1", "sieht <a id=1></a>es"),
    # what has no end is attached, or stands alone, as in the line
    ("Press <x id=1/> now", "Drücken Sie jetzt", "0-0 0-1 1-2", "Drücken Sie <x id=1/> jetzt"),
    ("Press <x/>", "Drücken", "0-0", "Drücken <x/>"),
    ("a <b> <x/> </b> c", "A C", "0-0 1-1", "A <b><x/></b> C"),
    ("<x/> Press<y/>", "Drücken Sie", "0-0", "<x/> Drücken<y/> Sie"),
    ("a <x/>b", "B A", "0-1 1-0", "<x/>B A"),
    ('"<x/>Haus<y/>"', '"house"', "0-0", '"<x/>house<y/>"'),
    ("Hello,<br>world<BR/>", "Hallo, Welt", "0-0 1-1", "Hallo,<br> Welt<BR/>"),
    ("<b>a<x/></b> b", "B A", "0-1 1-0", "B <b>A<x/></b>"),
    ("<b>a b</b> c<x/>", "A C B", "0-0 1-2 2-1", "<b>A C B</b><x/>"),
    # nothing to translate, nothing aligned
    ("<b></b><br/>", "", "", "<b></b><br/>"),
    ("<b>a</b> b<x/>", "A B", "", "<b></b>A B<x/>"),
]


@pytest.mark.parametrize(("line", "translation", "links", "expected"), PLACES)
def test_tags_stand_where_their_words_went(line: str, translation: str, links: str, expected: str) -> None:
    assert place(line, translation, links) == expected


def test_languages_without_spaces_get_none() -> None:
    markup = Markup.read("Press <x/> <b>now</b>", "xml", "in:1")
    links = [(0, 1), (1, 2), (1, 3)]
    written = place_tags(markup, ["Press", "now"], "按下现在", list("按下现在"), links)
    assert written == "按下<x/><b>现在</b>"


def test_sections_and_references_of_xml_are_text() -> None:
    assert place("a<![CDATA[ <&]]> &#10;&#x62; <?p q?>", "A <& B", "0-0 1-1 2-2", "xml") == "A &lt;&amp; B <?p q?>"
    assert Markup.read("a<![CDATA[ <&]]> &#10;&#x62;", "xml", "in:1").plain == "a <& b"
    assert [Markup.read("a&#10;b", form, "in:1").plain for form in READ] == ["a b", "a b"]


def test_what_xml_cannot_hold_is_replaced() -> None:
    assert place("<b>a</b>", "x\x08", "0-0", "xml") == "<b>x\ufffd</b>"


REFUSED = [
    (
        "xml",
        "ä < b",
        r"not well-formed \(invalid token\) at character 4, ' b'; expected XML elements, each <tag> closed",
    ),
    ("xml", "a &nbsp; b", "undefined entity at character 3, '&nbsp; b'"),
    ("xml", "<a>ö <b></a>", "mismatched tag at character 11"),
    ("xml", "a</_><_>", "junk after document element at character 6"),
    ("xml", "<!DOCTYPE x>", "no DOCTYPE"),
    ("xml", "<a>x", "at the end of the line; expected"),
    ("html", "<a>x", "<a> has no end; expected </a> on the same line"),
    ("html", "a</b>", "</b> at character 2; expected <b> before it"),
    ("html", "<a>ö<b></a>", "</a> at character 8; expected </b> before it"),
    ("html", "<!doctype html>x", "<!doctype html> at character 1; expected inline elements"),
    ("html", "a <script>x</script>", "<script> at character 3; expected elements with text"),
    ("html", 'a <b href="', "'<b href=\"' at the end of the line; expected > after it"),
    ("html", "a <![no x]>", "expected inline elements and no <!"),
]


@pytest.mark.parametrize(("form", "line", "says"), REFUSED)
def test_what_is_not_well_formed_is_refused(form: str, line: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as raised:
        Markup.read(line, form, "in:3")
    assert str(raised.value).startswith("in:3: ")
    assert str(raised.value).endswith("(the signs < and & are written &lt; and &amp;)")


def test_html_allows_what_browsers_allow() -> None:
    line = "<A HREF=x?a&b title>AT&T</a> &lt; &nbsp;1 < 2<WBR> <x id=1/>"
    markup = Markup.read(line, "html", "in:1")
    assert markup.plain == "AT&T < 1 < 2"
    tags = [("<A HREF=x?a&b title>", "</a>"), ("<WBR>", ""), ("<x id=1/>", "")]
    assert [element[:2] for element in markup.elements[1:]] == tags
    assert place("<a href=http://x/>b</a>", "B", "0-0") == "<a href=http://x/>B</a>"
