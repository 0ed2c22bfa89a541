"""Where local attention looks: the window of each step, and its centre p_t.

Search doesn't keep them. They are those of one forced pass over the tokens that it found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.attention.attention import AttentionOutput
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import pad
from seq2seq.text.tokenizer import BOS


@dataclass(frozen=True)
class AttentionWindow:
    """The window of a step: the source positions from `first` to `last`, `last` included."""

    first: int
    last: int
    centre: float
    """p_t; under `local_p` mostly between two positions"""


@torch.inference_mode()
def focus(
    model: TranslationModel, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], batch_size: int
) -> list[list[AttentionWindow]] | None:
    """Source tokens, EOS included, and target tokens -> the window of the step of each target token.

    None where the windows are not local. Windows fit the weights of a search with the same model, in its precision.
    """
    if not model.has_windows:
        return None
    model.eval()
    device = model.output.weight.device
    order = sorted(range(len(targets)), key=lambda row: (len(targets[row]), len(sources[row])))
    found: dict[int, list[AttentionWindow]] = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        source, lengths = pad([sources[row] for row in rows])
        inputs, _ = pad([[BOS, *targets[row][:-1]] for row in rows])
        seen = model(source.to(device), lengths.to(device), inputs.to(device)).attended
        windows = of_attended(model, seen, lengths, [len(targets[row]) for row in rows])
        found.update(zip(rows, windows, strict=True))
    return [found[row] for row in range(len(targets))]


def of_attended(
    model: TranslationModel, seen: AttentionOutput, lengths: Tensor, steps: Sequence[int]
) -> list[list[AttentionWindow]]:
    """The local windows of what was attended in sentences with these source lengths [b] and numbers of steps."""
    spans = model.windows(seen, lengths.to(seen.context.device))
    assert spans is not None
    first, last, centre = spans.first.cpu(), spans.last.cpu(), spans.centre.cpu().double()
    return [
        [AttentionWindow(*step) for step in zip(*(x[row, :t].tolist() for x in (first, last, centre)), strict=True)]
        for row, t in enumerate(steps)
    ]
