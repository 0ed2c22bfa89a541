"""The health of attention: numbers that reveal weights that are flat, stuck, wasted or missing.

They come from the weights, and for local windows also from what lies outside. A step's weights are its row. Under a
local window their sum may be below 1; `share` is each position's part of that sum.

Shapes: h heads, t target tokens, s source tokens with EOS last, r rows of numbers: the mean over heads, then each head.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.inference.weights import Weights, Windows

QUANTITIES = {
    "entropy": ("entropy", "nats, of a step's weights; 0: all on one position"),
    "relative_entropy": ("relative entropy", "entropy / log of the number of positions in sight; 1: uniform"),
    "largest": ("largest weight", "share of a step's weight on the position that has most"),
    "movement": ("movement", "share of a step's weight that lies elsewhere than in the step before; 0: all look alike"),
    "backward": ("steps back", "share of steps whose largest weight lies before that of the step before"),
    "on_eos": ("weight on </s>", "share of a step's weight on the end of the source"),
    "received": ("weight of a source token", "summed over all steps; </s> left out, as in the next two"),
    "covered": ("covered source tokens", "share of those whose weight, summed over all steps, is 0.5 or more"),
    "imbalance": ("distance from 1", "mean |1 - weight of a source token|; 0: each was translated once"),
    "width": ("window", "positions in sight of a step"),
    "at_ends": ("centres at the ends", "share of steps whose centre is nearest the first source token or </s>"),
    "lost": ("lost weight", "1 - sum of a step's weights: what the window's gain took away"),
    "edge": ("weight at the edge", "share of a step's weight at an end of the window beyond which the source goes on"),
    "edge_evenly": ("edge if uniform", "the same if all positions in the window had equal weight"),
    "outside": ("weight outside", "share of a step's weight that falls outside its window if the same energies are "
                "normalised over the whole source"),
    "outside_evenly": ("outside if uniform", "the same if all positions of the source had equal weight"),
}  # fmt: skip
"""Maps a name to its title and meaning. The last seven are for local windows. All are means over the steps, or the
source tokens, of a test set."""


@dataclass(frozen=True)
class OutsideWindow:
    """What lies outside the local windows of a sentence's steps."""

    weight: Tensor
    """[h t]: share of the weight outside, if the same energies are normalised over the whole source"""
    positions: Tensor
    """[t]: share of the source's positions outside"""


@dataclass(frozen=True)
class Health:
    """Values by name of QUANTITIES; those with nothing to measure are left out."""

    together: dict[str, float]
    """Values of the mean over heads, which alignments and the coverage penalty read"""
    heads: list[dict[str, float]]

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {**self.together, "heads": self.heads, "verdicts": verdicts(self)}


class HealthAccumulator:
    """Sums up the attention of one model's sentences."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}  # [r]
        self._counts = Counter[str]()

    def add(
        self, attention: Tensor | Weights | None, windows: Windows | None = None, outside: OutsideWindow | None = None
    ) -> None:
        """Add a sentence's weights [h t s], and its windows if they are local; None (a blank line) adds nothing."""
        if attention is None or not attention.shape[1]:
            return
        for name, (total, count) in measure(attention, windows, outside).items():
            self._sums[name] = self._sums.get(name, 0) + total
            self._counts[name] += count

    def health(self) -> Health | None:
        """Return the means over all sentences so far; None if none has attention."""
        if not self._sums:
            return None
        means = {name: (self._sums[name].double() / n).tolist() for name in QUANTITIES if (n := self._counts[name])}
        rows = [{name: values[row] for name, values in means.items()} for row in range(len(means["entropy"]))]
        return Health(rows[0], rows[1:] or rows)


def measure(
    attention: Tensor | Weights, windows: Windows | None = None, outside: OutsideWindow | None = None
) -> dict[str, tuple[Tensor, int]]:
    """Map a sentence's weights [h t s] to each quantity's sums [r] and the number of things summed.

    r is 1 for one head.
    """
    weights = _with_mean(torch.as_tensor(attention).detach().cpu().double())  # [r t s]
    r, t, s = weights.shape
    mass = weights.sum(-1)  # [r t]
    share = weights / mass.clamp(min=1e-30)[..., None]  # [r t s]
    entropy = torch.special.entr(share).sum(-1)  # [r t]
    largest, place = share.max(-1)  # [r t]
    received = weights[..., :-1].sum(1)  # [r s-1]

    width = torch.full((t,), s, dtype=torch.double)
    sums = {
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
        sides = ([getattr(window, side) for window in windows] for side in ("first", "last", "centre"))
        first, last, centre = map(torch.tensor, sides)  # [t]
        width = (last - first + 1).double()
        cutting = _edges(first, last, s)  # [t s]
        sums["width"] = (width.expand(r, t).sum(-1), t)
        sums["at_ends"] = (((centre < 0.5) | (centre >= s - 1.5)).expand(r, t).sum(-1), t)
        sums["lost"] = ((1 - mass).clamp(min=0).sum(-1), t)
        sums["edge"] = ((share * cutting).sum((1, 2)), t)
        sums["edge_evenly"] = ((cutting.sum(-1) / width).expand(r, t).sum(-1), t)
    if outside is not None:
        sums["outside"] = (_with_mean(outside.weight.detach().cpu().double()).sum(-1), t)
        sums["outside_evenly"] = (outside.positions.cpu().double().expand(r, t).sum(-1), t)
    several = width > 1
    sums["relative_entropy"] = ((entropy[:, several] / width[several].log()).sum(-1), int(several.sum()))
    return sums


def _with_mean(heads: Tensor) -> Tensor:
    """Put the mean over heads in front of [h ..], if there are several."""
    return torch.cat([heads.mean(0, keepdim=True), heads]) if len(heads) > 1 else heads


def _edges(first: Tensor, last: Tensor, s: int) -> Tensor:
    """Mark with 1, in [t s], the ends of each window [t] beyond which the source goes on."""
    edges = torch.zeros(len(first), s, dtype=torch.double)
    edges.scatter_(1, first[:, None], (first > 0).double()[:, None])
    return edges.scatter_reduce(1, last[:, None], (last < s - 1).double()[:, None], "amax")


_MORE = (
    "If more updates don't help: a higher training.learning_rate, another model/attention/score, or "
    "training.guided_alignment."
)
_UNIFORM, _STILL, _MOSTLY = 0.9, 0.05, 0.5
_HARMLESS = dict.fromkeys(("at_ends", "lost", "edge", "outside"), 0.0) | dict.fromkeys(
    ("covered", "edge_evenly", "outside_evenly"), 1.0
)
"""What counts for a quantity that could not be measured"""


def verdicts(health: Health) -> list[str]:
    """Describe each definite problem in a sentence; empty if there is none."""
    flat = [head.get("relative_entropy", 0.0) > _UNIFORM for head in health.heads]
    stuck = [head.get("movement", 1.0) < _STILL for head in health.heads]
    still = [head_stuck and not head_flat for head_stuck, head_flat in zip(stuck, flat, strict=True)]
    values = {**_HARMLESS, **health.together}
    messages = {
        f"{_subject(flat)} almost uniform: every step gets nearly the same mean of what it can see. {_MORE}": any(flat),
        f"{_subject(still)} almost the same at every step, whatever is being translated. {_MORE}": any(still),
        "{on_eos:.0%} of the weight is on </s> of the source, which no word comes from.": values["on_eos"] > _MOSTLY,
        "{uncovered:.0%} of the source's tokens get hardly any weight: their words may be left out. See the worst "
        "sentences. decoding.coverage_penalty may help, or, in a recurrent decoder, "
        "model.attention.score.coverage=true.": (
            values["covered"] < _MOSTLY and values["received"] > 0.75  # else translations have just few tokens
        ),
        "{at_ends:.0%} of the windows are centred at an end of the source: the centres do not follow the translation. "
        "Use another model/attention/window.": values["at_ends"] > _MOSTLY,
        "{lost:.0%} of the weight is lost to the gain of the window: what fits best lies far from the predicted "
        "centre. Raise model.attention.window.half_width, or use another model/attention/window.": (
            values["lost"] > _MOSTLY
        ),
        "{edge:.0%} of the weight is at the ends of the window, {edge_evenly:.0%} if it were uniform: what fits best "
        "often lies outside. Raise model.attention.window.half_width.": values["edge"] > 2 * values["edge_evenly"],
        "{outside:.0%} of the weight would be outside the window if that were all of the source, "
        "{outside_evenly:.0%} if it were uniform: the window misses what fits best. Raise "
        "model.attention.window.half_width, or use model/attention/window=global.": (
            values["outside"] > max(_MOSTLY, values["outside_evenly"])
        ),
    }
    return [text.format(**values, uncovered=1 - values["covered"]) for text, wrong in messages.items() if wrong]


def _subject(heads: Sequence[bool]) -> str:
    """`Heads 2, 3 are` for [False, True, True]."""
    numbers = [str(number) for number, chosen in enumerate(heads, 1) if chosen]
    if len(numbers) == len(heads):
        return "The attention is" if len(heads) == 1 else "All heads are"
    return f"Head{'s' if len(numbers) > 1 else ''} {', '.join(numbers)} {'are' if len(numbers) > 1 else 'is'}"
