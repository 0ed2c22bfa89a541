"""Options of the encoder-decoder: its parts, sizes and regularisation, and which of them fit together."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from seq2seq.config.architectures import (
    AttentionBridge,
    Bridge,
    Context,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    Decoder,
    Encoder,
    HierarchicalContext,
    LastBridge,
    LearnedPositions,
    MeanBridge,
    NoContext,
    NoPositions,
    Positions,
    Recurrence,
    RecurrentDecoder,
    RecurrentEncoder,
    Rotary,
    Sinusoidal,
    TransformerDecoder,
    TransformerEncoder,
    ZeroBridge,
)
from seq2seq.config.attention import AXES, Attention, AttentionProduct, NoAttention, Placement, Reinforce
from seq2seq.config.schema import Groups, by_name, choice, number


@dataclass
class Model:
    """Encoder, decoder, attention and sizes. A preset is a paper's whole model."""

    encoder: Encoder
    decoder: Decoder
    attention: Attention
    bridge: Bridge | None
    positions: Positions = field(default_factory=Sinusoidal)
    context: Context = field(default_factory=NoContext)
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
        if getattr(encoder, "separate_values", False) and isinstance(self.attention.placement, NoAttention):
            yield (
                "model.encoder.separate_values=true and model/attention/placement=none: only attention reads the "
                "values. Use separate_values=false, or an attention."
            )
        if self.bridge is None and (self.decoder.ordered or isinstance(self.attention.placement, NoAttention)):
            yield (
                "model/bridge=null: this decoder needs a vector of the source to start from. Choices: "
                f"{', '.join(GROUPS[Bridge])}."
            )
        yield from self._transition_problems()
        yield from self._lexical_problems()
        yield from self._layer_problems()
        for side, attention in self.self_attentions().items():
            yield from self._self_attention_problems(side, attention)
        if isinstance(self.context, HierarchicalContext):
            yield from self._context_problems(self.context)
        unordered = not (encoder.ordered and self.decoder.ordered)
        if isinstance(self.positions, Rotary) and unordered and not self.self_attentions():
            yield (
                f"model/positions=rotary, model/encoder={encoder.name} and model/decoder={self.decoder.name}: there is "
                "no self-attention whose queries and keys could be rotated. Use model/positions=learned."
            )

    def _transition_problems(self) -> Iterator[str]:
        """Yield an error for deep transitions of a cell that has none."""
        for side, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            if isinstance(part, Recurrence) and part.transitions > 1 and part.cell != "gru":
                yield (
                    f"model.{side}.transitions={part.transitions} and model.{side}.cell={part.cell}: deep transitions "
                    f"are those of a GRU. Use model.{side}.cell=gru, or transitions=1."
                )

    def _lexical_problems(self) -> Iterator[str]:
        """Yield an error for a lexical model without one weight for each source word."""
        if not getattr(self.decoder, "lexical_model", False):
            return
        if isinstance(self.attention.placement, NoAttention):
            yield (
                "model.decoder.lexical_model=true and model/attention/placement=none: only attention weighs the source "
                "words. Use lexical_model=false, or an attention."
            )
        elif self.attention.heads != 1:
            yield (
                f"model.decoder.lexical_model=true and model.attention.heads={self.attention.heads}: it needs one "
                "weight for each source word. Use model.attention.heads=1."
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

    def self_attentions(self) -> dict[str, AttentionProduct]:
        """Map each side that attends to itself to how it does."""
        sides = {"encoder": self.encoder, "decoder": self.decoder}
        attending = {side: part for side, part in sides.items() if getattr(part, "attention_placement", "") != "none"}
        found = {side: getattr(part, "attention", None) for side, part in attending.items()}
        return {side: attention for side, attention in found.items() if attention is not None}

    def _self_attention_problems(self, side: str, attention: AttentionProduct) -> Iterator[str]:
        key = f"model.{side}.attention"
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

    def _context_problems(self, context: HierarchicalContext) -> Iterator[str]:
        for level, attention in (("words", context.words), ("sentences", context.sentences)):
            yield from _unordered(attention, f"model/context/{level}", "attention to context sees all words at once")
            if self.memory_size % attention.heads:
                yield (
                    f"model.context.{level}.heads={attention.heads} and an encoder state of size {self.memory_size} "
                    "(model.hidden_size, model.encoder.hidden_size): the number of heads must divide it."
                )


def _unordered(attention: Attention | AttentionProduct, group: str, reason: str) -> Iterator[str]:
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
    Context: by_name(NoContext, HierarchicalContext),
}
"""Every table of names. The path of a group on the command line is where its field stands. `Model` has presets."""
