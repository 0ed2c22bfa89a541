"""Lower-cased Moses tokens are those that published files of Multi30k have."""

import sys

import pytest

from seq2seq.errors import ConfigError
from seq2seq.text.moses import MosesTokens

pytest.importorskip("sacremoses")


def test_lines_become_lower_cased_tokens() -> None:
    moses = MosesTokens("de")
    assert moses.split("Ein Mann mit „Hut“, der z.B. ein T-Shirt für 1.000 € trägt.") == (
        'ein mann mit " hut " , der z.b. ein t-shirt für 1.000 € trägt .'
    )
    assert moses.split("A & B <b>") == "a & b < b >"
    assert moses.split("") == ""


def test_a_signature_tells_the_tokens() -> None:
    assert MosesTokens("de_DE").signature("nrefs:1|case:mixed|tok:none") == "nrefs:1|case:lc|tok:moses-de"
    assert MosesTokens(None).signature("tok:none") == "tok:moses-en"


def test_a_language_without_spaces_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"also=tok_lc.*zh is written without"):
        MosesTokens("zh")


def test_without_sacremoses_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(ConfigError, match=r"pip install .*\[moses\]"):
        MosesTokens("de")
