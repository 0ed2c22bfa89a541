"""Makes a trainer from a training configuration and its corpora."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq import build, checkpoint
from seq2seq.checkpoint import Checkpoint
from seq2seq.config import NoAttention, Reinforce, TrainConfig, Training, reaches, several
from seq2seq.errors import ConfigError
from seq2seq.inference.metrics import can_rise, sentence_metric, signatures
from seq2seq.model.parameters import parameters_by_part
from seq2seq.model.quantised import check_quantisation
from seq2seq.model.translation import TranslationModel
from seq2seq.search.lengths import Lengths
from seq2seq.text.sampling import SubwordSampling
from seq2seq.training.batches import TrainingBatches
from seq2seq.training.checkpoints import CheckpointKeeper
from seq2seq.training.corpora import PreparedData
from seq2seq.training.gradient import GradientStep
from seq2seq.training.loop import Trainer
from seq2seq.training.loss import LossFunction, TranslationLoss
from seq2seq.training.marginal import MarginalLikelihood
from seq2seq.training.model_card import model_card, origin, shared_name, shown_settings
from seq2seq.training.optimizer import MOMENTS, Halving, Schedule, make_optimizer
from seq2seq.training.process_group import ProcessGroup
from seq2seq.training.risk import MinimumRisk
from seq2seq.training.run_report import RunReport
from seq2seq.training.warm_start import freeze, start_from
from seq2seq.training.workers import can_fork, default_processes, warn_of_few_cores

logger = logging.getLogger(__name__)


def make_trainer(
    config: TrainConfig,
    data: PreparedData,
    run_dir: Path,
    device: torch.device,
    group: ProcessGroup | None = None,
    callback: Callable[[dict[str, Any]], object] = lambda row: None,
) -> Trainer:
    """Make a trainer at update 0, which can `resume`; without a group, of this process alone.

    `callback` is called with each line of metrics.
    """
    group = group or ProcessGroup()
    training = config.training
    check_quantisation(config.decoding.precision, device)
    validation = data.validation
    if not can_rise(training.metric, validation.references, validation.bleu_tokenizer):
        logger.warning(
            f"training.metric={training.metric}: no reference of data.valid has four tokens "
            f"({validation.bleu_tokenizer}), so BLEU stays 0, and only the loss selects the best "
            "checkpoint. Use training.metric=chrf or training.metric=loss"
        )
    processes = _processes(training, device, group)
    model = _first_model(config, data, device, group)
    made = origin(config, data.hashes)
    lengths = Lengths.of(data.train.source.lengths, data.train.target.lengths)
    if group.ranks > 1:
        made["training"]["ranks"] = group.ranks
    batches = _batches(config, data)
    loss = _loss(config, data, lengths)
    gradient = GradientStep(model, loss, training.precision, config.seed, training.accumulate, processes, group)
    rate, decay = training.learning_rate, training.weight_decay
    optimizer = make_optimizer(training.optimizer, model, learning_rate=rate, weight_decay=decay)
    schedule = _schedule(training, batches.per_epoch)
    saved = Checkpoint(model, config.model, config.data, data.source, data.target, made, lengths)

    def card(updates: int, epochs: float, scores: Mapping[str, float]) -> str:
        return model_card(config, updates, epochs, scores, made)

    kept = training.metric, training.keep_best, training.keep_last
    signed = signatures(validation.bleu_tokenizer)
    keeper = CheckpointKeeper(run_dir, saved, data.hashes, card, *kept, rank=group.rank, signatures=signed)
    languages = config.data.source_lang, config.data.target_lang
    parameters = sum(parameters_by_part(model).values())
    report = RunReport(
        run_dir, languages, training.metric, shared_name(str(run_dir)), lambda: shown_settings(config, parameters, made)
    )
    extra = data.extra_validations
    return Trainer(
        training, batches, gradient, optimizer, schedule, validation, keeper, report, extra, callback=callback
    )


def _schedule(training: Training, updates_per_epoch: int) -> Schedule:
    limits = [training.max_updates, training.max_epochs and training.max_epochs * updates_per_epoch]
    return Schedule(
        training.schedule,
        training.learning_rate,
        training.warmup_updates,
        training.plateau_factor,
        training.plateau_patience,
        min(limit for limit in limits if limit is not None),
        Halving(training.halving_start_epoch, training.halve_every, updates_per_epoch),
    )


def space_needed(trainer: Trainer) -> int:
    """Return the maximum number of bytes that the checkpoints of a run take on the disk at once.

    These are `best` and the retained ones, `last` and the one before it, and one of each kind that is being written.
    """
    options, weights = trainer.options, _size(trainer.model.parameters())
    trained = _size(parameter for group in trainer.optimizer.param_groups for parameter in group["params"])
    state = weights + MOMENTS[options.optimizer] * trained
    kept = sum(most + 1 for most in (options.keep_best, options.keep_last) if most > 1)
    return (1 + kept) * weights + 3 * state


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _first_model(
    config: TrainConfig, data: PreparedData, device: torch.device, group: ProcessGroup
) -> TranslationModel:
    """Make the model with the weights that a fresh run begins with, and log its size."""
    torch.manual_seed(config.seed)
    model = build.translation_model(
        config.model, len(data.source), len(data.target), reverse_source=config.data.reverse_source
    ).to(device)
    names = several(config.training.start_from) if data.start else []
    start_from(model, names, lambda name: checkpoint.load(Path(name), device).model)
    group.broadcast_parameters(model)
    freeze(model, config.training.freeze)
    if isinstance(config.model.attention.placement, NoAttention):
        logger.info("placement none: score, window, normaliser and heads are ignored and stored as null")
    counts = parameters_by_part(model)
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    logger.info(f"{sum(counts.values()):,} parameters on {next(model.parameters()).device}: {parts}")
    for name, side, limit in reaches(config.model):
        longer = int((getattr(data.train, side).lengths > limit).sum())
        logger.info("%s: %d training %ss are longer than max_length=%d pieces", name, longer, side, limit)
    return model


def _processes(training: Training, device: torch.device, group: ProcessGroup) -> int:
    """Return the number of forked processes of each rank. Raises ConfigError if batches would be shared twice."""
    wanted = training.processes or 1
    if group.ranks > 1 and wanted > 1:
        raise ConfigError(
            f"training.processes={wanted} and {group.ranks} processes of torchrun: torchrun already shares each batch. "
            "Use training.processes=null and as many processes of torchrun as there are cores or GPUs."
        )
    if wanted > 1 and not can_fork(device):
        logger.info(f"training.processes={wanted}: only CPUs under Linux can share batches; using one process")
        return 1
    warn_of_few_cores(wanted)
    if group.ranks > 1:
        return 1
    return training.processes or default_processes(device, training.batch_tokens // training.accumulate)


def _loss(config: TrainConfig, data: PreparedData, lengths: Lengths) -> LossFunction:
    training, decoding = config.training, config.decoding
    if training.loss == "minimum_risk":
        limits = lengths.limits(data.target.forbidden(), decoding.max_length, decoding.max_length_ratio)
        metric = sentence_metric(training.risk_metric, data.validation.bleu_tokenizer)
        return MinimumRisk(data.target, metric, limits, training.risk_samples, training.risk_alpha)
    if training.loss == "marginal":
        return MarginalLikelihood(training.guided_alignment)
    normaliser = config.model.attention.normaliser
    loss = TranslationLoss(training.label_smoothing, guided_weight=training.guided_alignment, r_drop=training.r_drop)
    if isinstance(normaliser, Reinforce):
        loss = replace(loss, reward_weight=normaliser.reward_weight, entropy_weight=normaliser.entropy_weight)
    return loss


def _batches(config: TrainConfig, data: PreparedData) -> TrainingBatches:
    options, training, sampling = config.data, config.training, None
    if (rate := options.subword_sampling) is not None:
        sampling = SubwordSampling(data.source, data.target, rate, options.subword_nbest, options.max_length)
    return TrainingBatches(data.train, config.seed, training.batch_tokens, training.batch_sentences, sampling)


def check_alike(trainer: Trainer, config: TrainConfig) -> None:
    """Raise ConfigError unless all ranks have the same corpora, tokenizers and saved state."""
    saved = trainer.keeper.checkpoint
    mine = {
        "data.train, data.valid": trainer.keeper.hashes,
        "data.cache_dir (sub-words)": [saved.source.model, saved.target.model],
        "run_dir": vars(trainer.progress),
        "training.precision": config.training.precision,
    }
    first, *others = trainer.group.all_gather(mine)
    for rank, theirs in enumerate(others, 1):
        differing = [key for key in mine if theirs[key] != first[key]]
        if differing:
            raise ConfigError(
                f"{'; '.join(differing)}: process {rank} and process 0 differ. On several machines, the "
                "corpora, data.cache_dir and run_dir must be in a shared file system."
            )
