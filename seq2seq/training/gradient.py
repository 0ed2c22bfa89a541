"""The gradient of an update: the processes of a team share its batch, and work on it in parts that fit into memory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.inference.out_of_memory import in_parts_that_fit
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch
from seq2seq.training.cuda_graphs import CapturedStep, Engine
from seq2seq.training.loss import Loss, LossFunction, LossNumbers, Terms, TranslationLoss
from seq2seq.training.precision import autocast
from seq2seq.training.sampled_inputs import SampledInputs
from seq2seq.training.team import Team
from seq2seq.training.workers import working

logger = logging.getLogger(__name__)


_BETWEEN_SHARES = 0x9E37_79B9
"""Between the seeds of neighbouring shares. A CPU's generator takes 32 bits of a seed: by the golden section of 2³² any
two of 1,024 shares are still 1.9 million apart, more than there are updates."""


class _Work(NamedTuple):
    """What the shares of a batch have in common."""

    update: int
    baseline: float
    """REINFORCE's b."""
    tokens: int
    """Of the whole batch."""
    scale: float
    """Of the loss (Micikevicius 2018)."""
    parts: int
    trying: bool = False
    """No step will be taken: is there memory?"""


_Message = tuple[_Work, int, dict[str, Any]]
"""The number of a share, and its arrays."""


@dataclass
class GradientStep:
    """Calling it leaves in the model's parameters the gradient of a batch's mean loss over its tokens."""

    model: TranslationModel
    loss: LossFunction
    device: torch.device
    precision: str
    seed: int
    parts: int = 1
    """Of each share, one after the other; where memory is not enough for them, an update is done in more."""
    processes: int = 1
    """That share each batch, within `sharing`; of a team of several ranks each is one."""
    team: Team = field(default_factory=Team)
    sampled_inputs: SampledInputs | None = None
    """None: the decoder's inputs are the reference's."""
    engine: Engine | None = None
    """Captures the work of each shape of batch; None: it is done anew for each batch."""

    def __post_init__(self) -> None:
        self._captured: CapturedStep | None = None
        if self.engine is not None:
            self._captured = CapturedStep(self._capturable, list(self.model.parameters()), self.device, self.engine)
        self._parts_taken = self.parts

    @property
    def batches_on(self) -> torch.device:
        """Where batches are best given: on the CPU, if their tokens are counted there without waiting."""
        return torch.device("cpu") if self._captured is not None or self.team.ranks > 1 else self.device

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Within it, so many processes share the work of each batch."""
        if self.processes == 1:
            yield
            return
        alone = self.team
        with working(self.model, self._answer, self.processes) as self.team:
            yield
        self.team = alone

    def __call__(self, batch: Batch, update: int, baseline: float = 0.0, scale: float = 1.0) -> Loss:
        """The loss of a batch; the parameters have its gradient times `scale`. `baseline` is REINFORCE's b."""
        return self._shared(batch, _Work(update, baseline, batch.tokens, scale, self.parts))

    def fit(self, batch: Batch, update: int) -> None:
        """Work on a batch, the largest one, as in this update, but without a step; from then on there are as many parts
        as it took."""
        self._shared(batch, _Work(update, 0.0, batch.tokens, 1.0, self.parts, trying=True))
        self.model.zero_grad()
        self._parts_taken = int(self.team.greatest([self._parts_taken])[0])  # all have to draw the same dropout again
        if self._parts_taken > self.parts:
            logger.warning(
                "the largest batch does not fit into memory in %d part(s) (training.accumulate): from now on each "
                "update is done in %d",
                self.parts,
                self._parts_taken,
            )
            self.parts = self._parts_taken

    def _shared(self, batch: Batch, work: _Work) -> Loss:
        shares = batch.split(self.team.shares)

        def own(number: int) -> Loss:
            return self._of_share(work, number, shares[number])

        def message(number: int) -> _Message:
            return work, number, shares[number].arrays()

        return Loss.of_parts(self.team.gradient(self.model, shares, own, message))

    def _answer(self, message: _Message) -> LossNumbers:
        """What another process does of an update."""
        work, number, arrays = message
        return self._of_share(work, number, Batch.of_arrays(arrays)).numbers()

    def _of_share(self, work: _Work, number: int, batch: Batch) -> Loss:
        """The loss of one share, and its part of the gradient. It may need more parts than other shares do."""
        loss, self._parts_taken = in_parts_that_fit(
            lambda parts: self._in_parts(work, number, batch, parts), work.parts, len(batch.source)
        )
        if self._parts_taken > work.parts and not work.trying:
            logger.warning(
                "update %d: its batch did not fit into memory in %d part(s), and is done in %d",
                work.update,
                work.parts,
                self._parts_taken,
            )
        return loss

    def _in_parts(self, work: _Work, number: int, batch: Batch, parts: int) -> Loss:
        # Dropout and drawn attention depend on the update alone, so a resumed run draws what the first would have.
        self._draw_from(self.seed * 1_000_003 + work.update + number * _BETWEEN_SHARES)
        self.model.train()
        self.model.zero_grad()
        losses = []
        for part in batch.split(parts):
            if self._captured is not None:
                losses.append(self._captured(part, work.scale / work.tokens, work.baseline))
                continue
            part = part.to(self.device)
            with autocast(self.precision, self.device):
                if self.sampled_inputs is not None:
                    part = self.sampled_inputs(self.model, part, work.update)
                loss = self.loss(self.model, part, work.baseline)
            torch.autograd.backward(loss.total / (work.tokens / work.scale))
            losses.append(replace(loss, total=loss.total.detach()))  # nothing of this part stays in memory
        return Loss.of_parts(losses)

    def _draw_from(self, seed: int) -> None:
        if self.device.type == "cpu":  # torch.manual_seed would note a traceback for each kind of device not in use
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def _capturable(self, batch: Batch, scale: Tensor, baseline: Tensor) -> Terms:
        """`capture.Work`: the gradient of a part of a batch, with no value that the host has to know."""
        assert isinstance(self.loss, TranslationLoss)
        with autocast(self.precision, self.device):
            terms = self.loss.terms(self.model, batch, baseline, packed=False)
        torch.autograd.backward(terms.total * scale)
        return terms._replace(total=terms.total.detach())
