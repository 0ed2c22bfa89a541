"""What a model's options amount to: its architecture in words, its limits, and its like in other toolkits."""

from collections.abc import Iterator

from seq2seq.config.architectures import FeedForward, LearnedPositions, Recurrence, Sinusoidal
from seq2seq.config.attention import Additive, General, GlobalWindow, Location, ScaledDot, Softmax
from seq2seq.config.model import Model

_ADJECTIVES = {"transformer": "Transformer"}
"""Kinds of encoders and decoders whose name is no adjective."""
_PEERS_ATTENTIONS = {Additive: "mlp", General: "general"}
"""Scores of recurrent decoders that the peers have, and their names there."""


def architecture(model: Model) -> str:
    """Say what the model is."""
    reads, writes = (_ADJECTIVES.get(part.name, part.name) for part in (model.encoder, model.decoder))
    return f"{reads} encoder-decoder" if reads == writes else f"{reads} encoder with a {writes} decoder"


def reaches(model: Model) -> Iterator[tuple[str, str, int]]:
    """Yield the name and the side of each part that can tell apart only so many positions, and their number."""
    if isinstance(model.attention.score, Location):
        yield "location", "source", model.attention.score.max_length
    sides = {"encoder": "source", "decoder": "target"}
    for side, attention in model.self_attentions().items():
        if isinstance(attention.score, Location):
            yield f"location in the {side}'s self-attention", sides[side], attention.score.max_length
    if isinstance(model.positions, LearnedPositions):
        for side, text in sides.items():
            if not getattr(model, side).ordered:
                yield f"learned positions of the {side}", text, model.positions.max_length


def peer_attention(model: Model) -> str | None:
    """Return the name that the peers give to the attention of a model; None for one that they don't have."""
    if isinstance(model.encoder, Recurrence) and isinstance(model.decoder, Recurrence):
        score = model.attention.score
        return None if score is None else _PEERS_ATTENTIONS.get(type(score))
    return "transformer" if peer_sizes(model) else None


def peer_sizes(model: Model) -> dict[str, int]:
    """Return the sizes of a Transformer as the peers' options; nothing for what their Transformers can't be."""
    encoder, decoder = model.encoder, model.decoder
    if not (isinstance(encoder, FeedForward) and isinstance(decoder, FeedForward)):
        return {}
    attentions = (model.attention, encoder.attention, decoder.attention)
    usual = all(
        (type(one.score), type(one.window), type(one.normaliser)) == (ScaledDot, GlobalWindow, Softmax)
        for one in attentions
    )
    width, heads = model.hidden_size, encoder.attention.heads
    hidden = [side.feed_forward_size or 4 * width for side in (encoder, decoder)]
    alike = (
        usual
        and isinstance(model.positions, Sinusoidal)
        and model.embedding_size == width
        and model.encoder_layers == model.decoder_layers
        and hidden[0] == hidden[1]
        and {one.heads for one in attentions} == {heads}
        and (encoder.norm, decoder.norm) == ("pre", "pre")
    )
    sizes = {"layers": model.encoder_layers, "size": width, "heads": heads, "feed-forward": hidden[0]}
    return sizes if alike else {}
