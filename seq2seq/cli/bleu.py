"""`seq2seq bleu`: scores translations against references, and tests several systems against the first."""

import json
from collections.abc import Iterator, Sequence

from seq2seq.cli.files import check_output, output_stream
from seq2seq.cli.reading import TARGET, RowLayout
from seq2seq.cli.references import read_references
from seq2seq.config import BleuConfig, several
from seq2seq.errors import ConfigError
from seq2seq.inference import metrics
from seq2seq.inference.metrics import TITLES, Scores
from seq2seq.inference.significance import TESTS, Significance, against_baseline
from seq2seq.text.moses import MosesTokens


def run(config: BleuConfig) -> int:
    """Print BLEU, chrF and TER with signatures; for several systems also the p-values of their differences."""
    names = several(config.hypothesis)
    if not names:
        raise ConfigError("hypothesis=[]: expected a file, or several, [a,b]; the first is the baseline")
    check_output(config.output, [*names, *several(config.reference)])
    layout = RowLayout((None, config.target_lang), config.columns)
    systems, references = read_references(names, config.reference, layout, TARGET)
    tokenizer = config.bleu_tokenizer or metrics.bleu_tokenizer(config.target_lang)
    metrics.check_tokenizer(tokenizer)
    moses = MosesTokens(config.target_lang) if config.also == "tok_lc" else None
    scores = [metrics.score(system, references, tokenizer, moses=moses) for system in systems]
    tests = against_baseline(systems[0], systems[1:], references, tokenizer)
    with output_stream(config.output) as output:
        if len(names) == 1:
            print(json.dumps(scores[0].as_dict()) if config.output_format == "json" else scores[0], file=output)
        elif config.output_format == "json":
            rows = [
                {"hypothesis": name, **score.as_dict(), **(test.as_dict() if test else {})}
                for name, score, test in zip(names, scores, [None, *tests], strict=True)
            ]
            print(json.dumps({"systems": rows}), file=output)
        else:
            print("\n".join(table(names, scores, tests)), file=output)
    return 0


def table(names: Sequence[str], scores: Sequence[Scores], tests: Sequence[Significance]) -> Iterator[str]:
    """Yield the lines of a block for each system, the baseline first, and the signatures."""
    for name, score, test in zip(names, scores, [None, *tests], strict=True):
        yield name if test else f"{name} (baseline)"
        for metric, title in score.titles.items():
            tested = test.p_values.get(metric, {}) if test else {}
            p_values = ", ".join(f"{p:.4f} ({TESTS[key]})" for key, p in tested.items())
            yield f"{title:4} {getattr(score, metric):6.2f}" + (f"  p = {p_values}" if p_values else "")
        yield ""
    for metric, title in TITLES.items():
        yield from (f"{title:4} {signature}" for signature in tests[0].signatures[metric].values())
