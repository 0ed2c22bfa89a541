"""What is translated of a text, and what stays."""

import pytest

from seq2seq.errors import DataError
from seq2seq.text.parts import Parts, read_html, read_subtitles, read_text
from seq2seq.text.tag_placement import place_tags


def upper(parts: Parts) -> str:
    """The text with its segments in capitals, tags and all."""
    return parts.fill([(part.text if part.markup is None else part.markup.line).upper() for part in parts.segments])


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n", "a", " a b \n\n  c\r\nd", "a\u2028b\n", "\u3000x\n"])
def test_plain_text_keeps_its_lines_and_white_space(text: str) -> None:
    assert upper(read_text(text)) == text.upper()
    assert all(part.text == part.text.strip() != "" for part in read_text(text).segments)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("<p>one <b>two</b></p>\n<p>three</p>", ["one <b>two</b>", "three"]),
        ("<ul><li>a</li><li> b &amp; c </li></ul>", ["a", "b &amp; c"]),
        ("a<br>b<hr/>c", ["a", "b", "c"]),
        ("<script>if (a<b) x()</script><style>p {}</style>a<!-- no <p> -->", ["a"]),
        ("<p>see <code>x = 1</code> there</p>", ["see", "there"]),
        ("<b><p>a</p><p>b</p></b>", ["a", "b"]),
        ("<b>a<p>b</b>", ["a", "b"]),
        ("<p>a < b</p>", ["a < b"]),
        ("plain", ["plain"]),
        ("<p></p><p> </p>", []),
        ("<!doctype html><html lang='en'><head><title>t</title></head><body>a</body></html>", ["t", "a"]),
        ('<p title="a > b">x</p>', ["x"]),
    ],
)
def test_html_is_cut_at_blocks(text: str, segments: list[str]) -> None:
    parts = read_html(text)
    assert [part.markup and part.markup.line for part in parts.segments] == [
        segment.replace("a < b", "a < b") for segment in segments
    ]
    assert parts.fill([part.markup.line if part.markup else "" for part in parts.segments]) == text


def test_white_space_around_segments_stays() -> None:
    assert upper(read_html("<p>\n  one two\n</p>")) == "<p>\n  ONE TWO\n</p>"


@pytest.mark.parametrize(
    "text", ["<", "<a", "<a '", "</", "<![CDATA[", "&#x110000;", "<b" * 50, "<b>" * 2000, "<!--", "<script>"]
)
def test_broken_html_is_read_all_the_same(text: str) -> None:
    parts = read_html(text)
    parts.fill([part.text for part in parts.segments])


def test_tags_are_placed_where_they_were_across_lines() -> None:
    (segment,) = read_html("<p>one\n<b>two</b> three</p>").segments
    words = segment.text.split()
    links = [(place, place) for place in range(3)]
    assert segment.markup is not None
    said = place_tags(segment.markup, words, segment.text.upper(), segment.text.upper().split(), links)
    assert said == "ONE <b>TWO</b> THREE"


def test_attributes_stay_attributes() -> None:
    text = (
        "<p>"
        + "x" * 39
        + "\n<i title='<img src=x onerror=alert(1)>'>tttttttttt<b class='aaaaaaaaaaaaaaaa'>u</b></i></p>"
    )
    parts = read_html(text)
    (segment,) = parts.segments
    assert segment.markup is not None
    words = segment.text.split()
    said = place_tags(segment.markup, words, segment.text, words, [(place, place) for place in range(len(words))])
    assert "<img" not in said.replace("'<img src=x onerror=alert(1)>'", "")


@pytest.mark.parametrize(
    "text",
    ["<a" * 50_000, "<a '" * 20_000, "a" + " " * 100_000 + "b", "<code>" * 20_000, "<!" * 100_000, "<svg " * 50_000],
)
def test_time_grows_with_the_length_alone(text: str) -> None:
    """These took minutes with expressions that look for an end again and again."""
    assert read_html(text).fill([part.text for part in read_html(text).segments])


@pytest.mark.parametrize(
    "text", ["<code-block>a</code-block>", "<p><svg class='i'/> a</p>", "<pre-x>a</pre-x>", "<p>&nbsp;</p><b>a</b>"]
)
def test_only_elements_without_text_are_left_out(text: str) -> None:
    assert [part.text for part in read_html(text).segments] == ["a"]


def test_a_blank_line_begins_a_document() -> None:
    assert read_text("a\nb\n\n \nc").beginnings == {2}


SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\nThe horse\nhas played.\n\n2\n00:00:03,000 --> 00:00:04,000\nWhen?\n"


def test_subtitles_keep_numbers_and_times() -> None:
    parts = read_subtitles(SUBTITLES)
    assert [part.text for part in parts.segments] == ["The horse has played.", "When?"]
    assert parts.fill(["A", "B"]) == "1\n00:00:01,000 --> 00:00:02,500\nA\n\n2\n00:00:03,000 --> 00:00:04,000\nB\n"


def test_subtitles_from_windows_and_without_text() -> None:
    text = "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nWhen?"
    assert read_subtitles(text).fill(["B"]).split("\n")[-1] == "B"


def test_text_without_times_is_no_file_of_subtitles() -> None:
    with pytest.raises(DataError, match="no times"):
        read_subtitles("hello\n\nworld")


def test_subtitles_as_they_are_found() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n<i>the cat\nsees</i>\n2\n00:00:03,000 --> 00:00:04,000\n"
    text += "{\\an8}- a <b>b</b>\n- c\n\n3\n00:00:05,000 --> 00:00:06,000\n\n"
    parts = read_subtitles(text)
    assert [part.text for part in parts.segments] == ["the cat sees", "- a b", "- c"]
    expected = text.replace("the cat\nsees", "the cat sees").replace("a <b>b</b>", "a b")
    assert parts.fill([part.text for part in parts.segments]) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("<i>A</i> and <b>B</b>", "X"),
        ("<i>Meanwhile</i> in Paris", "X"),
        ("<i><b>A</b></i>", "<i><b>X</b></i>"),
        ("{\\an8}<i>A</i>, not <b>B</b>", "{\\an8}X"),
        ('<font color="red">A {\\b1}B</font>', '<font color="red">X</font>'),
        ("<i>A", "X"),
        ("<i></i>", "<i></i>"),
        ("{\\an8}A", "{\\an8}X"),
    ],
)
def test_marks_stay_if_they_are_around_all_of_a_subtitle(said: str, expected: str) -> None:
    time = "00:00:01,000 --> 00:00:02,000\n"
    parts = read_subtitles(f"{time}{said}\n")
    assert parts.fill(["X"] * len(parts.segments)) == f"{time}{expected}\n"


def test_signs_are_no_marks() -> None:
    said = "2 < 3 and 4 > 1, I have {3} cats, <i>a</i> {b}c{/b}"
    (segment,) = read_subtitles(f"1\n00:00:05,000 --> 00:00:06,000\n{said}\n").segments
    assert segment.text == "2 < 3 and 4 > 1, I have {3} cats, a c"


def test_subtitles_keep_how_their_lines_end() -> None:
    text = SUBTITLES.replace("horse\nhas", "horse has").replace("\n", "\r\n")
    parts = read_subtitles(text)
    assert parts.fill([part.text for part in parts.segments]) == text


@pytest.mark.parametrize("mixed", ["02,500\n", "played.\n\n", "When?\n"])
def test_each_line_of_subtitles_ends_as_it_did(mixed: str) -> None:
    text = SUBTITLES.replace("horse\nhas", "horse has")
    text = text.replace(mixed, mixed.replace("\n", "\r\n"))
    parts = read_subtitles(text)
    assert parts.fill([part.text for part in parts.segments]) == text
