"""`seq2seq score`: computes the log-probabilities of given translations."""

from seq2seq.cli.files import check_output, output_stream, progress
from seq2seq.cli.reading import layout, read_pairs, score_all
from seq2seq.cli.rows import result_row
from seq2seq.config import ScoreConfig
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.loading import load_translator


def run(config: ScoreConfig) -> int:
    """Print the log-probability of each target, or all details as JSON."""
    check_output(config.output, [config.source, config.target])
    translator = load_translator(config.checkpoint, config.device)
    aligner = Aligner.of(translator)
    pairs = read_pairs(config.source, config.target, translator, layout(config.checkpoint, config.columns))
    with output_stream(config.output) as output, progress(len(pairs)) as advance:
        for scored in score_all(
            translator, pairs, config.batch_size, config.precision, config.shortlist, advance=advance
        ):
            if config.output_format == "jsonl":
                print(result_row(scored, aligner.align(scored) if aligner else None), file=output)
            else:
                print(f"{scored.score:.6f}", file=output)
    return 0
