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


class Detector:
    """Tells languages apart. Without lingua, it knows an answer only where there is no choice."""

    def __call__(self, text: str, languages: Sequence[str]) -> Detected:
        """Choose one of these languages. Raises HTTPException 501 if that needs lingua."""
        if len(languages) == 1:
            return Detected(languages[0], 100.0)
        return self.ranked(text, languages)[0]

    def ranked(self, text: str, languages: Sequence[str]) -> list[Detected]:
        """Return these languages, the most probable first. Raises HTTPException 501 without lingua."""
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
