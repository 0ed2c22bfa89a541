"""The encoder-decoder: its attention, bridge, sizes and regularisation, and the table of all groups."""

from collections.abc import Iterator
from dataclasses import dataclass

from seq2seq.config.attention import AXES, Attention, NoAttention
from seq2seq.config.schema import REQUIRED, Groups, by_name, choice, number


@dataclass
class Bridge:
    """From the encoder's states to the decoder's first state."""

    name: str = REQUIRED


@dataclass
class LastBridge(Bridge):
    """[forward state at the last real token ; backward state at token 0]."""

    name: str = "last"


@dataclass
class MeanBridge(Bridge):
    """The mean of the real positions."""

    name: str = "mean"


@dataclass
class AttentionBridge(Bridge):
    """Softmax pooling of the real positions with a learned query."""

    name: str = "attention"


@dataclass
class ZeroBridge(Bridge):
    """A decoder that starts at zero."""

    name: str = "zero"


GROUPS: Groups = {**AXES, Bridge: ("model/bridge", by_name(LastBridge, MeanBridge, AttentionBridge, ZeroBridge))}
"""All tables of names, of the attention's axes and of the bridge."""


@dataclass
class Model:
    """The encoder-decoder."""

    attention: Attention
    bridge: Bridge
    cell: str = choice("gru", "lstm")
    embedding_size: int = number(256, ge=1, le=1 << 16)
    hidden_size: int = number(512, ge=1, le=1 << 16)
    """Of the decoder."""
    encoder_hidden_size: int | None = number(None, ge=1, le=1 << 16)
    """Per direction; null: the directions together have `hidden_size`."""
    encoder_layers: int = number(1, ge=1, le=64)
    decoder_layers: int = number(1, ge=1, le=64)
    bidirectional: bool = True
    residual: bool = False
    """Add a layer's input to its output, from the second layer on."""
    layer_norm: bool = False
    """Within the recurrent layers (Ba 2016), which then run step by step. In short trainings it won 1.5 BLEU on
    Multi30k and cost 2.3 on the embedded corpus: docs/results/regularisation.md."""
    dropout: float = number(0.2, ge=0, lt=1)
    """Of the embeddings, between layers, of the encoder's states and of what the vocabulary is projected from."""
    variational_dropout: bool = False
    """`dropout` is the same at all steps of a sentence, and then also of the vector that input feeding hands on (Gal &
    Ghahramani 2016). In short trainings worth nothing: docs/results/regularisation.md."""
    recurrent_dropout: float = number(0.0, ge=0, lt=1)
    """Of the previous state where a recurrent layer reads it, the same at all steps (Gal & Ghahramani 2016); with it
    such layers run step by step. In short trainings it was worth nothing, and cost a little."""
    word_dropout: float = number(0.0, ge=0, lt=1)
    """Of source and target words: a piece's embedding is zeroed wherever it stands in a sentence (Gal & Ghahramani
    2016, section 4.2). In short trainings it costs a little."""
    tied_embeddings: str = choice("none", "source_target", "target_output", "all")

    def problems(self) -> Iterator[str]:
        """Sizes that can't be divided, a decoder without a source, a regularisation of nothing."""
        if self.variational_dropout and not self.dropout:
            yield (
                "model.variational_dropout=true and model.dropout=0: there is nothing to be the same at all steps. "
                "Give model.dropout a probability, or take model.variational_dropout=false."
            )
        if self.bidirectional and self.encoder_hidden_size is None and self.hidden_size % 2:
            yield (
                f"model.hidden_size={self.hidden_size} and model.bidirectional=true: an odd size can't be halved "
                "between the two directions. Take an even one, or set model.encoder_hidden_size."
            )
        if isinstance(self.attention.placement, NoAttention):
            if isinstance(self.bridge, ZeroBridge):
                yield (
                    "model/attention/placement=none and model/bridge=zero: the decoder would never see the source. "
                    "Take another bridge (last, mean, attention), or an attention."
                )
        elif self.attention.heads is not None and memory_size(self) % self.attention.heads:
            yield (
                f"model.attention.heads={self.attention.heads} and an encoder state of size {memory_size(self)} "
                "(model.hidden_size, model.encoder_hidden_size): the heads must divide it."
            )


def memory_size(model: Model) -> int:
    """Size of an encoder state h_i: that of its directions together."""
    if model.encoder_hidden_size is None:
        return model.hidden_size
    return model.encoder_hidden_size * (2 if model.bidirectional else 1)
