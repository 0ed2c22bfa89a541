"""How words are cut is drawn as the papers say, and the same in every process."""

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from support.pieces import LINES, STRANGE, tokenizer

import seq2seq
from seq2seq.text.segmentation import choose, draw_segmentation, drop_merges
from seq2seq.text.tokenizer import Tokenizer

LOG = {"a": -1.0, "b": -1.5, "c": -2.0, "ab": -1.2, "bc": -2.5, "abc": -3.0, "ca": -1.0}
DRAWS = 4000


def segmentations(word: str) -> list[tuple[str, ...]]:
    """All segmentations, by trying every subset of the places between letters."""
    found = []
    for cuts in itertools.product((False, True), repeat=len(word) - 1):
        places = [0, *(place for place, cut in enumerate(cuts, 1) if cut), len(word)]
        pieces = tuple(word[i:j] for i, j in itertools.pairwise(places))
        if all(piece in LOG for piece in pieces):
            found.append(pieces)
    return found


def expected(candidates: list[tuple[str, ...]], amount: float) -> dict[tuple[str, ...], float]:
    weights = [math.exp(amount * sum(LOG[piece] for piece in pieces)) for pieces in candidates]
    return {pieces: weight / sum(weights) for pieces, weight in zip(candidates, weights, strict=True)}


@pytest.mark.parametrize("amount", [0.0, 0.3, 2.0])
def test_segmentations_come_as_often_as_their_probability_says(amount: float) -> None:
    random, candidates = Random(3), segmentations("abcab")
    assert len(candidates) > 8
    everywhere = Counter(tuple(draw_segmentation("abcab", LOG, amount, random)) for _ in range(DRAWS))
    scores = [[LOG[piece] for piece in pieces] for pieces in candidates]
    chosen = Counter(candidates[choose(scores, amount, random)] for _ in range(DRAWS))
    for found in (everywhere, chosen):
        for pieces, probability in expected(candidates, amount).items():
            assert found[pieces] / DRAWS == pytest.approx(probability, abs=0.03)


def test_merges_are_left_out_as_often_as_asked() -> None:
    """`ab` comes before `bc`, and `bc` only where `ab` was left out."""
    scores = {"ab": -1.0, "bc": -2.0, "a": -3.0, "b": -4.0, "c": -5.0}
    random = Random(4)
    found = Counter(tuple(drop_merges("abc", scores, 0.3, random)) for _ in range(DRAWS))
    for pieces, probability in ((("ab", "c"), 0.7), (("a", "bc"), 0.3 * 0.7), (("a", "b", "c"), 0.3 * 0.3)):
        assert found[pieces] / DRAWS == pytest.approx(probability, abs=0.03)
    assert drop_merges("abab", scores, 0.0, random) == ["ab", "ab"]
    assert drop_merges("", scores, 0.0, random) == []


@pytest.mark.parametrize("normalization", ["identity", "nmt_nfkc"])
def test_with_all_merges_it_is_bpe(normalization: str) -> None:
    pieces = tokenizer("bpe", normalization=normalization)
    rows = pieces.encode([*LINES, *STRANGE])
    assert pieces.sample(rows, 0.0, None, 1) == rows


@pytest.mark.parametrize("nbest", [None, 4])
def test_a_very_sharp_unigram_is_the_best_segmentation(nbest: int | None) -> None:
    pieces = tokenizer("unigram")
    rows = pieces.encode(LINES)
    assert pieces.sample(rows, 200.0, nbest, 1) == rows


@pytest.mark.parametrize(("kind", "nbest"), [("bpe", None), ("unigram", None), ("unigram", 8)])
def test_another_process_draws_the_same(tmp_path: Path, kind: str, nbest: int | None) -> None:
    pieces = tokenizer(kind)
    (tmp_path / "model").write_bytes(pieces.model)
    rows = pieces.encode(LINES)
    code = (
        "import sys, json, pathlib; from seq2seq.text.tokenizer import Tokenizer;"
        "pieces = Tokenizer.load(pathlib.Path('model')); print(pieces.sample(*json.loads(sys.argv[1])))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, json.dumps([rows, 0.3, nbest, 7])], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(seq2seq.__file__).parent.parent)}, check=True,
    )  # fmt: skip
    assert json.loads(said.stdout) == Tokenizer(pieces.model, "it").sample(rows, 0.3, nbest, 7) != rows
