"""The training loop."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq import checkpoint
from seq2seq.checkpoint import TrainingState
from seq2seq.config import CHANGEABLE, Training, upgrade
from seq2seq.device import hardware
from seq2seq.errors import DataError
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translator import Translator
from seq2seq.text.batches import Batch
from seq2seq.training.batches import TrainingBatches
from seq2seq.training.checkpoints import CheckpointKeeper
from seq2seq.training.gradient import GradientStep
from seq2seq.training.loss import Loss
from seq2seq.training.optimizer import MOMENTS, Schedule
from seq2seq.training.process_group import ProcessGroup
from seq2seq.training.progress import Progress
from seq2seq.training.report import ValidationReport
from seq2seq.training.run_directory import check_contents
from seq2seq.training.run_report import RunReport
from seq2seq.training.snapshots import attend
from seq2seq.training.state import StateValues, TrainingProgress
from seq2seq.training.stopping import StoppedBySignal, StoppingRule, noted_signals
from seq2seq.training.validation import Validation, translations_file
from seq2seq.training.workers import can_fork, warn_of_few_cores

logger = logging.getLogger(__name__)

_LIMITS = ("max_updates", "max_epochs", "max_hours")
"""Keys that set the length of a training, which shapes the cosine schedule from the first update on."""


@dataclass
class Trainer:
    """Trains one model in one run directory.

    All ranks of a process group run the same loop and make the same decisions; only rank 0 writes and logs.
    """

    options: Training
    data: TrainingBatches
    gradient: GradientStep
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    validation: Validation
    keeper: CheckpointKeeper
    report: RunReport
    extra_validations: Mapping[str, Validation] = field(default_factory=dict)
    """Further held-out sets by name; they are only reported."""
    callback: Callable[[dict[str, Any]], object] = lambda row: None
    """Called with each line of metrics."""

    def __post_init__(self) -> None:
        self.progress = TrainingProgress()
        self.scores: dict[str, float] = {}  # of the last validation
        self.model, saved = self.gradient.model, self.keeper.checkpoint
        device = self.gradient.device
        self.translator = Translator(
            [EnsembleMember(self.model, saved.source, lengths=saved.lengths, context=saved.data.context)],
            saved.target,
            device,
            (saved.data.source_lang, saved.data.target_lang),
        )
        self.stopping = StoppingRule(self.options, self.schedule, self.run_dir)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.options.precision == "fp16")
        self._scaler.scale(torch.zeros((), device=device))  # it has no scale to save before the first call

    @property
    def run_dir(self) -> Path:
        """Directory of all output."""
        return self.keeper.run_dir

    @property
    def group(self) -> ProcessGroup:
        """The processes that run this loop."""
        return self.gradient.group

    @property
    def epochs(self) -> float:
        """Completed epochs, including the fraction of the current one."""
        return round(self.progress.epoch + self.progress.batch / self.data.per_epoch, 4)

    def resume(self) -> bool:
        """Resume from the state in the run directory; return False if there is none."""
        last = self.run_dir / "last"
        path = checkpoint.find_state(last)
        if path is None:
            return False
        state = checkpoint.load_state(path)
        self.keeper.hashes = check_contents(path, self.keeper.hashes)
        if path != last and last.exists():
            logger.warning("%s: damaged: %s. Resuming from the previous state, %s", last, checkpoint.damage(last), path)
        saved = checkpoint.load(path, self.gradient.device)
        try:
            self.model.load_state_dict(saved.model.state_dict())
            self._restore(state)
            self._record_changes(saved.origin)
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, RuntimeError) as error:
            raise DataError(f"{path}: the training state doesn't fit ({error})") from error
        self.keeper.set_damaged_aside(path)
        return True

    def _restore(self, state: TrainingState) -> None:
        checkpoint.restore_optimizer(self.optimizer, self.model.parameters(), state.tensors)
        values = StateValues.of_plain(state.values, self.data.per_epoch)
        self.progress, self.scores = values.progress, values.scores
        self.schedule.factor, self.schedule.waited = values.schedule[0], int(values.schedule[1])
        self._scaler.load_state_dict(values.scaler)
        self.gradient.micro_batches = max(self.gradient.micro_batches, values.micro_batches)
        self._restore_processes(values)

    def _restore_processes(self, values: StateValues) -> None:
        """Use as many processes as the saved run, unless the options say otherwise; log what will differ."""
        gradient, group = self.gradient, self.group
        if self.options.processes is None and values.ranks == group.ranks == 1 and can_fork(gradient.device):
            gradient.processes = values.processes
            warn_of_few_cores(values.processes)
        threads = torch.get_num_threads()
        if gradient.device.type == "cpu" and gradient.processes == 1 and values.threads not in (None, threads):
            logger.info(
                "the run was saved with %d threads and continues with %d (OMP_NUM_THREADS): only rounding will differ",
                *(values.threads, threads),
            )
        before, now = values.processes * values.ranks, gradient.processes * group.ranks
        if before != now:
            logger.info(
                "the run was saved by %d processes and continues with %d: only rounding and random draws, such as "
                "dropout, will differ",
                *(before, now),
            )

    def _record_changes(self, origin: Mapping[str, Any]) -> None:
        """Add what has changed to the checkpoint's origin. A new learning rate starts without a plateau's factor."""
        progress, now, mine = self.progress, vars(self.options), self.keeper.checkpoint.origin
        before = upgrade({"training": origin.get("training", {})})["training"]
        self.keeper.kept_several = before.get("keep_last", 1) > 1
        keys = [*CHANGEABLE, *(_LIMITS if self.options.schedule == "cosine" else ())]
        changed = [key for key in keys if before.get(key, now[key]) != now[key]]
        if "learning_rate" in changed:
            self.schedule.factor, self.schedule.waited, progress.without_progress = 1.0, 0, 0
        self._record_history(mine["training"], before, {key: now[key] for key in changed})
        here = {**mine["versions"], **self.machine()}
        there = {**origin.get("versions", {}), **origin.get("machine", {})}
        moved = {key: value for key, value in here.items() if there.get(key, value) != value}
        self._record_history(mine["machine"], there, moved)

    def _record_history(self, record: dict[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Add the values that are other ones from now on to `changed`, a text that is kept from resume to resume."""
        history = [f"{key} {before[key]} until update {self.progress.update}, then {now[key]}" for key in now]
        if text := "; ".join([*filter(None, [before.get("changed")]), *history]):
            record["changed"] = text

    def machine(self) -> dict[str, Any]:
        """Return what the bits of the weights depend on besides data, settings and versions."""
        gradient = self.gradient
        return {
            **hardware(gradient.device),
            "threads": torch.get_num_threads() if gradient.processes == 1 else 1,
            "processes": gradient.processes,
            "micro_batches": gradient.micro_batches,
            "fp32_products": torch.get_float32_matmul_precision(),
        }

    def reason_to_stop(self) -> str:
        """Return why training is over, or an empty string while it is not."""
        return self.stopping.reason(self.progress)

    def nothing_to_do(self) -> bool:
        """Whether training is over and has left a checkpoint to translate with."""
        return bool(self.reason_to_stop() and self.scores)

    def run(self) -> None:
        """Train to the end. Raises StoppedBySignal after saving the state."""
        progress = self.progress
        with ExitStack() as stack:
            display = None if self.group.rank else stack.enter_context(closing(self._display()))
            signals = stack.enter_context(noted_signals(forgiving=self.group.ranks > 1))
            held_out = {"": self.validation, **self.extra_validations}
            tasks = {name: partial(each.texts, self.translator) for name, each in held_out.items()}
            stack.enter_context(self.gradient.sharing(self.optimizer, tasks))
            self._counted_until = time.monotonic()
            if self.reason_to_stop():
                if not self.scores:  # stopped before the first validation, and resumed with a lower limit
                    self._validate(display, due=False)
                return
            self.try_largest_batch()
            self._counted_until = time.monotonic()
            for batch in self.batches():
                self._update(batch, display)
                stop = self._count_time(signals)  # a later signal is for the next update
                due = self._validation_is_due()
                if due or self.reason_to_stop():
                    self._validate(display, due)
                elif progress.update % self.options.save_every == 0 or stop:
                    self._save(display)
                if stop:
                    self._write_report(display)
                    raise StoppedBySignal(stop)
                if self.reason_to_stop():
                    break
            (number,) = self.group.all_reduce([signals[0] if signals else 0], "MAX")
            if number:  # it came in the last validation
                raise StoppedBySignal(int(number))

    def _display(self) -> Progress:
        progress, per_epoch = self.progress, self.data.per_epoch
        display = Progress(
            self.run_dir,
            self.schedule.total_updates,
            self.gradient.device,
            update=progress.update,
            metrics_size=progress.metrics_size,
            epoch=per_epoch,
            validate_every=self.options.validate_every or per_epoch,
            tensorboard=self.options.tensorboard,
            on_row=self._note_metrics,
        )
        self.report.resume(progress.update)
        return display

    def _note_metrics(self, row: dict[str, Any]) -> None:
        self.report.curves.add(row)
        self.callback(row)

    def _write_report(self, display: Progress | None) -> None:
        if display is not None:
            progress = self.progress
            self.report.write(progress.update, self.schedule.total_updates, progress.hours, self.reason_to_stop())

    def try_largest_batch(self) -> None:
        """Dry-run an update on the largest batches, increasing the number of micro-batches until they fit into memory.

        Their number is part of the run's state, since it affects which dropout masks an update draws.
        """
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        per_parameter = 0 if self.optimizer.state else MOMENTS[self.options.optimizer]
        moments = [torch.empty_like(parameter) for parameter in trained for _ in range(per_parameter)]
        before = self.gradient.micro_batches
        for batch in self.data.largest():
            self.gradient.find_micro_batches(batch.to(self.gradient.batch_device))
        del moments  # leaves their memory to the optimizer
        if self.progress.update and self.gradient.micro_batches > before:
            record, now = self.keeper.checkpoint.origin["machine"], self.gradient.micro_batches
            self._record_history(record, {**record, "micro_batches": before}, {"micro_batches": now})

    def batches(self) -> Iterator[Batch]:
        """Yield batches, epoch after epoch, from the current position on."""
        progress = self.progress
        while progress.update < self.schedule.total_updates:
            for rows in self.data.plan(progress.epoch)[progress.batch :]:
                if progress.update >= self.schedule.total_updates:
                    return
                progress.batch += 1
                yield self.data.batch(rows, progress.epoch, progress.batch).to(self.gradient.batch_device)
            progress.epoch, progress.batch = progress.epoch + 1, 0

    def step(self, batch: Batch) -> tuple[Loss, Tensor]:
        """Make one update; return the loss of the batch and the norm of its gradient before clipping."""
        progress = self.progress
        progress.update += 1
        rate = self.stopping.rate(progress, progress.update)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.gradient(batch, progress.update, progress.baseline, self._scaler.get_scale())
        self._scaler.unscale_(self.optimizer)
        limit = self.options.clip_norm or float("inf")
        norm = self.group.update(self.model, self.optimizer, limit)
        self._scaler.update()
        if not norm.isfinite():
            self.stopping.skipped(progress, float(norm))
            return loss, norm
        progress.skipped_in_a_row = 0
        if "reward" in loss.terms:
            progress.baseline = 0.9 * progress.baseline + 0.1 * loss.mean("reward")
        return loss, norm

    def _update(self, batch: Batch, display: Progress | None) -> None:
        progress = self.progress
        loss, norm = self.step(batch)
        if display is not None:
            display.advance(loss.tokens)
        if progress.update % self.options.log_every and progress.update != self.schedule.total_updates:
            return
        if not progress.skipped_in_a_row:
            self.stopping.refuse_divergence(progress, loss.mean("nll"), "training loss")
        if display is not None:
            values = {
                **{name: loss.mean(name) for name in loss.terms},
                "gradient_norm": float(norm),
                "skipped": progress.skipped,
                "learning_rate": self.stopping.rate(progress, progress.update),
                **display.speed(),
                "epoch": self.epochs,
            }
            display.write("train", progress.update, values)
            display.show(progress.update, values, 3600 * ((self.options.max_hours or math.inf) - progress.hours))

    def _validation_is_due(self) -> bool:
        if self.options.validate_every is not None:
            return self.progress.update % self.options.validate_every == 0
        return self.progress.batch == self.data.per_epoch

    def _validate(self, display: Progress | None, due: bool) -> None:
        """Score and save. Only a `due` validation counts for plateaus and patience.

        So a run whose limit is raised later equals one that never had the limit.
        """
        progress, keeper = self.progress, self.keeper
        keeper.look_for_run_dir(progress)

        def file(name: str = "") -> Path:
            return translations_file(self.run_dir, progress.update, name)

        self.scores, samples = self.validation.run(self.translator, self.group, file(), self.options.samples)
        self.stopping.refuse_divergence(progress, self.scores["loss"], "validation loss")
        extra_scores = {
            name: other.run(self.translator, self.group, file(name), name=name)[0]
            for name, other in self.extra_validations.items()
        }
        health = None if self.group.rank else self.validation.attention(self.translator)
        attended = [] if self.group.rank else attend(self.translator, self.validation.corpus)
        is_best = keeper.record_if_best(progress, self.scores)
        if due:
            self.schedule.validated(self.stopping.validated(progress, self.scores))
        if display is not None:
            report = ValidationReport(progress.update, self.epochs, self._validations(), self.scores, is_best)
            languages = (self.translator.source_lang, self.translator.target_lang)
            report.show(display, samples, languages, health, extra_scores)
        retained_before = bool(progress.retained_checkpoints)
        for name in keeper.retain(progress, self.scores, is_best=is_best):
            self._write(name, self.scores)
        self._save(display, self.scores)
        keeper.remove_others(progress, retained_before)
        if display is not None:
            self.report.validated(progress.update, self.epochs, attended, samples)
            self._write_report(display)
            display.pause()

    def _validations(self) -> int:
        """Return the number of validations that have been due."""
        progress = self.progress
        if self.options.validate_every is not None:
            return progress.update // self.options.validate_every
        return progress.epoch + (progress.batch == self.data.per_epoch)

    def _count_time(self, signals: Sequence[int] = ()) -> int:
        """Add up the time, the same on all ranks; return a signal that any rank received, or 0."""
        now = time.monotonic()
        hours = self.progress.hours + (now - self._counted_until) / 3600
        self._counted_until = now
        self.progress.hours, number = self.group.all_reduce([hours, signals[0] if signals else 0], "MAX")
        return int(number)

    def _save(self, display: Progress | None, scores: Mapping[str, float] | None = None) -> None:
        """Save the state, with the scores of these weights; no rank continues or ends before it is written."""
        self._count_time()
        progress, keeper = self.progress, self.keeper
        keeper.look_for_run_dir(progress)
        progress.metrics_size = 0 if keeper.run_dir_was_removed or display is None else display.on_disk()
        values = StateValues(
            progress,
            [self.schedule.factor, self.schedule.waited],
            self.scores,
            self.gradient.processes,
            self.group.ranks,
            self.gradient.micro_batches,
            torch.get_num_threads(),
            self._scaler.state_dict(),
        )
        moments = checkpoint.optimizer_tensors(self.optimizer, self.model.parameters())
        self._write("last", scores or {}, TrainingState({**values.to_plain(), "hashes": keeper.hashes}, moments))
        if keeper.run_dir_was_removed:
            raise DataError(
                f"run_dir={self.run_dir}: was removed during the run. It was created again with the state after update "
                f"{progress.update}, from which the same command resumes; metrics and best checkpoints are lost."
            )
        self.group.all_reduce([0], "MAX")

    def _write(self, name: str, scores: Mapping[str, float], state: TrainingState | None = None) -> None:
        keeper = self.keeper
        keeper.checkpoint.origin["machine"].update(self.machine())
        keeper.write(name, self.progress.update, self.epochs, scores, state)
