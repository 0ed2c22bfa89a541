"""Lexical shortlists: who may say what, and that it depends on nothing else."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from support import searches
from support.searches import SOURCES, every_search
from support.variants import DEFAULT, VOCAB, build_model, one_by_one_rows

from seq2seq.errors import ConfigError, DataError
from seq2seq.search.shortlist import Shortlist
from seq2seq.text.tokenizer import BOS, EOS

AXES = ("placement", "tied_embeddings", "cell")
ROWS = [row for row in one_by_one_rows() if row == DEFAULT or any(row[axis] != DEFAULT[axis] for axis in AXES)]
"""The default, and what its vocabulary could be projected from otherwise."""
NOTHING: list[list[int]] = [[] for _ in SOURCES]
search = partial(searches.search, limits=dataclasses.replace(searches.LIMITS, no_repeat_ngram=2))
TABLE = Shortlist(  # each piece goes with the next, and with one other
    np.array([[piece % VOCAB, (3 * piece + 1) % VOCAB] for piece in range(1, VOCAB + 1)], np.int32),
    np.array([EOS, 7], np.int32),
)


def own(source: list[int], most: int = 2) -> set[int]:
    """What a source may say, by the definition."""
    return {0, 1, 2, 3, *TABLE.frequent[:most].tolist(), *TABLE.candidates[source, :most].ravel().tolist()}


def test_a_batch_has_all_candidates_and_each_sentence_its_own() -> None:
    for most in (1, 2):
        selection = TABLE.select(SOURCES, NOTHING, most, VOCAB)
        assert selection.tokens.tolist() == sorted(set().union(*(own(source, most) for source in SOURCES)))
        assert selection.absent is not None
        for source, absent in zip(SOURCES, selection.absent, strict=True):
            assert set(selection.tokens[~absent.numpy()]) == own(source, most)
    assert TABLE.select(SOURCES[:1], NOTHING[:1], 2, VOCAB).absent is None
    with pytest.raises(ConfigError, match=r"decoding.shortlist=3.* 2 candidates"):
        TABLE.select(SOURCES, NOTHING, 3, VOCAB)


@every_search(ROWS)
def test_a_shortlist_of_everything_is_none(row: dict[str, Any], size: int) -> None:
    model = build_model(row)
    everything = Shortlist(np.tile(np.arange(VOCAB, dtype=np.int32), (VOCAB, 1)), np.arange(VOCAB, dtype=np.int32))
    selection = everything.select(SOURCES, NOTHING, VOCAB, VOCAB)
    for short, full in zip(
        search(model, SOURCES, size, selection=selection), search(model, SOURCES, size), strict=True
    ):
        assert [h.tokens for h in short] == [h.tokens for h in full]
        assert [h.token_scores for h in short] == [h.token_scores for h in full]


@every_search(ROWS)
def test_neighbours_change_nothing_and_scores_are_over_the_own_candidates(row: dict[str, Any], size: int) -> None:
    model = build_model(row)
    together = search(model, SOURCES, size, selection=TABLE.select(SOURCES, NOTHING, 2, VOCAB))
    for source, among in zip(SOURCES, together, strict=True):
        (alone,) = search(model, [source], size, selection=TABLE.select([source], [[]], 2, VOCAB))
        candidates = sorted(own(source))
        for one, other in zip(alone, among, strict=True):
            assert one.tokens == other.tokens
            assert one.token_scores == pytest.approx(other.token_scores, abs=1e-9)
            assert set(one.tokens) <= set(candidates)
            inputs = torch.tensor([[BOS, *one.tokens[:-1]]])
            with torch.inference_mode():
                decoded = model(torch.tensor([source]), torch.tensor([len(source)]), inputs)
                logits = F.linear(decoded.features[0], model.output.weight, model.output.bias)
            expected = logits[:, candidates].log_softmax(-1)
            places = [candidates.index(token) for token in one.tokens]
            assert one.token_scores == pytest.approx(expected[range(len(places)), places].tolist(), abs=1e-9)


@pytest.mark.parametrize("size", [1, 3])
def test_a_prefix_may_be_outside_and_its_neighbours_do_not_get_it(size: int) -> None:
    model = build_model(DEFAULT)
    strange = next(token for token in range(4, VOCAB) if token not in own([8, 3]))
    prefixes = [[], [], [], [strange, 4], []]
    found = search(model, SOURCES, size, selection=TABLE.select(SOURCES, prefixes, 2, VOCAB), prefixes=prefixes)
    assert all(hypothesis.tokens[:2] == [strange, 4] for hypothesis in found[3])
    for source, begun, ranked in zip(SOURCES, prefixes, found, strict=True):
        assert {token for h in ranked for token in h.tokens} <= own(source) | set(begun)


def test_a_file_says_what_was_learned_and_for_whom(tmp_path: Path) -> None:
    assert Shortlist.load(tmp_path, VOCAB, VOCAB) is None
    TABLE.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["shortlist.safetensors"]
    again = Shortlist.load(tmp_path, VOCAB, VOCAB)
    assert again is not None
    assert again.candidates.tolist() == TABLE.candidates.tolist()
    assert again.frequent.tolist() == TABLE.frequent.tolist()
    for sizes in ((VOCAB + 1, VOCAB), (VOCAB, VOCAB - 1)):
        with pytest.raises(DataError, match="Make it again with seq2seq shortlist"):
            Shortlist.load(tmp_path, *sizes)
    for broken in ({"candidates": torch.zeros(VOCAB, 2)}, None):
        if broken is None:
            (tmp_path / "shortlist.safetensors").write_bytes(b"nothing")
        else:
            save_file(broken, tmp_path / "shortlist.safetensors")
        with pytest.raises(DataError, match="not a readable shortlist"):
            Shortlist.load(tmp_path, VOCAB, VOCAB)
