"""Scheduled sampling: the decoder learns from its own words instead of the reference's, more and more of them.

Shapes: b batch, t target, n rows that take a word of the model's own, v vocabulary.
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
    """Each input of the decoder is, with probability 1 − ε_i at update i, drawn from what the model says after the
    inputs before it (Bengio 2015, sections 2.2 to 2.4).

    The words are drawn first, by the model as it translates, without dropout. Training then sees them as if they had
    been given: no gradient goes through what was drawn, as in the paper.
    """

    schedule: str
    """`linear`: ε_i = 1 − i / 2N; `inverse_sigmoid`: ε_i = k / (k + exp(i / k)) with k ln k = N"""
    half: int
    """N: the update at which ε is 1/2"""
    most: float
    """1 − ε is never more"""

    def probability(self, update: int) -> float:
        """1 − ε of this update."""
        if self.schedule == "linear":
            return min(update / (2 * self.half), self.most)
        k = _solved(self.half)
        return min(1 / (1 + k * math.exp(-update / k)), self.most)

    @torch.no_grad()
    def __call__(self, model: TranslationModel, batch: Batch, update: int) -> Batch:
        """The batch with some inputs replaced, drawn from torch's global generator. The model is left in training."""
        given = batch.inputs
        own = torch.rand(given.shape, device=given.device) < self.probability(update)  # [b t]
        own &= given != PAD
        own[:, 0] = False  # BOS
        if not own.any():
            return batch
        model.eval()
        memory, state = model.encode(batch.source, batch.source_lengths)
        inputs = given.clone()
        for t in range(1, 1 + int(own.any(0).nonzero().max())):
            decoded = model.decoder.step(inputs[:, t - 1], memory, state, need_weights=False)
            features, state = decoded.features, decoded.state
            rows = own[:, t]
            inputs[rows, t] = _drawn(model.output.logits(model.output.features(features[rows])))
        model.train()
        return dataclasses.replace(batch, inputs=inputs)


def _drawn(logits: Tensor) -> Tensor:
    """A word of each row's distribution, but none that begins or fills a sentence: [n v] -> [n]."""
    logits = logits.float()
    logits[:, [PAD, BOS]] = -torch.inf
    reached = logits.softmax(-1).cumsum(-1)
    wanted = torch.rand(len(logits), 1, device=logits.device) * reached[:, -1:]
    return torch.searchsorted(reached, wanted, right=True).squeeze(1).clamp(max=logits.size(1) - 1)


def _solved(half: int) -> float:
    """k > 1 with k ln k = N, by Newton's steps."""
    k = 1.0 + half
    for _ in range(60):
        k -= (k * math.log(k) - half) / (math.log(k) + 1)
    return k
