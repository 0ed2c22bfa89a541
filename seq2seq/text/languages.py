"""Languages by their usual codes, their scripts, and which of them are written without spaces between words."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

_CODES = {
    "zh": "zho chi cmn cn yue wuu nan hak gan hsn cdo cjy cpx czh czo mnp cnp csp lzh",
    "ja": "jpn jp",
    "ko": "kor",
    "th": "tha",
    "lo": "lao",
    "km": "khm",
    "my": "mya bur",
    "bo": "bod tib",
    "dz": "dzo",
}
"""Language -> its other codes: those of ISO 639-2 and 639-3, of family members, and of countries mistaken for it."""
_LANGUAGES = {code: language for language, codes in _CODES.items() for code in codes.split()}

_UNSPACED = {"zh", "ja", "th", "lo", "km", "my", "bo", "dz", "shn", "mnw", "khb", "tdd", "nod", "kyu", "adx", "khg"}
_UNSPACED_SCRIPTS = "hans hant hani jpan hira kana hrkt thai laoo khmr mymr tibt lana talu tale tavt bali java"

_HAN = "CJK"
_WRITTEN = {
    (_HAN,): "zh",
    (_HAN, "HIRAGANA", "KATAKANA"): "ja",
    ("HANGUL", _HAN): "ko",
    ("CYRILLIC",): "ru rus uk ukr be bel bg bul mk mkd",
    ("GREEK",): "el ell grc",
    ("HEBREW",): "he heb yi yid",
    ("ARABIC",): "ar ara arb fa fas pes ur urd ps pus",
    ("DEVANAGARI",): "hi hin mr mar ne nep npi",
    ("BENGALI",): "bn ben as asm",
    ("TAMIL",): "ta tam",
    ("TELUGU",): "te tel",
    ("THAI",): "th",
    ("LAO",): "lo",
    ("KHMER",): "km",
    ("MYANMAR",): "my",
    ("GEORGIAN",): "ka kat",
    ("ARMENIAN",): "hy hye",
    ("ETHIOPIC",): "am amh ti tir",
    ("LATIN",): (
        "en eng de deu fr fra es spa it ita pt por nl nld sv swe da dan no nob nb nn fi fin et est lv lav lt lit pl "
        "pol cs ces sk slk sl slv hr hrv hu hun ro ron tr tur vi vie id ind ms msa ca cat eu eus gl glg ga gle cy cym "
        "is isl"
    ),
}
"""First words of the Unicode names of letters -> the languages that are always written with them."""
_SCRIPTS = {code: scripts for scripts, codes in _WRITTEN.items() for code in codes.split()}

_FEWEST = 20
"""Letters that a text needs before they tell its language."""
_LEAST = 0.2
"""Share of letters in its own script that any text of a language has, even with many foreign names and terms."""


def base_language(code: str) -> str:
    """The language itself: `zh` for zh-TW, zh_Hant, zho or cmn_Hans."""
    base = _subtags(code)[0]
    return _LANGUAGES.get(base, base)


def is_unspaced(code: str) -> bool:
    """Whether the language, in the script that its code may name, is written without spaces between words."""
    script = next((subtag for subtag in _subtags(code)[1:] if len(subtag) == 4 and subtag.isalpha()), None)
    return base_language(code) in _UNSPACED if script is None else script in _UNSPACED_SCRIPTS.split()


def _subtags(code: str) -> list[str]:
    return code.strip().lower().replace("_", "-").split("-")


def count_letters(lines: Iterable[str]) -> Counter[str]:
    """Count the letters of each script."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(filter(None, map(_script, line)))
    return counts


@lru_cache(1 << 16)
def _script(character: str) -> str:
    """The first word of a letter's name, such as LATIN; empty for other characters."""
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


def is_foreign(letters: Counter[str], language: str) -> bool:
    """Whether letters, counted by script, can't be those of a text in this language."""
    scripts = _SCRIPTS.get(base_language(language))
    total = letters.total()
    return scripts is not None and total >= _FEWEST and sum(letters[script] for script in scripts) < _LEAST * total


def described(letters: Counter[str]) -> str:
    """The most frequent scripts with their shares, such as `98% Latin, 2% Han`."""
    shares = {script: round(100 * count / letters.total()) for script, count in letters.most_common(2)}
    return ", ".join(f"{share}% {'Han' if name == _HAN else name.title()}" for name, share in shares.items() if share)
