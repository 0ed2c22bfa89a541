"""What a model's attention does with translations that are given: its health, from one forced pass.

Shapes: b batch, h heads, t target, s source.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from seq2seq.attention.attention import Attention, AttentionOutput, Memory
from seq2seq.attention.window import reachable
from seq2seq.inference.focus import of_attended
from seq2seq.inference.health import Health, Hidden, Tally
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import pad
from seq2seq.text.tokenizer import BOS


@torch.inference_mode()
def examine(
    model: TranslationModel, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], batch_size: int
) -> Health | None:
    """Source tokens and target tokens, EOS included -> the health of the attention; None where there is none.

    Of local windows also what they hide: the energies over the whole source, from one more product a step.
    """
    attention = model.attention
    if attention is None:
        return None
    model.eval()
    device = model.output.weight.device
    tally = Tally()
    order = sorted(range(len(targets)), key=lambda row: (len(targets[row]), len(sources[row])))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        source, lengths = pad([sources[row] for row in rows])
        inputs, _ = pad([[BOS, *targets[row][:-1]] for row in rows])
        steps = [len(targets[row]) for row in rows]
        with _hiding(attention) as hidden:
            seen = model(source.to(device), lengths.to(device), inputs.to(device)).attended
        weights = seen.to_dense(source.size(1))
        assert weights is not None
        weights = weights.float().cpu()
        windows = of_attended(model, seen, lengths, steps) if hidden else None
        outside = torch.cat([of_step.weight for of_step in hidden], -1) if hidden else None  # [b h t]
        positions = torch.cat([of_step.positions for of_step in hidden], -1) if hidden else None  # [b t]
        for place, (t, s) in enumerate(zip(steps, lengths.tolist(), strict=True)):
            unseen = None
            if outside is not None and positions is not None:
                unseen = Hidden(outside[place, :, :t], positions[place, :t])
            tally.add(weights[place, :, :t, :s], None if windows is None else windows[place], unseen)
    return tally.health()


@contextmanager
def _hiding(attention: Attention) -> Iterator[list[Hidden]]:
    """Within it the list gets, at each call of a local attention, what its windows hide, with a batch in front."""
    found: list[Hidden] = []
    if not attention.window.local:
        yield found
        return

    def note(module: Attention, given: tuple[Any, ...], named: dict[str, Any], seen: AttentionOutput) -> None:
        query, memory, positions = given
        found.append(_hidden(module, query, memory, positions, named.get("coverage")))  # noise is for training

    handle = attention.register_forward_hook(note, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()


def _hidden(
    attention: Attention, query: Tensor, memory: Memory, positions: Tensor, coverage: Tensor | None = None
) -> Hidden:
    """Of what attention is called with -> weight [b h t], positions [b t]."""
    extent, size = memory.extent(positions), memory.size
    reach = reachable(extent, attention.score.max_position)  # [b t]
    view = attention.window(query, positions, extent, size)
    assert view.index is not None
    energies = attention.score(attention.heads.split_query(query), memory.keys, coverage)  # [b h t s]
    real = torch.arange(size, device=reach.device) < reach[..., None]  # [b t s]
    weights = attention.normaliser(energies.masked_fill(~real[:, None], -math.inf)).weights
    index = view.index[:, None].expand(-1, weights.size(1), -1, -1)  # [b h t w]
    inside = (weights.gather(-1, index) * view.visible[:, None]).sum(-1)
    return Hidden(1 - inside, 1 - view.visible.sum(-1) / reach)
