"""Runs a training from its configuration to its exit code, for `train`, `reproduce`, `compare` and Python."""

import json
import logging
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # imported early: later, every garbage collection would scan its many objects
from tqdm.contrib.logging import logging_redirect_tqdm

from seq2seq import checkpoint
from seq2seq.cli.compose import chosen, swept
from seq2seq.cli.files import output_stream
from seq2seq.config import Decoding, TrainConfig, Training
from seq2seq.device import (
    check_precision,
    choose_device,
    fastest_fp32_products,
    fp32_products,
    keep_freed_memory,
    using_threads,
)
from seq2seq.inference import metrics
from seq2seq.inference.loading import load_translator
from seq2seq.inference.precision import FILE
from seq2seq.inference.translation import in_documents
from seq2seq.inference.translator import Translator
from seq2seq.text.parallel import ParallelText
from seq2seq.training.corpora import prepare_data
from seq2seq.training.held_out import DIRECTORY, find_test
from seq2seq.training.log import RunLog, run_log
from seq2seq.training.loop import Trainer
from seq2seq.training.process_group import ProcessGroup, ProcessLost, device_of_rank, joined
from seq2seq.training.progress import check_board
from seq2seq.training.run_directory import (
    check_run_dir,
    check_space,
    check_writable,
    claim_run_dir,
    default_run_dir,
    resolve_precision,
)
from seq2seq.training.setup import check_alike, make_trainer, space_needed
from seq2seq.training.stopping import StoppedBySignal
from seq2seq.training.validation import Validation

logger = logging.getLogger(__name__)


Callback = Callable[[dict[str, Any]], object]
"""Called with each line of metrics.jsonl."""


def run_training(
    config: TrainConfig, callback: Callback = lambda row: None, until: int | None = None, goal: float | None = None
) -> int:
    """Train, or with check=true only test whether training could start.

    With `until`, stop after this update, with `goal` at this score of the metric; and don't score the test set.
    """
    device = device_of_rank(choose_device(config.device))
    run_dir = run_directory(config)
    with run_log() as log:
        try:
            with joined(device) as group:
                code, validation = train(config, run_dir, device, group, log, callback, until, goal)
        except ProcessLost as lost:
            logger.error("%s: %s; run the same command again to resume from the last saved state", run_dir, lost)
            return 1
        over = code or group.rank or config.check or until is not None or goal is not None
        return code if over else finish(config, run_dir, device, validation)


def run_directory(config: TrainConfig) -> Path:
    """Return the run directory of a training with these options."""
    return Path(config.run_dir or default_run_dir(config, str(chosen("model/attention")), swept()))


def train(
    config: TrainConfig,
    run_dir: Path,
    device: torch.device,
    group: ProcessGroup,
    log: RunLog,
    callback: Callback,
    until: int | None = None,
    goal: float | None = None,
) -> tuple[int, Validation]:
    """Train as one process of the group; return the exit code, and the set that selects the best checkpoint."""
    if group.rank:
        logging.disable(logging.WARNING)
    keep_freed_memory()
    config = resolve_precision(config, run_dir, device)
    check_precision(config.training.precision, device)
    check_run_dir(run_dir, config)
    check_writable(run_dir)
    if config.training.tensorboard:
        check_board()
    with group.rank_zero_first():
        data = prepare_data(config, run_dir)
    trainer = make_trainer(config, data, run_dir, device, group, callback)
    trainer.stopping = replace(trainer.stopping, until=until, goal=goal)
    check_space(run_dir, space_needed(trainer))
    if group.ranks > 1:
        logger.info("%d processes share each batch", group.ranks)
    if config.check:
        trainer.try_largest_batch()
        logger.info(
            f"check: the configuration, the data, the largest batch and the disk are fine; run_dir would be {run_dir}"
        )
        return 0, trainer.validation
    claimed = nullcontext() if group.rank else claim_run_dir(trainer.keeper.lock, config)
    products = fastest_fp32_products(device) if config.training.precision == "fp32" else "highest"
    if products == "medium":
        logger.debug("fp32 products: oneDNN's")
    with claimed, fp32_products(products):
        if not group.rank:
            log.open(run_dir)
        return _train(config, trainer), trainer.validation


def _train(config: TrainConfig, trainer: Trainer) -> int:
    """Train in a locked run directory."""
    run_dir = trainer.run_dir
    if trainer.resume():
        logger.info("%s: resuming from update %d", run_dir, trainer.progress.update)
    elif config.training.loss == "minimum_risk" and not config.training.start_from:
        logger.warning(
            "training.loss=minimum_risk: this model can't translate yet, so its samples are of little use. "
            "Train it with cross_entropy first, then set training.start_from=RUN_DIR"
        )
    check_alike(trainer, config)
    if trainer.nothing_to_do():
        logger.info("%s: nothing to do, %s", run_dir, trainer.reason_to_stop())
        return 0
    _log_limits(trainer, config.training)
    try:
        with logging_redirect_tqdm():
            trainer.run()
    except StoppedBySignal as stopped:
        update = trainer.progress.update
        logger.info("stopped by %s at update %d; run the same command again to resume", stopped, update)
        return stopped.exit_code
    except KeyboardInterrupt:
        logger.info("stopped at once without saving; run the same command again to resume from the last saved state")
        raise
    logger.info("done: %s", trainer.reason_to_stop())
    if not trainer.group.rank:
        for line in trainer.report.summary(trainer.progress.hours):
            logger.info(line)
    logger.info("translate with: seq2seq translate %s", shlex.quote(f"checkpoint={run_dir}/best"))
    return 0


def _log_limits(trainer: Trainer, options: Training) -> None:
    total, per_epoch = trainer.schedule.total_updates, trainer.data.per_epoch
    hours = "" if options.max_hours is None else f" or {options.max_hours:g} hours"
    logger.info(
        f"{trainer.run_dir}: at most {total:,} updates ({per_epoch:,} per epoch){hours}, validation every "
        f"{options.validate_every or per_epoch:,} updates"
    )
    if hours and options.schedule == "cosine":
        logger.info(
            "training.schedule=cosine: the learning rate reaches 0 at the last update or at training.max_hours, "
            "whichever comes first; a run that ends by time cannot be repeated exactly"
        )


def finish(config: TrainConfig, run_dir: Path, device: torch.device, validation: Validation) -> int:
    """Score the best checkpoint on data.test, if there is one, and find what decoding.precision=auto means for it."""
    test = find_test(config.data, run_dir / DIRECTORY)
    unmeasured = validation.can_measure_precision(device) and not (run_dir / "best" / FILE).exists()
    if test is not None or unmeasured:
        directory = checkpoint.find(run_dir)
        translator = load_translator(directory, device)
        with using_threads(1):  # as in validations; where another program computes, several would wait for each other
            if test is not None:
                _score(config, run_dir, translator, test)
            if unmeasured:
                logger.info("comparing precisions of decoding on the validation set, for decoding.precision=auto ...")
                measured = validation.measure_precision(translator)
                measured.save(directory)
                logger.info("decoding.precision=auto: %s", measured)
    return 0


def _score(config: TrainConfig, run_dir: Path, translator: Translator, test: ParallelText) -> None:
    """Score a test set, and write the scores to the run directory."""
    pairs = list(test.pairs())
    context = config.data.context
    requests = in_documents((source for source, _ in pairs), context, test.beginnings() if context else None)
    translations = translator.translate_requests(requests, config.decoding, keep_attention=False)
    tokenizer = config.data.bleu_tokenizer or metrics.bleu_tokenizer(config.data.target_lang)
    scores = metrics.score([best.text for best, *_ in translations], [target for _, target in pairs], tokenizer)
    with output_stream(str(run_dir / "test.json")) as output:
        print(json.dumps(scores.as_dict(), indent=2), file=output)
    logger.info(
        f"{test.name}, best checkpoint, decoded as in validations with decoding.beam_size={config.decoding.beam_size} "
        f"(`seq2seq evaluate` takes {Decoding.beam_size} by default):\n{scores}"
    )
