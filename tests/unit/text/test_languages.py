"""Languages by all their usual codes, and how their translations are scored."""

import logging

import pytest

from seq2seq.errors import ConfigError
from seq2seq.inference.metrics import bleu_tokenizer, check_tokenizer, score
from seq2seq.text.languages import base_language, is_unspaced

CHINESE = ("zh", "ZH", "zho", "chi", "cmn", "zh-TW", "zh_Hant", "cmn_Hans", "zho_Hant", "yue", "yue_Hant", "wuu", "lzh")
CODES = {
    **dict.fromkeys(CHINESE, ("zh", "zh")),
    **dict.fromkeys(("ja", "jpn", "jpn_Jpan", "ja-JP"), ("ja", "ja-mecab")),
    **dict.fromkeys(("ko", "kor", "kor_Hang", "ko-KR"), ("ko", "ko-mecab")),
    **dict.fromkeys(("th", "tha", "tha_Thai", "th-TH"), ("th", "char")),
    **dict.fromkeys(("lo", "lao", "lao_Laoo"), ("lo", "char")),
    **dict.fromkeys(("km", "khm", "khm_Khmr"), ("km", "char")),
    **dict.fromkeys(("my", "mya", "bur", "mya_Mymr"), ("my", "char")),
    **dict.fromkeys(("bo", "bod", "tib", "bod_Tibt"), ("bo", "char")),
    **dict.fromkeys(("dz", "dzo"), ("dz", "char")),
    "jav_Java": ("jav", "char"),
    "jav_Latn": ("jav", "13a"),
    "nan_Latn": ("zh", "13a"),
    "zh-Latn-pinyin": ("zh", "13a"),
    **{code: (code[:2], "13a") for code in ("de", "en-GB", "pt_BR", "sr_Cyrl")},
    "deu": ("deu", "13a"),
    "zhx": ("zhx", "13a"),
}


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_a_language_is_scored_alike(code: str) -> None:
    language, tokenizer = CODES[code]
    assert base_language(code) == language
    assert bleu_tokenizer(code) == tokenizer
    assert is_unspaced(code) == (tokenizer in ("zh", "ja-mecab", "char"))


def test_without_a_language_words_are_scored() -> None:
    assert bleu_tokenizer(None) == "13a"


def test_scoring_characters_for_want_of_a_tokenizer_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bleu_tokenizer.cache_clear()
    for code in ("tha", "tha", "zh", "de"):
        bleu_tokenizer(code)
    (message,) = caplog.messages
    assert "bleu_tokenizer=char" in message
    assert "tha is written without spaces" in message


@pytest.mark.parametrize("code", ["cmn", "th", "mya"])
def test_translations_without_spaces_have_a_score_and_its_signature_says_of_what(code: str) -> None:
    text = {"cmn": ("我们明天去学校。", "我们今天去学校。"), "th": ("ฉันรักแมวของฉัน", "ฉันรักหมาของฉัน"),
            "mya": ("ကျွန်တော်စာဖတ်တယ်", "ကျွန်တော်စာရေးတယ်")}[code]  # fmt: skip
    tokenizer = bleu_tokenizer(code)
    scores = score([text[0]], [text[1]], tokenizer)
    assert 20 < scores.bleu < 90
    assert f"tok:{tokenizer}" in scores.signatures["bleu"]


@pytest.mark.parametrize(("language", "name"), [("ja", "ja-mecab"), ("ko", "ko-mecab")])
def test_a_tokenizer_that_is_not_installed_says_what_to_install_or_take(
    language: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise RuntimeError(f"no dependencies\n\n    pip install sacrebleu[{language}]\n")

    monkeypatch.setattr("seq2seq.inference.metrics.BLEU.corpus_score", missing)
    with pytest.raises(ConfigError, match=rf"{name}: .* pip install sacrebleu\[{language}\].*bleu_tokenizer=char"):
        check_tokenizer(name)
