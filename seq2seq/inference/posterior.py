"""Posterior attention: where a token came from, once it is known.

Shapes: b batch, n pairs of a sentence and a source position, s source, t target.
"""

from dataclasses import replace

import torch
from torch import Tensor

from seq2seq.inference.teacher_forcing import PairBatch, log_probs
from seq2seq.model.protocol import Pointer, Readers
from seq2seq.model.translation import TranslationModel

POSTERIOR_SIZE = 16 * 16
"""Attention weights of a pair up to which a batch has its full number of pairs: each weight has a decoder state"""


def posterior(model: TranslationModel, batch: PairBatch, prior: Tensor) -> Tensor:
    """P(a_t = i | y_t) ∝ α_{t,i} p(y_t | a_t = i) (Shankar & Sarawagi 2019), with the weights α as the prior.

    prior [b t s] -> [b t s]. p(y_t | a_t = i) is that of the ordinary model if all heads of the attention put all of
    their weight on position i in this step, and attended as ever in the steps before. This costs a decoder step and a
    projection to the vocabulary for each target token and each source position with any weight.
    """
    batch = batch.to(prior.device)
    source, state = model.encode(batch.source, batch.source_lengths, batch.context)
    b, _, s = prior.shape
    likelihood = torch.zeros_like(prior)
    for t, (tokens, following) in enumerate(zip(batch.inputs.unbind(1), batch.targets.unbind(1), strict=True)):
        going = (batch.target_lengths > t)[:, None]
        rows, positions = ((prior[:, t] > 0) & going).nonzero(as_tuple=True)  # [n]
        readers = Readers(rows, rows * s + positions, (b, s))
        pointer = Pointer(model.decoder.alignment_layer, positions)
        pointed = replace(source, readers=readers, pointer=pointer)
        decoded = model.decoder.step(tokens[rows], pointed, state.select(rows), need_weights=False)
        features = model.output.features(decoded.features)
        likelihood[rows, t, positions] = log_probs(model.output, features, following[rows]).to(prior.dtype)
        state = model.decoder.step(tokens, source, state, need_weights=False).state
    return (prior.log() + likelihood).softmax(-1)
