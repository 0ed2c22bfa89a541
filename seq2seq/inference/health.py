"""Is the attention healthy? Numbers that tell of weights that are flat, stuck, wasted or missing.

Only the weights are read, and where it is given what a local window hides that would have weight. Weights of a step are
its row; under a local window their sum may be below 1, and `share` is what each position has of that sum.

Shapes: h heads, t target tokens, s source tokens with EOS last, r rows of numbers: the mean over heads, then each head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.inference.focus import AttentionWindow

QUANTITIES = {
    "entropy": ("entropy", "nats, of a step's weights; 0: all on one position"),
    "relative_entropy": ("relative entropy", "entropy / log of the number of positions in sight; 1: uniform"),
    "largest": ("largest weight", "share of a step's weight on the position that has most"),
    "movement": ("movement", "share of its weight that a step has elsewhere than the step before; 0: all look alike"),
    "backward": ("steps back", "share of steps whose largest weight lies before that of the step before"),
    "on_eos": ("weight on </s>", "share of a step's weight on the end of the source"),
    "received": ("weight of a source token", "summed over all steps; </s> left out, as in the next two"),
    "covered": ("covered source tokens", "share of those whose weight, summed over all steps, is 0.5 or more"),
    "imbalance": ("distance from 1", "mean |1 - weight of a source token|; 0: each was translated once"),
    "width": ("window", "positions in sight of a step"),
    "at_ends": ("centres at the ends", "share of steps whose centre is nearest the first source token or </s>"),
    "lost": ("lost weight", "1 - sum of a step's weights: what the window's gain took away"),
    "edge": ("weight at the edge", "share of a step's weight at an end of the window that cuts the source off"),
    "edge_evenly": ("edge if uniform", "the same if all positions in the window had equal weight"),
    "outside": ("weight outside", "share of a step's weight that falls outside its window if the same energies are "
                "normalised over the whole source"),
    "outside_evenly": ("outside if uniform", "the same if all positions of the source had equal weight"),
}  # fmt: skip
"""Name -> title, meaning. The last seven are of local windows. Means over all steps, or source tokens, of
a test set."""


@dataclass(frozen=True)
class Hidden:
    """What the local windows of a sentence's steps hide."""

    weight: Tensor
    """[h t]: share of the weight that the same energies, normalised over the whole source, have outside"""
    positions: Tensor
    """[t]: share of the source's positions that are outside"""


@dataclass(frozen=True)
class Health:
    """Values by name of QUANTITIES; what there was nothing to measure of is left out."""

    together: dict[str, float]
    """Of the mean over heads: what alignments read, and the coverage penalty."""
    heads: list[dict[str, float]]

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {**self.together, "heads": self.heads, "verdicts": verdicts(self)}


class Tally:
    """Adds up sentences of one model."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}  # [r]
        self._counts: dict[str, int] = {}

    def add(
        self, attention: Tensor | None, windows: Sequence[AttentionWindow] | None = None, hidden: Hidden | None = None
    ) -> None:
        """A sentence's weights [h t s], its local windows and what they hide if that is known; None (a blank line)
        adds nothing."""
        if attention is None or not attention.size(1):
            return
        for name, (total, count) in measure(attention, windows, hidden).items():
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            self._counts[name] = self._counts.get(name, 0) + count

    def health(self) -> Health | None:
        """Of all sentences so far; None if none has attention."""
        if not self._sums:
            return None
        means = {name: (self._sums[name] / n).tolist() for name in QUANTITIES if (n := self._counts.get(name, 0))}
        rows = [{name: values[row] for name, values in means.items()} for row in range(len(means["entropy"]))]
        return Health(rows[0], rows[1:] or rows)


def measure(
    attention: Tensor, windows: Sequence[AttentionWindow] | None = None, hidden: Hidden | None = None
) -> dict[str, tuple[Tensor, int]]:
    """Weights [h t s] of a sentence -> for each quantity its sums [r] and over how many things; r is 1 for one head."""
    weights = attention.detach().cpu().double()
    if len(weights) > 1:
        weights = torch.cat([weights.mean(0, keepdim=True), weights])  # [r t s]
    _, t, s = weights.shape
    mass = weights.sum(-1)  # [r t]
    share = weights / mass.clamp(min=1e-30)[..., None]  # [r t s]
    entropy = torch.special.entr(share).sum(-1)  # [r t]
    largest, place = share.max(-1)  # [r t]
    received = weights[..., :-1].sum(1)  # [r s-1]

    width = torch.full((t,), s, dtype=torch.double)
    found = {
        "entropy": (entropy.sum(-1), t),
        "largest": (largest.sum(-1), t),
        "movement": ((share[:, 1:] - share[:, :-1]).abs().sum((1, 2)) / 2, t - 1),
        "backward": ((place[:, 1:] < place[:, :-1]).double().sum(-1), t - 1),
        "on_eos": (share[..., -1].sum(-1), t),
        "received": (received.sum(-1), s - 1),
        "covered": ((received >= 0.5).double().sum(-1), s - 1),
        "imbalance": ((1 - received).abs().sum(-1), s - 1),
    }
    if windows is not None:
        first, last = (torch.tensor([getattr(focus, side) for focus in windows]) for side in ("first", "last"))
        width = (last - first + 1).double()
        cutting = _edges(first, last, s)  # [t s]
        found["width"] = (width.sum().expand(len(weights)), t)
        centre = torch.tensor([focus.centre for focus in windows])
        found["at_ends"] = (((centre < 0.5) | (centre >= s - 1.5)).sum().double().expand(len(weights)), t)
        found["lost"] = ((1 - mass).clamp(min=0).sum(-1), t)
        found["edge"] = ((share * cutting).sum((1, 2)), t)
        found["edge_evenly"] = ((cutting.sum(-1) / width).sum().expand(len(weights)), t)
    if hidden is not None:
        outside = hidden.weight.detach().cpu().double()  # [h t]
        of_rows = torch.cat([outside.mean(0, keepdim=True), outside]) if len(outside) > 1 else outside  # [r t]
        found["outside"] = (of_rows.sum(-1), t)
        found["outside_evenly"] = (hidden.positions.cpu().double().sum().expand(len(weights)), t)
    several = width > 1
    found["relative_entropy"] = ((entropy[:, several] / width[several].log()).sum(-1), int(several.sum()))
    return found


def _edges(first: Tensor, last: Tensor, s: int) -> Tensor:
    """[t] and [t] -> [t s]: 1 at the ends of each window behind which the source goes on."""
    edges = torch.zeros(len(first), s, dtype=torch.double)
    edges.scatter_(1, first[:, None], (first > 0).double()[:, None])
    return edges.scatter_reduce(1, last[:, None], (last < s - 1).double()[:, None], "amax")


_MORE = (
    "If more updates don't help: a higher training.learning_rate, another model/attention/score, or "
    "training.guided_alignment."
)
_UNIFORM = 0.9
_STILL = 0.05
_MOSTLY = 0.5


def verdicts(health: Health) -> list[str]:
    """What is surely wrong, in a sentence each; empty if nothing is."""
    found = []
    flat = [head.get("relative_entropy", 0.0) > _UNIFORM for head in health.heads]
    if any(flat):
        found.append(
            f"{_subject(flat)} almost uniform: every step gets nearly the same mean of what it can see. {_MORE}"
        )
    still = [
        head.get("movement", 1.0) < _STILL and not uniform for head, uniform in zip(health.heads, flat, strict=True)
    ]
    if any(still):
        found.append(f"{_subject(still)} almost the same at every step, whatever is being translated. {_MORE}")
    values = health.together
    if values["on_eos"] > _MOSTLY:
        found.append(f"{values['on_eos']:.0%} of the weight is on </s> of the source, which no word comes from.")
    if values.get("covered", 1.0) < _MOSTLY and values["received"] > 0.75:  # else translations have just few tokens
        found.append(
            f"{1 - values['covered']:.0%} of the source's tokens get hardly any weight: their words may be left out. "
            "See the worst sentences. decoding.coverage_penalty may help, or model.attention.score.coverage=true."
        )
    if values.get("at_ends", 0.0) > _MOSTLY:
        found.append(
            f"{values['at_ends']:.0%} of the windows are centred at an end of the source: the centres do not follow "
            "the translation. Take another model/attention/window."
        )
    if values.get("lost", 0.0) > _MOSTLY:
        found.append(
            f"{values['lost']:.0%} of the weight is lost to the gain of the window: what fits best lies far from the "
            "predicted centre. Raise model.attention.window.half_width, or take another model/attention/window."
        )
    if values.get("edge", 0.0) > 2 * values.get("edge_evenly", 1.0):
        found.append(
            f"{values['edge']:.0%} of the weight is at the ends of the window, {values['edge_evenly']:.0%} if it were "
            "uniform: what fits best often lies outside. Raise model.attention.window.half_width."
        )
    if values.get("outside", 0.0) > max(_MOSTLY, values.get("outside_evenly", 1.0)):
        found.append(
            f"{values['outside']:.0%} of the weight would be outside the window if that were all of the source, "
            f"{values['outside_evenly']:.0%} if it were uniform: the window misses what fits best. Raise "
            "model.attention.window.half_width, or take model/attention/window=global."
        )
    return found


def _subject(heads: Sequence[bool]) -> str:
    """`Heads 2, 3 are` for [False, True, True]."""
    numbers = [str(number) for number, of in enumerate(heads, 1) if of]
    if len(numbers) == len(heads):
        return "The attention is" if len(heads) == 1 else "All heads are"
    return f"Head {numbers[0]} is" if len(numbers) == 1 else f"Heads {', '.join(numbers)} are"
