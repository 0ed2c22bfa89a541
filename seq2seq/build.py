"""Configuration -> objects: the one module that knows both sides. A new option is one row in a table here."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from seq2seq import config
from seq2seq.attention import normaliser, score, window
from seq2seq.attention.attention import Attention, FixedVector, Heads
from seq2seq.model import pooling
from seq2seq.model.recurrent import bridge, placement
from seq2seq.model.recurrent.decoder import RecurrentDecoder
from seq2seq.model.recurrent.encoder import RecurrentEncoder
from seq2seq.model.recurrent.layers import CELLS, Recurrent, Stack
from seq2seq.model.recurrent.placement import Placement, Readout
from seq2seq.model.translation import Output, TranslationModel
from seq2seq.nn.dropout import Dropout
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
    config.Linear: lambda o, h, q, k, d: score.LinearScore(h, q, k),
    config.Key: lambda o, h, q, k, d: score.Key(h, k),
    config.Location: lambda o, h, q, k, d: score.Location(h, q, max_length=o.max_length),
    config.Cosine: lambda o, h, q, k, d: score.Cosine(h, q, k, learned_scale=o.learned_scale),
}

# (option, query size, number of positions the score can tell apart)
WINDOWS: Table = {
    config.GlobalWindow: lambda o, q, m: window.Global(),
    config.LocalM: lambda o, q, m: window.LocalM(o.half_width, m),
    config.LocalP: lambda o, q, m: window.LocalP(q, o.half_width, m),
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
    config.LastBridge: lambda o, n, m: pooling.Last(n),
    config.MeanBridge: lambda o, n, m: pooling.Mean(),
    config.AttentionBridge: lambda o, n, m: pooling.AttentionPooling(m),
}


def attention(options: config.Attention, query_size: int, memory_size: int) -> Attention | FixedVector:
    """The attention of a decoder whose query and whose encoder states have these sizes."""
    if isinstance(options.placement, config.NoAttention):
        return FixedVector()
    assert options.heads is not None
    heads = Heads(
        options.heads, query_size, memory_size, memory_size, project=options.heads > 1, output_size=memory_size
    )
    size = heads.query_size
    energies = SCORES[type(options.score)](options.score, options.heads, size, heads.key_size, size)
    view = WINDOWS[type(options.window)](options.window, query_size, energies.max_position)
    return Attention(heads, energies, view, NORMALISERS[type(options.normaliser)](options.normaliser))


def _layer_maker(options: config.Recurrence, hidden_size: int) -> Callable[[int], Recurrent]:
    """A function from an input's size to a recurrent layer."""
    cell, dropout = CELLS[options.cell], options.recurrent_dropout
    return partial(cell, hidden_size=hidden_size, recurrent_dropout=dropout, layer_norm=options.layer_norm)


def _dropout(options: config.Model) -> Dropout:
    return Dropout(options.dropout, variational=options.variational_dropout)


def _bridge(options: config.Model, memory_size: int) -> nn.Module:
    assert isinstance(options.encoder, config.RecurrentEncoder)
    assert isinstance(options.decoder, config.RecurrentDecoder)
    sizes = options.hidden_size, options.decoder_layers
    if isinstance(options.bridge, config.ZeroBridge):
        return bridge.Zero(options.decoder.cell, *sizes)
    pool = POOLINGS[type(options.bridge)](options.bridge, options.encoder.directions, memory_size)
    return bridge.Bridge(pool, options.decoder.cell, memory_size, *sizes)


def _placement(options: config.Model, memory_size: int) -> Placement:
    where, e, d = options.attention.placement, options.embedding_size, options.hidden_size
    assert isinstance(options.decoder, config.RecurrentDecoder)
    residual, make_layer = options.decoder.residual, _layer_maker(options.decoder, d)

    def stack(input_size: int) -> Stack:
        return Stack(make_layer, input_size, options.decoder_layers, residual=residual, dropout=_dropout(options))

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
            above = stack(memory_size)  # made first: a seed's weights depend on the order in which layers are made
            return placement.Between(above, make_layer(e), readout)
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
    directions, e = options.encoder.directions, options.embedding_size
    layers, residual = options.encoder_layers, options.encoder.residual
    memory_size = options.encoder.memory_size(options.hidden_size)
    make_layer, dropout = _layer_maker(options.encoder, memory_size // directions), _dropout(options)
    encoder = RecurrentEncoder(make_layer, e, layers, directions=directions, residual=residual, dropout=dropout)
    source_embedding = _embedding(source_vocab, e)
    ties = options.tied_embeddings
    target_embedding = source_embedding if ties in ("source_target", "all") else _embedding(target_vocab, e)
    # Weights are drawn from here on in the order: placement, attention, output, bridge.
    parts = _placement(options, memory_size), attention(options.attention, options.hidden_size, memory_size)
    output = Output(options.hidden_size, target_vocab, target_embedding if ties in ("target_output", "all") else None)
    words = options.word_dropout
    decoder = RecurrentDecoder(
        target_embedding, *parts, _bridge(options, memory_size), dropout=_dropout(options), word_dropout=words
    )
    return TranslationModel(
        source_embedding, encoder, decoder, output, dropout=dropout, word_dropout=words, reverse_source=reverse_source
    )
