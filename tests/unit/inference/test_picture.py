"""Pictures: every format, any script, nothing but text in the labels, and the same bytes each time."""

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from seq2seq.inference import fonts, picture
from seq2seq.inference.fonts import Fonts
from seq2seq.inference.heatmap import Heatmap
from seq2seq.inference.picture import Painter
from seq2seq.inference.weights import AttentionWindow

BEGINNING = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
SVG = "{http://www.w3.org/2000/svg}"


def heatmap(
    columns: list[str], rows: list[str], heads: int = 1, windows: list[AttentionWindow] | None = None
) -> Heatmap:
    weights = np.linspace(0, 1, heads * len(rows) * len(columns)).reshape(heads, len(rows), len(columns))
    return Heatmap("", "", columns, rows, weights, [0.0] * len(rows), 0.0, windows)


def texts(svg: bytes) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture
def only_dejavu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where nothing but matplotlib's own fonts is installed."""
    faces = [face for face in fonts._installed(()) if face[0] == "DejaVu Sans"]
    monkeypatch.setattr(fonts, "_installed", lambda preferred: faces)


@pytest.mark.parametrize("file_format", BEGINNING)
def test_the_same_heat_map_gives_the_same_file(file_format: str) -> None:
    one = heatmap(["▁a", "b", "</s>"], ["▁x", "</s>"], 2, [AttentionWindow(0, 1, 0.4), AttentionWindow(1, 2, 2)])
    content = Painter("en", "de").draw(one, file_format)
    assert content.startswith(BEGINNING[file_format])
    assert Painter("en", "de").draw(one, file_format) == content
    assert not re.search(rb"CreationDate|<dc:date>", content)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 30, 2), (30, 1, 1), (4, 3, 9), (110, 2, 1)])
def test_any_size_can_be_drawn(sizes: tuple[int, int, int]) -> None:
    t, s, heads = sizes
    one = heatmap([f"c{i}" for i in range(s)], [f"r{j}" for j in range(t)], heads)
    drawn = texts(Painter("en", "de").draw(one, "svg"))
    assert drawn.count("c0") == heads
    assert drawn.count("r0") == -(-heads // 4)  # beside the first of each row of panels
    assert [text for text in drawn if text.startswith("head")] == [f"head {n + 1}" for n in range(heads) if heads > 1]


@pytest.mark.parametrize("count", [3, 20, 60, 80])
def test_labels_have_room(count: int) -> None:
    names = [f"source{i}" for i in range(count)]
    svg = Painter("en", "de").draw(heatmap(names, [name.replace("source", "target") for name in names]), "svg")
    for axis, name in (("x", "source"), ("y", "target")):
        labels = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}text") if (e.text or "").startswith(name)]
        places = sorted(float(element.get(axis, "nan")) for element in labels)
        (size,) = {float(re.search(r"font-size: ([\d.]+)px", e.get("style", ""))[1]) for e in labels}  # type: ignore[index]
        assert len(places) == count
        assert min(b - a for a, b in pairwise(places)) > 1.3 * size
        assert 4.5 < size <= 9


@pytest.mark.parametrize("file_format", BEGINNING)
@pytest.mark.usefixtures("only_dejavu")
def test_labels_are_text_whatever_they_say(file_format: str) -> None:
    odd = [
        "$x$",
        "$",
        r"$\frac{",
        "</text><script>",
        "a&b",
        '"',
        "\\",
        "%s",
        "\x00\x1b",
        "\u202e",
        "🙂",
        "\ufffd",
        "</s>",
    ]
    content = Painter("en", "de").draw(heatmap(odd, odd), file_format)
    if file_format == "svg":
        assert {"$x$", "$", r"$\frac{", "</text><script>", "a&b", "··", "·", "🙂"} <= set(texts(content))


@pytest.mark.usefixtures("only_dejavu")
@pytest.mark.parametrize("file_format", BEGINNING)
def test_arabic_and_hebrew_have_a_font_everywhere(file_format: str) -> None:
    painter = Painter("ar", "he")
    content = painter.draw(heatmap(["▁السلام", "شكراً", "می\u200cخواهم"], ["שלום"]), file_format)
    assert not painter.missing
    if file_format == "svg":
        assert {"السلام", "שלום"} <= set(texts(content))


def test_arabic_letters_are_joined() -> None:
    def ink(*tokens: str) -> bytes:
        return Painter("ar", "en").draw(heatmap(list(tokens), ["x"]), "png")

    # Joined, the word is not its letters in their forms of standing alone.
    assert ink("بيت") != ink("\ufe8f\ufef1\ufe95")
    assert ink("بيت") == ink("\ufe91\ufef4\ufe96")


@pytest.mark.usefixtures("only_dejavu")
def test_characters_without_a_font_are_told_and_not_fatal() -> None:
    painter = Painter("zh", "en")
    for file_format in BEGINNING:
        painter.draw(heatmap(["猫", "▁的猫", "</s>"], ["▁cat", "狗"]), file_format)
    assert painter.missing == {"猫", "的", "狗"}


def test_the_font_for_chinese_and_japanese_is_found_where_it_is_installed() -> None:
    pytest.importorskip("noto_cjk_sans_otc")
    chinese = "我们喜欢猫，因为它们很可爱。骨直返海語學漢"
    japanese = "猫が好きです。テーブル"
    for language, text in (("zh", chinese), ("zh_TW", chinese), ("ja", japanese), ("ko", "고양이를 좋아한다")):
        chosen = Fonts(language)
        faces = chosen.choose([text, "abc"])
        assert not chosen.missing
        assert faces[0][0] == "DejaVu Sans"
        assert len(faces) == 2
        assert [face[0] for face in Fonts(language).choose(["abc"])] == ["DejaVu Sans"]


def test_each_language_gets_its_own_forms_of_shared_characters() -> None:
    pytest.importorskip("noto_cjk_sans_otc")
    shared = heatmap(["骨", "直"], ["x"])
    pictures = {language: Painter(language, "en").draw(shared, "png") for language in ("zh", "ja", "zh_TW")}
    assert len(set(pictures.values())) == 3


def test_pdf_embeds_truetype_as_it_is_and_postscript_outlines_as_glyphs() -> None:
    pytest.importorskip("noto_cjk_sans_otc")
    latin = Painter("en", "de").draw(heatmap(["a"], ["b"]), "pdf")
    assert b"/Type3" not in latin
    assert b"/CIDFontType2" in latin
    painter = Painter("zh", "de")
    faces = painter.fonts[0].choose(["猫"])
    content = painter.draw(heatmap(["猫"], ["b"]), "pdf")
    assert (b"/Type3" in content) == any(fonts.is_cff(face) for face in faces)


@pytest.mark.usefixtures("only_dejavu")
def test_fonts_are_searched_once_for_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    (dejavu,) = fonts._installed(())
    opened: list[str] = []

    def covered(face: fonts.Face, characters: set[str]) -> set[str]:
        opened.append(face[0])
        return characters & {"猫"} if face[0] == "other" else characters - {"猫", "狗"}

    monkeypatch.setattr(fonts, "_covered", covered)
    monkeypatch.setattr(fonts, "_installed", lambda preferred: [dejavu, ("other", "other.ttf", 0), ("more", "", 0)])
    chosen = Fonts("zh")
    for _ in range(2):
        assert [face[0] for face in chosen.choose(["a", "猫狗"])] == ["DejaVu Sans", "other"]
        assert chosen.missing == {"狗"}
        first, opened[:] = opened.count("more"), []
    assert first == 0


@pytest.mark.parametrize("language", ["", "zh_Hant_TW", "tok.en", "ünïcödé", "x" * 300, "猫"])
def test_any_name_of_a_language_will_do(language: str) -> None:
    assert Painter(language, language).draw(heatmap(["a"], ["b"]), "png")


def test_a_font_file_that_has_gone_covers_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert fonts._covered(("gone", str(tmp_path / "gone.ttf"), 0), {"a"}) == set()
    assert fonts._covered(("broken", str(tmp_path / "broken.ttf"), 0), {"a"}) == set()


def test_no_cell_is_drawn_for_nothing() -> None:
    weights = np.zeros((1, 20, 20))
    weights[0, 3, 4] = 1
    names = [str(i) for i in range(20)]
    drawn = Painter("en", "de").draw(Heatmap("", "", names, names, weights, [0.0] * 20, 0.0), "svg").decode()
    assert len(re.findall(r'<g id="PolyCollection_1">(.*?)</g>', drawn, re.DOTALL)[0].split("<path")) == 2
    assert "<image" not in re.sub(r'<g id="axes_2">.*', "", drawn, flags=re.DOTALL)  # but in the scale


@pytest.mark.parametrize(
    "ranges", [[(0, 2)], [(0, 2), (1, 3), (1, 3)], [(0, 1), (4, 5), (2, 9)], [(3, 4), (0, 9), (3, 3)], [(5, 6), (0, 1)]]
)
def test_outlines_run_where_seen_meets_unseen(ranges: list[tuple[int, int]]) -> None:
    def seen(i: int, j: int) -> bool:
        return 0 <= j < len(ranges) and ranges[j][0] <= i <= ranges[j][1]

    expected = set()
    for j in range(-1, len(ranges) + 1):
        for i in range(-1, 11):
            if seen(i, j) != seen(i + 1, j):
                expected.add(((i + 0.5, j - 0.5), (i + 0.5, j + 0.5)))
            if seen(i, j) != seen(i, j + 1):
                expected.add(((i - 0.5, j + 0.5), (i + 0.5, j + 0.5)))
    drawn = set()
    for (x0, y0), (x1, y1) in picture._outline([AttentionWindow(first, last, first) for first, last in ranges]):
        for k in range(int(x1 - x0)):
            drawn.add(((x0 + k, y0), (x0 + k + 1, y1)))
        if y1 > y0:
            drawn.add(((x0, y0), (x1, y1)))
    assert drawn == expected


def test_the_sentences_are_the_title() -> None:
    titled = Heatmap("a cat", "ein $Tier$", ["▁a", "▁cat"], ["▁ein", "▁Tier"], np.ones((1, 2, 2)), [0.0] * 2, 0.0)
    assert {"a cat", "ein $Tier$"} <= set(texts(Painter("en", "de").draw(titled, "svg")))
    long = Heatmap("word " * 99, "猫" * 99, ["▁a"], ["▁x"], np.ones((1, 1, 1)), [0.0], 0.0)
    painter = Painter("en", "zh")
    source, target = (text for text in texts(painter.draw(long, "svg")) if text.endswith(" …"))
    assert 20 < len(source) < 80
    assert 10 < len(target) < 40  # these are twice as wide
    assert source.startswith("word word")


def test_lines_hold_the_pieces_of_a_word_together() -> None:
    def lines(columns: list[str], heads: int = 1) -> int:
        drawn = Painter("en", "de").draw(heatmap(columns, ["▁x", "▁y"], heads), "svg").decode()
        groups = re.findall(r'<g id="LineCollection_\d+">(.*?)</g>', drawn, re.DOTALL)
        return sum(group.count("<path") for group in groups)

    assert lines(["▁a", "▁b", "</s>"]) == 0
    assert lines(["▁a", "b", "▁c", "d", "e", "</s>"]) == 2
    assert lines(["▁a", "b", "</s>"], heads=2) == 2
