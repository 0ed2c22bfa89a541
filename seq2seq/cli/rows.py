"""JSON lines of translations, scored pairs and alignments."""

import json
from typing import Any

from seq2seq.inference.alignment import WordAlignment
from seq2seq.inference.context_view import ContextView
from seq2seq.inference.forced_scores import ScoredPair
from seq2seq.inference.translation import Translation


def result_row(
    result: Translation,
    alignment: WordAlignment | None,
    context: ContextView | None = None,
    marked: tuple[str, str] | None = None,
) -> str:
    """Return a translation or a scored pair as a line of JSON; only joined translations have `sentences`.

    `alignment` is null if the model has no attention. Of a sentence in context, `gate` has a number and `weights` a
    row for each source token: see ContextView. `marked` is the line and its translation with their tags.
    """
    values: dict[str, Any] = {
        "source": result.source,
        "translation": result.text,
        "score": result.score,
        **({} if isinstance(result, ScoredPair) else {"rank": result.rank}),
        "tokens": result.tokens,
        "token_scores": result.token_scores,
        "shortlist": result.shortlist,
        "alignment": alignment and str(alignment),
    }
    if result.sentences > 1:
        values["sentences"] = result.sentences
    if marked is not None:
        values["source"], values["translation"] = marked
        values["plain_source"], values["plain_translation"] = result.source, result.text
    if context is not None:
        values["source_tokens"] = context.source_tokens
        values["gate"] = [round(weight, 6) for weight in context.gate.tolist()]
        values["context"] = [
            {"source": sentence, "tokens": tokens, "weights": _rounded(weights.tolist())}
            for sentence, tokens, weights in zip(context.sentences, context.tokens, context.weights, strict=True)
        ]
    return _json(values)


def alignment_row(result: Translation, alignment: WordAlignment) -> str:
    """Return an alignment as a line of JSON.

    `matrix` has a row for each target word, `attention` (the mean over heads) one for each token.
    """
    values = {
        "source": result.source,
        "translation": result.text,
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
