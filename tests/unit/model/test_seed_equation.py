"""The equations this project began with, by hand:

    e_{t,i} = F(h_i, s_{t-1})    α_t = softmax(e_t)    a_t = Σ_i α_{t,i} h_i    y'_t = [y_t ; a_t]

Everything is one-dimensional, the score a product, and the cell computed with `math` alone.
"""

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, Heads
from seq2seq.attention.normaliser import Softmax
from seq2seq.attention.score import Dot
from seq2seq.attention.window import Global
from seq2seq.model.protocol import Decoded, Encoded
from seq2seq.model.recurrent.decoder import RecurrentDecoder
from seq2seq.model.recurrent.layers import GRU, Stack
from seq2seq.model.recurrent.placement import Before, Readout
from seq2seq.nn.dropout import Dropout

H = (1.0, -1.0, 0.5)
"""The encoder's states h_1, h_2, h_3."""
S0 = 0.8
"""The decoder's first state."""
Y = (0.3, -0.6)
"""The embeddings of the two input tokens."""
W_Y, W_A, U, B = (0.5, -1.0, 1.5), (1.0, 0.7, -2.0), (0.4, 0.9, 1.1), (0.1, -0.2, 0.3)
"""Of the gates r, z, n: for y_t, for a_t, for s_{t-1}, and the bias."""


def softmax(energies: list[float]) -> list[float]:
    powers = [math.exp(e) for e in energies]
    return [x / sum(powers) for x in powers]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def context(s: float) -> float:
    return sum(alpha * h for alpha, h in zip(softmax([h * s for h in H]), H, strict=True))


def cell(y: float, a: float, s: float) -> float:
    r = sigmoid(W_Y[0] * y + W_A[0] * a + B[0] + U[0] * s)
    z = sigmoid(W_Y[1] * y + W_A[1] * a + B[1] + U[1] * s)
    n = math.tanh(W_Y[2] * y + W_A[2] * a + B[2] + r * U[2] * s)
    return (1 - z) * n + z * s


class First(nn.Module):
    """A bridge to s_0."""

    def forward(
        self, states: Tensor, lengths: Tensor, embedded: Tensor | None
    ) -> tuple[Tensor, tuple[tuple[Tensor], ...]]:
        return states[:, 0], ((column(S0),),)


def decoder() -> RecurrentDecoder:
    stack = Stack(partial(GRU, hidden_size=1), 1, 1, residual=False, dropout=Dropout(0.0))
    placement = Before(stack, Readout("tanh", 1, 1, 1, 1), 1, attend_from="top")
    attention = Attention(Heads(1, 1, 1, 1, project=False, output_size=1), Dot(1, 1, 1), Global(), Softmax())
    whole = RecurrentDecoder(nn.Embedding(2, 1), placement, attention, First(), dropout=Dropout(0.0)).double().eval()
    rnn = stack.first.rnn
    with torch.no_grad():
        whole.embedding.weight.copy_(column(*Y))
        rnn.weight_ih_l0.copy_(column(*W_Y))
        placement.context_gates[0].weight.copy_(column(*W_A))
        rnn.weight_hh_l0.copy_(column(*U))
        rnn.bias_ih_l0.copy_(torch.tensor(B, dtype=torch.float64))
        rnn.bias_hh_l0.zero_()
        placement.read.hidden.weight.fill_(2.0)
        placement.read.hidden.bias.fill_(0.1)
        placement.read.embedded.weight.fill_(-1.0)
        placement.read.context.weight.fill_(0.5)
    return whole


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def decode() -> Decoded:
    whole = decoder()
    states = column(*H)[None]
    return whole(torch.tensor([[0, 1]]), *whole.start(Encoded(states, states), torch.tensor([3])))


def test_the_seed_equation() -> None:
    decoded = decode()
    attended = decoded.attended
    a1 = context(S0)
    s1 = cell(Y[0], a1, S0)
    a2 = context(s1)
    s2 = cell(Y[1], a2, s1)
    assert attended.weights is not None
    assert attended.weights[0, 0, 0].tolist() == pytest.approx(softmax([h * S0 for h in H]), abs=1e-12)
    assert attended.weights[0, 0, 1].tolist() == pytest.approx(softmax([h * s1 for h in H]), abs=1e-12)
    assert attended.context.flatten().tolist() == pytest.approx([a1, a2], abs=1e-12)
    assert decoded.state.layers[0][0].item() == pytest.approx(s2, abs=1e-12)
    read = [math.tanh(2 * s + 0.1 - y + 0.5 * a) for s, y, a in ((s1, Y[0], a1), (s2, Y[1], a2))]
    assert decoded.features.flatten().tolist() == pytest.approx(read, abs=1e-12)


def test_the_numbers_written_out() -> None:
    """exp 0.8, exp −0.8, exp 0.4 over their sum; a_1 = Σ α h."""
    attended = decode().attended
    assert attended.weights is not None
    alphas = [2.225541 / 4.166695, 0.449329 / 4.166695, 1.491825 / 4.166695]
    assert attended.weights[0, 0, 0].tolist() == pytest.approx(alphas, abs=1e-6)
    assert attended.context[0, 0].item() == pytest.approx(0.534126 - 0.107838 + 0.179018, abs=2e-6)


def test_the_query_is_the_state_before_the_step() -> None:
    """Asking with s_t instead of s_{t-1} would give other numbers."""
    attended = decode().attended
    s1 = cell(Y[0], context(S0), S0)
    assert abs(context(s1) - context(S0)) > 0.05
    assert attended.context[0, 0].item() == pytest.approx(context(S0), abs=1e-12)
    assert abs(attended.context[0, 0].item() - context(s1)) > 0.05


def test_the_context_enters_the_cell_beside_the_embedding() -> None:
    """y'_t = [y_t ; a_t] is the input of an ordinary GRU cell with W = [W_y W_a]."""
    ordinary = nn.GRUCell(2, 1).double()
    with torch.no_grad():
        ordinary.weight_ih.copy_(torch.cat([column(*W_Y), column(*W_A)], 1))
        ordinary.weight_hh.copy_(column(*U))
        ordinary.bias_ih.copy_(torch.tensor(B, dtype=torch.float64))
        ordinary.bias_hh.zero_()
    s1 = ordinary(torch.tensor([[Y[0], context(S0)]], dtype=torch.float64), column(S0))
    assert s1.item() == pytest.approx(cell(Y[0], context(S0), S0), abs=1e-12)
    s2 = ordinary(torch.tensor([[Y[1], context(s1.item())]], dtype=torch.float64), s1)
    assert decode().state.layers[0][0].item() == pytest.approx(s2.item(), abs=1e-12)
    assert abs(cell(Y[0], 0.0, S0) - cell(Y[0], context(S0), S0)) > 0.05, "the context matters"
