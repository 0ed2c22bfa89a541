"""`seq2seq train`: raw parallel text to a model. Started again, it goes on where it was."""

import json
import logging
from contextlib import nullcontext
from pathlib import Path

import torch
import torch._dynamo  # the first optimizer would, when each garbage collection looks through all that it makes
from tqdm.contrib.logging import logging_redirect_tqdm

from seq2seq.cli.compose import swept
from seq2seq.cli.files import output_stream
from seq2seq.cli.machine import device_of_rank, keep_freed_memory
from seq2seq.config import Decoding, TrainConfig, Training
from seq2seq.device import choose_device
from seq2seq.inference import metrics
from seq2seq.inference.loading import load_translator
from seq2seq.text.json_io import read_json
from seq2seq.training.corpora import prepare_data
from seq2seq.training.held_out import DIRECTORY, find_test
from seq2seq.training.log import RunLog, run_log
from seq2seq.training.loop import Trainer
from seq2seq.training.precision import check_precision, fastest_fp32_products, fp32_products
from seq2seq.training.process_group import joined
from seq2seq.training.run_directory import (
    check_run_dir,
    check_space,
    check_writable,
    claim_run_dir,
    default_run_dir,
    resolve_precision,
)
from seq2seq.training.setup import check_alike, make_trainer, space_needed
from seq2seq.training.signals import StoppedBySignal
from seq2seq.training.team import ProcessLost, Team
from seq2seq.training.tensorboard import check_board

logger = logging.getLogger(__name__)


def run(config: TrainConfig, choices: dict[str, str]) -> int:
    """Train, or with check=true only see whether it could be done."""
    device = device_of_rank(choose_device(config.device))
    run_dir = run_directory(config, choices)
    with run_log() as log:
        try:
            with joined(device) as team:
                code = train(config, run_dir, device, team, log)
        except ProcessLost as lost:
            logger.error("%s: %s; the same command goes on from the last saved state", run_dir, lost)
            return 1
        return code if code or team.rank or config.check else finish(config, run_dir, device)


def objective(config: TrainConfig, choices: dict[str, str]) -> float | None:
    """What a sweep optimises: the best value of training.metric among the validations."""
    state = run_directory(config, choices) / "last/state.json"
    best = None if config.check else read_json(state)["position"]["best"]
    return None if best is None else float(best)


def run_directory(config: TrainConfig, choices: dict[str, str]) -> Path:
    return Path(config.run_dir or default_run_dir(config, choices["model/attention"], swept()))


def train(config: TrainConfig, run_dir: Path, device: torch.device, team: Team, log: RunLog) -> int:
    """What each process of the team does; the exit code."""
    if team.rank:
        logging.disable(logging.WARNING)
    keep_freed_memory()
    config = resolve_precision(config, run_dir, device)
    check_precision(config.training.precision, device)
    check_run_dir(run_dir, config)
    check_writable(run_dir)
    if config.training.tensorboard:
        check_board()
    with team.first():
        data = prepare_data(config, run_dir)
    trainer = make_trainer(config, data, run_dir, device, team)
    check_space(run_dir, space_needed(trainer))
    if team.ranks > 1:
        logger.info("%d processes share each batch", team.ranks)
    if config.check:
        trainer.try_largest_batch()
        logger.info(
            "check: the configuration, the data, the largest batch and the disk are fine; run_dir would be %s", run_dir
        )
        return 0
    claimed = nullcontext(trainer.replaced) if team.rank else claim_run_dir(run_dir, config)
    products = fastest_fp32_products(device) if config.training.precision == "fp32" else "highest"
    if products == "medium":
        logger.debug("fp32 products: oneDNN's")
    with claimed as trainer.replaced, fp32_products(products):
        if not team.rank:
            log.open(run_dir)
        return _train(config, trainer)


def _train(config: TrainConfig, trainer: Trainer) -> int:
    """In the run directory, which is this training's alone."""
    run_dir = trainer.run_dir
    if trainer.resume():
        logger.info("%s: going on from update %d", run_dir, trainer.position.update)
    elif config.training.loss == "minimum_risk" and config.training.start_from is None:
        logger.warning(
            "training.loss=minimum_risk: begins with a model that can't translate yet, whose samples tell it little. "
            "Train it with cross_entropy first, and give that as training.start_from=RUN_DIR"
        )
    check_alike(trainer, config)
    if reason := trainer.reason_to_stop():
        logger.info("%s: nothing to do, %s", run_dir, reason)
        return 0
    _say_how_long(trainer, config.training)
    try:
        with logging_redirect_tqdm():
            trainer.run()
    except StoppedBySignal as stopped:
        logger.info("stopped by %s at update %d; the same command goes on", stopped, trainer.position.update)
        return stopped.exit_code
    except KeyboardInterrupt:
        logger.info("stopped at once, nothing saved; the same command goes on from the last saved state")
        raise
    logger.info("done: %s", trainer.reason_to_stop())
    logger.info("translate with: seq2seq translate checkpoint=%s/best", run_dir)
    return 0


def _say_how_long(trainer: Trainer, options: Training) -> None:
    hours = "" if options.max_hours is None else f" or {options.max_hours:g} hours"
    logger.info(
        "%s: at most %s updates (%s per epoch)%s, validation every %s updates",
        trainer.run_dir,
        f"{trainer.schedule.total_updates:,}",
        f"{trainer.batches_per_epoch:,}",
        hours,
        f"{options.validate_every or trainer.batches_per_epoch:,}",
    )
    if hours and options.schedule == "cosine":
        logger.info(
            "training.schedule=cosine: the learning rate reaches 0 at the last update or at training.max_hours, "
            "whichever comes first; a run that the time ends cannot be repeated exactly"
        )


def finish(config: TrainConfig, run_dir: Path, device: torch.device) -> int:
    """Score the best checkpoint on data.test, if there is one, and keep the scores in the run directory."""
    test = find_test(config.data, run_dir / DIRECTORY)
    if test is None:
        return 0
    pairs = list(test.pairs())
    translations = load_translator(run_dir, device).translate_lines((source for source, _ in pairs), config.decoding)
    tokenizer = config.data.bleu_tokenizer or metrics.bleu_tokenizer(config.data.target_lang)
    scores = metrics.score([best.text for best, *_ in translations], [target for _, target in pairs], tokenizer)
    with output_stream(str(run_dir / "test.json")) as output:
        print(json.dumps(scores.as_dict(), indent=2), file=output)
    logger.info(
        "%s, best checkpoint, decoded as in validations with decoding.beam_size=%d (`seq2seq evaluate` takes %d by "
        "default):\n%s",
        test.name,
        config.decoding.beam_size,
        Decoding.beam_size,
        scores,
    )
    return 0
