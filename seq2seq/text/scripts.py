"""Which script a language is written in, and whether a text can be its writing."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from seq2seq.text.languages import base_language

_HAN, _KANA = "CJK", ("HIRAGANA", "KATAKANA")
_WRITTEN = {
    (_HAN,): "zh zho cmn yue",
    (_HAN, *_KANA): "ja jpn",
    ("HANGUL", _HAN): "ko kor",
    ("CYRILLIC",): "ru rus uk ukr be bel bg bul mk mkd",
    ("GREEK",): "el ell grc",
    ("HEBREW",): "he heb yi yid",
    ("ARABIC",): "ar ara arb fa fas pes ur urd ps pus",
    ("DEVANAGARI",): "hi hin mr mar ne nep npi",
    ("BENGALI",): "bn ben as asm",
    ("TAMIL",): "ta tam",
    ("TELUGU",): "te tel",
    ("THAI",): "th tha",
    ("LAO",): "lo lao",
    ("KHMER",): "km khm",
    ("MYANMAR",): "my mya",
    ("GEORGIAN",): "ka kat",
    ("ARMENIAN",): "hy hye",
    ("ETHIOPIC",): "am amh ti tir",
    ("LATIN",): (
        "en eng de deu fr fra es spa it ita pt por nl nld sv swe da dan no nob nb nn fi fin et est lv lav lt lit pl "
        "pol cs ces sk slk sl slv hr hrv hu hun ro ron tr tur vi vie id ind ms msa ca cat eu eus gl glg ga gle cy cym "
        "is isl"
    ),
}
"""First words of the Unicode names of its letters -> the languages that are certainly written so."""
_SCRIPTS = {code: scripts for scripts, codes in _WRITTEN.items() for code in codes.split()}

_FEWEST = 20
"""Letters that say something of a text."""
_LEAST = 0.2
"""Share of letters in its own script that any text of a language has: names and terms of others may be many."""


def count_letters(lines: Iterable[str]) -> Counter[str]:
    """How many letters of each script there are."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(filter(None, map(_script, line)))
    return counts


@lru_cache(1 << 16)
def _script(character: str) -> str:
    """The first word of a letter's name, such as LATIN; empty for other characters."""
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


def is_foreign(found: Counter[str], language: str) -> bool:
    """Whether these letters can't be those of a text in this language."""
    scripts = _SCRIPTS.get(base_language(language))
    total = found.total()
    return scripts is not None and total >= _FEWEST and sum(found[script] for script in scripts) < _LEAST * total


def described(found: Counter[str]) -> str:
    """The most frequent scripts with their shares: `98% Latin, 2% Han`."""
    names = {_HAN: "Han"}
    total = found.total()
    most = found.most_common(2)
    shares = ((round(100 * count / total), names.get(script, script.title())) for script, count in most)
    return ", ".join(f"{share}% {name}" for share, name in shares if share)
