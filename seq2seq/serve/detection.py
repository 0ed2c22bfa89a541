"""The language of a text, as lingua finds it."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException

from seq2seq.version import install_command


class Detected(NamedTuple):
    """A language, and how sure the detection is of it."""

    language: str
    confidence: float
    """In percent"""


def rank_languages(text: str, languages: Sequence[str]) -> list[Detected]:
    """Return these languages, the most probable first. Raises HTTPException 501 if a choice of them needs lingua."""
    if len(languages) == 1:
        return [Detected(languages[0], 100.0)]
    try:
        import lingua  # noqa: F401
    except ImportError as error:
        raise HTTPException(
            501, f"languages can't be detected here: give `source`, or install lingua: {install_command('detect')}"
        ) from error
    unknown = [language for language in languages if language not in _known()]
    if unknown:
        raise HTTPException(501, f"{', '.join(unknown)} can't be detected: give `source`")
    ranked = _detector(tuple(languages)).compute_language_confidence_values(text)
    names = {_known()[language]: language for language in languages}
    return [Detected(names[each.language], round(100 * each.value, 1)) for each in ranked]


@cache
def _known() -> dict[str, Any]:
    import lingua

    known = {language.iso_code_639_1.name.lower(): language for language in lingua.Language.all()}
    return {**known, "no": known["nb"]}


@cache
def _detector(languages: tuple[str, ...]) -> Any:
    import lingua

    return lingua.LanguageDetectorBuilder.from_languages(*(_known()[language] for language in languages)).build()
