"""Configuration -> objects: the one module that knows both sides. A new option is one row in a table here."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from torch import nn

from seq2seq import config
from seq2seq.attention import normaliser, positions, score, window
from seq2seq.attention.attention import Attention, FixedVector, Heads
from seq2seq.attention.hierarchical import HierarchicalAttention
from seq2seq.model import pooling
from seq2seq.model.convolutional.encoder import AttentionAfter, AttentionBefore, ConvolutionalEncoder
from seq2seq.model.convolutional.layers import Convolution, DecoderBlock, EncoderBlock
from seq2seq.model.layered import LayeredDecoder, PositionedInput, SourceVector
from seq2seq.model.protocol import Decoder, Encoder
from seq2seq.model.recurrent import bridge, placement
from seq2seq.model.recurrent.decoder import RecurrentDecoder
from seq2seq.model.recurrent.encoder import RecurrentEncoder
from seq2seq.model.recurrent.layers import GRU, LSTM, Recurrent, Stack
from seq2seq.model.recurrent.lexical import LexicalModel
from seq2seq.model.recurrent.placement import Placement, Readout
from seq2seq.model.transformer import layers as transformer
from seq2seq.model.transformer.encoder import TransformerEncoder
from seq2seq.model.transformer.layers import FeedForward, Residual
from seq2seq.model.translation import Output, TranslationModel
from seq2seq.nn.dropout import Dropout
from seq2seq.text.tokenizer import PAD

Table = dict[type, Callable[..., Any]]
MakeOutput = Callable[[int], Output]
Module = TypeVar("Module", bound=nn.Module)

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
    config.Entmax: lambda o: normaliser.Entmax(),
    config.Hard: lambda o: normaliser.Hard(),
    config.Gumbel: lambda o: normaliser.Gumbel(o.temperature),
    config.Reinforce: lambda o: normaliser.Reinforce(),
}

# (option, the whole model)
POOLINGS: Table = {
    config.LastBridge: lambda o, model: pooling.Last(model.encoder.directions),
    config.MeanBridge: lambda o, model: pooling.Mean(),
    config.AttentionBridge: lambda o, model: _attention_pooling(o, model),
}

# (option, size)
POSITIONS: Table = {
    config.NoPositions: lambda o, e: None,
    config.Sinusoidal: lambda o, e: positions.Sinusoidal(),
    config.LearnedPositions: lambda o, e: positions.Learned(o.max_length, e),
    config.Rotary: lambda o, e: None,
}


def attention(options: config.Attention, query_size: int, memory_size: int) -> Attention | FixedVector:
    """The attention of a recurrent decoder whose query and whose encoder states have these sizes."""
    if isinstance(options.placement, config.NoAttention):
        return FixedVector()
    made = _attention(options, query_size, memory_size, memory_size)
    if made.heads.project:
        _xavier(made.heads)  # else two small maps follow each other, and several heads learn to attend far later
    return made


def _attention(
    options: config.Attention | config.AttentionProduct,
    query_size: int,
    memory_size: int,
    output_size: int,
    *,
    project: bool = False,
    rotary: bool = False,
    parallel: bool = False,
) -> Attention:
    assert options.heads is not None
    heads = Heads(
        options.heads,
        query_size,
        memory_size,
        memory_size,
        project=project or options.heads > 1,
        output_size=output_size,
    )
    size = heads.query_size
    energies = SCORES[type(options.score)](options.score, options.heads, size, heads.key_size, size)
    view = WINDOWS[type(options.window)](options.window, query_size, energies.max_position)
    weights = NORMALISERS[type(options.normaliser)](options.normaliser)
    return Attention(heads, energies, view, weights, rotary=positions.Rotary() if rotary else None, parallel=parallel)


def _self_attention(options: config.AttentionProduct, model: config.Model, *, project: bool) -> Attention:
    size, rotary = model.hidden_size, isinstance(model.positions, config.Rotary)
    return _attention(options, size, size, size, project=project, rotary=rotary, parallel=True)


def _dropout(options: config.Model) -> Dropout:
    return Dropout(options.dropout, variational=options.variational_dropout)


def _embedding(vocab_size: int, size: int) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, size, padding_idx=PAD)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    nn.init.zeros_(embedding.weight[PAD])
    return embedding


def _positioned(options: config.Model, *, scale: float = 1.0) -> PositionedInput:
    e = options.embedding_size
    encoding = POSITIONS[type(options.positions)](options.positions, e)
    return PositionedInput(e, options.hidden_size, encoding, scale=scale, dropout=_dropout(options))


# --- recurrent -------------------------------------------------------------------------------------------------------


def _layer_maker(options: config.Recurrence, hidden_size: int) -> Callable[[int], Recurrent]:
    """A function from an input's size to a recurrent layer."""
    same: dict[str, Any] = {"hidden_size": hidden_size, "layer_norm": options.layer_norm}
    same["recurrent_dropout"] = options.recurrent_dropout
    return partial(GRU, transitions=options.transitions, **same) if options.cell == "gru" else partial(LSTM, **same)


def _attention_pooling(options: config.AttentionBridge, model: config.Model) -> nn.Module:
    size = model.memory_size
    if options.query == "learned":
        return pooling.AttentionPooling(size)
    return pooling.RecurrentPooling(GRU(model.embedding_size, size), size)


def _pooling(options: config.Model) -> nn.Module:
    module: nn.Module = POOLINGS[type(options.bridge)](options.bridge, options)
    return module


def _bridge(options: config.Model, cell: str) -> nn.Module:
    sizes = options.hidden_size, options.decoder_layers
    if isinstance(options.bridge, config.ZeroBridge):
        return bridge.Zero(cell, *sizes)
    return bridge.Bridge(_pooling(options), cell, options.memory_size, *sizes)


def _placement(options: config.Model, recurrence: config.RecurrentDecoder) -> Placement:
    where, e, d = options.attention.placement, options.embedding_size, options.hidden_size
    memory_size, make_layer = options.memory_size, _layer_maker(recurrence, d)

    def stack(input_size: int) -> Stack:
        layers, residual = options.decoder_layers, recurrence.residual
        return Stack(make_layer, input_size, layers, residual=residual, dropout=_dropout(options))

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


def _recurrent_encoder(options: config.Model, encoder: config.RecurrentEncoder) -> Encoder:
    directions, layers = encoder.directions, options.encoder_layers
    make_layer, dropout = _layer_maker(encoder, options.memory_size // directions), _dropout(options)
    size, residual = options.embedding_size, encoder.residual
    return RecurrentEncoder(make_layer, size, layers, directions=directions, residual=residual, dropout=dropout)


def _recurrent_decoder(
    options: config.Model, decoder: config.RecurrentDecoder, embedding: nn.Embedding, make_output: MakeOutput
) -> tuple[Decoder, Output]:
    parts = _placement(options, decoder), attention(options.attention, options.hidden_size, options.memory_size)
    lexical = LexicalModel(options.embedding_size) if decoder.lexical_model else None
    output = make_output(options.hidden_size + (options.embedding_size if lexical else 0))
    first = _bridge(options, decoder.cell)
    return RecurrentDecoder(embedding, *parts, first, lexical, dropout=_dropout(options)), output


# --- Transformer -----------------------------------------------------------------------------------------------------


def _feed_forward(options: config.Model, side: config.FeedForward) -> FeedForward:
    return FeedForward(options.hidden_size, side.feed_forward_size or 4 * options.hidden_size)


def _residual(options: config.Model, side: config.FeedForward) -> Residual:
    return Residual(options.hidden_size, _dropout(options), pre=side.norm == "pre")


def _last_norm(options: config.Model, side: config.FeedForward) -> nn.Module:
    return nn.LayerNorm(options.hidden_size) if side.norm == "pre" else nn.Identity()


def _scaled_input(options: config.Model) -> PositionedInput:
    return _positioned(options, scale=math.sqrt(options.embedding_size))


def _transformer_encoder(options: config.Model, encoder: config.TransformerEncoder) -> Encoder:
    layers = [
        transformer.EncoderLayer(
            _self_attention(encoder.attention, options, project=True),
            _feed_forward(options, encoder),
            (_residual(options, encoder), _residual(options, encoder)),
        )
        for _ in range(options.encoder_layers)
    ]
    return _xavier(TransformerEncoder(_scaled_input(options), layers, _last_norm(options, encoder)))


def _transformer_decoder(
    options: config.Model, decoder: config.TransformerDecoder, embedding: nn.Embedding, make_output: MakeOutput
) -> tuple[Decoder, Output]:
    layers: list[nn.Module] = [
        transformer.DecoderLayer(
            _self_attention(decoder.attention, options, project=True),
            _source_attention(options, options.hidden_size, project=True),
            _feed_forward(options, decoder),
            (_residual(options, decoder), _residual(options, decoder), _residual(options, decoder)),
        )
        for _ in range(options.decoder_layers)
    ]
    inputs, last = _scaled_input(options), _last_norm(options, decoder)
    made = _xavier(_layered_decoder(options, decoder, embedding, inputs, layers, last))
    return made, make_output(options.hidden_size)


def _source_attention(options: config.Model, output_size: int, *, project: bool) -> Attention | None:
    if isinstance(options.attention.placement, config.NoAttention):
        return None
    sizes = options.hidden_size, options.memory_size, output_size
    return _attention(options.attention, *sizes, project=project, parallel=True)


def _layered_decoder(
    options: config.Model,
    decoder: config.Layered,
    embedding: nn.Embedding,
    inputs: PositionedInput,
    layers: list[nn.Module],
    last: nn.Module,
) -> LayeredDecoder:
    vector = (
        None if options.bridge is None else SourceVector(_pooling(options), options.memory_size, options.hidden_size)
    )
    aligning = decoder.alignment_layer or max(options.decoder_layers - 1, 1)
    parts = inputs, layers, last, vector
    return LayeredDecoder(embedding, *parts, alignment_layer=aligning - 1)


def _xavier(module: Module) -> Module:
    """Draw all matrices of linear maps as Glorot & Bengio 2010 do, and set their biases to 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


# --- convolutional ---------------------------------------------------------------------------------------------------


def _convolutional_encoder(options: config.Model, encoder: config.ConvolutionalEncoder) -> Encoder:
    size, glu = options.hidden_size, encoder.activation == "glu"

    def blocks() -> list[EncoderBlock]:
        width, dropout = encoder.kernel_size, _dropout(options)
        return [EncoderBlock(size, width, dropout, glu=glu) for _ in range(options.encoder_layers)]

    before = after = None
    if encoder.attention is not None:
        around = _self_attention(encoder.attention, options, project=False)
        before = AttentionBefore(around, size) if encoder.attention_placement == "before" else None
        after = AttentionAfter(around) if encoder.attention_placement == "after" else None
    values = blocks() if encoder.separate_values else None
    add_inputs = glu and not encoder.separate_values
    parts = _positioned(options), blocks(), values, before, after
    made = ConvolutionalEncoder(*parts, add_inputs=add_inputs)
    return _normal(made, options.dropout) if glu else _xavier(made)


def _convolutional_decoder(
    options: config.Model, decoder: config.ConvolutionalDecoder, embedding: nn.Embedding, make_output: MakeOutput
) -> tuple[Decoder, Output]:
    d, m = options.hidden_size, options.memory_size
    layers: list[nn.Module] = [
        DecoderBlock(_source_attention(options, m, project=False), d, m, decoder.kernel_size, _dropout(options))
        for _ in range(options.decoder_layers)
    ]
    inputs, last = _positioned(options), _dropout(options)
    made = _normal(_layered_decoder(options, decoder, embedding, inputs, layers, last), options.dropout)
    return made, make_output(options.hidden_size)


def _normal(module: Module, dropout: float) -> Module:
    """Draw the matrices with the variances of Gehring 2017, section 3.5, and set their biases to 0."""
    gated = {id(part.map) for part in module.modules() if isinstance(part, Convolution)}
    for part in module.modules():
        if isinstance(part, nn.Linear):
            variance = (4 * (1 - dropout) if id(part) in gated else 1) / part.in_features
            nn.init.normal_(part.weight, std=math.sqrt(variance))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module


# --- context ---------------------------------------------------------------------------------------------------------


def _hierarchical(options: config.HierarchicalContext, size: int) -> HierarchicalAttention:
    sizes = size, size, size
    words = _xavier(_attention(options.words, *sizes, project=True, parallel=True))
    return HierarchicalAttention(words, _xavier(_attention(options.sentences, *sizes, project=True)), size)


# (option, size of an encoder state)
CONTEXTS: Table = {config.NoContext: lambda o, m: None, config.HierarchicalContext: _hierarchical}


# --- the whole -------------------------------------------------------------------------------------------------------

# (the whole model, option)
ENCODERS: Table = {
    config.RecurrentEncoder: _recurrent_encoder,
    config.TransformerEncoder: _transformer_encoder,
    config.ConvolutionalEncoder: _convolutional_encoder,
}

# (the whole model, option, target embedding, maker of the output) -> decoder, output
DECODERS: Table = {
    config.RecurrentDecoder: _recurrent_decoder,
    config.TransformerDecoder: _transformer_decoder,
    config.ConvolutionalDecoder: _convolutional_decoder,
}


def translation_model(
    options: config.Model, source_vocab: int, target_vocab: int, *, reverse_source: bool = False
) -> TranslationModel:
    """A model with fresh weights, drawn from torch's global random generator."""
    e, ties = options.embedding_size, options.tied_embeddings
    encoder = ENCODERS[type(options.encoder)](options, options.encoder)
    source_embedding = _embedding(source_vocab, e)
    target_embedding = source_embedding if ties in ("source_target", "all") else _embedding(target_vocab, e)
    tied = target_embedding if ties in ("target_output", "all") else None
    # A seed's weights depend on the order of drawing: a recurrent decoder's bridge is drawn after the output.
    make_output = partial(Output, vocab_size=target_vocab, tied=tied)
    decoder, output = DECODERS[type(options.decoder)](options, options.decoder, target_embedding, make_output)
    parts = source_embedding, encoder, decoder, output
    context = CONTEXTS[type(options.context)](options.context, options.memory_size)
    return TranslationModel(*parts, context=context, reverse_source=reverse_source)
