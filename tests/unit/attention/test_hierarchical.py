"""Attention in levels: a context-aware model starts as the sentence-level model, and looks where it says.

That it is the paper's equation, over all its parts, is tested with whole models: unit/model/test_reference.py.
"""

import pytest
import torch
from support.variants import DEFAULT, HIDDEN_SIZE, VOCAB, Row, fill, model_options, numbers
from torch import Tensor

from seq2seq import build
from seq2seq.attention.hierarchical import HierarchicalAttention
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import pad
from seq2seq.text.context import Context, InContext, gather

SIZE = 4
LENGTHS = torch.tensor([3, 2, 4, 1, 2])
"""Of five sentences, the first three with context, the longest further on."""
BEFORE = torch.tensor([[-1, -1], [3, 0], [1, -1]])


def module(**changes: str) -> HierarchicalAttention:
    row = {**DEFAULT, "context": "hierarchical", **changes}
    options = model_options({**row, "memory_size": HIDDEN_SIZE})
    made = build.CONTEXTS[type(options.context)](options.context, SIZE)
    return fill(made.double()).eval()


def states() -> Tensor:
    return numbers(5, 4, SIZE, offset=2.0)


@pytest.mark.parametrize("self_window", ["global", "local_m", "local_p"])
@pytest.mark.parametrize("self_normaliser", ["softmax", "sparsemax", "hard"])
def test_weights_say_where_it_looked(self_window: str, self_normaliser: str) -> None:
    h, made = states(), module(self_window=self_window, self_normaliser=self_normaliser)
    added, weights = made(h, h, LENGTHS, BEFORE, need_weights=True)
    alone, none = made(h, h, LENGTHS, BEFORE)
    assert none is None
    assert weights is not None
    torch.testing.assert_close(added, alone)
    assert weights.gate.shape == (3, 4)
    assert weights.gate[0].tolist() == [1] * 4
    assert not added[0].any()
    for row, places in enumerate(BEFORE.tolist()):
        real = [place for place in places if place >= 0]
        assert not weights.sentences[row, :, len(real) :].any()
        if real and self_window != "local_p":  # whose gain takes weight away
            torch.testing.assert_close(weights.sentences[row].sum(-1), torch.ones(4, dtype=torch.float64))
        for distance, place in enumerate(real):
            assert not weights.words[row, :, distance, LENGTHS[place] :].any()
            assert weights.words[row, :, distance].any()


def test_what_stands_behind_a_sentence_changes_nothing() -> None:
    made, h = module(), states()
    added, _ = made(h, h, LENGTHS, BEFORE)
    padded = h.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        padded[row, length:] = 7
    wide = torch.nn.functional.pad(BEFORE, (0, 2), value=-1)
    again, _ = made(padded, padded, LENGTHS, wide)
    for row, length in enumerate(LENGTHS[:3].tolist()):
        torch.testing.assert_close(again[row, :length], added[row, :length])


def models(row: Row) -> tuple[TranslationModel, TranslationModel]:
    """A sentence-level model, and the fresh one in context that has its weights; in fp32."""
    torch.manual_seed(1)
    alone = build.translation_model(model_options(row), VOCAB, VOCAB).eval()
    new = build.translation_model(model_options({**row, "context": "hierarchical"}), VOCAB, VOCAB).eval()
    missing, unknown = new.load_state_dict(alone.state_dict(), strict=False)
    assert not unknown
    assert {name.partition(".")[0] for name in missing} == {"context"}
    return alone, new


def read(sources: list[InContext]) -> tuple[Tensor, Tensor, Context | None]:
    return *pad(sources), gather(sources, pad)


@pytest.mark.parametrize("encoder", ["recurrent", "transformer", "convolutional"])
def test_before_training_it_is_the_model_of_single_sentences_to_the_bit(encoder: str) -> None:
    alone, new = models({**DEFAULT, "encoder": encoder})
    inputs = torch.tensor([[2, 5], [2, 6], [2, 4]])
    # The sentences before are in the batch. With more of them, some CPUs round the encoder's products differently.
    rows = [InContext([6, 3], []), InContext([7, 8, 3], [[6, 3]]), InContext([4, 5, 3], [[7, 8, 3], [6, 3]])]
    source, lengths, context = read(rows)
    expected, actual = (model(source, lengths, inputs, context=context).features for model in (alone, new))
    assert torch.equal(expected, actual)
    source, lengths, context = read([*rows[:2], InContext([4, 5, 3], [[8, 3], [6, 5, 3]])])
    expected, actual = (model(source, lengths, inputs, context=context).features for model in (alone, new))
    torch.testing.assert_close(expected, actual)
    new.train()
    new(source, lengths, inputs, context=context).features.sum().backward()
    learning = new.context.sentences.heads.output.weight.grad  # type: ignore[union-attr]
    assert learning is not None
    assert learning.any()


def test_the_first_sentence_of_a_document_is_the_model_of_single_sentences() -> None:
    _, model = models(DEFAULT)
    fill(model)
    together = [InContext([4, 5, 6, 3]), InContext([6, 5, 3], [[4, 5, 6, 3]])]
    inputs = torch.tensor([[2, 5], [2, 6]])
    source, lengths, context = read(together)
    first, second = model(source, lengths, inputs, context=context).features
    alone = model(source, lengths, inputs).features
    torch.testing.assert_close(first, alone[0])
    assert not torch.allclose(second, alone[1])


def test_the_nearest_sentence_is_not_the_farthest() -> None:
    """With a window over the nearest sentence alone, the others count for nothing."""
    row = {**DEFAULT, "context": "hierarchical", "self_window": "local_m"}
    options = model_options(row)
    options.context.sentences.window.half_width = 0
    torch.manual_seed(1)
    model = fill(build.translation_model(options, VOCAB, VOCAB)).eval()
    inputs = torch.tensor([[2, 5]])
    one, same, other = (
        model(source, lengths, inputs, context=context).features
        for source, lengths, context in (
            read([InContext([4, 5, 3], before)]) for before in ([[6, 3], [7, 3]], [[6, 3], [8, 3]], [[7, 3], [6, 3]])
        )
    )
    torch.testing.assert_close(one, same)
    assert not torch.allclose(one, other)
