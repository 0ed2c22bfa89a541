"""Lower-cased text in Moses' tokens, which most papers before sacrebleu scored. Needs sacremoses."""

from seq2seq.errors import ConfigError
from seq2seq.text.languages import base_language, is_unspaced
from seq2seq.version import install_command


class MosesTokens:
    """Lower-cases lines, makes their punctuation usual, and splits off their tokens.

    Hyphenated words stay whole, as in the published files of Multi30k.
    """

    def __init__(self, language: str | None) -> None:
        """Raises ConfigError if sacremoses is missing, or for a language that is written without spaces."""
        if language is not None and is_unspaced(language):
            raise ConfigError(
                f"also=tok_lc: Moses splits words at spaces, and {language} is written without them. Use also=none."
            )
        try:
            from sacremoses import MosesPunctNormalizer, MosesTokenizer
        except ImportError as error:
            raise ConfigError(f"also=tok_lc needs sacremoses. Install it: {install_command('moses')}") from error
        self._language = "en" if language is None else base_language(language)
        self._normalizer, self._tokenizer = MosesPunctNormalizer(self._language), MosesTokenizer(self._language)

    def split(self, line: str) -> str:
        """Return the tokens of a line, joined by spaces."""
        tokens: str = self._tokenizer.tokenize(self._normalizer.normalize(line.lower()), return_str=True, escape=False)
        return tokens

    def signature(self, of_tokens: str) -> str:
        """Return sacrebleu's signature of scores of these tokens with their origin in it."""
        return of_tokens.replace("case:mixed", "case:lc").replace("tok:none", f"tok:moses-{self._language}")
