"""The language of a text, with lingua and without."""

import sys

import pytest
from starlette.exceptions import HTTPException

from seq2seq.serve.detection import Detected, Detector


def test_without_a_choice_nothing_has_to_be_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    assert Detector()("hello", ["en"]) == Detected("en", 100.0)


def test_without_lingua_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(HTTPException, match=r"501: .*give `source`, or install lingua: pip install .*\[detect\]"):
        Detector()("hello", ["en", "de"])


def test_lingua_tells_languages_apart() -> None:
    pytest.importorskip("lingua", reason="the extra detect")
    detector = Detector()
    assert detector("The horse has played in the garden.", ["en", "de"]).language == "en"
    ranked = detector.ranked("Das Pferd hat im Garten gespielt.", ["en", "de"])
    assert [found.language for found in ranked] == ["de", "en"]
    assert ranked[0].confidence > 90
    assert detector("Hesten har lekt i hagen.", ["en", "no"]).language == "no"
    with pytest.raises(HTTPException, match="501: xx can't be detected"):
        detector("whatever", ["xx", "en"])
