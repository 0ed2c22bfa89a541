"""Minimum-risk training (Shen 2016): minimises the expected cost of translations instead of cross-entropy.

Shapes: b batch, t target, c candidates of all sentences together, k candidates of a sentence, n real target positions,
r features.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seq2seq.attention.score import full_precision
from seq2seq.model.translation import TranslationModel
from seq2seq.search.greedy import Sampling, sample
from seq2seq.search.protocol import Limits, Ranking
from seq2seq.search.stepper import ModelStepper
from seq2seq.text.batches import Batch, pad
from seq2seq.text.protection import SYMBOLS
from seq2seq.text.tokenizer import BOS, PAD, Tokenizer
from seq2seq.training.loss import LOGITS, Loss

Candidates = Sequence[Sequence[Sequence[int]]]
"""Tokens of the candidates of each sentence, with EOS if they have one, the reference first."""


@dataclass(frozen=True)
class MinimumRisk:
    """Σ_s Σ_{y in S(x_s)} Q(y | x_s; α) Δ(y, y*_s), Q(y | x; α) = p(y | x)^α / Σ_{y' in S(x)} p(y' | x)^α.

    S(x) is the reference y* and the distinct ones among `samples` ancestral samples of the model without dropout
    (Shen 2016, section 3 and algorithm 1). A sample that reaches the limits before its EOS stays in S(x), or else a
    model could avoid its costs by never ending. Δ = 1 − metric/100 is the paper's −BLEU up to a constant, which does
    not change the gradient.
    """

    target: Tokenizer
    metric: Callable[[str, str], float]
    """Score of a translation and its reference, at most 100"""
    limits: Limits
    """Length limits of the samples"""
    samples: int
    sharpness: float
    """α"""

    def __call__(self, model: TranslationModel, batch: Batch, baseline: float = 0.0) -> Loss:
        """Sum the risk over the sentences; samples depend on torch's global random generator alone."""
        candidates = self.candidates(model, batch)
        costs = [self._costs(of_sentence) for of_sentence in candidates]
        log_p = candidate_log_probs(model, batch, candidates)  # [c]
        counts = torch.tensor([len(of_sentence) for of_sentence in candidates])
        references = (counts.cumsum(0) - counts).to(log_p.device)
        risk = expected_costs(log_p, costs, self.sharpness).sum()
        return Loss({"loss": risk, "nll": -log_p.detach()[references].sum()}, batch.tokens)

    def candidates(self, model: TranslationModel, batch: Batch) -> Candidates:
        """Return S(x) of each sentence."""
        sources = batch.sources()
        references = [row[row != PAD].tolist() for row in batch.targets]
        seeds = [[seed] for seed in torch.randint(1 << 31, (len(sources),)).tolist()]
        training = model.training
        try:
            stepper = ModelStepper(model, batch.source.device, keep_attention=False)
            drawn = sample(stepper, sources, self.limits, Ranking("none"), Sampling(), self.samples, seeds)
        finally:
            model.train(training)
        return [
            list(dict.fromkeys(tuple(tokens) for tokens in (reference, *(h.tokens for h in of_sentence))))
            for reference, of_sentence in zip(references, drawn, strict=True)
        ]

    def _costs(self, candidates: Sequence[Sequence[int]]) -> list[float]:
        """Return Δ of each candidate of a sentence."""
        symbols = [symbol.strip() for symbol in SYMBOLS]  # protected spans count as words
        reference, *others = (self.target.decode(tokens, symbols) for tokens in candidates)
        return [1 - self.metric(text, reference) / 100 for text in (reference, *others)]


def expected_costs(log_p: Tensor, costs: Sequence[Sequence[float]], sharpness: float) -> Tensor:
    """log p(y | x) of all candidates [c], and their costs by sentence -> Σ_y Q(y) Δ(y) of each sentence [b]."""
    counts = [len(of_sentence) for of_sentence in costs]
    real = (torch.arange(max(counts)) < torch.tensor(counts)[:, None]).to(log_p.device)  # [b k]
    sharp = torch.full(real.shape, -math.inf, dtype=log_p.dtype, device=log_p.device)
    sharp = sharp.masked_scatter(real, sharpness * log_p)
    flat = torch.tensor([cost for of_sentence in costs for cost in of_sentence], dtype=log_p.dtype, device=log_p.device)
    return (sharp.softmax(-1) * torch.zeros_like(sharp).masked_scatter(real, flat)).sum(-1)


def candidate_log_probs(model: TranslationModel, batch: Batch, candidates: Candidates) -> Tensor:
    """Return log p(y | x) of all candidates of the batch [c], with a gradient; encodes each source once."""
    device = batch.source.device
    memory, state = model.encode(batch.source, batch.source_lengths, batch.context)
    rows = torch.arange(len(candidates)).repeat_interleave(torch.tensor([len(row) for row in candidates])).to(device)
    flat = [tokens for of_sentence in candidates for tokens in of_sentence]
    targets, _ = pad(flat)
    inputs, _ = pad([[BOS, *tokens[:-1]] for tokens in flat])
    features = model.decoder(inputs.to(device), memory.select(rows), state.select(rows), need_weights=False).features
    real = targets != PAD  # [c t]
    owners = real.nonzero()[:, 0].to(device)  # [n]
    token_log_probs = _log_probs(model, model.output.features(features)[real.to(device)], targets[real].to(device))
    return token_log_probs.new_zeros(len(flat)).index_add(0, owners, token_log_probs)


def _log_probs(model: TranslationModel, features: Tensor, tokens: Tensor) -> Tensor:
    """features [n r], tokens [n] -> log-probability of each token [n]."""

    def log_probs(x: Tensor, chosen: Tensor) -> Tensor:
        logits = full_precision(model.output.logits(x))
        return logits.log_softmax(-1).gather(1, chosen[:, None]).squeeze(1)

    size = max(LOGITS // len(model.output.bias), 1)  # the backward pass recomputes them, so that no more exist at once
    parts = zip(torch.split(features, size), torch.split(tokens, size), strict=True)
    return torch.cat([checkpoint(log_probs, x, chosen, use_reentrant=False) for x, chosen in parts])
