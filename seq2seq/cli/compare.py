"""`seq2seq compare`: compares finished runs, or a grid of variants x seeds that it trains, in one table."""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2seq.cli import compose
from seq2seq.cli.files import check_directory, make_directory, output_file, output_stream
from seq2seq.cli.grid import Cell, decoding_of, plan
from seq2seq.cli.grid_measurement import measure, read_task
from seq2seq.cli.grid_results import identities, read_result, result_path, run_directory, write_result
from seq2seq.cli.main import Stopped
from seq2seq.config import CompareConfig, Data, parse
from seq2seq.device import choose_device
from seq2seq.errors import ConfigError, DataError, nearest
from seq2seq.inference import comparison
from seq2seq.inference.comparison import Comparison, Failed, Measured
from seq2seq.text.moses import MosesTokens
from seq2seq.training.corpora import prepare_data
from seq2seq.version import install_command

logger = logging.getLogger(__name__)


def run(config: CompareConfig) -> int:
    """Measure every cell without a result, each in its own job, and write the table.

    If cells failed, the exit code is 2 if all failures are the user's mistakes, else 1.
    """
    choose_device(config.device)
    check_directory(config.output)
    cells = plan(config)
    if not cells:
        raise ConfigError("compare: nothing to compare. Give runs=[...], variants={...}, or comparison=NAME.")
    baseline = config.baseline or cells[0].label
    labels = list(dict.fromkeys(cell.label for cell in cells))
    if baseline not in labels:
        raise ConfigError(
            f"baseline={baseline}: no such variant.{nearest(baseline, labels)} Labels: {', '.join(labels)}."
        )
    if missing := config.published.keys() - set(labels):
        raise ConfigError(f"published: no such variant: {', '.join(sorted(missing))}. Labels: {', '.join(labels)}.")
    task = read_task(config, cells)
    moses = MosesTokens(cells[0].training.data.target_lang) if config.also == "tok_lc" else None
    expected = identities(cells, task, config)
    size = len(task.references)
    results = [
        read_result(cell, config.output, identity, size, logger.info)
        for cell, identity in zip(cells, expected, strict=True)
    ]
    waiting = [number for number, result in enumerate(results) if not isinstance(result, Measured)]
    logger.info("%d of %d cells are measured already", len(cells) - len(waiting), len(cells))
    check_data([cells[number] for number in waiting])
    make_directory(config.output)
    for number in waiting:
        if isinstance(results[number], Failed):  # tried again
            result_path(cells[number], config.output).unlink()
    problem = ""
    try:
        if waiting:
            compose.launch(run_job, "cell", waiting, str(Path(config.output) / "runs"))
    except Stopped as stopped:
        logger.info("run the same command again to resume")
        return stopped.exit_code
    except Exception as error:  # the launcher's; an error in a cell is in its result
        problem = f"; {type(error).__name__}: {error}"
        logger.error("the launcher failed%s", problem)
    for number in waiting:
        result = read_result(cells[number], config.output, expected[number], size, logger.debug)
        lost = Failed(cells[number].label, cells[number].seed, f"its job wrote no result{problem}", False)
        results[number] = result or lost
    measured = sorted((r for r in results if isinstance(r, Measured)), key=lambda result: labels.index(result.label))
    failed = [result for result in results if isinstance(result, Failed)]
    searches = (decoding_of(cell, config) for cell in cells)
    named = (f"beam {one.beam_size}" if one.search == "beam" else "sampled" for one in searches)
    search = " or ".join(dict.fromkeys(named))
    table = comparison.compare(
        measured, failed, baseline, task.references, task.tokenizer, search, moses=moses, published=config.published
    )
    write(table, Path(config.output))
    return 0 if not failed else 2 if all(result.yours for result in failed) else 1


def check_data(cells: Sequence[Cell]) -> None:
    """Read the corpora of all trainings, so that errors in any of them are reported before the first one begins.

    The corpora are then in the cache, and parallel jobs only read it.
    """
    seen: list[Data] = []
    for cell in cells:
        if cell.run is None and cell.training.data not in seen:
            seen.append(cell.training.data)
            prepare_data(cell.training)


def run_job(composed: Any) -> None:
    """Measure one cell and write its result or its error, given the configuration that Hydra composed.

    It may run in another process, or on another machine.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    values = compose.plain(composed)
    number = values.pop("cell")
    config: CompareConfig = parse("compare", values)
    cells = plan(config)
    cell, task = cells[number], read_task(config, cells)
    (identity,) = identities([cell], task, config)
    logger.info("%s, seed %d", cell.label, cell.seed)
    result: Measured | Failed
    try:
        result = measure(cell, task, config, run_directory(cell, identity, config.output))
    except Exception as error:  # the other cells go on
        yours = isinstance(error, (ConfigError, DataError))
        result = Failed(cell.label, cell.seed, f"{type(error).__name__}: {error}", yours)
        logger.error("%s, seed %d: failed: %s", cell.label, cell.seed, error, exc_info=not yours)
    else:
        logger.info("%s, seed %d: BLEU %.2f", cell.label, cell.seed, result.bleu)
    write_result(cell, config.output, identity, result)


def write(table: Comparison, directory: Path) -> None:
    """Write comparison.md (also to stdout), .csv, .json and, if matplotlib is installed, .png."""
    contents = {
        "md": comparison.markdown(table),
        "csv": comparison.as_csv(table),
        "json": json.dumps(table.as_dict(), ensure_ascii=False, indent=2) + "\n",
    }
    for ending, content in contents.items():
        with output_stream(str(directory / f"comparison.{ending}")) as file:
            file.write(content)
    try:
        if table.rows:
            with output_file(str(directory / "comparison.png")) as unfinished:
                comparison.draw(table, unfinished)
    except ImportError:
        logger.info("comparison.png was not drawn: pictures need matplotlib. Install it: %s", install_command("plots"))
    with output_stream("-") as file:
        file.write(contents["md"])
