"""Rules across sections: which models, data, trainings and searches do not fit together.

Both `train` and `benchmark` hold these sections and ask for the rules that concern them.
"""

from collections.abc import Iterator

from seq2seq.config.architectures import NoContext
from seq2seq.config.attention import After, Entmax, LocalP, NoAttention, Reinforce, Softmax, Sparsemax
from seq2seq.config.data import Data
from seq2seq.config.decoding import Decoding
from seq2seq.config.model import Model
from seq2seq.config.training import Training


def tying_problems(model: Model, data: Data) -> Iterator[str]:
    """Yield an error for one embedding of two vocabularies."""
    if model.tied_embeddings in ("source_target", "all") and not data.joint:
        yield (
            f"model.tied_embeddings={model.tied_embeddings} and data.joint=false: two vocabularies can't "
            "share one table. Use data.joint=true, or model.tied_embeddings=target_output."
        )


def context_problems(model: Model, data: Data) -> Iterator[str]:
    """Yield an error unless sentences of context and a model that reads them come together."""
    reads = not isinstance(model.context, NoContext)
    if reads and not data.context:
        yield (
            f"model/context={model.context.name} and data.context=0: there is nothing to attend to. "
            "Give data.context the number of sentences before, for example 3, or use model/context=none."
        )
    if data.context and not reads:
        yield (
            f"data.context={data.context} and model/context=none: the model would not read the sentences before. "
            "Use model/context=hierarchical, or data.context=0."
        )
    if data.documents is not None and not data.context:
        yield (
            f"data.documents={data.documents} and data.context=0: without context, nothing depends on the documents. "
            "Give data.context the number of sentences before, or leave data.documents=null."
        )


def search_problems(model: Model, data: Data, decoding: Decoding) -> Iterator[str]:
    """Yield an error for what decoding asks of a model or sub-words that do not have it."""
    if isinstance(model.attention.placement, NoAttention):
        for key, value, default in (
            ("coverage_penalty", decoding.coverage_penalty, 0),
            ("replace_unknown", decoding.replace_unknown, "false"),
        ):
            if value:
                yield (
                    f"model/attention/placement=none and decoding.{key}={str(value).lower()}: there is no attention to "
                    f"go by. Leave decoding.{key}={default}."
                )
    yield from untrained_problems(decoding)
    if decoding.replace_unknown and data.tokenizer != "word":
        yield (
            f"data.tokenizer={data.tokenizer} and decoding.replace_unknown=true: these spell what they do not know. "
            "Use data.tokenizer=word, or decoding.replace_unknown=false."
        )


def untrained_problems(decoding: Decoding) -> Iterator[str]:
    """Yield an error for what decoding reads from the checkpoint of a trained model."""
    if decoding.shortlist is not None:
        yield (
            f"decoding.shortlist={decoding.shortlist}: a model that is yet to be trained has no shortlist. "
            "Leave decoding.shortlist=null; seq2seq shortlist makes one for the trained checkpoint."
        )
    if decoding.precision == "auto":
        yield (
            "decoding.precision=auto: of a model that is yet to be trained, nothing has been measured. Use "
            "decoding.precision=fp32."
        )
    if decoding.engine == "onnx":
        yield (
            "decoding.engine=onnx: a model that is yet to be trained has no graphs. Leave decoding.engine=torch; "
            "seq2seq export makes them for the trained checkpoint."
        )


def guidance_problems(model: Model, data: Data, training: Training) -> Iterator[str]:
    """Yield an error unless alignments, their weight and an attention that can learn from them come together."""
    weight, file = training.guided_alignment, data.alignments
    normaliser = model.attention.normaliser
    if weight and file is None:
        yield (
            f"training.guided_alignment={weight} and data.alignments=null: there is nothing to guide the attention by. "
            "Give data.alignments=FILE, or use training.guided_alignment=0."
        )
    if file is not None and not weight:
        yield (
            f"data.alignments={file} and training.guided_alignment=0: the alignments would change nothing. "
            "Give training.guided_alignment a weight, for example 0.2, or leave data.alignments=null."
        )
    if weight and isinstance(model.attention.placement, NoAttention):
        yield (
            f"training.guided_alignment={weight} and model/attention/placement=none: there is no attention to guide. "
            "Use another placement, or training.guided_alignment=0 and data.alignments=null."
        )
    elif weight and normaliser is not None and not isinstance(normaliser, Softmax):
        yield (
            f"training.guided_alignment={weight} and model/attention/normaliser={normaliser.name}: its "
            "weights can be 0, where a cross-entropy has no gradient to make them larger. "
            "Use model/attention/normaliser=softmax, or training.guided_alignment=0 and data.alignments=null."
        )


def loss_problems(model: Model, training: Training) -> Iterator[str]:
    """Yield an error for a loss that means nothing with this model."""
    attention = model.attention
    if training.loss == "marginal":
        alone = isinstance(attention.placement, After) and not attention.placement.input_feeding
        soft = isinstance(attention.normaliser, Softmax | Sparsemax | Entmax)
        summed = soft and not isinstance(attention.window, LocalP)  # whose weights don't add up to 1
        if not (alone and summed and attention.heads == 1) or getattr(attention.score, "coverage", False):
            yield (
                "training.loss=marginal: it sums over the positions that a step may read alone, which needs a decoder "
                "whose steps don't read what others read, one head, no coverage, and soft weights that add up to 1, as "
                "those of window=local_p don't. Use model/attention=luong2015_unfed, or training.loss=cross_entropy."
            )
    recurrent = [getattr(side, "recurrent_dropout", 0) for side in (model.encoder, model.decoder)]
    if training.r_drop and not (model.dropout or any(recurrent)):
        yield (
            f"training.r_drop={training.r_drop} and model.dropout=0: both passes would be the same. "
            "Give model.dropout a probability, or use training.r_drop=0."
        )
    if training.r_drop and isinstance(model.attention.normaliser, Reinforce):
        yield (
            f"model/attention/normaliser=reinforce and training.r_drop={training.r_drop}: the positions that one pass "
            "samples would be rewarded for the other's words. Use training.r_drop=0, or another normaliser."
        )
    if training.loss == "minimum_risk" and isinstance(model.attention.normaliser, Reinforce):
        yield (
            "model/attention/normaliser=reinforce and training.loss=minimum_risk: its positions are trained by the "
            "likelihood that they lead to. Use training.loss=cross_entropy."
        )
