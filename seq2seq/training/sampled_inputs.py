"""Scheduled sampling: a growing share of the decoder's inputs are its own tokens instead of the reference's.

Shapes: b batch, t target, n rows that get a token of the model, v vocabulary.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import BOS, PAD


@dataclass(frozen=True)
class SampledInputs:
    """Samples each decoder input of update i from the model with probability 1 − ε_i (Bengio 2015, sections 2.2-2.4).

    The tokens are sampled first, without dropout. Training then treats them as given: as in the paper, no gradient
    flows through the samples.
    """

    schedule: str
    """`linear`: ε_i = 1 − i / 2N; `inverse_sigmoid`: ε_i = k / (k + exp(i / k)) with k ln k = N"""
    half: int
    """N: the update at which ε is 1/2"""
    most: float
    """Maximum of 1 − ε"""

    def probability(self, update: int) -> float:
        """Return 1 − ε of this update."""
        if self.schedule == "linear":
            return min(update / (2 * self.half), self.most)
        k = _solve(self.half)
        return min(1 / (1 + k * math.exp(-update / k)), self.most)

    @torch.no_grad()
    def __call__(self, model: TranslationModel, batch: Batch, update: int) -> Batch:
        """Replace some inputs, drawing from torch's global generator. Leaves the model in training mode."""
        given = batch.inputs
        own = torch.rand(given.shape, device=given.device) < self.probability(update)  # [b t]
        own &= given != PAD
        own[:, 0] = False  # BOS
        if not own.any():
            return batch
        model.eval()
        memory, state = model.encode(batch.source, batch.source_lengths, batch.context)
        inputs = given.clone()
        for t in range(1, 1 + int(own.any(0).nonzero().max())):
            decoded = model.decoder.step(inputs[:, t - 1], memory, state, need_weights=False)
            features, state = decoded.features, decoded.state
            rows = own[:, t]
            inputs[rows, t] = _sample(model.output.logits(model.output.features(features[rows])))
        model.train()
        return dataclasses.replace(batch, inputs=inputs)


def _sample(logits: Tensor) -> Tensor:
    """Sample a token from each row's distribution, but neither BOS nor padding: [n v] -> [n]."""
    logits = logits.float()
    logits[:, [PAD, BOS]] = -torch.inf
    reached = logits.softmax(-1).cumsum(-1)
    wanted = torch.rand(len(logits), 1, device=logits.device) * reached[:, -1:]
    return torch.searchsorted(reached, wanted, right=True).squeeze(1).clamp(max=logits.size(1) - 1)


def _solve(half: int) -> float:
    """Solve k ln k = N for k > 1 by Newton's method."""
    k = 1.0 + half
    for _ in range(60):
        k -= (k * math.log(k) - half) / (math.log(k) + 1)
    return k
