"""The attention: its score, window, normaliser and placement, and the tables of their names."""

from collections.abc import Iterator
from dataclasses import dataclass

from seq2seq.config.schema import REQUIRED, Groups, by_name, choice, number

# --- model/attention/score -------------------------------------------------------------------------------------------


@dataclass
class Score:
    """e = F(key, query), how well a source position fits the decoder's state."""

    name: str = REQUIRED


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
    """qᵀ W k (Luong 2015); also called multiplicative or bilinear."""

    name: str = "general"


@dataclass
class Additive(Score):
    """vᵀ tanh(W q + U k + b) (Bahdanau 2015)."""

    name: str = "additive"
    coverage: bool = False
    """Add u_c C_{t-1,i} inside the tanh (Tu 2016)."""


@dataclass
class NormedAdditive(Score):
    """(g v/‖v‖)ᵀ tanh(W q + U k + b), weight-normalised."""

    name: str = "normed_additive"
    coverage: bool = False


@dataclass
class Concat(Score):
    """vᵀ tanh(W [q;k]) (Luong 2015)."""

    name: str = "concat"
    coverage: bool = False


@dataclass
class Linear(Score):
    """w₁·k + w₂·q = W [q;k]: the "concatenation" of the tutorials; every normaliser ignores its q-term."""

    name: str = "linear"


@dataclass
class Key(Score):
    """w·k: the content of the source alone."""

    name: str = "key"


@dataclass
class Location(Score):
    """(W q)_i (Luong 2015); words from `max_length` on are never attended."""

    name: str = "location"
    max_length: int = number(100, ge=1, le=1 << 16)


@dataclass
class Cosine(Score):
    """τ · qᵀk / (‖q‖‖k‖) (Graves 2014)."""

    name: str = "cosine"
    learned_scale: bool = True
    """False: τ = 1, the plain cosine."""


# --- model/attention/window ------------------------------------------------------------------------------------------


@dataclass
class Window:
    """Which source positions a step may look at."""

    name: str = REQUIRED


@dataclass
class GlobalWindow(Window):
    """All real positions."""

    name: str = "global"


@dataclass
class LocalM(Window):
    """Positions within `half_width` of p_t = t (Luong 2015, monotonic alignment)."""

    name: str = "local_m"
    half_width: int = number(10, ge=0, le=1024)


@dataclass
class LocalP(Window):
    """Positions within `half_width` of a predicted p_t, and a Gaussian around it (Luong 2015, predictive alignment)."""

    name: str = "local_p"
    half_width: int = number(10, ge=1, le=1024)


# --- model/attention/normaliser --------------------------------------------------------------------------------------


@dataclass
class Normaliser:
    """Energies to weights."""

    name: str = REQUIRED


@dataclass
class Softmax(Normaliser):
    """Soft attention."""

    name: str = "softmax"


@dataclass
class Sparsemax(Normaliser):
    """Euclidean projection on the simplex (Martins & Astudillo 2016)."""

    name: str = "sparsemax"


@dataclass
class Hard(Normaliser):
    """One-hot arg max with a straight-through softmax gradient."""

    name: str = "hard"


@dataclass
class Gumbel(Normaliser):
    """Straight-through Gumbel-softmax (Jang 2017)."""

    name: str = "gumbel"
    temperature: float = number(1.0, gt=0)


@dataclass
class Reinforce(Normaliser):
    """One sampled position, learned by REINFORCE (Xu 2015, Mnih 2014)."""

    name: str = "reinforce"
    reward_weight: float = number(1.0, ge=0)
    """λ_r of the loss."""
    entropy_weight: float = number(0.01, ge=0)
    """λ_e of the loss."""


# --- model/attention/placement ---------------------------------------------------------------------------------------


@dataclass
class Placement:
    """Where the context enters the decoder."""

    name: str = REQUIRED


@dataclass
class Before(Placement):
    """The context of s_{t-1} joins the input of step t (Bahdanau 2015)."""

    name: str = "before"
    readout: str = choice("maxout", "tanh")
    attend_from: str = choice("top", "bottom")
    """`bottom`: the query is the lowest layer, and every layer gets the context (GNMT, Wu 2016)."""
    readout_state: str = choice("current", "previous")
    """Decoder state in the readout: s_t, or s_{t-1} as in the paper's appendix (A.2.2) and its authors' code."""


@dataclass
class After(Placement):
    """The context of s_t joins the output of step t (Luong 2015)."""

    name: str = "after"
    input_feeding: bool = True


@dataclass
class Between(Placement):
    """The context enters between two recurrent steps: the conditional GRU (Firat & Cho 2016)."""

    name: str = "between"
    readout: str = choice("maxout", "tanh")


@dataclass
class NoAttention(Placement):
    """Only the bridge's fixed vector (Sutskever 2014; `feed_source: true` is Cho 2014)."""

    name: str = "none"
    feed_source: bool = False
    readout: str = choice("maxout", "tanh")


# --- model/attention -------------------------------------------------------------------------------------------------

AXES: Groups = {
    Score: (
        "model/attention/score",
        by_name(Dot, ScaledDot, General, Additive, NormedAdditive, Concat, Linear, Key, Location, Cosine),
    ),
    Window: ("model/attention/window", by_name(GlobalWindow, LocalM, LocalP)),
    Normaliser: ("model/attention/normaliser", by_name(Softmax, Sparsemax, Hard, Gumbel, Reinforce)),
    Placement: ("model/attention/placement", by_name(Before, After, Between, NoAttention)),
}
"""The tables of names: what an attention is a product of."""


@dataclass
class Attention:
    """score x window x normaliser x heads, and its placement. With placement `none` the first four are null."""

    placement: Placement
    score: Score | None = None
    window: Window | None = None
    normaliser: Normaliser | None = None
    heads: int | None = number(1, ge=1)

    def problems(self) -> Iterator[str]:
        """A part of an attention that is null."""
        if isinstance(self.placement, NoAttention):
            return
        for axis, base in (("score", Score), ("window", Window), ("normaliser", Normaliser)):
            if getattr(self, axis) is None:
                group, table = AXES[base]
                yield (
                    f"model/attention/placement={self.placement.name} and {group}=null: an attention needs a {axis}. "
                    f"Choices: {', '.join(table)}; or take model/attention/placement=none."
                )
        if self.heads is None:
            yield (
                f"model/attention/placement={self.placement.name} and model.attention.heads=null: "
                "give the number of heads, 1 for the papers' equations."
            )

    def leave_out_unused(self) -> None:
        """With placement `none`, null for all that it ignores: one model has one configuration, and one hash."""
        if isinstance(self.placement, NoAttention):
            self.score = self.window = self.normaliser = self.heads = None
