"""The marginal likelihood of attention: which source position a token comes from is summed out, exactly.

Shapes: b batch, t target, s source, n target positions without padding, m pairs of one of them and a source position,
r features, v vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.model.translation import TranslationModel
from seq2seq.nn.products import precision_of_products
from seq2seq.text.batches import Batch
from seq2seq.text.tokenizer import PAD
from seq2seq.training.loss import LOGITS, Loss, guidance

_LEAST = 1e-3
"""Weight from which a position counts. The others hold less than this each, and most of the time."""


class MarginalCrossEntropy(torch.autograd.Function):
    """−Σ_n log Σ_i α_{n,i} p(y_n | i), p(. | i) = softmax(W x_{n,i} + b), computed for a few tokens at a time.

    As in `ProjectedCrossEntropy`, forward computes the gradients along with the loss.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, log_weights: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """x [m r], log α [m], weight [v r], bias [v], targets [n], whose token each pair is [m] -> the sum, terms [n].

        `tokens` ascend from 0, and each token has a pair.
        """
        exact = torch.float64 if x.dtype is torch.float64 else torch.float32
        x = x.to(precision_of_products(x))
        cast, shift = weight.to(x.dtype), bias.to(x.dtype)
        nll = x.new_empty(len(targets), dtype=exact)
        grad_x, grad_log = torch.empty_like(x), torch.empty_like(log_weights)
        grad_weight, grad_bias = torch.zeros_like(cast), torch.zeros_like(bias)
        begins = torch.searchsorted(tokens, torch.arange(len(targets) + 1, device=tokens.device)).tolist()
        size, start = max(LOGITS // weight.size(0), 1), 0
        while start < len(targets):
            end = start + 1
            while end < len(targets) and begins[end + 1] - begins[start] <= size:
                end += 1
            rows, chosen = slice(begins[start], begins[end]), targets[start:end]
            owner = tokens[rows] - start
            logits = F.linear(x[rows], cast, shift)
            gradient = logits.softmax(-1, dtype=exact)
            log_total = logits.amax(-1).to(exact) - gradient.amax(-1).log()
            log_p = logits.gather(1, chosen[owner, None]).squeeze(1) - log_total
            joint = log_weights[rows].to(exact) + log_p
            largest = joint.new_full((end - start,), -torch.inf).scatter_reduce(0, owner, joint, "amax")
            total = torch.zeros_like(largest).index_add_(0, owner, (joint - largest[owner]).exp()).log() + largest
            posterior = (joint - total[owner]).exp()
            nll[start:end] = -total
            gradient.scatter_add_(1, chosen[owner, None], -gradient.new_ones(len(owner), 1))
            gradient.mul_(posterior[:, None])
            grad_bias += gradient.sum(0)
            gradient = gradient.to(x.dtype)
            torch.mm(gradient, cast, out=grad_x[rows])
            grad_weight.addmm_(gradient.T, x[rows])
            grad_log[rows] = -posterior
            start = end
        ctx.save_for_backward(grad_x, grad_log, grad_weight, grad_bias)
        ctx.dtype = weight.dtype
        ctx.mark_non_differentiable(nll)
        return nll.sum(), nll

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_outputs[0]
        grad_x, grad_log, grad_weight, grad_bias = ctx.saved_tensors
        of_weight = grad_weight.to(ctx.dtype, copy=True).mul_(scale)
        return grad_x * scale, grad_log * scale, of_weight, grad_bias * scale, None, None


@dataclass(frozen=True)
class MarginalLikelihood:
    """−Σ_t log Σ_i α_{t,i} p(y_t | a_t = h_i) (Wu, Shapiro & Cotterell 2018, eq. 4; Deng 2018, section 3.1).

    The sum runs over the positions with a weight of 0.001 or more. For a batch with word alignments, it adds
    λ_g × `guided_cross_entropy`.
    """

    guided_weight: float = 0.0
    """λ_g"""

    def __call__(self, model: TranslationModel, batch: Batch, baseline: float = 0.0) -> Loss:
        """Compute the terms loss and nll, and guided_alignment; there is nothing to subtract a baseline from."""
        source, state = model.encode(batch.source, batch.source_lengths, batch.context)
        pointed = model.decoder.point(batch.inputs, source, state, _LEAST)
        real, output = batch.targets != PAD, model.output
        kept = real[pointed.rows, pointed.steps]
        number = (real.flatten().cumsum(0) - 1).view_as(real)
        total, nll = MarginalCrossEntropy.apply(  # type: ignore[no-untyped-call]
            output.features(pointed.features[kept]),
            pointed.log_weights[kept],
            output.weight,
            output.bias,
            batch.targets[real],
            number[pointed.rows, pointed.steps][kept],
        )
        terms = {"nll": nll.sum()}
        if batch.links is not None:
            guided = guidance(pointed.attended, batch.links)
            total = total + self.guided_weight * guided
            terms["guided_alignment"] = guided.detach()
        return Loss({"loss": total, **terms}, batch.tokens)
