"""The whole model: source tokens in, features of the next target token out, and from them the vocabulary.

Shapes: b batch, s source, t target, n decoder rows, r readout size, v vocabulary, u some of it.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, LocalSpans
from seq2seq.attention.hierarchical import ContextWeights, HierarchicalAttention
from seq2seq.attention.positions import Learned
from seq2seq.attention.score import full_precision
from seq2seq.errors import ConfigError
from seq2seq.model.protocol import Decoded, Decoder, DecoderState, Encoded, Encoder, Source
from seq2seq.nn.rows import reversal
from seq2seq.text.context import Context
from seq2seq.text.tokenizer import PAD


class Output(nn.Module):
    """logits = W P x + b. The projection P to the embeddings' size exists only where W is tied to them."""

    def __init__(self, readout_size: int, vocab_size: int, tied: nn.Embedding | None) -> None:
        super().__init__()
        self.tied_projection: nn.Linear | None = None
        self.weight: Tensor = nn.Parameter(torch.empty(vocab_size, readout_size)) if tied is None else tied.weight
        if tied is None:
            nn.init.xavier_uniform_(self.weight)
        elif tied.embedding_dim != readout_size:
            self.tied_projection = nn.Linear(readout_size, tied.embedding_dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def features(self, x: Tensor) -> Tensor:
        """[.. r] -> what `weight` is multiplied with."""
        return x if self.tied_projection is None else self.tied_projection(x)

    def logits(self, features: Tensor) -> Tensor:
        """[.. r] -> [.. v]"""
        return F.linear(features, self.weight, self.bias)

    def restricted_to(self, tokens: Tensor) -> Callable[[Tensor], Tensor]:
        """`logits` of these tokens [u] alone: [.. r] -> [.. u]"""
        weight, bias = self.weight[tokens], self.bias[tokens]
        return lambda features: F.linear(features, weight, bias)


class TranslationModel(nn.Module):
    """Encoder, decoder and the projection to the vocabulary, which is computed once, outside the time loop.

    With `reverse_source` the encoder reads each source from its last word to its first (Sutskever 2014, section 3.3),
    with EOS still at the end. Its states return to their words' places before anything attends to them, so windows,
    `location`, alignments and pictures know only the order of the text.
    """

    def __init__(
        self,
        source_embedding: nn.Embedding,
        encoder: Encoder,
        decoder: Decoder,
        output: Output,
        *,
        context: HierarchicalAttention | None = None,
        reverse_source: bool = False,
    ) -> None:
        super().__init__()
        self.source_embedding = source_embedding
        self.encoder = encoder
        self.bridge = decoder.bridge  # the first of its two names, under which checkpoints keep it
        self.decoder = decoder
        self.output = output
        self.context = context
        self.reverse_source = reverse_source

    @property
    def attention(self) -> Attention | None:
        """The attention that alignments, pictures and reports read; None: the model attends to nothing."""
        return self.decoder.aligning_attention

    @property
    def attends(self) -> bool:
        """Whether there is an attention."""
        return self.attention is not None

    @property
    def max_position(self) -> int | None:
        """The number of source positions the attention can tell apart; None: any number."""
        return None if self.attention is None else self.attention.score.max_position

    @property
    def learned_positions(self) -> int | None:
        """The number of source positions that have a learned vector of their own; None: any number."""
        learned = (part for part in self.encoder.modules() if isinstance(part, Learned))
        return next((part.embedding.num_embeddings for part in learned), None)

    @property
    def has_windows(self) -> bool:
        """Whether the attention looks through local windows."""
        return self.attention is not None and self.attention.window.half_width is not None

    def windows(self, attended: AttentionOutput, lengths: Tensor) -> LocalSpans | None:
        """Where the local windows stood in sentences of these lengths [b]; None where windows are not local."""
        return None if self.attention is None else self.attention.spans(attended, lengths)

    def choose_layer(self, layer: int) -> None:
        """Let alignments, pictures and reports read the attention of this decoder layer, counted from 1.

        Raises ConfigError as `check_layer` does.
        """
        self.check_layer(layer)
        self.decoder.alignment_layer = layer - 1

    def check_layer(self, layer: int) -> None:
        """Raise ConfigError, naming the layers, if the decoder has no attention at this layer."""
        layers = self.decoder.attention_layers
        if not 1 <= layer <= layers:
            raise ConfigError(
                f"layer={layer}: number of decoder layers that attend to the source: {layers}. Use a number "
                f"from 1 to {layers}."
            )

    def with_own_decoder(self) -> Self:
        """Return a model of the same weights whose decoder can be told another `alignment_layer`."""
        other, decoder = copy.copy(self), copy.copy(self.decoder)
        other._modules = {**self._modules, "decoder": decoder}
        return other

    def encode(self, source: Tensor, lengths: Tensor, context: Context | None = None) -> tuple[Source, DecoderState]:
        """source tokens [b s], lengths [b] -> what the decoder reads, and its first state."""
        if self.context is None or context is None:
            return self.decoder.start(self._encode(source, lengths), lengths)
        encoded, added, _ = self._in_context(source, lengths, context, need_weights=False)
        return self.decoder.start(encoded.plus(added), lengths)

    def look_at_context(self, source: Tensor, lengths: Tensor, context: Context) -> ContextWeights:
        """What each source position [b s] looks at in the sentences before; `words` are as long as the longest."""
        assert self.context is not None
        _, _, weights = self._in_context(source, lengths, context, need_weights=True)
        assert weights is not None
        return weights

    def _in_context(
        self, source: Tensor, lengths: Tensor, context: Context, *, need_weights: bool
    ) -> tuple[Encoded, Tensor, ContextWeights | None]:
        """Encode each sentence once, sources and others; return the sources' states and what to add to them."""
        assert self.context is not None
        (b, s), size = source.shape, max(source.size(1), context.others.size(1))
        tokens = torch.cat([F.pad(x, (0, size - x.size(1)), value=PAD) for x in (source, context.others)])
        all_lengths = torch.cat([lengths, context.other_lengths])
        encoded = self._encode(tokens, all_lengths)
        states = encoded.keys, encoded.values, all_lengths, context.before
        added, weights = self.context(*states, need_weights=need_weights)
        return encoded.first(b, s), added[:, :s], weights

    def _encode(self, source: Tensor, lengths: Tensor) -> Encoded:
        order = reversal(lengths - 1, source.size(1)) if self.reverse_source else None  # [b s], EOS where it was
        source = source if order is None else source.gather(1, order)
        embedded = self.source_embedding(source)  # [b s e]
        encoded: Encoded = replace(self.encoder(embedded, lengths), embedded=embedded)
        return encoded if order is None else encoded.reorder(order)

    def forward(
        self,
        source: Tensor,
        lengths: Tensor,
        inputs: Tensor,
        *,
        context: Context | None = None,
        need_weights: bool = True,
    ) -> Decoded:
        """source [b s], lengths [b], target inputs (BOS first) [b t] -> features of each next token."""
        memory, state = self.encode(source, lengths, context)
        decoded: Decoded = self.decoder(inputs, memory, state, need_weights=need_weights)
        return replace(decoded, features=self.output.features(decoded.features))

    def step(
        self,
        tokens: Tensor,
        source: Source,
        state: DecoderState,
        project: Callable[[Tensor], Tensor] | None = None,
        *,
        need_weights: bool = True,
    ) -> tuple[Tensor, AttentionOutput, DecoderState]:
        """The previous tokens [n] -> log-probabilities of the next [n v], what was attended, the next state.

        `project` computes the logits in place of `output.logits`.
        """
        decoded = self.advance(tokens, source, state, need_weights=need_weights)
        log_probs = normalise((project or self.output.logits)(decoded.features))
        return log_probs, decoded.attended, decoded.state

    def advance(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        """The previous tokens [n] -> features of the next, which `output.logits` takes."""
        decoded = self.decoder.step(tokens, source, state, need_weights=need_weights)
        return replace(decoded, features=self.output.features(decoded.features))


def normalise(logits: Tensor) -> Tensor:
    """Logits [.. u] -> log-probabilities over these columns; in inference mode in place, which is faster."""
    logits = full_precision(logits)
    return torch.log_softmax(logits, -1, out=logits if torch.is_inference_mode_enabled() else None)
