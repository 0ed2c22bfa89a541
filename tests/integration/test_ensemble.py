"""Several models that translate as one: any mixture of attentions, with one target vocabulary."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from support.variants import BASES, label, model_options, one_by_one_rows

from seq2seq import build
from seq2seq.config import Decoding
from seq2seq.errors import ConfigError
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.forced_scores import SentencePair, force_tokens, score_pairs
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translation import Request, Translation
from seq2seq.inference.translator import Translator
from seq2seq.text.tokenizer import Tokenizer

ROWS = one_by_one_rows()
LINES = ["ab cd", "a", "e d c b a", "aa bb ab ba e", "", "ab ab"]
SEARCHES = [
    Decoding(beam_size=1, max_length=9),
    Decoding(beam_size=4, n_best=3, coverage_penalty=0.3, max_length=9, no_repeat_ngram=3),
    Decoding(search="sample", n_best=2, top_p=0.9, max_length=9),
]


@lru_cache
def pieces(size: int) -> Tokenizer:
    lines = ["a b c d e", "e d c b a", "aa bb ab ba", "ab ab ab cd cd"] * 5
    return Tokenizer.train(
        lines, kind="bpe", vocab_size=size, byte_fallback=False, character_coverage=1.0, normalization="identity"
    )


TARGET = pieces(15)


def translator(rows: Sequence[dict[str, Any]], sizes: Sequence[int]) -> Translator:
    """Variants in double precision, each with a source vocabulary of its size."""
    readers = []
    for number, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        torch.manual_seed(number)
        model = build.translation_model(model_options(row), size, len(TARGET)).double()
        readers.append(EnsembleMember(model, pieces(size)))
    return Translator(readers, TARGET, torch.device("cpu"), ("en", "de"))


def mixtures() -> list[list[dict[str, Any]]]:
    """Each row of the one-by-one table with the two after it, where the embeddings don't tie source and target."""
    free = [row for row in ROWS if row["tied_embeddings"] not in ("source_target", "all")]
    return [[free[(first + step) % len(free)] for step in range(3)] for first in range(0, len(free), 3)]


def say(models: Translator, decoding: Decoding, lines: Sequence[str] = LINES) -> list[list[Translation]]:
    return models.translate_group([Request(line, LINES.index(line)) for line in lines], decoding)


@pytest.mark.parametrize("decoding", SEARCHES)
@pytest.mark.parametrize("rows", mixtures(), ids=lambda rows: label(rows[0]))
def test_forced_scores_and_alignments_are_those_of_search(rows: list[dict[str, Any]], decoding: Decoding) -> None:
    models = translator(rows, [15, 17, 15])
    aligner = Aligner.of(models)
    assert aligner is not None
    said = [translation for ranked in say(models, decoding) for translation in ranked]
    for translation in said:
        assert translation.score == pytest.approx(sum(translation.token_scores))
    said = [translation for translation in said if translation.tokens]
    pairs = [SentencePair(translation.source, translation.text, translation.tokens) for translation in said]
    for forced, translation in zip(score_pairs(models, pairs, 3), said, strict=True):
        torch.testing.assert_close(forced.token_scores, translation.token_scores, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(forced.attention, translation.attention, rtol=1e-5, atol=1e-6)
        assert aligner.align(forced).links == aligner.align(translation).links


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("int8", 1e-6)])
def test_in_fewer_bits_too_forced_scores_are_those_of_search(precision: str, tolerance: float) -> None:
    models = translator(mixtures()[0], [15, 17, 15])
    exact = say(models, SEARCHES[0])
    for ranked, (as_it_is,) in zip(say(models, replace(SEARCHES[0], precision=precision)), exact, strict=True):
        for said in ranked:
            (forced,) = score_pairs(models, [SentencePair(said.source, said.text, said.tokens)], 3, precision)
            assert forced.token_scores == pytest.approx(said.token_scores, abs=tolerance)
            assert not said.tokens or said.token_scores != as_it_is.token_scores


@pytest.mark.parametrize("decoding", SEARCHES)
def test_neighbours_and_order_change_nothing(decoding: Decoding) -> None:
    models = translator(mixtures()[0], [15, 17, 15])
    together = say(models, decoding)
    for lines in (LINES[::-1], *([line] for line in LINES)):
        for line, ranked in zip(lines, say(models, decoding, lines), strict=True):
            expected = together[LINES.index(line)]
            assert [t.tokens for t in ranked] == [t.tokens for t in expected]
            for one, other in zip(ranked, expected, strict=True):
                assert one.score == pytest.approx(other.score, abs=1e-9)


def test_a_probability_is_the_mean_of_the_members() -> None:
    rows = mixtures()[1]
    models = translator(rows, [15, 15, 17])
    tokens = [5, 6, 4, 3]
    scores = [
        force_tokens(r.model, r.tokenizer.encode(["ab cd"]), [tokens], 1)[0][0] for r in models.members
    ]  # fmt: skip
    (forced,) = score_pairs(models, [SentencePair("ab cd", "", TARGET.pieces(tokens))], 1)
    for t, score in enumerate(forced.token_scores):
        assert score == pytest.approx(math.log(sum(math.exp(one[t]) for one in scores) / 3), abs=1e-9)


def test_one_model_twice_is_that_model() -> None:
    row = ROWS[0]
    one = translator([row], [15])
    twice = Translator([one.members[0], one.members[0]], TARGET, torch.device("cpu"), ("en", "de"))
    for a, b in zip(say(one, SEARCHES[1]), say(twice, SEARCHES[1]), strict=True):
        assert [t.tokens for t in a] == [t.tokens for t in b]
        assert [t.score for t in a] == pytest.approx([t.score for t in b])
        for left, right in zip(a, b, strict=True):
            if left.attention is not None:
                torch.testing.assert_close(left.attention, right.attention)


def test_the_attention_is_of_the_members_that_have_one_and_read_alike() -> None:
    attending = ROWS[0]
    fixed = next(row for row in ROWS if row["placement"].startswith("none"))
    models = translator([fixed, attending, attending], [17, 15, 17])
    assert models.attends
    assert models.source.model == pieces(15).model
    alone = Translator([models.members[1]], TARGET, torch.device("cpu"), ("en", "de"))
    pair = [SentencePair("ab cd", "", ["▁ab", "</s>"])]
    torch.testing.assert_close(score_pairs(models, pair, 1)[0].attention, score_pairs(alone, pair, 1)[0].attention)
    nothing = translator([fixed, fixed], [15, 15])
    assert not nothing.attends
    assert Aligner.of(nothing) is None
    with pytest.raises(ConfigError, match="coverage_penalty"):
        say(nothing, SEARCHES[1])
    with pytest.raises(ValueError, match="too many values"):
        assert nothing.model


def test_a_layer_that_one_lacks_is_chosen_in_none() -> None:
    rows = [{**BASES[4], "decoder_layers": layers} for layers in (3, 2)]
    models = translator(rows, [15, 15])
    before = [member.model.decoder.alignment_layer for member in models.members]
    with pytest.raises(ConfigError, match="from 1 to 2"):
        models.choose_layer(3)
    assert [member.model.decoder.alignment_layer for member in models.members] == before
    models.choose_layer(1)
    assert [member.model.decoder.alignment_layer for member in models.members] == [0, 0]
