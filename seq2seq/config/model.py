"""Options of the encoder-decoder: encoder, decoder, bridge, attention, sizes and regularisation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from seq2seq.config.attention import (
    AXES,
    After,
    Attention,
    Before,
    Between,
    NoAttention,
    Placement,
    Reinforce,
    SelfAttention,
)
from seq2seq.config.schema import REQUIRED, Groups, by_name, choice, number


@dataclass
class Recurrence:
    """Options that recurrent layers have on either side."""

    cell: str = choice("gru", "lstm")
    """Recurrent cell."""
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

    attention: SelfAttention = field(default_factory=SelfAttention)
    norm: str = choice("post", "pre")
    """Place of the layer normalisation: after the sum with the residual (Vaswani 2017), or before each sub-layer, with
    one more at the end (Wang 2019)."""
    feed_forward_size: int | None = number(None, ge=1, le=1 << 16)
    """Size of the hidden layer of the feed-forward sub-layers. null: four times model.hidden_size."""


@dataclass
class Encoder:
    """How the source is read."""

    ordered = False
    """Whether it knows the order of the words without encoded positions."""
    name: str = REQUIRED

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
    attention: SelfAttention | None = field(default_factory=lambda: SelfAttention(heads=1))

    def leave_out_unused(self) -> None:
        """Set to null the attention that stands nowhere."""
        if self.attention_placement == "none":
            self.attention = None

    def problems(self) -> Iterator[str]:
        """Yield an error for a kernel without a middle."""
        if self.kernel_size % 2 == 0:
            yield (
                f"model.encoder.kernel_size={self.kernel_size}: a convolution around a word needs an odd width. Use "
                f"{self.kernel_size + 1}."
            )
        if self.attention_placement != "none" and self.attention is None:
            yield (
                f"model.encoder.attention_placement={self.attention_placement} and model.encoder.attention=null: there "
                "is no attention to place. Leave out model.encoder.attention, or use attention_placement=none."
            )


@dataclass
class Decoder:
    """How the target is written."""

    name: str = REQUIRED
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


@dataclass
class Bridge:
    """How the decoder's first state is computed from the encoder's states."""

    name: str = REQUIRED


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


@dataclass
class Positions:
    """How Transformers and convolutions know where a word stands. Recurrent layers know it, and get none."""

    name: str = REQUIRED


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


@dataclass
class Model:
    """The encoder-decoder. A preset is a paper's model."""

    encoder: Encoder
    decoder: Decoder
    attention: Attention
    bridge: Bridge | None
    positions: Positions = field(default_factory=Sinusoidal)
    embedding_size: int = number(256, ge=1, le=1 << 16)
    """Size of the word embeddings."""
    hidden_size: int = number(512, ge=1, le=1 << 16)
    """Size of the decoder's states, and of the encoder's unless model.encoder.hidden_size is given."""
    encoder_layers: int = number(1, ge=1, le=64)
    """Number of encoder layers."""
    decoder_layers: int = number(1, ge=1, le=64)
    """Number of decoder layers."""
    dropout: float = number(0.2, ge=0, lt=1)
    """Dropout on embeddings, between layers or on what a sub-layer adds, on encoder states and before the vocabulary
    projection."""
    tied_embeddings: str = choice("none", "source_target", "target_output", "all")
    """Which of source embedding, target embedding and output projection share one matrix."""
    variational_dropout: bool = False
    """Use one dropout mask for all steps of a sentence, also on the vector of input feeding (Gal & Ghahramani 2016). In
    short trainings it brought no gain."""
    word_dropout: float = number(0.0, ge=0, lt=1)
    """Probability of zeroing a word's embedding wherever it occurs in a sentence (Gal & Ghahramani 2016, section 4.2).
    In short trainings it lost a little."""

    @property
    def memory_size(self) -> int:
        """Size of an encoder state."""
        return self.encoder.memory_size(self.hidden_size)

    def leave_out_unused(self) -> None:
        """Leave out what the architecture ignores, so that one model has one configuration and one hash."""
        if not self.decoder.ordered and not isinstance(self.attention.placement, NoAttention):
            self.bridge = None
        if self.encoder.ordered and self.decoder.ordered:
            self.positions = NoPositions()

    def problems(self) -> Iterator[str]:
        """Yield an error for each combination that means nothing."""
        if self.variational_dropout and not self.dropout:
            yield (
                "model.variational_dropout=true and model.dropout=0: there is no dropout to share between steps. "
                "Give model.dropout a probability, or use model.variational_dropout=false."
            )
        encoder = self.encoder
        if (
            isinstance(encoder, RecurrentEncoder)
            and encoder.hidden_size is None
            and self.hidden_size % encoder.directions
        ):
            yield (
                f"model.hidden_size={self.hidden_size} and model.encoder.bidirectional=true: an odd size can't be "
                "halved between two directions. Use an even one, or set model.encoder.hidden_size."
            )
        yield from self.attention.missing_parts("model/attention")
        if isinstance(self.attention.placement, NoAttention):
            if isinstance(self.bridge, ZeroBridge):
                yield (
                    "model/attention/placement=none and model/bridge=zero: the decoder would never see the source. "
                    "Use another bridge (last, mean, attention), or an attention."
                )
        elif self.attention.heads is not None and self.memory_size % self.attention.heads:
            yield (
                f"model.attention.heads={self.attention.heads} and an encoder state of size {self.memory_size} "
                "(model.hidden_size, model.encoder.hidden_size): the number of heads must divide it."
            )
        if self.bridge is None and (self.decoder.ordered or isinstance(self.attention.placement, NoAttention)):
            yield (
                "model/bridge=null: this decoder needs a vector of the source to start from. Choices: "
                f"{', '.join(GROUPS[Bridge])}."
            )
        yield from self._layer_problems()
        for side in ("encoder", "decoder"):
            yield from self._self_attention_problems(side)
        unordered = not (encoder.ordered and self.decoder.ordered)
        if isinstance(self.positions, Rotary) and unordered and not any(self._self_attentions().values()):
            yield (
                f"model/positions=rotary, model/encoder={encoder.name} and model/decoder={self.decoder.name}: there is "
                "no self-attention whose queries and keys could be rotated. Use model/positions=learned."
            )

    def _layer_problems(self) -> Iterator[str]:
        """Yield an error for an attention that does not fit the kind of decoder."""
        decoder, attention = self.decoder, self.attention
        words = f"model/decoder={decoder.name}"
        placement = attention.placement
        if not isinstance(placement, decoder.placements):
            legal = [name for name, kind in GROUPS[Placement].items() if issubclass(kind, decoder.placements)]
            yield (
                f"{words} and model/attention/placement={placement.name}: its layers have no such place. "
                f"Use model/attention/placement={' or '.join(legal)}."
            )
        if decoder.ordered:
            return
        if isinstance(placement, NoAttention) and not placement.feed_source:
            yield (
                f"{words}, model/attention/placement=none and model.attention.placement.feed_source=false: this "
                "decoder has no first state that could hold the source. Use feed_source=true."
            )
        readout = getattr(placement, "readout", "maxout")
        if readout != "maxout":
            yield (
                f"{words} and model.attention.placement.readout={readout}: only recurrent decoders have a "
                "readout. Leave it out."
            )
        yield from _unordered(attention, "model/attention", f"{words}: its layers run for all steps at once")
        layer = getattr(decoder, "alignment_layer", None)
        if layer is not None and layer > self.decoder_layers:
            yield (
                f"model.decoder.alignment_layer={layer} and model.decoder_layers={self.decoder_layers}: there is no "
                "such layer. Use a number of a layer, or null for the last but one."
            )

    def _self_attentions(self) -> dict[str, SelfAttention | None]:
        """Map each side to its self-attention, if it has one."""
        sides = {"encoder": self.encoder, "decoder": self.decoder}
        found = {side: getattr(options, "attention", None) for side, options in sides.items()}
        if getattr(self.encoder, "attention_placement", "") == "none":
            found["encoder"] = None
        return found

    def _self_attention_problems(self, side: str) -> Iterator[str]:
        attention, key = self._self_attentions()[side], f"model.{side}.attention"
        if attention is None:
            return
        yield from _unordered(attention, f"model/{side}/attention", "self-attention sees all steps at once")
        if self.hidden_size % attention.heads:
            yield (
                f"{key}.heads={attention.heads} and model.hidden_size={self.hidden_size}: the number of heads must "
                "divide the size."
            )
        elif isinstance(self.positions, Rotary) and self.hidden_size // attention.heads % 2:
            yield (
                f"model/positions=rotary, {key}.heads={attention.heads} and model.hidden_size={self.hidden_size}: "
                "heads of odd size can't be rotated. Use heads of even size, or other positions."
            )


def _unordered(attention: Attention | SelfAttention, group: str, reason: str) -> Iterator[str]:
    """Yield an error for each part of an attention that needs one step after the other."""
    if getattr(attention.score, "coverage", False):
        yield (
            f"{group.replace('/', '.')}.score.coverage=true and {reason}, and coverage needs one after the other. "
            "Use coverage=false, or a recurrent decoder's attention."
        )
    if isinstance(attention.normaliser, Reinforce):
        yield (
            f"{group}/normaliser=reinforce and {reason}, and its reward needs one sampled position after the other. "
            f"Use {group}/normaliser=gumbel or hard."
        )


GROUPS: Groups = {
    **AXES,
    Model: {},
    Encoder: by_name(RecurrentEncoder, TransformerEncoder, ConvolutionalEncoder),
    Decoder: by_name(RecurrentDecoder, TransformerDecoder, ConvolutionalDecoder),
    Bridge: by_name(LastBridge, MeanBridge, AttentionBridge, ZeroBridge),
    Positions: by_name(NoPositions, Sinusoidal, LearnedPositions, Rotary),
}
"""Every table of names. The path of a group on the command line is where its field stands. `Model` has presets."""
