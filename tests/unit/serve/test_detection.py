"""The language of a text, with lingua and without."""

import sys

import pytest
from starlette.exceptions import HTTPException

from seq2seq.serve.detection import Detected, rank_languages


def test_without_a_choice_nothing_has_to_be_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    assert rank_languages("hello", ["en"]) == [Detected("en", 100.0)]


def test_without_lingua_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(HTTPException, match=r"501: .*give `source`, or install lingua: pip install .*\[detect\]"):
        rank_languages("hello", ["en", "de"])


def test_lingua_tells_languages_apart() -> None:
    pytest.importorskip("lingua", reason="the extra detect")
    assert rank_languages("The horse has played in the garden.", ["en", "de"])[0].language == "en"
    ranked = rank_languages("Das Pferd hat im Garten gespielt.", ["en", "de"])
    assert [found.language for found in ranked] == ["de", "en"]
    assert ranked[0].confidence > 90
    assert rank_languages("Hesten har lekt i hagen.", ["en", "no"])[0].language == "no"
    with pytest.raises(HTTPException, match="501: xx can't be detected"):
        rank_languages("whatever", ["xx", "en"])
