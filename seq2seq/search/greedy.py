"""Greedy search: the most probable token at every step. Finished sentences leave the batch."""

from collections.abc import Sequence

import torch

from seq2seq.search.protocol import Hypothesis, LengthPenalty, Limits, S, Stepper
from seq2seq.text.tokenizer import BOS, EOS


def greedy(
    model: Stepper[S], sources: Sequence[Sequence[int]], limits: Limits, penalty: LengthPenalty
) -> list[list[Hypothesis]]:
    """Source tokens, EOS included -> for each source a list of its one hypothesis (as `beam` gives several)."""
    state = model.start(sources)
    tokens: list[list[int]] = [[] for _ in sources]
    scores: list[list[float]] = [[] for _ in sources]
    attention: list[list[torch.Tensor]] = [[] for _ in sources]
    longest = [limits.length(source) for source in sources]
    active = list(range(len(sources)))
    previous = torch.full((len(sources),), BOS)
    forbidden = torch.tensor(list(limits.forbidden), dtype=torch.long)
    while active:
        log_probs, state = model.step(previous, state)
        log_probs = log_probs.index_fill(1, forbidden.to(log_probs.device), -torch.inf)
        best, chosen = log_probs.max(-1)
        for row, (sentence, token, score) in enumerate(zip(active, chosen.tolist(), best.tolist(), strict=True)):
            tokens[sentence].append(token)
            scores[sentence].append(score)
            if state.attention is not None:
                attention[sentence].append(state.attention[row, :, : len(sources[sentence])])
        going = [row for row, s in enumerate(active) if tokens[s][-1] != EOS and len(tokens[s]) < longest[s]]
        if len(going) < len(active):
            rows = torch.tensor(going, dtype=torch.long, device=chosen.device)
            state, chosen, active = state.select(rows), chosen[rows], [active[row] for row in going]
        previous = chosen
    return [
        [Hypothesis(t, p, sum(p) / penalty(len(t)), torch.stack(a, 1) if a else None)]
        for t, p, a in zip(tokens, scores, attention, strict=True)
    ]
