"""One step of attention over one sentence: a loop over heads, and inside over the visible positions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reference import normaliser
from reference.parameters import Parameters, of_head, under
from reference.positions import rotated
from reference.score import SCORES
from reference.window import window
from seq2seq import config


@dataclass
class AttentionOutput:
    """Of one step."""

    context: Tensor
    weights: list[Tensor]
    """Of each head, over all positions of the sentence."""
    coverage: list[Tensor]
    """Of each head, the weights summed over the steps so far."""
    log_prob: Tensor | None = None
    entropy: Tensor | None = None


def attend(
    options: config.Attention | config.AttentionProduct,
    p: Parameters,
    q: Tensor,
    states: list[Tensor],
    t: int,
    *,
    values: list[Tensor] | None = None,
    project: bool = False,
    rotary: bool = False,
    coverage: list[Tensor] | None = None,
    noise: list[Tensor] | None = None,
) -> AttentionOutput:
    """a_t = Σ_i α_{t,i} v_i, v_i = h_i unless `values` are given. A causal step gets only the states that it may see.

    `coverage` and `noise` are, of each head, vectors over the positions of the sentence.
    Several heads, or one with `project`: q_j = Q_j q, k_j = K_j h, v_j = V_j v and a = W_o [a_j]_j (Vaswani 2017,
    section 3.2.2). `rotary` turns q_j and k_j by their positions (Su 2021).
    """
    project = project or options.heads > 1
    limit = options.score.max_length if options.score.name == "location" else None
    visible, gains = window(options.window, under(p, "window"), q, t, len(states), limit)
    covers = getattr(options.score, "coverage", False)
    contexts, weights, log_probs, entropies = [], [], [], []
    for j in range(options.heads):
        query, keys, head_values = q, states, values or states
        if project:
            query, keys, head_values = _head(options.heads, under(p, "heads"), j, query, keys, head_values)
        if rotary:
            query, keys = rotated(query, t), [rotated(k, i) for i, k in enumerate(keys)]
        score = SCORES[options.score.name]
        score_parameters = of_head(under(p, "score"), j)
        energies = [score(score_parameters, query, keys[i], i, coverage[j][i] if covers else None) for i in visible]
        head_noise = None if noise is None else [noise[j][i] for i in visible]
        alpha, log_prob, entropy = _normalise(options.normaliser, energies, gains, head_noise)
        weights.append(_spread(alpha, visible, len(states)))
        contexts.append(sum(weights[-1][i] * head_values[i] for i in range(len(states))))
        log_probs.append(log_prob)
        entropies.append(entropy)
    context = p["heads.output.weight"] @ torch.cat(contexts) if project else contexts[0]
    before = [torch.zeros_like(w) for w in weights] if coverage is None else coverage
    summed = [c + w for c, w in zip(before, weights, strict=True)]
    if log_probs[0] is None:
        return AttentionOutput(context, weights, summed)
    return AttentionOutput(context, weights, summed, sum(log_probs), sum(entropies))


def self_attend(
    model: config.Model,
    options: config.AttentionProduct,
    p: Parameters,
    states: list[Tensor],
    *,
    values: list[Tensor] | None = None,
    project: bool = False,
    causal: bool = False,
) -> list[Tensor]:
    """The context of each position that attends to all positions of its sentence, or with `causal` up to its own."""
    rotary, values, contexts = model.positions.name == "rotary", values or states, []
    for t, q in enumerate(states):
        end = t + 1 if causal else len(states)
        seen = attend(options, p, q, states[:end], t, values=values[:end], project=project, rotary=rotary)
        contexts.append(seen.context)
    return contexts


def _head(
    heads: int, p: Parameters, j: int, q: Tensor, keys: list[Tensor], values: list[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """q_j, and k_j and v_j of every position."""
    size = len(keys[0]) // heads
    rows = slice(j * size, (j + 1) * size)
    query, key, value = (p[f"{name}.weight"][rows] for name in ("query", "key", "value"))
    return query @ q, [key @ k for k in keys], [value @ v for v in values]


def _normalise(
    options: config.Normaliser, energies: list[Tensor], gains: list[Tensor] | None, noise: list[Tensor] | None
) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
    """Soft weights are multiplied by the gain and stay as they are; hard ones are chosen with log gain in e."""
    name = options.name
    if name in normaliser.HARD and gains is not None:
        energies = [e + torch.log(gain) for e, gain in zip(energies, gains, strict=True)]
    if name == "reinforce":
        return normaliser.reinforce(energies, noise)
    if name == "gumbel":
        return normaliser.gumbel(energies, noise, options.temperature), None, None
    if name == "hard":
        return normaliser.hard(energies), None, None
    soft = {"softmax": normaliser.softmax, "sparsemax": normaliser.sparsemax, "entmax": normaliser.entmax}[name](
        energies
    )
    return soft if gains is None else [a * gain for a, gain in zip(soft, gains, strict=True)], None, None


def _spread(alpha: list[Tensor], visible: list[int], size: int) -> Tensor:
    """Weights of the visible positions -> of all, 0 elsewhere."""
    weights = [torch.zeros((), dtype=alpha[0].dtype)] * size
    for i, a in zip(visible, alpha, strict=True):
        weights[i] = a
    return torch.stack(weights)
