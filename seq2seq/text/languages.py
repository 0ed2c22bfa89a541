"""Languages by their usual codes, and which of them are written without spaces between words."""

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
"""Language -> its other codes: those of ISO 639-2 and 639-3, members of the family, and countries taken for it."""
_LANGUAGES = {code: language for language, codes in _CODES.items() for code in codes.split()}

_UNSPACED = {"zh", "ja", "th", "lo", "km", "my", "bo", "dz", "shn", "mnw", "khb", "tdd", "nod", "kyu", "adx", "khg"}
_UNSPACED_SCRIPTS = {
    "hans", "hant", "hani", "jpan", "hira", "kana", "hrkt", "thai", "laoo", "khmr", "mymr", "tibt", "lana", "talu",
    "tale", "tavt", "bali", "java",
}  # fmt: skip


def base_language(code: str) -> str:
    """The language itself: `zh` of zh-TW, zh_Hant, zho or cmn_Hans."""
    base = _subtags(code)[0]
    return _LANGUAGES.get(base, base)


def is_unspaced(code: str) -> bool:
    """Whether the language, in the script that its code may name, is written without spaces between words."""
    script = next((subtag for subtag in _subtags(code)[1:] if len(subtag) == 4 and subtag.isalpha()), None)
    return base_language(code) in _UNSPACED if script is None else script in _UNSPACED_SCRIPTS


def _subtags(code: str) -> list[str]:
    return code.strip().lower().replace("_", "-").split("-")
