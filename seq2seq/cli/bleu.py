"""`seq2seq bleu`: score translations against a reference, and several against the first of them."""

import json
from collections.abc import Iterator, Sequence

from seq2seq.cli.files import check_output, output_stream
from seq2seq.cli.reading import TARGET, RowLayout
from seq2seq.config import BleuConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference import metrics
from seq2seq.inference.metrics import Reference, Scores
from seq2seq.inference.significance import TESTS, Significance, against_baseline


def run(config: BleuConfig, choices: dict[str, str]) -> int:
    """Print BLEU, chrF and TER with signatures; of several systems also the p-values of their differences."""
    names = [config.hypothesis] if isinstance(config.hypothesis, str) else config.hypothesis
    if not names:
        raise ConfigError("hypothesis=[]: expected a file, or several, [a,b]; the first is the baseline")
    check_output(config.output)
    layout = RowLayout((None, config.target_lang), config.columns)
    systems, references = read_references(names, config.reference, layout, TARGET)
    tokenizer = config.bleu_tokenizer or metrics.bleu_tokenizer(config.target_lang)
    metrics.check_tokenizer(tokenizer)
    scores = [metrics.score(system, references, tokenizer) for system in systems]
    tests = against_baseline(systems[0], systems[1:], references, tokenizer)
    with output_stream(config.output) as output:
        if len(names) == 1:
            print(json.dumps(scores[0].as_dict()) if config.output_format == "json" else scores[0], file=output)
        elif config.output_format == "json":
            plain = [{"hypothesis": name, **of.as_dict()} for name, of in zip(names, scores, strict=True)]
            for row, test in zip(plain[1:], tests, strict=True):
                row.update(test.as_dict())
            print(json.dumps({"systems": plain}), file=output)
        else:
            print("\n".join(table(names, scores, tests)), file=output)
    return 0


def table(names: Sequence[str], scores: Sequence[Scores], tests: Sequence[Significance]) -> Iterator[str]:
    """A block for each system, the baseline first, and the signatures."""
    for name, of, test in zip(names, scores, [None, *tests], strict=True):
        yield name if test else f"{name} (baseline)"
        for title, metric in (("BLEU", "bleu"), ("chrF", "chrf"), ("TER", "ter")):
            p_values = test and ", ".join(f"{p:.4f} ({TESTS[key]})" for key, p in test.p_values[metric].items())
            yield f"{title:4} {getattr(of, metric):6.2f}" + (f"  p = {p_values}" if p_values else "")
        yield ""
    for title, metric in (("BLEU", "bleu"), ("chrF", "chrf"), ("TER", "ter")):
        for signature in tests[0].signatures[metric].values():
            yield f"{title:4} {signature}"


def read_references(
    names: Sequence[str], reference: str | list[str], layout: RowLayout, side: int
) -> tuple[list[list[str]], list[Reference]]:
    """The lines of files, and their references. Raises DataError unless all are as many.

    `side` is that of the files, where they are tables.
    """
    several = [reference] if isinstance(reference, str) else reference
    if not several:
        raise ConfigError("reference=[]: expected a file, or several, [a,b], that are alternatives")
    if [*names, *several].count("-") > 1:
        raise DataError("both inputs are stdin (-); give a file for one")
    texts = [list(layout.lines(name, TARGET)) for name in several]
    files = [list(layout.lines(name, side)) for name in names]
    for name, lines in zip([*names, *several[1:]], [*files, *texts[1:]], strict=True):
        same_length(name, lines, several[0], texts[0])
    return files, [*(texts[0] if len(texts) == 1 else zip(*texts, strict=True))]


def same_length(left: str, left_lines: Sequence[str], right: str, right_lines: Sequence[str]) -> None:
    """Raises DataError unless both have as many lines, and any."""
    if left == right == "-":
        raise DataError("both inputs are stdin (-); give a file for one")
    if len(left_lines) != len(right_lines):
        raise DataError(f"{left} has {len(left_lines)} lines and {right} has {len(right_lines)}; expected as many")
    if not left_lines:
        raise DataError(f"{left}: no lines to score")
