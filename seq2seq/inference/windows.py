"""Where local attention looks: the window of each step, and its centre p_t.

Search does not keep windows. A teacher-forced pass over the tokens that it found recovers them.
"""

from collections.abc import Sequence

from seq2seq.attention.attention import AttentionOutput
from seq2seq.inference.models import TrainedModels
from seq2seq.inference.teacher_forcing import PairBatch, Tokens, force_pairs
from seq2seq.inference.translation import Translation
from seq2seq.inference.weights import AttentionWindow, Windows
from seq2seq.model.translation import TranslationModel


def attention_windows(
    model: TranslationModel, sources: Tokens, targets: Tokens, batch_size: int
) -> list[Windows] | None:
    """Return the window of the step of each target token; None unless the model's windows are local.

    The windows fit the weights of a search with the same model in the same precision. Sources include EOS.
    """
    if not model.has_windows:
        return None

    def read(batch: PairBatch) -> list[Windows]:
        return batch_windows(model, batch.decode(model).attended, batch)

    return force_pairs(model, sources, targets, batch_size, read)


def token_windows(
    models: TrainedModels, results: Sequence[Translation], precision: str, batch_size: int
) -> list[Windows | None]:
    """Return the windows of each result's target pieces.

    None for a line without pieces, if windows are not local, and for an ensemble, whose models have windows each.
    """
    rows = [row for row, result in enumerate(results) if result.tokens]
    windows: list[Windows | None] = [None] * len(results)
    if len(models.members) == 1:
        (model,) = models.models(precision)
        targets = [[models.piece_numbers[piece] for piece in results[row].tokens] for row in rows]
        (encoded,) = models.read([results[row].source for row in rows], [results[row].context for row in rows])
        for row, of_row in zip(rows, attention_windows(model, encoded, targets, batch_size) or [], strict=False):
            windows[row] = of_row
    return windows


def batch_windows(model: TranslationModel, attended: AttentionOutput, batch: PairBatch) -> list[Windows]:
    """Return the local windows of each pair of a batch."""
    spans = model.windows(attended, batch.source_lengths.to(attended.context.device))
    assert spans is not None
    steps = (spans.first.cpu(), spans.last.cpu(), spans.centre.cpu().double())
    return [
        [AttentionWindow(*step) for step in zip(*(x[row, :t].tolist() for x in steps), strict=True)]
        for row, t in enumerate(batch.target_lengths.tolist())
    ]
