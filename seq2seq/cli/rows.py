"""Lines that commands write: translations, scored pairs and alignments as JSON."""

import json
from typing import Any

from seq2seq.inference.alignment import WordAlignment
from seq2seq.inference.forced_scores import ScoredPair
from seq2seq.inference.translation import Translation


def translation_row(translation: Translation, alignment: WordAlignment | None) -> str:
    """Return a translation as a line of JSON; `sentences` is there only for joined ones."""
    values = _row(translation.source, translation.text, translation, alignment)
    return _json(values if translation.sentences == 1 else {**values, "sentences": translation.sentences})


def scored_row(scored: ScoredPair, alignment: WordAlignment | None) -> str:
    """Return a scored pair as a line of JSON."""
    return _json(_row(scored.pair.source, scored.pair.target, scored, alignment))


def _row(source: str, target: str, result: Translation | ScoredPair, alignment: WordAlignment | None) -> dict[str, Any]:
    """`alignment` is null if the model has no attention."""
    return {
        "source": source,
        "translation": target,
        "score": result.score,
        **({"rank": result.rank} if isinstance(result, Translation) else {}),
        "tokens": result.tokens,
        "token_scores": result.token_scores,
        "shortlist": result.shortlist,
        "alignment": alignment and str(alignment),
    }


def alignment_row(source: str, target: str, alignment: WordAlignment, result: ScoredPair | Translation) -> str:
    """Return an alignment as a line of JSON.

    `matrix` has a row for each target word, `attention` (the mean over heads) one for each token.
    """
    values = {
        "source": source,
        "translation": target,
        "source_words": alignment.source,
        "target_words": alignment.target,
        "alignment": str(alignment),
        "matrix": _rounded(alignment.matrix.tolist()),
        "source_tokens": result.source_tokens,
        "tokens": result.tokens,
        "attention": [] if result.attention is None else _rounded(result.attention.mean(0).tolist()),
    }
    return _json(values)


def _rounded(matrix: list[list[float]]) -> list[list[float]]:
    return [[round(weight, 6) for weight in row] for row in matrix]


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)
