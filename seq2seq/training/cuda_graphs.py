"""A step that is captured once for each shape of batch and replayed from then on (CUDA graphs).

Step by step decoding launches thousands of small kernels, and launching them takes longer than running them; a replay
launches them all at once. It runs on the same memory each time, and nothing in it may depend on a value that the host
reads. So batches are padded to few shapes and copied to where their shape's graph reads, and gradients are added to
tensors that stay.

Shapes: b batch, s source, t target.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.errors import ConfigError
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training.loss import Loss, Terms

logger = logging.getLogger(__name__)

_WARM_UP = 3
"""Times that work is done before it is captured: libraries choose their kernels and allocate then."""

Shape = tuple[int, int, int]
"""Rows, source size, target size."""
Work = Callable[[Batch, Tensor, Tensor], Terms]
"""Takes a batch, the factor of its loss and REINFORCE's b, adds its gradient to the parameters' and gives its terms,
detached. It may wait for nothing and ask for no value."""
Engine = Callable[[Callable[[], Terms]], Callable[[], Terms]]
"""Takes work, does it any number of times, and gives what does it again on the same memory, whatever is there then."""


def cuda_graphs(device: torch.device) -> Engine:
    """The engine of CUDA. Raises ConfigError for another device."""
    if device.type != "cuda":
        raise ConfigError(
            f"training.cuda_graphs=true and device={device.type}: only CUDA has such graphs. Take device=cuda, or "
            "training.cuda_graphs=false."
        )
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    pool = torch.cuda.graph_pool_handle()

    def capture(work: Callable[[], Terms]) -> Callable[[], Terms]:
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                work()
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Graphs may share a pool, in whatever order they run, because nothing in it is read after the next replay.
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            terms = work()

        def replay() -> Terms:
            graph.replay()
            return Terms._make(None if term is None else term.clone() for term in terms)

        return replay

    return capture


class CapturedStep:
    """Does the work of a batch through an engine, with static tensors for each shape of batch.

    A replay draws from the generator's seed at the time, not that of its capture: CUDA's default generator hands its
    seed and offset to a graph before each replay, and capturing moves neither. So what an update draws depends on its
    seed and the shapes of its parts alone.
    """

    def __init__(self, work: Work, parameters: Sequence[Tensor], device: torch.device, engine: Engine) -> None:
        self._work, self._engine, self._device = work, engine, device
        self._parameters = parameters
        self._gradients: list[tuple[Tensor, Tensor]] = []
        """Parameters and where graphs add to their gradients: those that an eager step would leave None have none."""
        self._captured: dict[Shape, _Captured] = {}

    def __call__(self, batch: Batch, scale: float, baseline: float) -> Loss:
        """The loss of a batch on the CPU; `scale` times its gradient is added to what the parameters have.

        `baseline` is REINFORCE's b. What is drawn begins where the device's generator is.
        """
        shape = bucket(batch)
        padded = pad_batch(batch, shape)
        self._attach_gradients()
        if shape not in self._captured:
            self._captured[shape] = self._capture(padded)
            logger.debug("captured %d x %d x %d (rows, source, target), number %d", *shape, len(self._captured))
        static = self._captured[shape]
        for name, value in _tensors(padded).items():
            getattr(static.batch, name).copy_(value, non_blocking=True)
        static.scale.fill_(scale)
        static.baseline.fill_(baseline)
        return static.replay().loss(batch.tokens)

    def _attach_gradients(self) -> None:
        """Give every parameter the tensor that graphs add to; a gradient that was set to None begins at 0."""
        lost = [(parameter, gradient) for parameter, gradient in self._gradients if parameter.grad is not gradient]
        if lost:
            torch._foreach_zero_([gradient for _, gradient in lost])
        for parameter, gradient in lost:
            if parameter.grad is not None:
                gradient.copy_(parameter.grad)
            parameter.grad = gradient

    def _capture(self, padded: Batch) -> "_Captured":
        """What the engine makes of a batch of this shape. Gradients and generators are afterwards what they were."""
        batch = padded.to(self._device)
        scale, baseline = (torch.zeros((), device=self._device) for _ in range(2))  # times 0, warming up adds nothing
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            replay = self._engine(partial(self._work, batch, scale, baseline))
        self._gradients = [(p, p.grad) for p in self._parameters if p.grad is not None]
        return _Captured(batch, scale, baseline, replay)


@dataclasses.dataclass(frozen=True)
class _Captured:
    """The work for one shape: what it reads, and what does it."""

    batch: Batch
    scale: Tensor
    baseline: Tensor
    replay: Callable[[], Terms]


def bucket(batch: Batch) -> Shape:
    """The shape to which a batch is padded: each size up to the next of 4, 8, .., 32, 40, .., 64, 80, .., 128, 160, ..:
    from 13 on by less than a quarter."""
    (rows, source_size), target_size = batch.source.shape, batch.targets.size(1)
    return _rounded(rows), _rounded(source_size), _rounded(target_size)


def _rounded(size: int) -> int:
    step = 4
    while size > 8 * step:
        step *= 2
    return -(-size // step) * step


def pad_batch(batch: Batch, shape: Shape) -> Batch:
    """With padding up to a shape. A row that is added has one source position, so that there is something to attend,
    and no target."""
    rows, source_size, target_size = shape
    below = rows - len(batch.source)
    right, beyond = source_size - batch.source.size(1), target_size - batch.targets.size(1)
    return dataclasses.replace(
        batch,
        source=F.pad(batch.source, (0, right, 0, below), value=PAD),
        source_lengths=F.pad(batch.source_lengths, (0, below), value=1),
        inputs=F.pad(batch.inputs, (0, beyond, 0, below), value=PAD),
        targets=F.pad(batch.targets, (0, beyond, 0, below), value=PAD),
        links=None if batch.links is None else F.pad(batch.links, (0, right, 0, beyond, 0, below)),
    )


def _tensors(batch: Batch) -> dict[str, Tensor]:
    return {name: value for name, value in vars(batch).items() if value is not None}
