"""Options of the encoder-decoder: encoder, decoder, bridge, attention, sizes and regularisation."""

from collections.abc import Iterator
from dataclasses import dataclass

from seq2seq.config.attention import AXES, Attention, NoAttention
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
class Encoder:
    """How the source is read."""

    name: str = REQUIRED

    def memory_size(self, hidden_size: int) -> int:
        """Size of an encoder state, given `model.hidden_size`."""
        return hidden_size


@dataclass
class RecurrentEncoder(Recurrence, Encoder):
    """Stacked recurrent layers, in one direction or both (Bahdanau 2015)."""

    name: str = "recurrent"
    bidirectional: bool = True
    """Read the source in both directions."""
    hidden_size: int | None = number(None, ge=1, le=1 << 16)
    """Size of each direction's state. null: both directions together have model.hidden_size."""

    @property
    def directions(self) -> int:
        """Number of directions in which the source is read."""
        return 2 if self.bidirectional else 1

    def memory_size(self, hidden_size: int) -> int:
        """Size of an encoder state, both directions together."""
        return hidden_size if self.hidden_size is None else self.hidden_size * self.directions


@dataclass
class Decoder:
    """How the target is written."""

    name: str = REQUIRED


@dataclass
class RecurrentDecoder(Recurrence, Decoder):
    """Stacked recurrent layers, with an attention at model/attention (Bahdanau 2015)."""

    name: str = "recurrent"


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
    """Softmax pooling over the real positions with a learned query."""

    name: str = "attention"


@dataclass
class ZeroBridge(Bridge):
    """Zeros: the decoder sees the source only through attention."""

    name: str = "zero"


GROUPS: Groups = {
    **AXES,
    Encoder: by_name(RecurrentEncoder),
    Decoder: by_name(RecurrentDecoder),
    Bridge: by_name(LastBridge, MeanBridge, AttentionBridge, ZeroBridge),
}
"""Every table of names. The path of a group on the command line is where its field stands."""


@dataclass
class Model:
    """The encoder-decoder."""

    encoder: Encoder
    decoder: Decoder
    attention: Attention
    bridge: Bridge
    embedding_size: int = number(256, ge=1, le=1 << 16)
    """Size of the word embeddings."""
    hidden_size: int = number(512, ge=1, le=1 << 16)
    """Size of the decoder's states, and of the encoder's unless model.encoder.hidden_size is given."""
    encoder_layers: int = number(1, ge=1, le=64)
    """Number of encoder layers."""
    decoder_layers: int = number(1, ge=1, le=64)
    """Number of decoder layers."""
    dropout: float = number(0.2, ge=0, lt=1)
    """Dropout on embeddings, between layers, on encoder states and before the vocabulary projection."""
    tied_embeddings: str = choice("none", "source_target", "target_output", "all")
    """Which of source embedding, target embedding and output projection share one matrix."""
    variational_dropout: bool = False
    """Use one dropout mask for all steps of a sentence, also on the vector of input feeding (Gal & Ghahramani 2016). In
    short trainings it brought no gain."""
    word_dropout: float = number(0.0, ge=0, lt=1)
    """Probability of zeroing a word's embedding wherever it occurs in a sentence (Gal & Ghahramani 2016, section 4.2).
    In short trainings it lost a little."""

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
        size = encoder.memory_size(self.hidden_size)
        if isinstance(self.attention.placement, NoAttention):
            if isinstance(self.bridge, ZeroBridge):
                yield (
                    "model/attention/placement=none and model/bridge=zero: the decoder would never see the source. "
                    "Use another bridge (last, mean, attention), or an attention."
                )
        elif self.attention.heads is not None and size % self.attention.heads:
            yield (
                f"model.attention.heads={self.attention.heads} and an encoder state of size {size} "
                "(model.hidden_size, model.encoder.hidden_size): the number of heads must divide it."
            )
