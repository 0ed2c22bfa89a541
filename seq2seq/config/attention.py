"""Options of an attention: its score, window, normaliser and placement, and the tables of their names."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.schema import Groups, Named, by_name, choice, number

# --- score -----------------------------------------------------------------------------------------------------------


class Score(Named):
    """How well a position's key k fits a query q."""


@dataclass
class Dot(Score):
    """qᵀk (Luong 2015)."""

    name: str = "dot"


@dataclass
class ScaledDot(Score):
    """qᵀk / √d (Vaswani 2017)."""

    name: str = "scaled_dot"


@dataclass
class General(Score):
    """qᵀ W k (Luong 2015), also called multiplicative or bilinear."""

    name: str = "general"


@dataclass
class Additive(Score):
    """vᵀ tanh(W q + U k + b) (Bahdanau 2015)."""

    name: str = "additive"
    coverage: bool = False
    """Add u_c C_{t-1,i} inside the tanh, where C sums the weights that position i has received (Tu 2016)."""


@dataclass
class NormedAdditive(Additive):
    """(g v/‖v‖)ᵀ tanh(W q + U k + b), additive with weight normalisation."""

    name: str = "normed_additive"


@dataclass
class Concat(Additive):
    """vᵀ tanh(W [q;k]) (Luong 2015)."""

    name: str = "concat"


@dataclass
class Linear(Score):
    """w₁·k + w₂·q = W [q;k], the "concatenation" of many tutorials; every normaliser ignores its q-term."""

    name: str = "linear"


@dataclass
class Key(Score):
    """w·k, which reads the source position alone."""

    name: str = "key"


@dataclass
class Location(Score):
    """(W q)_i, which reads the query alone (Luong 2015)."""

    name: str = "location"
    max_length: int = number(100, ge=1, le=1 << 16)
    """Number of source positions that have a row in W. Later positions are never attended to."""


@dataclass
class Cosine(Score):
    """τ · qᵀk / (‖q‖‖k‖) (Graves 2014)."""

    name: str = "cosine"
    learned_scale: bool = True
    """Learn τ. Otherwise τ = 1, the plain cosine."""


# --- window ----------------------------------------------------------------------------------------------------------


class Window(Named):
    """Which positions a query may attend to."""


@dataclass
class GlobalWindow(Window):
    """Every position of the sentence."""

    name: str = "global"


@dataclass
class LocalM(Window):
    """Positions around p_t = t (Luong 2015, monotonic alignment)."""

    name: str = "local_m"
    half_width: int = number(10, ge=0, le=1024)
    """D: the window covers the positions from p_t - D to p_t + D; for local_p, the Gaussian has σ = D/2."""


@dataclass
class LocalP(Window):
    """Positions around a predicted p_t, weighted by a Gaussian of σ = D/2 (Luong 2015, predictive alignment)."""

    name: str = "local_p"
    half_width: int = number(10, ge=1, le=1024)
    """D: the window covers the positions from p_t - D to p_t + D; for local_p, the Gaussian has σ = D/2."""


# --- normaliser ------------------------------------------------------------------------------------------------------


class Normaliser(Named):
    """How scores become weights."""


@dataclass
class Softmax(Normaliser):
    """Soft attention."""

    name: str = "softmax"


@dataclass
class Sparsemax(Normaliser):
    """Euclidean projection onto the simplex (Martins & Astudillo 2016)."""

    name: str = "sparsemax"


@dataclass
class Entmax(Normaliser):
    """1.5-entmax, sparse like sparsemax and smooth like softmax (Peters 2019)."""

    name: str = "entmax"


@dataclass
class Hard(Normaliser):
    """One-hot arg max with a straight-through softmax gradient."""

    name: str = "hard"


@dataclass
class Gumbel(Normaliser):
    """Straight-through Gumbel-softmax (Jang 2017)."""

    name: str = "gumbel"
    temperature: float = number(1.0, gt=0)
    """Temperature of the softmax. Lower values make its gradient sharper."""


@dataclass
class Reinforce(Normaliser):
    """One sampled position, trained by REINFORCE (Xu 2015, Mnih 2014)."""

    name: str = "reinforce"
    reward_weight: float = number(1.0, ge=0)
    """Weight λ_r of the reward term in the loss."""
    entropy_weight: float = number(0.01, ge=0)
    """Weight λ_e of the entropy term in the loss."""


# --- placement -------------------------------------------------------------------------------------------------------


class Placement(Named):
    """Where the context enters the decoder."""


@dataclass
class Before(Placement):
    """The context of s_{t-1} joins the input of step t (Bahdanau 2015)."""

    name: str = "before"
    readout: str = choice("maxout", "tanh")
    """Nonlinearity of the layer before the vocabulary projection. The paper uses `maxout`."""
    attend_from: str = choice("top", "bottom")
    """Decoder layer that provides the query. With `bottom`, every layer receives the context (GNMT, Wu 2016)."""
    readout_state: str = choice("current", "previous")
    """Decoder state in the readout: s_t, or s_{t-1} as in the paper's appendix (A.2.2) and its authors' code."""


@dataclass
class After(Placement):
    """The context of s_t joins the output of step t (Luong 2015)."""

    name: str = "after"
    input_feeding: bool = True
    """Feed the attentional vector of each step into the next one."""


@dataclass
class Between(Placement):
    """The context enters between two recurrent steps: the conditional GRU (Firat & Cho 2016)."""

    name: str = "between"
    readout: str = choice("maxout", "tanh")
    """Nonlinearity of the layer before the vocabulary projection."""


@dataclass
class NoAttention(Placement):
    """No attention: the decoder sees the bridge's vector alone (Sutskever 2014)."""

    name: str = "none"
    feed_source: bool = False
    """Give the vector of the source to every step, not only to the first state (Cho 2014)."""
    readout: str = choice("maxout", "tanh")
    """Nonlinearity of the layer before the vocabulary projection."""


# --- attention -------------------------------------------------------------------------------------------------------


@dataclass
class AttentionProduct:
    """An attention whose place in the model is fixed: score x window x normaliser x heads."""

    score: Score = field(default_factory=ScaledDot)
    window: Window = field(default_factory=GlobalWindow)
    normaliser: Normaliser = field(default_factory=Softmax)
    heads: int = number(8, ge=1)
    """Number of attention heads."""


@dataclass
class Attention:
    """An attention: score x window x normaliser x heads, and its placement. A preset is a paper's combination."""

    placement: Placement
    score: Score | None = None
    window: Window | None = None
    normaliser: Normaliser | None = None
    heads: int | None = number(1, ge=1)
    """Number of attention heads. 1 is the papers' equation, without additional projections."""

    def missing_parts(self, group: str) -> Iterator[str]:
        """Yield an error for each part that is null; `group` is where this attention stands."""
        if isinstance(self.placement, NoAttention):
            return
        for axis, base in (("score", Score), ("window", Window), ("normaliser", Normaliser)):
            if getattr(self, axis) is None:
                yield (
                    f"{group}/placement={self.placement.name} and {group}/{axis}=null: an attention needs a {axis}. "
                    f"Choices: {', '.join(AXES[base])}; or use {group}/placement=none."
                )
        if self.heads is None:
            yield (
                f"{group}/placement={self.placement.name} and {group.replace('/', '.')}.heads=null: "
                "give the number of heads, 1 for the papers' equations."
            )

    def leave_out_unused(self) -> None:
        """Set to null what placement `none` ignores, so that one model has one configuration and one hash."""
        if isinstance(self.placement, NoAttention):
            self.score = self.window = self.normaliser = self.heads = None


AXES: Groups = {
    Attention: {},
    Score: by_name(Dot, ScaledDot, General, Additive, NormedAdditive, Concat, Linear, Key, Location, Cosine),
    Window: by_name(GlobalWindow, LocalM, LocalP),
    Normaliser: by_name(Softmax, Sparsemax, Entmax, Hard, Gumbel, Reinforce),
    Placement: by_name(Before, After, Between, NoAttention),
}
"""Tables of names: what an attention is a product of. Attention itself is chosen by a preset."""
