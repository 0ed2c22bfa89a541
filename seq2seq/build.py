"""Configuration -> objects: the one module that knows both sides. A new option is one row in a table here."""

from collections.abc import Callable
from typing import Any

from torch import nn

from seq2seq import config
from seq2seq.attention import normaliser, score, window
from seq2seq.attention.attention import Attention, FixedVector, Heads
from seq2seq.model import pooling as bridge
from seq2seq.model.recurrent import placement
from seq2seq.model.recurrent.decoder import Decoder
from seq2seq.model.recurrent.encoder import Encoder
from seq2seq.model.recurrent.layers import Stack, recurrent_layer
from seq2seq.model.recurrent.placement import Placement, Readout
from seq2seq.model.translation import Output, TranslationModel
from seq2seq.text.tokenizer import PAD

Table = dict[type, Callable[..., Any]]

# (option, heads, query size per head, key size per head, hidden size)
SCORES: Table = {
    config.Dot: lambda o, h, q, k, d: score.Dot(h, q, k),
    config.ScaledDot: lambda o, h, q, k, d: score.ScaledDot(h, q, k),
    config.General: lambda o, h, q, k, d: score.General(h, q, k),
    config.Additive: lambda o, h, q, k, d: score.Additive(h, q, k, d, coverage=o.coverage),
    config.NormedAdditive: lambda o, h, q, k, d: score.NormedAdditive(h, q, k, d, coverage=o.coverage),
    config.Concat: lambda o, h, q, k, d: score.Concat(h, q, k, d, coverage=o.coverage),
    config.Linear: lambda o, h, q, k, d: score.Linear(h, q, k),
    config.Key: lambda o, h, q, k, d: score.Key(h, k),
    config.Location: lambda o, h, q, k, d: score.Location(h, q, max_length=o.max_length),
    config.Cosine: lambda o, h, q, k, d: score.Cosine(h, q, k, learned_scale=o.learned_scale),
}

# (option, query size)
WINDOWS: Table = {
    config.GlobalWindow: lambda o, q: window.Global(),
    config.LocalM: lambda o, q: window.LocalM(o.half_width),
    config.LocalP: lambda o, q: window.LocalP(q, o.half_width),
}

NORMALISERS: Table = {
    config.Softmax: lambda o: normaliser.Softmax(),
    config.Sparsemax: lambda o: normaliser.Sparsemax(),
    config.Hard: lambda o: normaliser.Hard(),
    config.Gumbel: lambda o: normaliser.Gumbel(o.temperature),
    config.Reinforce: lambda o: normaliser.Reinforce(),
}

# (option, directions, memory size)
POOLINGS: Table = {
    config.LastBridge: lambda o, n, m: bridge.Last(n),
    config.MeanBridge: lambda o, n, m: bridge.Mean(),
    config.AttentionBridge: lambda o, n, m: bridge.AttentionPooling(m),
}


def attention(options: config.Attention, query_size: int, memory_size: int) -> Attention | FixedVector:
    """The attention of a decoder whose query and whose encoder states have these sizes."""
    if isinstance(options.placement, config.NoAttention):
        return FixedVector()
    assert options.heads is not None
    heads = Heads(options.heads, query_size, memory_size)
    size = heads.query_size
    return Attention(
        heads,
        SCORES[type(options.score)](options.score, options.heads, size, heads.key_size, size),
        WINDOWS[type(options.window)](options.window, query_size),
        NORMALISERS[type(options.normaliser)](options.normaliser),
    )


def _bridge(options: config.Model, memory_size: int) -> nn.Module:
    assert isinstance(options.encoder, config.RecurrentEncoder)
    assert isinstance(options.decoder, config.RecurrentDecoder)
    if isinstance(options.bridge, config.ZeroBridge):
        return bridge.Zero(options.decoder.cell, options.hidden_size, options.decoder_layers)
    pooling = POOLINGS[type(options.bridge)](options.bridge, options.encoder.directions, memory_size)
    return bridge.Bridge(pooling, options.decoder.cell, memory_size, options.hidden_size, options.decoder_layers)


def _placement(options: config.Model, memory_size: int) -> Placement:
    where, e, d = options.attention.placement, options.embedding_size, options.hidden_size
    decoder = options.decoder
    assert isinstance(decoder, config.RecurrentDecoder)

    def stack(input_size: int) -> Stack:
        return Stack(decoder.cell, input_size, d, options.decoder_layers, residual=decoder.residual,
                     dropout=options.dropout, variational=options.variational_dropout,
                     recurrent_dropout=decoder.recurrent_dropout, layer_norm=decoder.layer_norm)  # fmt: skip

    match where:
        case config.Before():
            readout = Readout(where.readout, d, e, memory_size, d)
            return placement.Before(
                stack(e), readout, memory_size, attend_from=where.attend_from, readout_state=where.readout_state
            )
        case config.After():
            return placement.After(stack(e), d, memory_size, input_feeding=where.input_feeding)
        case config.Between():
            readout = Readout(where.readout, d, e, memory_size, d)
            above = stack(memory_size)  # first, as ever: weights are drawn in the order in which layers are made
            first = recurrent_layer(
                decoder.cell, e, d, recurrent_dropout=decoder.recurrent_dropout, layer_norm=decoder.layer_norm
            )
            return placement.Between(above, first, readout)
        case config.NoAttention():
            context_size = memory_size if where.feed_source else 0
            readout = Readout(where.readout, d, e, context_size, d)
            return placement.NoAttention(stack(e + context_size), readout, feed_source=where.feed_source)
    raise TypeError(f"{where!r} is not a placement")


def _embedding(vocab_size: int, size: int) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, size, padding_idx=PAD)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    nn.init.zeros_(embedding.weight[PAD])
    return embedding


def translation_model(
    options: config.Model, source_vocab: int, target_vocab: int, *, reverse_source: bool = False
) -> TranslationModel:
    """A model with fresh weights, drawn from torch's global random generator."""
    assert isinstance(options.encoder, config.RecurrentEncoder)
    memory_size = options.encoder.memory_size(options.hidden_size)
    encoder = Encoder(
        options.encoder.cell,
        options.embedding_size,
        memory_size // options.encoder.directions,
        options.encoder_layers,
        bidirectional=options.encoder.bidirectional,
        residual=options.encoder.residual,
        dropout=options.dropout,
        variational=options.variational_dropout,
        recurrent_dropout=options.encoder.recurrent_dropout,
        layer_norm=options.encoder.layer_norm,
    )
    source_embedding = _embedding(source_vocab, options.embedding_size)
    ties = options.tied_embeddings
    target_embedding = (
        source_embedding if ties in ("source_target", "all") else _embedding(target_vocab, options.embedding_size)
    )
    decoder = Decoder(
        target_embedding,
        _placement(options, memory_size),
        attention(options.attention, options.hidden_size, memory_size),
        dropout=options.dropout,
        variational=options.variational_dropout,
        word_dropout=options.word_dropout,
    )
    output = Output(options.hidden_size, target_vocab, target_embedding if ties in ("target_output", "all") else None)
    return TranslationModel(
        source_embedding,
        encoder,
        _bridge(options, memory_size),
        decoder,
        output,
        dropout=options.dropout,
        variational=options.variational_dropout,
        word_dropout=options.word_dropout,
        reverse_source=reverse_source,
    )
