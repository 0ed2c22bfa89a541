"""`seq2seq score`: how probable a model finds given translations."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from seq2seq.cli.files import check_output, input_lines, output_stream
from seq2seq.cli.progress import progress
from seq2seq.cli.reading import SOURCE, TARGET, RowLayout, layout
from seq2seq.config import ScoreConfig
from seq2seq.errors import DataError
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.forced_scores import ScoredPair, SentencePair, piece_numbers, score_pairs
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translator import Translator
from seq2seq.text.formats import table_kind
from seq2seq.text.json_io import parse_json
from seq2seq.text.parallel import zip_lines

_SORTED_BATCHES = 16
"""So many batches of pairs are sorted by length together."""


def run(config: ScoreConfig, choices: dict[str, str]) -> int:
    """Print the log-probability of each target, or all about it as JSON."""
    check_output(config.output)
    translator = load_translator(config.checkpoint, config.device)
    aligner = Aligner.of(translator)
    pairs = read_pairs(config.source, config.target, translator, layout(config.checkpoint, config.columns))
    with output_stream(config.output) as output, progress(len(pairs)) as advance:
        for forced in force_all(translator, pairs, config.batch_size, config.precision, config.shortlist, advance):
            if config.output_format == "jsonl":
                print(json.dumps(as_json(forced, aligner), ensure_ascii=False), file=output)
            else:
                print(f"{forced.score:.6f}", file=output)
    return 0


def as_json(forced: ScoredPair, aligner: Aligner | None) -> dict[str, Any]:
    """A JSONL line; `alignment` is null where the model has no attention."""
    return {
        "source": forced.pair.source,
        "translation": forced.pair.target,
        "score": forced.score,
        "tokens": forced.tokens,
        "token_scores": forced.token_scores,
        "shortlist": forced.shortlist,
        "alignment": aligner and str(aligner.forced(forced)),
    }


def force_all(
    translator: Translator,
    pairs: Sequence[SentencePair],
    batch_size: int,
    precision: str = "fp32",
    shortlist: int | None = None,
    advance: Callable[[int], object] = lambda pairs: None,
) -> Iterator[ScoredPair]:
    """In order, and a few batches at a time: no more attention than theirs is in memory. `advance` is told how many."""
    remaining = iter(pairs)
    while group := list(islice(remaining, batch_size * _SORTED_BATCHES)):
        found = score_pairs(translator, group, batch_size, precision, shortlist)
        advance(len(group))
        yield from found


def read_pairs(source: str, target: str, translator: Translator, layout: RowLayout) -> list[SentencePair]:
    """A pair for each line; of JSONL its `source`, or its `tokens` and the text they were printed as.

    Raises DataError for what does not fit together.
    """
    if source == target == "-":
        raise DataError("both sides are stdin (-); give a file for one")
    own = [table_kind(name) == ".jsonl" and is_jsonl(input_lines(name)) for name in (source, target)]
    if any(own):
        sides = (SOURCE, source, own[0]), (TARGET, target, own[1])
        read = [input_lines(name) if whole else layout.lines(name, side) for side, name, whole in sides]
        both = list(zip_lines((source, target), (read[0], read[1])))
    else:
        both = list(layout.pairs(source, target))
    sources, targets = [left for left, _ in both], [right for _, right in both]
    if is_jsonl(sources):
        sources = [_record(line, source, number)["source"] for number, line in enumerate(sources, 1)]
    if not is_jsonl(targets):
        return [SentencePair(*pair) for pair in zip(sources, targets, strict=True)]
    known = piece_numbers(translator)
    pairs = []
    for number, (line, text) in enumerate(zip(targets, sources, strict=True), 1):
        record = _record(line, target, number)
        tokens = record["tokens"]
        if strange := [token for token in tokens if token not in known]:
            raise DataError(
                f"{target}:{number}: {strange[0][:60]!r} is not in the vocabulary of this checkpoint; "
                "score the text instead, or take the checkpoint that translated"
            )
        if record.get("sentences", 1) != 1:
            raise DataError(
                f"{target}:{number}: several sentences, as translate split=sentences joins them; a score is that of a "
                "single one. Translate and score them one on each line."
            )
        printed = translator.target.decode([known[token] for token in tokens], translator.source.protected(text))
        said = record.get("translation", printed)
        pairs.append(SentencePair(text, str(said), tokens))
    return pairs


def is_jsonl(lines: Iterable[str]) -> bool:
    """Whether these are lines of `translate output_format=jsonl`, by the first that is not blank."""
    try:
        return _is_record(parse_json(next((line for line in lines if line.strip()), "")))
    except ValueError:
        return False


def _is_record(value: Any) -> bool:
    if not (isinstance(value, dict) and isinstance(value.get("source"), str) and isinstance(value.get("tokens"), list)):
        return False
    return all(isinstance(token, str) for token in value["tokens"])


def _record(line: str, name: str, number: int) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except ValueError:
        value = None
    if not _is_record(value):
        raise DataError(
            f"{name}:{number}: expected an object with `source` and `tokens`, as "
            f"translate output_format=jsonl writes it, got {line[:60]!r}"
        )
    return dict(value)
