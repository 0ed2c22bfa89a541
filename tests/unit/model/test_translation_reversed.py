"""A source read backwards: the same model as one that is given the reversed text, but for the order of what it attends
to, which is that of the text."""

from pathlib import Path

import pytest
import torch
from support.variants import DEFAULT, Row, batch, fill, label, model_options, one_by_one_rows
from torch import Tensor

from seq2seq import build
from seq2seq.benchmark.corpora import word_tokenizer
from seq2seq.checkpoint import Checkpoint, save
from seq2seq.config import Decoding, parse
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.forced_scores import SentencePair, score_pairs
from seq2seq.inference.loading import load_translator
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.shortlist_making import make_shortlist
from seq2seq.inference.translator import Translator
from seq2seq.model.translation import TranslationModel

CPU = torch.device("cpu")
WORDS = word_tokenizer([f"w{number}" for number in range(9)])
LINES = ["w0 w1 w2 w3 w4", "w5", "w8 w6 w7"]
BACKWARDS = [" ".join(line.split()[::-1]) for line in LINES]
BLIND = [row for row in one_by_one_rows() if row["window"] == "global" and row["score"] != "location"]
"""Rows whose attention knows no position."""


def backwards(source: Tensor, lengths: Tensor) -> Tensor:
    """Each row up to its EOS."""
    turned = source.clone()
    for row, length in zip(turned, lengths.tolist(), strict=True):
        row[: length - 1] = row[: length - 1].flip(0)
    return turned


def pair_of_models(row: Row, vocab: int = 9) -> tuple[TranslationModel, TranslationModel]:
    """With the same weights: one that reads backwards, one that does not."""
    options = model_options(row)
    models = [build.translation_model(options, vocab, vocab, reverse_source=turned) for turned in (True, False)]
    for model in models:
        fill(model.double()).eval()
    return models[0], models[1]


@pytest.mark.parametrize("row", BLIND, ids=label)
def test_it_is_the_plain_model_of_the_reversed_text(row: Row) -> None:
    turned, plain = pair_of_models(row)
    source, lengths, inputs, _ = batch()
    found, expected = turned(source, lengths, inputs), plain(backwards(source, lengths), lengths, inputs)
    torch.testing.assert_close(found.features, expected.features, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(found.features, plain(source, lengths, inputs).features)
    weights, others = (decoded.attended.to_dense(source.size(1)) for decoded in (found, expected))
    assert (weights is None) == (row["placement"] in ("none", "none-fed"))
    if weights is None or others is None:
        return
    for b, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(weights[b, ..., : length - 1], others[b, ..., : length - 1].flip(-1))
        torch.testing.assert_close(weights[b, ..., length - 1], others[b, ..., length - 1])


def test_windows_are_of_the_text() -> None:
    model, _ = pair_of_models({**DEFAULT, "window": "local_m"})  # within two positions
    source, lengths, inputs, _ = batch()
    weights = model(source[:1], lengths[:1], inputs[:1]).attended.to_dense(6)
    assert weights is not None
    seen = [torch.nonzero(row).flatten().tolist() for row in weights[0, 0]]
    assert seen == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]


def translators(tmp_path: Path) -> tuple[Translator, Translator]:
    """One that reads backwards, from a checkpoint, and one that does not."""
    turned, plain = pair_of_models(DEFAULT, len(WORDS))
    data = parse("data", {
        "train": "t", "valid": "v", "source_lang": "en", "target_lang": "de", "tokenizer": "word",
        "reverse_source": True,
    })  # fmt: skip
    save(tmp_path / "turned", Checkpoint(turned.float(), model_options(DEFAULT), data, WORDS, WORDS), "card")
    return load_translator(tmp_path / "turned"), Translator(
        [EnsembleMember(plain.float(), WORDS)], WORDS, CPU, ("en", "de")
    )


def mirrored(links: list[tuple[int, int]], line: str) -> list[tuple[int, int]]:
    return [(len(line.split()) - 1 - i, j) for i, j in links]


def test_alignments_of_a_checkpoint_are_of_the_text(tmp_path: Path) -> None:
    turned, plain = translators(tmp_path)
    aligners = [Aligner.of(turned), Aligner.of(plain)]
    assert aligners[0] is not None
    assert aligners[1] is not None
    options, links = Decoding(beam_size=2, max_length=7), []
    found, expected = list(turned.translate_lines(LINES, options)), list(plain.translate_lines(BACKWARDS, options))
    for line, (one, *_), (other, *_) in zip(LINES, found, expected, strict=True):
        assert one.tokens == other.tokens
        assert one.token_scores == pytest.approx(other.token_scores, abs=1e-5)
        assert one.source_tokens == [*(f"\u2581{word}" for word in line.split()), "</s>"]
        links.append(aligners[0].align(one).links)
        assert links[-1] == mirrored(aligners[1].align(other).links, line)
    assert any(i != len(line.split()) - 1 - i for line, of in zip(LINES, links, strict=True) for i, _ in of)
    targets = ["w1 w2 w3", "w4 w4", "w0"]
    forced = score_pairs(turned, [SentencePair(*pair) for pair in zip(LINES, targets, strict=True)], 2)
    others = score_pairs(plain, [SentencePair(*pair) for pair in zip(BACKWARDS, targets, strict=True)], 2)
    for line, one, other in zip(LINES, forced, others, strict=True):
        assert one.token_scores == pytest.approx(other.token_scores, abs=1e-5)
        assert aligners[0].align(one).links == mirrored(aligners[1].align(other).links, line)


def test_a_shortlist_is_of_the_same_links() -> None:
    turned, plain = pair_of_models(DEFAULT, len(WORDS))
    targets = WORDS.encode(["w1 w2 w3", "w4 w4", "w0"])
    one = make_shortlist(turned, WORDS.encode(LINES), targets, 4, 2)
    other = make_shortlist(plain, WORDS.encode(BACKWARDS), targets, 4, 2)
    assert one.candidates.tolist() == other.candidates.tolist()
