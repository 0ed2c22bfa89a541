"""Attention in levels: to the words of each sentence before, and to what these sentences give (Miculicich 2018).

    s_ij = A_w(h_i; H_j)                          words of sentence j, with the state h_i as query
    c_i  = A_s(h_i; s_i1 .. s_ik)                 sentences
    λ_i  = σ(W [h_i ; c_i] + b)                   gate
    h̃_i  = λ_i h_i + (1 − λ_i)(h_i + c_i)

The paper has d_i = A_s(..) in the place of h_i + c_i. With the residual, and with A_s's output matrix at zero before
training, a context-aware model starts as the sentence-level model, exactly, and c_i still gets a gradient.

Shapes: u sentences, the first b of them with context, k sentences before each, s source, m encoder state, h heads,
n pairs of a sentence and one before it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention


@dataclass(frozen=True)
class ContextWeights:
    """What each source position looked at in the sentences before."""

    gate: Tensor
    """[b s]: λ_i, the mean over its features; 1: the sentence alone counts."""
    sentences: Tensor
    """[b s k]: weight of each sentence before, the nearest first, the mean over heads."""
    words: Tensor
    """[b s k s]: weight of each word of these sentences, the mean over heads; of each sentence their sum is 1."""


class HierarchicalAttention(nn.Module):
    """Adds to the states of a sentence what the sentences before it have to say."""

    def __init__(self, words: Attention, sentences: Attention, size: int) -> None:
        """`size` is m; both attentions project their context to it."""
        super().__init__()
        self.words = words
        self.sentences = sentences
        self.gate = nn.Linear(2 * size, size)
        nn.init.zeros_(sentences.heads.output.weight)

    def forward(
        self, keys: Tensor, values: Tensor, lengths: Tensor, before: Tensor, *, need_weights: bool = False
    ) -> tuple[Tensor, ContextWeights | None]:
        """States of all sentences, keys and values [u s m], lengths [u], places of the sentences before [b k].

        Returns (1 − λ) c [b s m], which is to be added to the states: 0 without context. `before` has the nearest
        sentence first and −1 after the last.
        """
        s = keys.size(1)
        row, distance = (before >= 0).nonzero(as_tuple=True)  # [n]
        memory = self.words.prepare(keys, values, lengths).select(before[row, distance])
        steps = torch.arange(s, device=keys.device).expand(len(row), s)
        of_words = self.words(keys[row], memory, steps, need_weights=need_weights)
        given = values.new_zeros(*before.shape, s, values.size(2))  # [b k s m]
        given = given.index_put((row, distance), of_words.context.to(given.dtype))

        some = row[distance == 0]  # sentences with any context, [c]
        count = (before >= 0).sum(1)[some].repeat_interleave(s)  # [c·s]
        states = keys[some]  # [c s m]
        vectors = given[some].transpose(1, 2).flatten(0, 1)  # [c·s k m]
        of_sentences = self.sentences(
            states.flatten(0, 1)[:, None],
            self.sentences.prepare(vectors, vectors, count),
            count.new_zeros(len(count), 1),
            need_weights=need_weights,
        )
        context = of_sentences.context.view_as(states)
        gate = self.gate(torch.cat([states, context], -1)).sigmoid()
        added = values.new_zeros(len(before), *values.shape[1:])
        added = added.index_copy(0, some, ((1 - gate) * context).to(added.dtype))
        if not need_weights:
            return added, None
        by_sentence, by_word = of_sentences.to_dense(before.size(1)), of_words.to_dense(s)
        assert by_sentence is not None
        assert by_word is not None
        gates = gate.new_ones(len(before), s).index_copy(0, some, gate.mean(-1))
        sentences = gate.new_zeros(len(before), s, before.size(1))
        sentences = sentences.index_copy(0, some, by_sentence.mean(1).view(len(some), s, -1))
        words = gate.new_zeros(*before.shape, s, s).index_put((row, distance), by_word.mean(1))
        return added, ContextWeights(gates, sentences, words.transpose(1, 2))
