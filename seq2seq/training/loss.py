"""The loss: cross-entropy of the projected features, label-smoothed, and terms for the attention: REINFORCE's where it
is drawn, a second cross-entropy where word alignments are given.

Shapes: b batch, h heads, t target, s source, n real target positions, r features, v vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD

_LOGITS = 1 << 22
"""Logits at a time: few enough to stay in the cache, so many that the products are large."""
_LEAST_ROWS = 256
"""Positions projected at a time, however large the vocabulary is: each adds up the whole gradient of W once."""

_LEAST_WEIGHT = 1e-30
"""Attention below this is none: its logarithm would have an infinite gradient."""


class ProjectedCrossEntropy(torch.autograd.Function):
    """−Σ_n [(1 − ε) log p(y_n) + ε/v Σ_j log p(j)], p = softmax(W x_n + b), a few rows at a time.

    The gradients are made along with the loss, so that no more than a few rows of logits exist at once. Products,
    logits and the sum of W's gradient are in x's precision. Softmax and loss are in fp32 or better, so that p − 1 of a
    token that is nearly certain keeps its digits; it is rounded to x's precision only for the products.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, real: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x [n r], weight [v r], bias [v], targets [n] -> the sum, and −log p(y_n) of each position [n].

        Where a position is not `real` [n], its terms and gradients are 0; None: all are.
        """
        exact = torch.float64 if x.dtype is torch.float64 else torch.float32
        vocab = weight.size(0)
        cast, shift = weight.to(x.dtype), bias.to(x.dtype)
        nll = x.new_empty(len(x), dtype=exact)
        smooth = x.new_zeros((), dtype=exact)
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        grad_x = torch.empty_like(x) if of_x else None
        grad_weight = torch.zeros_like(cast) if of_weight else None
        grad_bias = torch.zeros_like(bias) if of_bias else None
        size = max(_LOGITS // vocab, _LEAST_ROWS)
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            logits = F.linear(x[rows], cast, shift)
            gradient = logits.softmax(-1, dtype=exact)
            # From the most probable token, whose probability is never rounded to 0.
            log_total = logits.amax(-1, keepdim=True).to(exact) - gradient.amax(-1, keepdim=True).log()
            chosen = targets[rows, None]
            nll[rows] = (log_total - logits.gather(1, chosen)).squeeze(1)
            if smoothing:
                each = log_total.squeeze(1) - logits.mean(-1, dtype=exact)
                smooth += (each if real is None else each * real[rows]).sum()
            if not (of_x or of_weight or of_bias):
                continue
            if smoothing:
                gradient.sub_(smoothing / vocab)
            gradient.scatter_add_(1, chosen, gradient.new_full(chosen.shape, smoothing - 1))
            if real is not None:
                gradient.mul_(real[rows, None])
            if grad_bias is not None:
                grad_bias += gradient.sum(0)
            gradient = gradient.to(x.dtype)
            if grad_x is not None:
                torch.mm(gradient, cast, out=grad_x[rows])
            if grad_weight is not None:
                grad_weight.addmm_(gradient.T, x[rows])
        ctx.save_for_backward(grad_x, grad_weight, grad_bias)
        ctx.dtype = weight.dtype
        if real is not None:
            nll.mul_(real)
        ctx.mark_non_differentiable(nll)
        return (1 - smoothing) * nll.sum() + smoothing * smooth, nll

    @staticmethod
    def backward(
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        scale = grad_outputs[0]
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        return (
            None if grad_x is None else grad_x * scale,
            None if grad_weight is None else grad_weight.to(ctx.dtype, copy=True).mul_(scale),
            None if grad_bias is None else grad_bias * scale,
            None,
            None,
            None,
        )


LossNumbers = tuple[float, float, int, float | None, float | None]


@dataclass(frozen=True)
class Loss:
    """Of a batch, summed over its real target positions."""

    total: Tensor
    """What is minimised."""
    nll: Tensor
    """−Σ log p, without smoothing."""
    tokens: int
    reward: float | None = None
    """Mean R_t of a sampled attention."""
    guided: Tensor | None = None
    """−Σ A log α, without its weight, where alignments are given."""

    def numbers(self) -> LossNumbers:
        """Its fields, for another process."""
        guided = None if self.guided is None else float(self.guided)
        return float(self.total.detach()), float(self.nll), self.tokens, self.reward, guided

    @staticmethod
    def of_numbers(total: float, nll: float, tokens: int, reward: float | None, guided: float | None) -> "Loss":
        """What `numbers` gave."""
        return Loss(
            torch.tensor(total), torch.tensor(nll), tokens, reward, None if guided is None else torch.tensor(guided)
        )

    @staticmethod
    def of_parts(parts: "Sequence[Loss]") -> "Loss":
        """Of a batch, from those of its parts."""
        if len(parts) == 1:
            return parts[0]
        tokens = sum(part.tokens for part in parts)
        rewards = [part.reward * part.tokens for part in parts if part.reward is not None]
        guided = [part.guided for part in parts if part.guided is not None]
        return Loss(
            torch.stack([part.total.detach() for part in parts]).sum(),
            torch.stack([part.nll for part in parts]).sum(),
            tokens,
            sum(rewards) / tokens if rewards else None,
            torch.stack(guided).sum() if guided else None,
        )


LossFunction = Callable[[TranslationModel, Batch, float], Loss]
"""Takes REINFORCE's b last."""


class Terms(NamedTuple):
    """The fields of a `Loss` that are made of tensors, as tensors."""

    total: Tensor
    nll: Tensor
    reward: Tensor | None = None
    guided: Tensor | None = None

    def loss(self, tokens: int) -> Loss:
        """With the number of real target tokens. Waits for the device where there is a reward."""
        return Loss(self.total, self.nll, tokens, None if self.reward is None else float(self.reward), self.guided)


@dataclass(frozen=True)
class TranslationLoss:
    """Cross-entropy, and for an attention that draws its positions

    − λ_r Σ_t sg(R_t − b) log π_t(i_t) − λ_e Σ_t H(π_t), R_t the mean of log p_u over u >= t

    (REINFORCE, Williams 1992, with the reward that follows a position, as in Mnih 2014; baseline b and entropy term as
    in Xu 2015, section 4.1, where log p of the whole sentence is the reward of every position),

    or for one that is shown given alignments, + λ_g × `guided_cross_entropy`.
    """

    label_smoothing: float = 0.0
    reward_weight: float = 0.0
    """λ_r"""
    entropy_weight: float = 0.0
    """λ_e"""
    guided_weight: float = 0.0
    """λ_g"""

    def __call__(self, model: TranslationModel, batch: Batch, baseline: float = 0.0) -> Loss:
        """`baseline` is b."""
        return self.terms(model, batch, baseline).loss(batch.tokens)

    def terms(
        self, model: TranslationModel, batch: Batch, baseline: float | Tensor = 0.0, *, packed: bool = True
    ) -> Terms:
        """`packed` projects the real positions alone, whose number has to be known then. Without it no value of a
        tensor is asked for, so that nothing waits for a device.
        """
        decoded = model(batch.source, batch.source_lengths, batch.inputs, need_weights=batch.links is not None)
        real, output = batch.targets != PAD, model.output
        features, targets = (
            x[real] if packed else x.flatten(0, 1) for x in (decoded.features, batch.targets)
        )  # [n ..]
        mask = None if packed else real.flatten()
        total, nll = ProjectedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            features, output.weight, output.bias, targets, self.label_smoothing, mask
        )
        if batch.links is not None:
            weights = decoded.attended.to_dense(batch.source.size(1))
            assert weights is not None
            guided = guided_cross_entropy(weights, batch.links)
            return Terms(total + self.guided_weight * guided, nll.sum(), guided=guided.detach())
        drawn = decoded.attended.log_prob
        if drawn is None:
            return Terms(total, nll.sum())
        spread = nll.new_zeros(real.shape).masked_scatter(real, nll) if packed else nll.view_as(real)  # [b t]
        rewards = rewards_to_go(spread, real)  # [b t]
        entropy = decoded.attended.entropy
        assert entropy is not None
        reinforced = ((rewards - baseline) * drawn).where(real, 0).sum()
        total = total - self.reward_weight * reinforced - self.entropy_weight * entropy.where(real, 0).sum()
        return Terms(total, nll.sum(), reward=rewards.sum() / real.sum())


def guided_cross_entropy(weights: Tensor, links: Tensor) -> Tensor:
    """−Σ_t Σ_i A_{t,i} log α_{t,i}, α the mean over the heads: guided alignment training (Chen 2016; Mi 2016).

    weights [b h t s], links A [b t s], rows of sum 1, or 0 where nothing is linked -> the sum. A position of weight 0,
    which a window hides, has no term.
    """
    mean = (weights.float() if weights.dtype.itemsize == 2 else weights).mean(1)  # [b t s]
    seen = mean > _LEAST_WEIGHT
    return -(links * seen * mean.clamp(min=_LEAST_WEIGHT).log()).sum()


def rewards_to_go(nll: Tensor, real: Tensor) -> Tensor:
    """R_t, the mean of log p_u over u >= t: nll [b t], 0 where a position is not real [b t] -> [b t], 0 there too."""
    total = -nll.flip(1).cumsum(1).flip(1)
    count = real.flip(1).cumsum(1).flip(1)
    return total / count.clamp(min=1)
