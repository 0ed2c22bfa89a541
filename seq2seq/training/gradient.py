"""The gradient of one update: processes share its batch, and each works in micro-batches that fit into memory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from seq2seq.device import autocast
from seq2seq.inference.out_of_memory import in_parts_that_fit
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch
from seq2seq.training.loss import Loss, LossFunction
from seq2seq.training.process_group import ProcessGroup
from seq2seq.training.workers import Tasks, working

logger = logging.getLogger(__name__)


_BETWEEN_SHARES = 0x9E37_79B9
"""Distance between the seeds of neighbouring shares. A CPU generator uses 32 bits of a seed: at the golden section of
2³² any two of 1,024 shares are still 1.9 million apart, more than there are updates."""


class _Work(NamedTuple):
    """Values that the shares of a batch have in common."""

    update: int
    baseline: float
    """REINFORCE's b."""
    tokens: int
    """Target tokens of the whole batch."""
    scale: float
    """Loss scale (Micikevicius 2018)."""
    micro_batches: int
    dry_run: bool = False
    """Whether this is a dry run that only tests memory."""


@dataclass
class GradientStep:
    """Computes the gradient of a batch's mean loss per token into the model's parameters."""

    model: TranslationModel
    loss: LossFunction
    precision: str
    seed: int
    micro_batches: int = 1
    """Number of parts of each share, processed one after the other; increased when memory runs out."""
    processes: int = 1
    """Forked processes that share each batch inside `sharing`; 1 if the group has several ranks."""
    group: ProcessGroup = field(default_factory=ProcessGroup)

    def __post_init__(self) -> None:
        self._micro_batches_used = self.micro_batches

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    @property
    def batch_device(self) -> torch.device:
        """Device of new batches: the CPU if several ranks count the tokens of all shares, which would stall a GPU."""
        return torch.device("cpu") if self.group.ranks > 1 else self.device

    @contextmanager
    def sharing(self, optimizer: torch.optim.Optimizer, tasks: Tasks | None = None) -> Iterator[None]:
        """Let `processes` processes share each batch, the optimizer's work and these tasks inside the block."""
        if self.processes == 1:
            yield
            return
        alone = self.group
        try:
            with working(self.model, optimizer, self._answer, self.processes, tasks) as self.group:
                yield
        finally:
            self.group = alone

    def __call__(self, batch: Batch, update: int, baseline: float = 0.0, scale: float = 1.0) -> Loss:
        """Return the loss of a batch; `group.update` finds `scale` times its gradient. `baseline` is REINFORCE's b."""
        return self._shared(batch, _Work(update, baseline, batch.tokens, scale, self.micro_batches))

    def find_micro_batches(self, batch: Batch) -> None:
        """Dry-run an update with the largest batch and keep the number of micro-batches it needed."""
        self._shared(batch, _Work(0, 0.0, batch.tokens, 1.0, self.micro_batches, dry_run=True))
        self.model.zero_grad()
        # All ranks resume with the same draws.
        needed = int(self.group.all_reduce([self._micro_batches_used], "MAX")[0])
        if needed > self.micro_batches:
            logger.warning(
                "the largest batch does not fit into memory in %d part(s) (training.accumulate): from now on, each "
                "update is split into %d",
                *(self.micro_batches, needed),
            )
        self.micro_batches = self._micro_batches_used = needed

    def _shared(self, batch: Batch, work: _Work) -> Loss:
        shares = batch.split(self.group.shares)

        def message(number: int) -> Any:
            return work, number, shares[number].arrays()

        parts = self.group.gradient(self.model, shares, lambda n: self._share(work, n, shares[n]), message)
        return Loss.of_parts(parts)

    def _answer(self, message: tuple[_Work, int, dict[str, Any]]) -> Any:
        """Compute a share in another process, given its number and arrays."""
        work, number, arrays = message
        return self._share(work, number, Batch.of_arrays(arrays)).arrays()

    def _share(self, work: _Work, number: int, batch: Batch) -> Loss:
        """Compute loss and gradient of one share, in more micro-batches than other shares if memory requires it."""
        loss, self._micro_batches_used = in_parts_that_fit(
            lambda parts: self._in_parts(work, number, batch, parts), work.micro_batches, len(batch.source)
        )
        if self._micro_batches_used > work.micro_batches and not work.dry_run:
            logger.warning(
                "update %d: the batch did not fit into memory in %d part(s) and is split into %d",
                *(work.update, work.micro_batches, self._micro_batches_used),
            )
        return loss

    def _in_parts(self, work: _Work, number: int, batch: Batch, parts: int) -> Loss:
        # Dropout and sampled attention depend on the update alone, so a resumed run draws the same numbers.
        self._seed_generators((self.seed * 1_000_003 + work.update + number * _BETWEEN_SHARES) % (1 << 63))
        self.model.train()
        self.model.zero_grad()
        losses = []
        for part in batch.split(parts):
            part = part.to(self.device)
            with autocast(self.precision, self.device):
                loss = self.loss(self.model, part, work.baseline)
            torch.autograd.backward(loss.total / (work.tokens / work.scale))
            losses.append(loss.detach())  # frees the activations
        return Loss.of_parts(losses)

    def _seed_generators(self, seed: int) -> None:
        if self.device.type == "cpu":  # torch.manual_seed would note a traceback for each kind of device not in use
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
