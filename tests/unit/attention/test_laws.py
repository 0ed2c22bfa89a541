"""What the papers' equations imply, one attention at a time."""

import math

import pytest
import torch
from support.variants import Row, attention_inputs, build_attention, given_noise, gradients, numbers
from torch import Tensor

from seq2seq.attention.attention import Attention, AttentionOutput
from seq2seq.attention.normaliser import Entmax, Gumbel, Hard, Normalised, Reinforce, Softmax, Sparsemax

WINDOWS = ["global", "local_m", "local_p"]
NORMALISERS = ["softmax", "sparsemax", "entmax", "hard", "gumbel", "reinforce"]


def attention_of(score: str, window: str = "global", normaliser: str = "softmax", heads: int = 1) -> Attention:
    row: Row = {"score": score, "window": window, "normaliser": normaliser, "heads": heads}
    return build_attention(row)


def attend(attention: Attention, query: Tensor, states: Tensor, lengths: Tensor, positions: Tensor) -> AttentionOutput:
    return attention(query, attention.prepare(states, states, lengths), positions)


def weights_of(attention: Attention, *inputs: Tensor) -> Tensor:
    dense = attend(attention, *inputs).to_dense(inputs[1].size(1))
    assert dense is not None
    return dense


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


# --- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("window", WINDOWS)
def test_concat_is_additive_without_bias_and_w_split(window: str, heads: int) -> None:
    additive, concat = attention_of("additive", window, heads=heads), attention_of("concat", window, heads=heads)
    with torch.no_grad():
        additive.score.key.bias.zero_()
        concat.score.weight.copy_(torch.cat([additive.score.query.weight, additive.score.key.weight], -1))
        concat.score.v.copy_(additive.score.v)
        concat.window.load_state_dict(additive.window.state_dict())
        concat.heads.load_state_dict(additive.heads.state_dict())
    inputs = attention_inputs()
    close(attend(concat, *inputs).context, attend(additive, *inputs).context)
    with torch.no_grad():
        additive.score.key.bias.fill_(0.5)
    assert not torch.allclose(attend(concat, *inputs).context, attend(additive, *inputs).context)


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("window", WINDOWS)
def test_linear_ignores_its_query(window: str, normaliser: str) -> None:
    """Its weights are those of `key`, and w₂ gets no gradient."""
    linear, key = attention_of("linear", window, normaliser), attention_of("key", window, normaliser)
    with torch.no_grad():
        key.score.key.weight.copy_(linear.score.key.weight)
        key.window.load_state_dict(linear.window.state_dict())
    inputs = attention_inputs()
    close(weights_of(linear, *inputs), weights_of(key, *inputs))
    context = attend(linear, *inputs).context
    found = gradients((numbers(*context.shape) * context).sum(), linear)
    assert found["score.query.weight"].abs().max() < 1e-12
    if normaliser != "reinforce":
        assert found["score.key.weight"].abs().max() > 1e-3


def test_linear_gives_the_query_term_to_the_energies() -> None:
    score = attention_of("linear").score
    query, states, _, _ = attention_inputs()
    keys = score.project(states[:, None])
    moved = score(query[:, None] + 1, keys) - score(query[:, None], keys)
    close(moved, score.query.weight.sum().expand_as(moved))


@pytest.mark.parametrize("score", ["cosine", "cosine-learned_scale=False"])
def test_cosine_does_not_depend_on_lengths(score: str) -> None:
    attention = attention_of(score)
    query, states, lengths, positions = attention_inputs()
    expected = weights_of(attention, query, states, lengths, positions)
    close(weights_of(attention, 3 * query, states, lengths, positions), expected)
    close(weights_of(attention, query, 0.2 * states, lengths, positions), expected)
    assert not torch.allclose(weights_of(attention, -query, states, lengths, positions), expected)


def test_cosine_is_within_its_scale_and_starts_at_ten() -> None:
    fresh = type(attention_of("cosine").score)(1, 5, 6, learned_scale=True)
    assert fresh.log_scale is not None
    assert fresh.log_scale.exp().item() == pytest.approx(10)
    plain = attention_of("cosine-learned_scale=False").score
    query, states, _, _ = attention_inputs()
    energies = plain(query[:, None], plain.project(states[:, None]))
    assert energies.abs().max() <= 1
    same = plain(plain.match(states[:, None]), plain.project(states[:, None]))
    close(same.diagonal(dim1=-2, dim2=-1), torch.ones(3, 1, 6).double())


def test_cosine_of_nothing_is_zero() -> None:
    score = attention_of("cosine").score
    query = torch.zeros(1, 1, 1, 5).double().requires_grad_()
    energies = score(query, score.project(torch.zeros(1, 1, 2, 6).double()))
    assert not energies.any()
    assert torch.autograd.grad(energies.sum(), query)[0].isfinite().all()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("heads", [1, 2])
def test_location_ignores_the_words(heads: int, normaliser: str, window: str) -> None:
    attention = attention_of("location", window, normaliser, heads)
    query, states, lengths, positions = attention_inputs()
    close(
        weights_of(attention, query, states, lengths, positions),
        weights_of(attention, query, states.flip(1).cos(), lengths, positions),
    )


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_location_never_looks_beyond_its_length(normaliser: str, window: str) -> None:
    """L = 4 of 6 words; local windows that want to stand beyond it stand on its last position."""
    attention = attention_of("location", window, normaliser)
    query, states, lengths, _ = attention_inputs()
    with torch.no_grad():
        if window == "local_p":
            attention.window.v.weight.copy_(50 * attention.window.v.weight.sign())
            attention.window.hidden.weight.zero_().fill_diagonal_(50)
            query = attention.window.v.weight.sign().expand_as(query)  # p_t → S − 1 = 5
    weights = weights_of(attention, query, states, lengths, torch.tensor([[3, 5, 9]] * 3))
    assert (weights[0, ..., 4:] == 0).all()
    assert (weights.sum(-1) > 0.1).all()
    if window != "global":
        assert (weights[0, ..., 0] == 0).all(), "p_t = min(S, L) − 1 = 3, and 0 is farther than D = 2"
        if normaliser == "softmax":
            assert (weights[0, ..., 1:4] > 0).all()
    if window == "local_p" and normaliser == "softmax":
        view = attention.window(query, torch.zeros(3, 3).long(), lengths[:, None].expand(3, 3), 6)
        expected = torch.tensor([math.exp(-2), math.exp(-0.5), 1], dtype=torch.float64)
        close(view.log_gain[0, 0, :3].exp(), expected)


def test_normed_additive_does_not_depend_on_the_length_of_v() -> None:
    attention, inputs = attention_of("normed_additive", heads=2), attention_inputs()
    expected = weights_of(attention, *inputs)
    with torch.no_grad():
        attention.score.v.mul_(7)
    close(weights_of(attention, *inputs), expected)
    with torch.no_grad():
        attention.score.g.mul_(7)
    assert not torch.allclose(weights_of(attention, *inputs), expected)


def test_scaled_dot_divides_by_the_root_of_a_heads_size() -> None:
    query, keys = numbers(1, 2, 3, 4), numbers(1, 2, 5, 4, offset=1.0)
    scaled = type(attention_of("scaled_dot").score)(2, 4, 4)
    dot = type(attention_of("dot").score)(2, 4, 4)
    close(scaled(query, keys), dot(query, keys) / 2)


def test_coverage_is_the_weights_summed_over_the_steps() -> None:
    attention = attention_of("additive-coverage=True", heads=2)
    query, states, lengths, positions = attention_inputs()
    memory = attention.prepare(states, states, lengths)
    coverage, seen = attention.initial_coverage(memory), []
    assert coverage is not None
    assert not coverage.any()
    for t in range(3):
        step = attention(query[:, :1], memory, positions[:, t : t + 1], coverage=coverage)
        seen.append(step.weights[:, :, 0])
        coverage = step.coverage
        close(coverage, torch.stack(seen).sum(0))
    assert not torch.allclose(seen[0][0], seen[1][0]), "the same query looks elsewhere after it has looked once"
    assert attention_of("additive").initial_coverage(memory) is None


# --- windows ---------------------------------------------------------------------------------------------------------


def test_the_gain_of_local_p_is_not_renormalised() -> None:
    attention = attention_of("general", "local_p")
    query, states, lengths, positions = attention_inputs()
    seen = attend(attention, query, states, lengths, positions)
    view = attention.window(query, positions, lengths[:, None].expand(3, 3), 6)
    keys = attention.score.project(states[:, None])
    energies = attention.score(query[:, None], keys)[:, 0].gather(-1, view.index)  # [b t w]
    alpha = energies.masked_fill(~view.visible, -math.inf).softmax(-1)
    close(seen.weights[:, 0], alpha * view.log_gain.exp())
    assert seen.weights[0].sum(-1).max() < 0.99
    close(seen.context, torch.einsum("bhts,bsm->btm", seen.to_dense(6), states))


@pytest.mark.parametrize("normaliser", ["hard", "gumbel", "reinforce"])
def test_the_gain_decides_what_hard_attention_takes(normaliser: str) -> None:
    """With equal energies the position nearest to p_t, not the lowest one in the window."""
    attention = attention_of("key", "local_p", normaliser)
    query, states, lengths, positions = attention_inputs()
    with torch.no_grad():
        attention.score.key.weight.zero_()
        attention.window.v.weight.zero_()  # p_t = (S − 1)/2 = 2.5, of which 2 and 3 are equally near
        attention.window.v.weight[0, 0] = 0.01
    weights = weights_of(attention, query, states, lengths, positions)
    p = 5 * torch.sigmoid(attention.window.v(torch.tanh(attention.window.hidden(query[0])))).squeeze(-1)
    assert weights[0, 0].argmax(-1).tolist() == p.round().long().tolist()


def test_local_m_follows_the_steps_and_stays_in_the_sentence() -> None:
    attention = attention_of("dot", "local_m")
    query, states, lengths, _ = attention_inputs()
    weights = weights_of(attention, query, states, lengths, torch.tensor([[0, 3, 50]] * 3))
    assert [row.nonzero().flatten().tolist() for row in weights[0, 0]] == [[0, 1, 2], [1, 2, 3, 4, 5], [3, 4, 5]]
    assert [row.nonzero().flatten().tolist() for row in weights[1, 0]] == [[0]] * 3
    assert [row.nonzero().flatten().tolist() for row in weights[2, 0]] == [[0, 1, 2]] * 3


# --- normalisers -----------------------------------------------------------------------------------------------------


def energies_of(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1)


@pytest.mark.parametrize("normaliser", [Hard(), Gumbel(1.0), Reinforce()], ids=["hard", "gumbel", "reinforce"])
def test_ties_go_to_the_lowest_index(normaliser: torch.nn.Module) -> None:
    normaliser.eval()
    assert normaliser(energies_of(-math.inf, 1, 2, 2, 2)).weights.flatten().tolist() == [0, 0, 1, 0, 0]
    assert normaliser(torch.zeros(1, 1, 3, 40)).weights.argmax(-1).flatten().tolist() == [0, 0, 0]


@pytest.mark.parametrize("masked", [False, True])
def test_straight_through_has_the_gradient_of_softmax(masked: bool) -> None:
    energies = numbers(2, 1, 3, 5)
    if masked:
        energies[..., 3:] = -math.inf
    factors, found = numbers(2, 1, 3, 5, offset=1.0), []
    for normaliser in (Softmax(), Hard(), Gumbel(1.0).eval()):
        leaf = energies.clone().requires_grad_()
        found.append(torch.autograd.grad((factors * normaliser(leaf).weights).sum(), leaf)[0])
    assert found[0].abs().max() > 1e-2
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_gumbel_has_the_gradient_of_its_softmax(temperature: float) -> None:
    energies, noise = numbers(1, 1, 3, 5).requires_grad_(), numbers(1, 1, 3, 5, offset=2.0)
    with given_noise(noise):
        weights = Gumbel(temperature).train()(energies).weights
    assert torch.equal(weights.argmax(-1), (energies + noise).argmax(-1))
    factors = numbers(1, 1, 3, 5, offset=1.0)
    soft = ((energies + noise) / temperature).softmax(-1)
    close(
        torch.autograd.grad((factors * weights).sum(), energies)[0],
        torch.autograd.grad((factors * soft).sum(), energies)[0],
    )


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    """p is the projection of e if and only if (e − p)·(corner − p) ≤ 0 for every corner of the simplex."""
    for size in range(1, 9):
        energies = 2 * numbers(1, 1, 20, size, offset=size)
        p = Sparsemax()(energies).weights
        close(p.sum(-1), torch.ones(1, 1, 20).double())
        assert (p >= 0).all()
        away = energies - p
        towards = away.unsqueeze(-2) @ (torch.eye(size).double() - p.unsqueeze(-2)).transpose(-1, -2)
        assert towards.max() < 1e-12
    assert (p == 0).any(), "some of the weights are zero"


@pytest.mark.parametrize(
    ("energies", "weights"),
    [
        ([7.0], [1.0]),
        ([0.0, 0.0], [0.5, 0.5]),
        ([0.1, 0.5], [0.3, 0.7]),
        ([0.0, 2.0], [0.0, 1.0]),
        ([1.0, 0.8, 0.1], [0.6, 0.4, 0.0]),
        ([-math.inf, 1e9, 1e9], [0.0, 0.5, 0.5]),
        ([1e300, -1e300, -math.inf], [1.0, 0.0, 0.0]),
    ],
)
def test_sparsemax_of_known_cases(energies: list[float], weights: list[float]) -> None:
    assert Sparsemax()(energies_of(*energies)).weights.flatten().tolist() == pytest.approx(weights)


def test_sparsemax_gradient_away_from_its_kinks() -> None:
    energies = energies_of(0.9, 0.3, -0.6, 0.7, 0.5).requires_grad_()
    weights = Sparsemax()(energies).weights
    assert (weights > 0).sum() == 3, "neither all nor one"
    assert torch.autograd.gradcheck(lambda e: Sparsemax()(e).weights, energies)


def test_entmax_maximises_its_objective() -> None:
    """H_1.5(p) = Σ (p − p^1.5) / 0.75 is concave: p is the maximum if the slope towards every corner is at most 0."""
    for size in range(1, 9):
        energies = 4 * numbers(1, 1, 20, size, offset=size)
        p = Entmax()(energies).weights
        close(p.sum(-1), torch.ones(1, 1, 20).double())
        slope = (energies + (1 - 1.5 * p.sqrt()) / 0.75)[..., None, :]
        towards = torch.eye(size).double() - p.unsqueeze(-2)
        assert (slope * towards).sum(-1).max() < 1e-12
    assert (p == 0).any(), "some of the weights are zero"


@pytest.mark.parametrize(
    ("energies", "weights"),
    [
        ([7.0], [1.0]),
        ([0.0, 0.0], [0.5, 0.5]),
        ([0.0, 2.0], [0.0, 1.0]),
        ([0.0, 1.0], [(7**0.5 - 1) ** 2 / 16, (7**0.5 + 1) ** 2 / 16]),
        ([-math.inf, 1e9, 1e9], [0.0, 0.5, 0.5]),
        ([1e300, -1e300, -math.inf], [1.0, 0.0, 0.0]),
    ],
)
def test_entmax_of_known_cases(energies: list[float], weights: list[float]) -> None:
    assert Entmax()(energies_of(*energies)).weights.flatten().tolist() == pytest.approx(weights)


def test_entmax_gradient_away_from_its_kinks() -> None:
    energies = energies_of(0.9, 0.3, -1.6, 0.7, 0.5).requires_grad_()
    assert (Entmax()(energies).weights > 0).sum() == 4, "neither all nor one"
    assert torch.autograd.gradcheck(lambda e: Entmax()(e).weights, energies)


def drawn(*energies: float, noise: tuple[float, ...]) -> tuple[Normalised, Tensor]:
    given = energies_of(*energies).requires_grad_()
    with given_noise(energies_of(*noise)):
        return Reinforce().train()(given), given


def test_reinforce_tells_what_it_drew() -> None:
    """π = (½, ¼, ¼); the noise draws the last: log ¼, H = 3/2 ln 2. An invisible position changes nothing."""
    ln = math.log
    seen, _ = drawn(ln(2), ln(1), ln(1), -math.inf, noise=(0, 0, 5, 99))
    assert seen.weights.flatten().tolist() == [0, 0, 1, 0]
    assert seen.log_prob is not None
    assert seen.entropy is not None
    assert seen.log_prob.item() == pytest.approx(ln(0.25))
    assert seen.entropy.item() == pytest.approx(1.5 * ln(2))


def test_reinforce_learns_through_the_loss_alone() -> None:
    """The weights carry no gradient; that of log π is one-hot − π, the score function."""
    seen, energies = drawn(math.log(2), 0.0, 0.0, noise=(0, 0, 5))
    assert not seen.weights.requires_grad
    assert seen.log_prob is not None
    (found,) = torch.autograd.grad(seen.log_prob.sum(), energies)
    close(found.flatten(), torch.tensor([-0.5, -0.25, 0.75]).double())


def test_reinforce_sums_over_heads() -> None:
    energies = numbers(2, 3, 4, 5)
    noise = numbers(2, 3, 4, 5, offset=1.0)
    with given_noise(noise):
        whole = Reinforce().train()(energies)
    apart = []
    for j in range(3):
        with given_noise(noise[:, j : j + 1]):
            apart.append(Reinforce().train()(energies[:, j : j + 1]))
    close(whole.log_prob, sum(seen.log_prob for seen in apart))
    close(whole.entropy, sum(seen.entropy for seen in apart))


def test_reinforce_and_gumbel_do_not_draw_outside_training() -> None:
    energies = energies_of(0.0, 0.1, 0.0).expand(500, 1, 1, 3)
    for normaliser in (Reinforce().eval(), Gumbel(1.0).eval()):
        seen = normaliser(energies)
        assert (seen.weights.argmax(-1) == 1).all()
        assert seen.log_prob is None


@pytest.mark.parametrize("normaliser", [Reinforce(), Gumbel(0.3)], ids=["reinforce", "gumbel"])
def test_positions_are_drawn_as_often_as_softmax_says(normaliser: torch.nn.Module) -> None:
    pi = torch.tensor([0.1, 0.2, 0.7, 0.0])
    energies = pi.log().expand(20_000, 1, 1, 4)
    frequency = normaliser.train()(energies).weights.mean(0).flatten()
    torch.testing.assert_close(frequency, pi, rtol=0, atol=0.015)  # four standard deviations
    assert frequency[3] == 0


# --- heads -----------------------------------------------------------------------------------------------------------


def test_one_head_projects_nothing() -> None:
    assert not dict(attention_of("dot").heads.named_parameters())
    attention = attention_of("dot", normaliser="hard")
    query, states, lengths, positions = attention_inputs()
    seen = attend(attention, query, states, lengths, positions)
    chosen = seen.weights[:, 0].argmax(-1)
    for b in range(3):
        close(seen.context[b], states[b, chosen[b]])


def test_heads_have_parameters_of_their_own() -> None:
    attention, inputs = attention_of("additive", heads=2), attention_inputs()
    before = weights_of(attention, *inputs)
    with torch.no_grad():
        attention.score.v[1] += 1
    after = weights_of(attention, *inputs)
    close(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1], before[:, 1])
