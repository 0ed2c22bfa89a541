"""The training loss: label-smoothed cross-entropy, REINFORCE for sampled attention, and guided alignment.

Shapes: b batch, h heads, t target, s source, n target positions without padding, r features, v vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.attention.attention import AttentionOutput
from seq2seq.attention.score import full_precision
from seq2seq.model.translation import TranslationModel
from seq2seq.nn.products import precision_of_products
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD

LOGITS = 1 << 22
"""Logits computed at a time: enough for large matrix products."""
_LEAST_ROWS = 256
"""Minimum number of positions projected at a time, since each chunk accumulates the whole gradient of W."""
_CACHED = 1 << 17
"""Logits whose softmax and gradient are computed at a time on a CPU: few enough to stay in its cache."""

_LEAST_WEIGHT = 1e-30
"""Attention weights below this count as zero: the gradient of their logarithm would be infinite."""


class ProjectedCrossEntropy(torch.autograd.Function):
    """−Σ_n [(1 − ε) log p(y_n) + ε/v Σ_j log p(j)], p = softmax(W x_n + b), computed a few rows at a time.

    Forward computes the gradients along with the loss, so only a few rows of logits exist at once. Matrix products,
    logits and the accumulated gradient of W use autocast's precision, or else that of x. Softmax and loss use at least
    fp32, so that p − 1 of a nearly certain token keeps its digits; it is rounded only for the products.

    Of two passes over the same tokens, with p and q, it is the mean of both sums plus α/4 Σ_n [KL(p‖q) + KL(q‖p)]:
    half of R-Drop's loss (Liang 2021, eq. 4).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, alpha: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """x [n r], or [2 n r] of two passes, weight [v r], bias [v], targets [n] -> the sum, and −log p(y_n) [n]."""
        exact = torch.float64 if x.dtype is torch.float64 else torch.float32
        passes = (x if x.dim() == 3 else x[None]).to(precision_of_products(x))  # [k n r]
        k, n, r = passes.shape
        vocab = weight.size(0)
        cast, shift = weight.to(passes.dtype), bias.to(passes.dtype)
        nll, log_total = x.new_empty(2, k, n, dtype=exact)
        divergence = x.new_zeros((), dtype=exact)
        wanted = not torch.is_inference_mode_enabled()  # of which needs_input_grad knows nothing
        of_x, of_weight, of_bias = (wanted and needed for needed in ctx.needs_input_grad[:3])
        grad_x = torch.empty_like(passes) if of_x else None
        grad_weight = torch.zeros_like(cast) if of_weight else None
        grad_bias = torch.zeros_like(bias) if of_bias else None
        size = max(LOGITS // (k * vocab), _LEAST_ROWS)
        block = max(_CACHED // (k * vocab), 1) if x.device.type == "cpu" else size
        for start in range(0, n, size):
            rows = slice(start, start + size)
            part = passes[:, rows].flatten(0, 1)
            logits = F.linear(part, cast, shift).view(k, -1, vocab)
            of_part = [of.split(block, 1) for of in (logits, targets[None, rows], nll[:, rows], log_total[:, rows])]
            for few, few_targets, few_nll, few_totals in zip(*of_part, strict=True):
                few_nll[:], few_totals[:], apart, gradient = _softmax_loss(few, few_targets, smoothing, alpha)
                divergence += apart
                if grad_bias is not None:
                    grad_bias += gradient.sum((0, 1))
                few.copy_(gradient)
            gradients = logits.flatten(0, 1)
            if grad_x is not None:
                grad_x[:, rows] = torch.mm(gradients, cast).view(k, -1, r)
            if grad_weight is not None:
                grad_weight.addmm_(gradients.T, part)
        ctx.save_for_backward(None if grad_x is None else grad_x.view_as(x), grad_weight, grad_bias)
        ctx.dtype = weight.dtype
        total = nll.sum()
        if smoothing:
            mean_weight, mean_bias = cast.mean(0, dtype=exact), shift.mean(dtype=exact)
            logits_mean = (passes.sum((0, 1), dtype=exact) * mean_weight).sum() + k * n * mean_bias
            total = (1 - smoothing) * total + smoothing * (log_total.sum() - logits_mean)
        mean = nll.mean(0)
        ctx.mark_non_differentiable(mean)
        return total / k + alpha / 4 * divergence, mean

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_outputs[0]
        grad_x, grad_weight, grad_bias = ctx.saved_tensors
        return (
            None if grad_x is None else grad_x * scale,
            None if grad_weight is None else grad_weight.to(ctx.dtype, copy=True).mul_(scale),
            None if grad_bias is None else grad_bias * scale,
            *(None, None, None),
        )


def _softmax_loss(
    logits: Tensor, targets: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, Tensor, Tensor | float, Tensor]:
    """−log p(y) and the logarithm of the softmax's denominator, both [k m], R-Drop's divergence, and the gradient.

    logits [k m v] of k passes, targets [1 m]; the gradient [k m v] is that of `ProjectedCrossEntropy`.
    """
    k, _, vocab = logits.shape
    gradient = logits.softmax(-1, dtype=torch.float64 if logits.dtype is torch.float64 else torch.float32)
    # Computed from the most probable token, whose probability never rounds to 0.
    log_total = logits.amax(-1, keepdim=True).to(gradient.dtype) - gradient.amax(-1, keepdim=True).log()
    chosen = targets[..., None].expand(k, -1, -1)
    nll = log_total - logits.gather(-1, chosen)
    divergence, apart = _divergence(logits.to(gradient.dtype) - log_total, gradient) if k == 2 else (0.0, None)
    if smoothing:
        gradient.sub_(smoothing / vocab)
    gradient.scatter_add_(-1, chosen, gradient.new_full(chosen.shape, smoothing - 1))
    if apart is not None:
        gradient.div_(k).add_(apart, alpha=alpha / 4)
    return nll.squeeze(-1), log_total.squeeze(-1), divergence, gradient


def _divergence(log_probs: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
    """Σ [KL(p‖q) + KL(q‖p)] of two passes [2 m v], and its gradient with respect to their logits [2 m v]."""
    gradient = probs * (log_probs - log_probs.flip(0))
    divergence = gradient.sum(-1, keepdim=True)  # [2 m 1], KL(p‖q) and KL(q‖p)
    return divergence.sum(), gradient.addcmul_(probs, 1 - divergence).sub_(probs.flip(0))


@dataclass(frozen=True)
class Loss:
    """Terms of the loss of a batch, each summed over its target tokens, and the number of these tokens."""

    terms: Mapping[str, Tensor]
    """Terms by name, as in metrics.jsonl. `loss` is minimised and carries the gradient; others are only reported."""
    tokens: int

    @property
    def total(self) -> Tensor:
        """The term to minimise."""
        return self.terms["loss"]

    def mean(self, name: str) -> float:
        """Return a term per target token."""
        return float(self.terms[name]) / self.tokens

    def detach(self) -> "Loss":
        """Return the same terms without the graph that computed them."""
        return Loss({name: term.detach() for name, term in self.terms.items()}, self.tokens)

    def arrays(self) -> tuple[dict[str, Any], int]:
        """Return what `of_arrays` takes, for sending to another process."""
        return {name: term.detach().numpy() for name, term in self.terms.items()}, self.tokens

    @staticmethod
    def of_arrays(arrays: Mapping[str, Any], tokens: int) -> "Loss":
        """Rebuild a loss from its `arrays`."""
        return Loss({name: torch.as_tensor(array) for name, array in arrays.items()}, tokens)

    @staticmethod
    def of_parts(parts: "Sequence[Loss]") -> "Loss":
        """Add up the losses of the parts of a batch."""
        if len(parts) == 1:
            return parts[0]
        sums = {name: torch.stack([part.terms[name].detach() for part in parts]).sum() for name in parts[0].terms}
        return Loss(sums, sum(part.tokens for part in parts))


LossFunction = Callable[[TranslationModel, Batch, float], Loss]
"""The last argument is REINFORCE's baseline b."""


@dataclass(frozen=True)
class TranslationLoss:
    """Cross-entropy plus a term for the attention.

    For attention that samples its positions the term is

    − λ_r Σ_t sg(R_t − b) log π_t(i_t) − λ_e Σ_t H(π_t), R_t the mean of log p_u over u >= t

    (REINFORCE, Williams 1992, with the reward that follows a position, as in Mnih 2014; baseline b and entropy term as
    in Xu 2015, section 4.1, where log p of the whole sentence is the reward of every position).
    For a batch with word alignments it is λ_g × `guided_cross_entropy`. Of R-Drop's two passes, the first gives it.
    """

    label_smoothing: float = 0.0
    reward_weight: float = 0.0
    """λ_r"""
    entropy_weight: float = 0.0
    """λ_e"""
    guided_weight: float = 0.0
    """λ_g"""
    r_drop: float = 0.0
    """α of R-Drop (Liang 2021): in training, two passes with dropout of their own, and the divergence between them"""

    def __call__(self, model: TranslationModel, batch: Batch, baseline: float = 0.0) -> Loss:
        """Compute the terms loss and nll, and guided_alignment or reward; `baseline` is b."""
        decoded = model(
            batch.source,
            batch.source_lengths,
            batch.inputs,
            context=batch.context,
            need_weights=batch.links is not None,
        )
        real, output = batch.targets != PAD, model.output
        features = decoded.features[real]
        if self.r_drop and model.training:
            again = model(batch.source, batch.source_lengths, batch.inputs, context=batch.context, need_weights=False)
            features = torch.stack([features, again.features[real]])
        total, nll = ProjectedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            features, output.weight, output.bias, batch.targets[real], self.label_smoothing, self.r_drop
        )
        terms = {"nll": nll.sum()}
        if batch.links is not None:
            guided = guidance(decoded.attended, batch.links)
            total = total + self.guided_weight * guided
            terms["guided_alignment"] = guided.detach()
        elif decoded.attended.log_prob is not None:
            rewards = rewards_to_go(nll.new_zeros(real.shape).masked_scatter(real, nll), real)  # [b t]
            entropy = decoded.attended.entropy
            assert entropy is not None
            reinforced = ((rewards - baseline) * decoded.attended.log_prob).where(real, 0).sum()
            total = total - self.reward_weight * reinforced - self.entropy_weight * entropy.where(real, 0).sum()
            # Rounded to fp32 as a mean: the baseline is then the same in one part or one process.
            terms["reward"] = (rewards.sum() / real.sum()).cpu().double() * batch.tokens
        return Loss({"loss": total, **terms}, batch.tokens)


def guidance(attended: AttentionOutput, links: Tensor) -> Tensor:
    """Compute `guided_cross_entropy` of what a decoder attended to."""
    weights = attended.to_dense(links.size(-1))
    assert weights is not None
    return guided_cross_entropy(weights, links)


def guided_cross_entropy(weights: Tensor, links: Tensor) -> Tensor:
    """−Σ_t Σ_i A_{t,i} log α_{t,i}, α averaged over the heads: guided alignment training (Chen 2016; Mi 2016).

    weights [b h t s], links A [b t s] with rows that sum to 1, or to 0 without a link -> the sum. Positions of weight
    0, which a window hides, contribute nothing.
    """
    mean = full_precision(weights).mean(1)  # [b t s]
    seen = mean > _LEAST_WEIGHT
    return -(links * seen * mean.clamp(min=_LEAST_WEIGHT).log()).sum()


def rewards_to_go(nll: Tensor, real: Tensor) -> Tensor:
    """R_t, the mean of log p_u over u >= t: nll [b t], 0 at padding (real [b t] is false) -> [b t], 0 there too."""
    total = -nll.flip(1).cumsum(1).flip(1)
    count = real.flip(1).cumsum(1).flip(1)
    return total / count.clamp(min=1)
