"""Options of the kinds of encoders and decoders, of bridges and of encoded positions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from seq2seq.config.attention import After, AttentionProduct, Before, Between, NoAttention, Placement
from seq2seq.config.schema import Named, choice, number


@dataclass
class Recurrence:
    """Options that recurrent layers have on either side."""

    cell: str = choice("gru", "lstm")
    """Recurrent cell."""
    transitions: int = number(1, ge=1, le=16)
    """Cells of a GRU that follow each other in each step; only the first has an input (deep transition, Barone 2017;
    with several layers, BiDeep). The layers then run step by step."""
    residual: bool = False
    """Add each layer's input to its output, from the second layer on."""
    layer_norm: bool = False
    """Normalise inside the recurrent cells, which then run step by step (Ba 2016). In short trainings it gained 1.5
    BLEU on Multi30k and lost 2.3 on the embedded corpus."""
    recurrent_dropout: float = number(0.0, ge=0, lt=1)
    """Dropout on the previous state, with one mask for all steps (Gal & Ghahramani 2016). The layers then run step by
    step. In short trainings it brought no gain."""


@dataclass
class FeedForward:
    """Options that Transformer layers have on either side."""

    attention: AttentionProduct = field(default_factory=AttentionProduct)
    norm: str = choice("post", "pre")
    """Place of the layer normalisation: after the sum with the residual (Vaswani 2017), or before each sub-layer, with
    one more at the end (Wang 2019)."""
    feed_forward_size: int | None = number(None, ge=1, le=1 << 16)
    """Size of the hidden layer of the feed-forward sub-layers. null: four times model.hidden_size."""


class Encoder(Named):
    """How the source is read."""

    ordered = False
    """Whether it knows the order of the words without encoded positions."""

    @property
    def directions(self) -> int:
        """Number of directions in which the source is read one word after the other."""
        return 1

    def memory_size(self, hidden_size: int) -> int:
        """Size of an encoder state, given `model.hidden_size`."""
        return hidden_size


@dataclass
class RecurrentEncoder(Recurrence, Encoder):
    """Stacked recurrent layers, in one direction or both (Bahdanau 2015)."""

    ordered = True
    name: str = "recurrent"
    bidirectional: bool = True
    """Read the source in both directions."""
    hidden_size: int | None = number(None, ge=1, le=1 << 16)
    """Size of each direction's state. null: both directions together have model.hidden_size."""

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def memory_size(self, hidden_size: int) -> int:
        """Size of an encoder state, both directions together."""
        return hidden_size if self.hidden_size is None else self.hidden_size * self.directions


@dataclass
class TransformerEncoder(FeedForward, Encoder):
    """Layers of self-attention and feed-forward networks (Vaswani 2017)."""

    name: str = "transformer"


@dataclass
class ConvolutionalEncoder(Encoder):
    """Blocks of convolutions with residual connections (Gehring 2016, Gehring 2017)."""

    name: str = "convolutional"
    kernel_size: int = number(3, ge=1, le=99)
    """Width of the convolutions, an odd number of positions."""
    activation: str = choice("glu", "tanh")
    """Activation of the blocks: gated linear units, whose values are the states plus the embeddings (Gehring 2017), or
    tanh (Gehring 2016)."""
    separate_values: bool = False
    """Give keys and values a stack of blocks each, CNN-a and CNN-c (Gehring 2016)."""
    attention_placement: str = choice("none", "before", "after")
    """Place of self-attention around the convolutions: on their inputs as in ABCNN-1, on their outputs as in ABCNN-2
    (Yin 2016), or nowhere."""
    attention: AttentionProduct | None = field(default_factory=lambda: AttentionProduct(heads=1))

    def leave_out_unused(self) -> None:
        """Set to null the attention that stands nowhere."""
        if self.attention_placement == "none":
            self.attention = None

    def problems(self) -> Iterator[str]:
        """Yield an error for a kernel without a middle, and for an attention without a place or a place without one."""
        if self.kernel_size % 2 == 0:
            yield (
                f"model.encoder.kernel_size={self.kernel_size}: a convolution around a word needs an odd width. Use "
                f"{self.kernel_size + 1}."
            )
        if self.attention_placement == "none" and self.attention not in (None, AttentionProduct(heads=1)):
            yield (
                "model.encoder.attention_placement=none and options of model.encoder.attention: there is no attention "
                "that they could shape. Use model.encoder.attention_placement=before or after, or leave them out."
            )
        if self.attention_placement != "none" and self.attention is None:
            yield (
                f"model.encoder.attention_placement={self.attention_placement} and model.encoder.attention=null: there "
                "is no attention to place. Leave out model.encoder.attention, or use attention_placement=none."
            )


class Decoder(Named):
    """How the target is written."""

    ordered = False
    """Whether it knows the order of the words without encoded positions."""
    placements: ClassVar[tuple[type[Placement], ...]] = (Between, NoAttention)
    """Where its attention may stand."""
    overrides: ClassVar[dict[str, str]] = {"model/attention": "vaswani2017"}
    """Group -> the option that choosing this decoder chooses there."""


@dataclass
class RecurrentDecoder(Recurrence, Decoder):
    """Stacked recurrent layers, with an attention at model/attention (Bahdanau 2015)."""

    name: str = "recurrent"
    lexical_model: bool = False
    """Let the source embeddings, summed with the attention's weights, reach the vocabulary beside the readout (Nguyen &
    Chiang 2018)."""
    ordered = True
    placements = (Before, After, Between, NoAttention)
    overrides: ClassVar[dict[str, str]] = {}


@dataclass
class Layered:
    """Options of decoders with an attention in each layer."""

    alignment_layer: int | None = number(None, ge=1)
    """Layer whose attention alignments, pictures and reports read, counted from 1 at the bottom. null: the last but
    one."""


@dataclass
class TransformerDecoder(FeedForward, Layered, Decoder):
    """Layers of causal self-attention, attention to the source and feed-forward networks (Vaswani 2017)."""

    name: str = "transformer"


@dataclass
class ConvolutionalDecoder(Layered, Decoder):
    """Blocks of causal convolutions with gated linear units, each with an attention to the source (Gehring 2017)."""

    name: str = "convolutional"
    kernel_size: int = number(3, ge=1, le=99)
    """Width of the convolutions, up to the current position."""
    overrides: ClassVar[dict[str, str]] = {"model/attention": "gehring2017"}


class Bridge(Named):
    """How the decoder's first state is computed from the encoder's states."""


@dataclass
class LastBridge(Bridge):
    """The forward state at the last real token and the backward state at the first."""

    name: str = "last"


@dataclass
class MeanBridge(Bridge):
    """The mean over the real positions."""

    name: str = "mean"


@dataclass
class AttentionBridge(Bridge):
    """Softmax pooling over the real positions."""

    name: str = "attention"
    query: str = choice("learned", "recurrent")
    """What the positions are compared with: a learned vector, or the last state of a recurrent layer over the
    embeddings."""


@dataclass
class ZeroBridge(Bridge):
    """Zeros: the decoder sees the source only through attention."""

    name: str = "zero"


class Positions(Named):
    """How Transformers and convolutions know where a word stands. Recurrent layers need none."""


@dataclass
class NoPositions(Positions):
    """No positions: without recurrence or convolutions, words in any order are the same."""

    name: str = "none"


@dataclass
class Sinusoidal(Positions):
    """Sines and cosines of many wavelengths, added to the embeddings (Vaswani 2017)."""

    name: str = "sinusoidal"


@dataclass
class LearnedPositions(Positions):
    """A learned vector of each position, added to the embeddings (Gehring 2017)."""

    name: str = "learned"
    max_length: int = number(256, ge=1, le=1 << 16)
    """Number of positions that have a vector. Later ones share the last."""


@dataclass
class Rotary(Positions):
    """Queries and keys of self-attention are rotated by their positions (Su 2021)."""

    name: str = "rotary"


class Context(Named):
    """How the preceding sentences of the same document take part in a translation."""


@dataclass
class NoContext(Context):
    """Each sentence is translated on its own."""

    name: str = "none"


@dataclass
class HierarchicalContext(Context):
    """Attention over the words of each sentence before, and over what these sentences give (Miculicich 2018)."""

    name: str = "hierarchical"
    words: AttentionProduct = field(default_factory=AttentionProduct)
    sentences: AttentionProduct = field(default_factory=AttentionProduct)
