"""The page holds everything, and nothing in it can break out of where it belongs."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq.inference.alignment import WordAlignment
from seq2seq.inference.heatmap import Heatmap
from seq2seq.inference.pages import in_notebook, write_heatmaps
from seq2seq.inference.translation import Translation
from seq2seq.inference.weights import AttentionWindow

HOSTILE = [
    "</script><script>alert(1)</script>", "<!--", "-->", "<![CDATA[", '"', "'", "\\", "\\u003c", "{{data}}",
    "{{ title }}", "{% raw %}", "a\u2028b\u2029c", "&lt;", "&", "\u202eabc", "السلام", "שלום", "猫", "𝒳", "${x}", "`",
]  # fmt: skip


class Elements(HTMLParser):
    """Start tags with their attributes, and the text in each kind of element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.tags[-1][0] if self.tags else "", []).append(data)


def page(*heatmaps: Heatmap, title: str = "title", languages: tuple[str, str] = ("en", "de")) -> str:
    file = io.StringIO()
    write_heatmaps(file, title, languages, enumerate(heatmaps, 1))
    return file.getvalue()


def data(text: str) -> dict[str, Any]:
    """What the page's script reads."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def heatmap(t: int = 2, s: int = 3, heads: int = 1, **more: Any) -> Heatmap:
    weights = torch.rand(heads, t, s).softmax(-1).numpy()
    names = {"columns": [f"▁c{i}" for i in range(s)], "rows": [f"▁r{j}" for j in range(t)]}
    return Heatmap(**{"source": "src", "target": "tgt", **names, "weights": weights, "scores": [-0.25] * t,
                      "score": -0.25 * t, **more})  # fmt: skip


def test_weights_come_back_to_three_digits() -> None:
    one = heatmap(5, 4, heads=2)
    (record,) = data(page(one))["sentences"]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    read = [
        [(digits.index(code[at]) * 64 + digits.index(code[at + 1])) / 4095 for at in range(0, len(code), 2)]
        for code in record["weights"]
    ]
    torch.testing.assert_close(torch.tensor(read).view(2, 5, 4), torch.from_numpy(one.weights), atol=1.3e-4, rtol=0)


def test_everything_of_a_sentence_is_there() -> None:
    windows = [AttentionWindow(0, 1, 0.123456), AttentionWindow(1, 2, 2)]
    first, second = data(page(heatmap(windows=windows), heatmap(1, 1), languages=("zh_TW", "ar")))["sentences"]
    assert first["windows"] == [[0, 1, 0.12], [1, 2, 2]]
    assert second["windows"] is None
    assert (first["number"], second["number"]) == (1, 2)
    assert (first["source"], first["target"], first["score"], first["scores"]) == ("src", "tgt", -0.5, [-0.25] * 2)
    assert (first["columns"], second["rows"]) == (["▁c0", "▁c1", "▁c2"], ["▁r0"])
    assert first["words"] == [[], []]
    (joined,) = data(page(heatmap(2, 3, columns=["▁a", "b", "▁c"], rows=["▁x", "y"])))["sentences"]
    assert joined["words"] == [[[0, 1]], [[0, 1]]]
    assert data(page(languages=("zh_TW", "ar"))) == {"languages": ["zh-TW", "ar"], "sentences": []}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    harmless = Elements(page(heatmap()))
    made = page(heatmap(1, 1, source=text, target=text, columns=[text], rows=[text]), title=text)
    elements = Elements(made)
    assert [tag for tag, _ in elements.tags] == [tag for tag, _ in harmless.tags]
    assert [attributes for _, attributes in elements.tags] == [attributes for _, attributes in harmless.tags]
    assert "".join(elements.texts["title"]).strip() == text
    assert "".join(elements.texts["h1"]).strip() == text
    (record,) = data(made)["sentences"]
    assert (record["source"], record["target"]) == (text, text)
    shown = "".join(c if c.isprintable() else "·" for c in text)
    assert (record["columns"], record["rows"]) == ([shown], [shown])


def test_nothing_is_fetched_from_anywhere() -> None:
    made = page(heatmap())
    assert re.findall(r"[a-z]+://[^\"' ]+", made) == ["http://www.w3.org/2000/svg"]  # the name of a namespace
    assert not re.search(r"url\(|@import|\bsrc=|<link|<iframe|<object|<img|\bfetch\(|\bimport\b|XMLHttp", made)
    policy = next(a["content"] for tag, a in Elements(made).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")


def test_text_is_never_made_into_elements() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", page())


def test_text_has_the_direction_of_its_script() -> None:
    made = page()
    assert made.count('dir: "auto"') == 2  # source and translation
    assert "unicode-bidi: plaintext" in made  # tokens on the axes
    assert made.count('"bdi"') == 3  # tokens under the pointer


def test_a_weight_takes_two_characters() -> None:
    many = [heatmap(30, 30) for _ in range(50)]
    size = len(page(*many)) - len(page())
    assert size < 50 * (2 * 30 * 30 + 60 * 8 + 30 * 6 + 200)


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    made = heatmap(2, len(HOSTILE))
    shown = in_notebook(replace(made, columns=HOSTILE, target=HOSTILE[0]))
    assert shown is not None
    ((name, attributes),) = Elements(shown).tags
    assert name == "iframe"
    assert data(attributes["srcdoc"] or "")["sentences"][0]["target"] == HOSTILE[0]
    assert in_notebook(None) is None


def test_translations_and_alignments_show_themselves() -> None:
    weights = np.full((1, 2, 2), 0.5)
    translation = Translation("a b", "c d", -1.0, -1.0, ["a", "b"], ["c", "d"], [-0.5, -0.5], weights)
    assert "iframe" in (translation._repr_html_() or "")
    assert replace(translation, attention=None)._repr_html_() is None
    alignment = WordAlignment(["a", "b"], ["c", "d"], weights[0], [(0, 0)])
    shown = Elements(alignment._repr_html_() or "").tags[0][1]["srcdoc"] or ""
    assert data(shown)["sentences"][0]["columns"] == ["a", "b"]
