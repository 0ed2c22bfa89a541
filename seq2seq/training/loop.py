"""The training loop."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seq2seq import checkpoint
from seq2seq.checkpoint import Checkpoint, TrainingState
from seq2seq.config import CHANGEABLE, Training
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translator import Translator
from seq2seq.text.batches import Batch, make_batch, plan_batches
from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.sampling import SubwordSampling
from seq2seq.training.gradient import GradientStep
from seq2seq.training.loss import Loss
from seq2seq.training.moving_average import PREFIX, MovingAverage
from seq2seq.training.position import Position, StateValues
from seq2seq.training.progress import Progress, Silence
from seq2seq.training.retention import directory_name, keep_only, latest, rank, ranked
from seq2seq.training.run_directory import check_contents
from seq2seq.training.schedule import Schedule
from seq2seq.training.signals import StoppedBySignal, noted_signals
from seq2seq.training.team import Team
from seq2seq.training.validation import Validation, show_attention, show_samples, translations_file
from seq2seq.training.workers import can_fork, warn_of_few_cores

logger = logging.getLogger(__name__)


@dataclass
class Trainer:
    """Trains one model in one run directory."""

    run_dir: Path
    checkpoint: Checkpoint
    corpus: EncodedCorpus
    validation: Validation
    options: Training
    gradient: GradientStep
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    device: torch.device
    seed: int
    hashes: dict[str, str]
    """Of the corpora: a run goes on with the ones it began with."""
    card: Callable[[int, float, dict[str, float]], str]
    """The model card of a checkpoint, from its updates, epochs and last validation."""
    team: Team = field(default_factory=Team)
    """The processes that run this loop. All of them come to the same decisions; only the first one writes."""
    sampling: SubwordSampling | None = None
    """None: the corpus' own pieces, each time."""
    position: Position = field(default_factory=Position)
    scores: dict[str, float] = field(default_factory=dict)
    """Of the last validation."""
    further: Mapping[str, Validation] = field(default_factory=dict)
    """By name, held-out sets that decide nothing."""
    replaced: Callable[[], bool] = lambda: False
    """Whether the run directory is another run's by now."""

    def __post_init__(self) -> None:
        self.model = self.checkpoint.model
        saved = self.checkpoint
        languages = (saved.data.source_lang, saved.data.target_lang)
        self.translator = Translator(
            [EnsembleMember(self.model, saved.source, lengths=saved.lengths)], saved.target, self.device, languages
        )
        self.batches_per_epoch = len(self._plan(None))
        self._lost = False
        self._average = None if self.options.ema is None else MovingAverage(self.model, self.options.ema)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self.options.precision == "fp16")
        self._scaler.scale(torch.zeros((), device=self.device))  # only now it has a scale

    def resume(self) -> bool:
        """Go on from the state in the run directory; False if there is none."""
        last = self.run_dir / "last"
        found = checkpoint.find_state(last)
        if found is None:
            return False
        state = checkpoint.load_state(found)
        self.hashes = check_contents(found, self.hashes)
        if found != last and last.exists():
            logger.warning("%s: damaged: %s. The state before it is used, %s", last, checkpoint.damage(last), found)
        saved = checkpoint.load(found, self.device)
        try:
            self._restore(saved.model, state)
            self._record_changes(saved.origin)
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, RuntimeError) as error:
            raise DataError(f"{found}: the training state doesn't fit ({error})") from error
        if found != last and last.exists() and not self.team.rank:  # else the next state would push out the good one
            damaged = last.with_name("last.damaged")
            shutil.rmtree(damaged, ignore_errors=True)
            last.rename(damaged)
        return True

    def _restore(self, saved: nn.Module, state: TrainingState) -> None:
        self.model.load_state_dict(saved.state_dict())
        if self._average is not None:
            self._average.restore(state.tensors)
        moments = {key: tensor for key, tensor in state.tensors.items() if not key.startswith(PREFIX)}
        checkpoint.restore_optimizer(self.optimizer, self.model.parameters(), moments)
        values = StateValues.of_plain(state.values, self.batches_per_epoch)
        self.position = values.position
        self.gradient.parts = max(self.gradient.parts, values.parts)
        if self.options.processes is None and values.ranks == self.team.ranks == 1 and can_fork(self.device):
            self.gradient.processes = values.processes
            warn_of_few_cores(values.processes)
        threads = torch.get_num_threads()
        if self.device.type == "cpu" and self.gradient.processes == 1 and values.threads not in (None, threads):
            logger.info(
                "the run was saved with %d threads and goes on with %d (OMP_NUM_THREADS): the same but for rounding",
                values.threads,
                threads,
            )
        processes = values.processes * values.ranks, self.gradient.processes * self.team.ranks
        if len(set(processes)) > 1:
            logger.info(
                "the run was saved by %d processes and goes on with %d: the same but for rounding, and, if anything is "
                "drawn in training, for what is drawn",
                *processes,
            )
        factor, waited = values.schedule
        self.schedule.factor, self.schedule.waited = factor, int(waited)
        self.scores = values.scores
        self._scaler.load_state_dict(values.scaler)

    def _record_changes(self, origin: Mapping[str, Any]) -> None:
        """Note the settings of the updates so far that are others from now on. A new learning rate begins as it is."""
        position, before, now = self.position, dict(origin.get("training", {})), vars(self.options)
        changed = [key for key in CHANGEABLE if before.get(key, now[key]) != now[key]]
        if "learning_rate" in changed:
            self.schedule.factor, self.schedule.waited, position.without_progress = 1.0, 0, 0
        history = [f"{key} {before[key]} until update {position.update}, then {now[key]}" for key in changed]
        if text := "; ".join([*filter(None, [before.get("changed")]), *history]):
            self.checkpoint.origin["training"]["changed"] = text

    def reason_to_stop(self) -> str:
        """Why training is over; empty while it is not."""
        position, patience = self.position, self.options.patience
        if position.update >= self.schedule.total_updates:
            updates = self.options.max_updates
            first = updates is not None and updates <= self.schedule.total_updates
            limit = f"max_updates={updates}" if first else f"max_epochs={self.options.max_epochs}"
            return f"training.{limit} is reached ({position.update} updates)"
        if patience is not None and position.without_progress >= patience:
            return (
                f"neither {self.options.metric} nor the loss got better in {position.without_progress} validations "
                "(training.patience)"
            )
        if self.options.max_hours is not None and position.hours >= self.options.max_hours:
            return f"training.max_hours={self.options.max_hours} is reached ({position.hours:.3g} hours)"
        rate, least = self._rate(position.update + 1), self.options.min_learning_rate
        if least is not None and rate < least and position.update >= self.schedule.warmup_updates:
            return f"the learning rate falls to {rate:.3g}, below training.min_learning_rate={least}"
        return ""

    def run(self) -> None:
        """Train to the end. Raises StoppedBySignal after saving the state."""
        position, total = self.position, self.schedule.total_updates
        with (
            Silence()
            if self.team.rank
            else Progress(
                self.run_dir,
                position.update,
                total,
                position.metrics_size,
                self.device,
                epoch=self.batches_per_epoch,
                validate_every=self.options.validate_every or self.batches_per_epoch,
                tensorboard=self.options.tensorboard,
            ) as progress,
            noted_signals(forgiving=self.team.ranks > 1) as stopped,
            self.gradient.sharing(),
        ):
            self.try_largest_batch()
            self._counted_until = time.monotonic()
            for batch in self.batches():
                self._update(batch, progress)
                stop = self._count_time(stopped)  # a signal that comes after this is for the next update
                due = self._validation_is_due()
                if due or self.reason_to_stop():
                    self._validate(progress, due)
                elif position.update % self.options.save_every == 0 or stop:
                    self._save(progress)
                if stop:
                    raise StoppedBySignal(stop)
                if self.reason_to_stop():
                    break

    def try_largest_batch(self) -> None:
        """One update's work on the batch with most padded tokens, without taking the step: is there memory?

        Where there is not, `parts` grows until there is. It belongs to the run's state: an update in other parts draws
        other dropout.
        """
        plan = self._plan(None)
        source, target = self.corpus.source.lengths, self.corpus.target.lengths
        rows = max(plan, key=lambda rows: len(rows) * int(source[rows].max()) * int(target[rows].max()))
        moments = (
            [] if self.optimizer.state else [torch.empty_like(p) for _ in range(2) for p in self.model.parameters()]
        )
        batch = make_batch(self.corpus, rows).to(self.gradient.batches_on)
        self.gradient.fit(batch, self.schedule.total_updates)  # when scheduled sampling decodes the most
        del moments  # the memory is there for those of the optimizer

    def _plan(self, seed: Sequence[int] | None) -> list[NDArray[np.int64]]:
        return plan_batches(self.corpus, self.options.batch_tokens, seed, self.options.batch_sentences)

    def batches(self) -> Iterator[Batch]:
        """Batch after batch, epoch after epoch, from where training is."""
        position = self.position
        while position.update < self.schedule.total_updates:
            plan = self._plan((self.seed, position.epoch))
            for rows in plan[position.batch :]:
                if position.update >= self.schedule.total_updates:
                    return
                position.batch += 1
                yield self._batch(rows).to(self.gradient.batches_on)
            position.epoch, position.batch = position.epoch + 1, 0

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        """The next one, of these rows."""
        if self.sampling is None:
            return make_batch(self.corpus, rows)
        return self.sampling.batch(self.corpus, rows, (self.seed, self.position.epoch, self.position.batch))

    def step(self, batch: Batch) -> tuple[Loss, Tensor]:
        """One update: the loss of the batch, and the norm of its gradient before clipping."""
        position = self.position
        position.update += 1
        rate = self._rate(position.update)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.gradient(batch, position.update, position.baseline, self._scaler.get_scale())
        self._scaler.unscale_(self.optimizer)
        limit = self.options.clip_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self._scaler.update()
        if not norm.isfinite():
            self._skip(float(norm))
            return loss, norm
        position.skipped_in_a_row = 0
        self.optimizer.step()
        if self._average is not None:
            self._average.update(position.update)
        if loss.reward is not None:
            position.baseline = 0.9 * position.baseline + 0.1 * loss.reward
        return loss, norm

    def _rate(self, update: int) -> float:
        """The learning rate of the update that comes next: the time that counts is that of the updates before it."""
        return self.schedule.rate(update, self.position.hours / (self.options.max_hours or math.inf))

    @property
    def epochs(self) -> float:
        """Epochs that are done, with the part of the one that training is in."""
        return round(self.position.epoch + self.position.batch / self.batches_per_epoch, 4)

    def _skip(self, norm: float) -> None:
        """Leave weights and optimizer as they are. Raises ConfigError if that came too often in a row."""
        position = self.position
        position.skipped += 1
        position.skipped_in_a_row += 1
        logger.warning(
            "update %d is skipped: the norm of its gradient is %s (%d skipped so far)",
            position.update,
            norm,
            position.skipped,
        )
        if position.skipped_in_a_row > self.options.max_skipped:
            self._refuse_divergence(norm, f"norm of the gradient, {position.skipped_in_a_row} times in a row,")

    def _update(self, batch: Batch, progress: Progress) -> None:
        position = self.position
        loss, norm = self.step(batch)
        progress.advance(loss.tokens)
        if position.update % self.options.log_every == 0 or position.update == self.schedule.total_updates:
            if not position.skipped_in_a_row:
                self._refuse_divergence(float(loss.nll), "training loss")
            sampled = self.gradient.sampled_inputs
            of_sentences = self.options.loss == "minimum_risk"
            values = {
                "loss": float(loss.total) / (len(batch.source) if of_sentences else loss.tokens),
                "nll": float(loss.nll) / loss.tokens,
                **({} if loss.guided is None else {"guided_alignment": float(loss.guided) / loss.tokens}),
                **({} if sampled is None else {"sampled_inputs": sampled.probability(position.update)}),
                "gradient_norm": float(norm),
                "skipped": position.skipped,
                "learning_rate": self._rate(position.update),
                **progress.speed(),
                "epoch": self.epochs,
            }
            progress.write("train", position.update, values)
            hours_left = (self.options.max_hours or math.inf) - position.hours
            progress.show(position.update, values, 3600 * hours_left)

    def _refuse_divergence(self, number: float, name: str) -> None:
        if not math.isfinite(number):
            raise ConfigError(
                f"training.learning_rate={self.options.learning_rate}: the {name} is {number} at update "
                f"{self.position.update}. Take a lower rate, or a training.clip_norm above 0 (now "
                f"{self.options.clip_norm}), and another run_dir; what {self.run_dir} holds is from before."
            )

    def _validation_is_due(self) -> bool:
        position = self.position
        if self.options.validate_every is not None:
            return position.update % self.options.validate_every == 0
        return position.batch == self.batches_per_epoch

    def _validate(self, progress: Progress, due: bool) -> None:
        """Score, and save. Only a validation that is `due` counts for plateaus and patience: raising a limit later
        then gives the run that never had it."""
        position, metric = self.position, self.options.metric
        self._look_for_run_dir()
        with self._averaged():
            file = translations_file(self.run_dir, position.update)
            self.scores, samples = self.validation.run(self.translator, self.team, file, self.options.samples)
            self._refuse_divergence(self.scores["loss"], "validation loss")
            further = {
                name: other.run(self.translator, self.team, translations_file(self.run_dir, position.update, name))[0]
                for name, other in self.further.items()
            }
            health = None if self.team.rank else self.validation.attention(self.translator)
        improved = self._is_best()
        if improved:
            position.best, position.losses["best"] = self.scores[metric], self.scores["loss"]
        if due:
            progress_made = self._made_progress()
            position.without_progress = 0 if progress_made else position.without_progress + 1
            self.schedule.validated(progress_made)
        attention = {f"attention_{name}": value for name, value in health.together.items()} if health else {}
        progress.write("valid", position.update, {**self.scores, **attention, "best": improved, "epoch": self.epochs})
        show_samples(samples)
        progress.board(position.update, samples, (self.translator.source_lang, self.translator.target_lang))
        if health is not None:
            show_attention(health, self._validations())
        title = f"update {position.update}, epoch {self.epochs:.2f}: valid"
        logger.info("%s%s", _summary(title, self.scores), " (best)" if improved else "")
        for name, scores in further.items():
            progress.write(f"valid/{name}", position.update, {**scores, "epoch": self.epochs})
            logger.info(_summary(name, scores))
        with self._averaged():
            had_kept = bool(position.kept)
            for name in [*(["best"] if improved else []), *self._names_to_keep()]:
                self._write(name)
        self._save(progress)
        if not self.team.rank:  # only now, when no saved state names the others any more
            self._remove_others(had_kept)
        progress.pause()

    def _is_best(self) -> bool:
        """Whether the validation that was just made is the best of all so far."""
        position, metric = self.position, self.options.metric
        if position.best is None:
            return True
        best = rank(position.best, position.losses.get("best", math.inf), metric)
        return rank(self.scores[metric], self.scores["loss"], metric) < best

    def _names_to_keep(self) -> list[str]:
        """What the checkpoint is called as one of the best so far, and as one of the latest, where several are kept."""
        position, options, names = self.position, self.options, []
        if options.keep_best == 1:
            position.kept = {}
        else:
            name = directory_name("best", position.update)
            position.losses[name] = self.scores["loss"]
            scores = {**position.kept, name: self.scores[options.metric]}
            position.kept = ranked(scores, options.keep_best, options.metric, position.losses)
            names += [name] if name in position.kept else []
        position.losses = {name: loss for name, loss in position.losses.items() if name in ("best", *position.kept)}
        if options.keep_last > 1:
            names.append(directory_name("last", position.update))
        return names

    def _remove_others(self, had_kept: bool) -> None:
        """Delete what a run that keeps several, or did so until now, keeps no longer."""
        if had_kept or self.position.kept:
            keep_only(self.run_dir, "best", self.position.kept)
        if self.options.keep_last > 1:
            keep_only(self.run_dir, "last", latest(self.run_dir, self.options.keep_last))

    def _validations(self) -> int:
        """How many have been due."""
        position = self.position
        if self.options.validate_every is not None:
            return position.update // self.options.validate_every
        return position.epoch + (position.batch == self.batches_per_epoch)

    def _made_progress(self) -> bool:
        """Whether the metric or the loss is the best so far: BLEU may stay at 0 for long while the loss falls."""
        counted = self.position.counted
        better = [
            name
            for name in (self.options.metric, "loss")
            if name not in counted or _better(self.scores[name], counted[name], name)
        ]
        counted.update({name: self.scores[name] for name in better})
        return bool(better)

    def _count_time(self, signals: Sequence[int] = ()) -> int:
        """Also which of these signals came to any of the ranks; 0: none. All ranks then have the same time."""
        now = time.monotonic()
        hours = self.position.hours + (now - self._counted_until) / 3600
        self._counted_until = now
        self.position.hours, number = self.team.greatest([hours, signals[0] if signals else 0])
        return int(number)

    def _look_for_run_dir(self) -> None:
        """Before something is written to it. Raises DataError if another run has it."""
        if self.team.rank:
            return
        if self.replaced():
            raise DataError(
                f"run_dir={self.run_dir}: was removed in mid-run, and belongs to another process now. Nothing is "
                f"written to it after update {self.position.update}."
            )
        if not self.run_dir.is_dir():
            self._lost = True
            self.position.best, self.position.kept, self.position.losses = None, {}, {}

    def _save(self, progress: Progress) -> None:
        """Nobody goes on, or ends, before it is done."""
        self._count_time()
        self._look_for_run_dir()
        self.position.metrics_size = 0 if self._lost else progress.on_disk()
        values = {
            "position": vars(self.position),
            "schedule": [self.schedule.factor, self.schedule.waited],
            "scores": self.scores,
            "hashes": self.hashes,
            "processes": self.gradient.processes,
            "ranks": self.team.ranks,
            "parts": self.gradient.parts,
            "threads": torch.get_num_threads(),
            "scaler": self._scaler.state_dict(),
        }
        moments = checkpoint.optimizer_tensors(self.optimizer, self.model.parameters())
        with self._averaged() as weights:
            self._write("last", TrainingState(values, {**moments, **weights}))
        if self._lost:
            raise DataError(
                f"run_dir={self.run_dir}: was removed in mid-run. It is there again with the state after update "
                f"{self.position.update}, from which the same command goes on; its metrics and best checkpoints are "
                "lost."
            )
        self.team.greatest([0])

    def _write(self, name: str, state: TrainingState | None = None) -> None:
        """A checkpoint of the run, by the first of the ranks."""
        if not self.team.rank:
            checkpoint.save(self.run_dir / name, self.checkpoint, self._card(), state)

    @contextmanager
    def _averaged(self) -> Iterator[dict[str, Tensor]]:
        """Within it the model has the weights to validate and to translate with; gives those that training goes on
        with, where they are others."""
        if self._average is None:
            yield {}
            return
        with self._average.in_place() as weights:
            yield weights

    def _card(self) -> str:
        return self.card(self.position.update, self.epochs, self.scores)


def _better(new: float, best: float, metric: str) -> bool:
    return new < best if metric == "loss" else new > best


def _summary(title: str, scores: Mapping[str, float]) -> str:
    values = (scores[name] for name in ("loss", "perplexity", "bleu", "chrf"))
    return "{} loss {:.3f}, perplexity {:.2f}, BLEU {:.2f}, chrF {:.2f}".format(title, *values)
