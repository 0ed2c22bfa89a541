"""Guided alignment training: from links of words to a matrix of pieces, and the cross-entropy of attention with it."""

import dataclasses
import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.variants import (
    MEMORY_SIZE,
    PLACEMENTS,
    attention_inputs,
    attention_rows,
    build_attention,
    build_model,
    label,
    numbers,
    one_by_one_rows,
    run_attention,
)
from torch import Tensor

from seq2seq import config
from seq2seq.errors import ConfigError, DataError
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch, make_batch, spread_links
from seq2seq.text.cache import EncodedCorpus, encode_corpus
from seq2seq.text.disk_arrays import Stored
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.tokenizer import PAD, Tokenizer
from seq2seq.text.word_alignments import WordLinks, join_pieces
from seq2seq.text.words import Words, WordSegmenter
from seq2seq.training.loss import ProjectedCrossEntropy, TranslationLoss, guided_cross_entropy
from seq2seq.training.run_directory import default_run_dir

PAIRS = [
    ("the cat sees a dog", "die Katze sieht einen Hund", "0-0 1-1 2-2 3-3 4-4"),
    ("", "leer", ""),
    ("a  housecat sleeps", "eine Hauskatze schläft jetzt", "2-2 0-0 1-1"),
    ("the dog " * 30, "der Hund " * 30, "0-0 59-59"),
    ("old dogs", "alte Hunde", ""),
    ("sees the old cat", "die alte Katze sehen", "0-3 1-0 2-1 3-2 3-2 1-2"),
]
KEPT = [0, 2, 4, 5]
"""Pairs that are neither empty nor long."""


def pieces() -> Tokenizer:
    return Tokenizer.train(
        [side for pair in PAIRS * 2 for side in pair[:2] if side],
        kind="bpe",
        vocab_size=330,
        byte_fallback=None,
        character_coverage=1.0,
        normalization="identity",
    )


def write(where: Path, name: str, lines: list[str]) -> None:
    (where / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def text(tmp_path: Path) -> ParallelText:
    for column, name in enumerate(("t.en", "t.de", "t.align")):
        write(tmp_path, name, [pair[column] for pair in PAIRS])
    return ParallelText.find(str(tmp_path / "t"), "en", "de")


def given(where: Path) -> WordLinks:
    return WordLinks.find(str(where / "t.align"), "en", "de")


def encoded(text: ParallelText, where: Path, links: WordLinks | None) -> EncodedCorpus:
    tokenizer = pieces()
    return encode_corpus(text, tokenizer, tokenizer, filters=Filters(40), cache_dir=where / "cache", links=links)


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_piece_is_linked_to_every_piece_of_the_words_its_word_is_linked_to() -> None:
    # source: "aa b" in the pieces a, a, b, EOS; target: "xx y z" in x, x, y, z, EOS
    source = Words(["aa", "b"], [range(0, 1), range(0, 1), range(1, 2), range(0)])
    target = Words(["xx", "y", "z"], [range(0, 1), range(0, 1), range(1, 2), range(2, 3), range(0)])
    joined = join_pieces([(0, 0), (1, 1), (0, 1), (0, 1)], source, target)
    assert joined.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2]]
    assert joined.dtype == np.uint32
    assert join_pieces([], source, target).shape == (0, 2)
    third = 1 / 3
    torch.testing.assert_close(
        spread_links([joined, joined[:0], joined[2:3]], 6, 4),
        torch.tensor(
            [
                [[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [third, third, third, 0], *[[0.0, 0, 0, 0]] * 3],
                [[0.0, 0, 0, 0]] * 6,
                [[0.0, 0, 0, 0], [1.0, 0, 0, 0], *[[0.0, 0, 0, 0]] * 4],
            ]
        ),
    )


def test_a_piece_of_several_characters_has_the_links_of_each() -> None:
    source = Words(["I", "we", "go"], [range(0, 1), range(1, 2), range(2, 3), range(0)])
    target = Words(["我", "们", "去"], [range(0, 2), range(2, 3), range(0)])
    assert join_pieces([(1, 0), (1, 1), (0, 1), (2, 2)], source, target).tolist() == [[0, 0], [0, 1], [1, 2]]


def test_links_stay_with_their_pairs_when_others_are_dropped(text: ParallelText, tmp_path: Path) -> None:
    corpus = encoded(text, tmp_path, given(tmp_path))
    assert corpus.links is not None
    assert corpus.counts["kept"] == len(corpus) == len(KEPT)
    tokenizer = pieces()
    linked = 0
    for row, number in enumerate(KEPT):
        source, target, line = PAIRS[number]
        of_source, of_target = WordSegmenter(tokenizer, "en").line(source), WordSegmenter(tokenizer, "de").line(target)
        links = {tuple(map(int, link.split("-"))) for link in line.split()}
        expected = [
            [t, s]
            for t, target_words in enumerate(of_target.owners)
            for s, source_words in enumerate(of_source.owners)
            if any((i, j) in links for i in source_words for j in target_words)
        ]
        assert corpus.links[row].tolist() == expected
        assert len(of_target.owners) == len(corpus.target[row])
        assert len(of_source.owners) == len(corpus.source[row])
        linked += len({t for t, _ in expected})
    assert corpus.counts["linked"] == linked
    assert max(len(links) for links in map(corpus.links.__getitem__, range(4))) > len(PAIRS[5][2].split())  # sub-words


def test_a_batch_has_the_matrix_of_each_pair_and_zeros_around_it(text: ParallelText, tmp_path: Path) -> None:
    corpus = encoded(text, tmp_path, given(tmp_path))
    together = make_batch(corpus, [3, 0, 2, 1])
    assert together.links is not None
    assert together.links.shape == (*together.targets.shape, together.source.size(1))
    for place, row in enumerate([3, 0, 2, 1]):
        alone = make_batch(corpus, [row]).links
        assert alone is not None
        t, s = alone.shape[1:]
        assert torch.equal(together.links[place, :t, :s], alone[0])
        assert together.links[place].sum() == alone.sum()
        sums = alone[0].sum(-1)
        assert ((sums - 1).abs() < 1e-6).logical_or(sums == 0).all()
        assert sums[-1] == 0  # EOS
    assert make_batch(corpus, [2]).links.sum() == 0  # type: ignore[union-attr]
    moved = together.to(torch.device("cpu")).links
    assert moved is not None
    assert torch.equal(moved, together.links)


def test_links_come_from_the_cache_until_their_file_changes(text: ParallelText, tmp_path: Path) -> None:
    first = encoded(text, tmp_path, given(tmp_path))
    (entry,) = (tmp_path / "cache").iterdir()
    before = entry.stat().st_mtime_ns
    (tmp_path / "t.align.gz").write_bytes(gzip.compress((tmp_path / "t.align").read_bytes()))
    (tmp_path / "t.align").unlink()
    second = encoded(text, tmp_path, given(tmp_path))  # now as .gz
    assert entry.stat().st_mtime_ns == before
    assert first.links is not None
    assert second.links is not None
    assert isinstance(second.links.numbers, Stored)
    assert second.links.numbers[:].tolist() == first.links.numbers[:].tolist()
    write(tmp_path, "t.align", ["0-4", "", "", "", "", ""])
    third = encoded(text, tmp_path, given(tmp_path))
    assert third.links is not None
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert {int(t) for t in third.links.numbers[:][:, 0]} != {int(t) for t in first.links.numbers[:][:, 0]}


def test_without_links_nothing_is_stored_of_them(text: ParallelText, tmp_path: Path) -> None:
    corpus = encoded(text, tmp_path, None)
    (entry,) = (tmp_path / "cache").iterdir()
    assert sorted(path.name for path in entry.iterdir()) == [
        "counts.json", "source.offsets.npy", "source.tokens", "target.offsets.npy", "target.tokens",
    ]  # fmt: skip
    assert corpus.counts == {"kept": 4, "empty": 1, "long": 1}
    assert make_batch(corpus, [0, 1]).links is None
    linked = encoded(text, tmp_path, given(tmp_path))
    assert linked.source.numbers[:].tolist() == corpus.source.numbers[:].tolist()
    assert linked.target.numbers[:].tolist() == corpus.target.numbers[:].tolist()


@pytest.mark.parametrize("kept", [0, 4])
def test_a_corpus_may_have_no_link_at_all(text: ParallelText, tmp_path: Path, kept: int) -> None:
    write(tmp_path, "t.align", [""] * len(PAIRS))
    tokenizer, links = pieces(), given(tmp_path)
    corpus = encode_corpus(
        text, tokenizer, tokenizer, filters=Filters(40 if kept else 1), cache_dir=tmp_path / "cache", links=links
    )
    assert (len(corpus), corpus.counts["linked"]) == (kept, 0)
    assert corpus.links is not None
    assert corpus.links.numbers[:].shape == (0, 2)


@pytest.mark.parametrize(
    ("number", "line", "complaint"),
    [
        (1, "0-0 1:1", r"t\.align:1: '1:1' is no link; expected i-j, words counted from 0"),
        (3, "0?1", r"t\.align:3: '0\?1' is no link"),
        (3, "²-1", r"t\.align:3: '²-1' is no link"),
        (3, f"{'9' * 5000}-1", r"t\.align:3: '9{60}' is no link"),
        (3, "-1-1", r"t\.align:3: '-1-1' is no link"),
        (1, "0-0 5-0", r"t\.align:1: the link 5-0 is out of range: this pair has 5 source and 5 target words"),
        (3, "0-0 0-4", r"t\.align:3: the link 0-4 is out of range: this pair has 3 source and 4 target words"),
        (2, "0-0", r"t\.align:2: the link 0-0 is out of range: this pair has 0 source and 1 target words"),
        (4, "60-0", r"t\.align:4: the link 60-0 is out of range"),  # of a pair that would be dropped
    ],
)
def test_bad_links_are_named(text: ParallelText, tmp_path: Path, number: int, line: str, complaint: str) -> None:
    lines = [links for _, _, links in PAIRS]
    lines[number - 1] = line
    write(tmp_path, "t.align", lines)
    with pytest.raises(DataError, match=complaint):
        encoded(text, tmp_path, given(tmp_path))
    assert not list((tmp_path / "cache").iterdir())


def test_a_file_with_more_or_fewer_lines_than_pairs_is_named(text: ParallelText, tmp_path: Path) -> None:
    write(tmp_path, "t.align", [""] * 4)
    with pytest.raises(DataError, match=r"t\.align:5: the file ends here, but .*t has a pair 5; a line is needed"):
        encoded(text, tmp_path, given(tmp_path))
    write(tmp_path, "t.align", [""] * 7)
    with pytest.raises(DataError, match=r"t\.align:7: .*t has no pair 7; a line is needed for each pair, and no more"):
        encoded(text, tmp_path, given(tmp_path))
    with pytest.raises(DataError, match=r"nowhere: no such file \(nor nowhere\.gz\)"):
        WordLinks.find("nowhere", "en", "de")


def test_words_of_links_are_those_of_the_language(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("我们去\twe go\n")
    write(tmp_path, "t.align", ["0-0 1-0 2-1"])
    text = ParallelText.find(str(tmp_path / "t.tsv"), "zh", "en")
    chinese, english = (WordLinks.find(str(tmp_path / "t.align"), source, "en") for source in ("zh", "en"))
    assert list(chinese.beside(text)) == [("我们去", "we go", [(0, 0), (1, 0), (2, 1)])]
    with pytest.raises(DataError, match="the link 1-0 is out of range: this pair has 1 source and 2 target words"):
        list(english.beside(text))


# --- the loss --------------------------------------------------------------------------------------------------------


def written_out(weights: Tensor, links: Tensor) -> Tensor:
    """The equation, a position at a time."""
    total = torch.zeros((), dtype=torch.float64)
    heads = weights.size(1)
    for b, t, s in links.nonzero().tolist():
        mean = sum(weights[b, head, t, s] for head in range(heads)) / heads
        if mean > 0:
            total = total - links[b, t, s] * torch.log(mean)
    return total


def some_links() -> Tensor:
    """[b t s] with a row without links, one with several, and one of padding."""
    pairs = [[[0, 0], [1, 2], [1, 3], [2, 1]], [[1, 0]]]
    return spread_links([np.array(pair, np.uint32) for pair in pairs], 4, 4).double()


@pytest.mark.parametrize("heads", [1, 3])
def test_guided_cross_entropy_is_written_out(heads: int) -> None:
    energies = numbers(2, heads, 4, 4).requires_grad_()
    weights = energies.softmax(-1)
    found, expected = guided_cross_entropy(weights, some_links()), written_out(weights, some_links())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(
        *(torch.autograd.grad(x, energies, retain_graph=True) for x in (found, expected)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda e: guided_cross_entropy(e.softmax(-1), some_links()), (energies,))


def test_of_one_head_the_gradient_is_attention_less_links() -> None:
    energies, links = numbers(2, 1, 4, 4).requires_grad_(), some_links()
    (gradient,) = torch.autograd.grad(guided_cross_entropy(energies.softmax(-1), links), energies)
    linked = links.sum(-1, keepdim=True) > 0
    torch.testing.assert_close(gradient[:, 0], (energies.softmax(-1)[:, 0].detach() - links) * linked)


def test_attention_that_is_the_links_has_their_entropy() -> None:
    links = some_links()
    attention = torch.where(links.sum(-1, keepdim=True) > 0, links, torch.full_like(links, 0.25))
    assert float(guided_cross_entropy(attention[:, None], links)) == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_nothing_and_almost_nothing_leave_loss_and_gradient_finite(dtype: torch.dtype) -> None:
    energies = torch.tensor([0.0, -1e4, -100.0, -60.0, -math.inf, 1.0], dtype=dtype).requires_grad_()
    for position in range(6):
        links = spread_links([np.array([[0, position]], np.uint32)], 1, 6).to(dtype)
        loss = guided_cross_entropy(energies.softmax(-1)[None, None, None], links)
        (gradient,) = torch.autograd.grad(loss, energies)
        assert loss.isfinite()
        assert gradient.isfinite().all()
    assert float(guided_cross_entropy(torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[0.5, 0.5]]]))) == 0


def test_it_is_summed_in_single_precision_at_least() -> None:
    weights = torch.full((50, 2, 4, 4), 0.25, dtype=torch.bfloat16)
    links = some_links()[:1].float().expand(50, 4, 4)
    assert float(guided_cross_entropy(weights, links)) == pytest.approx(150 * math.log(4), rel=1e-5)


SOFT = [row for row in attention_rows() if row["normaliser"] == "softmax"]


@pytest.mark.parametrize("row", SOFT, ids=label)
def test_every_soft_attention_can_be_guided(row: dict[str, Any]) -> None:
    """What a window or `location` hides has no term, and nothing becomes infinite."""
    attention, inputs = build_attention(row), attention_inputs(memory_size=MEMORY_SIZE)
    inputs[0].requires_grad_()
    links = torch.full((3, 3, 6), 1 / 6, dtype=torch.float64)  # also to what lies outside the window and the sentence
    loss, expected = torch.zeros(2, dtype=torch.float64)
    for t, attended in enumerate(steps := run_attention(attention, inputs)):
        weights = attended.to_dense(6)
        assert weights is not None
        given = links if len(steps) == 1 else links[:, t : t + 1]
        loss, expected = loss + guided_cross_entropy(weights, given), expected + written_out(weights, given)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad(loss, [inputs[0], *attention.parameters()], allow_unused=True)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


def batch_of(rows: list[int], extra: int = 0) -> Batch:
    """Of three pairs, these, with columns of padding more than it takes."""
    sources, targets = [[4, 5, 6, 7, 3], [6, 3], [8, 4, 3]], [[5, 6, 3], [7, 8, 4, 3], [3]]
    linked = [[[0, 0], [0, 1], [1, 3]], [[1, 0], [2, 0]], []]

    def padded(lines: list[list[int]], width: int) -> Tensor:
        return torch.tensor([line + [PAD] * (width - len(line)) for line in lines])

    s, t = (max(len(side[row]) for row in rows) + extra for side in (sources, targets))
    links = spread_links([np.array(linked[row], np.uint32).reshape(-1, 2) for row in rows], t, s)
    return Batch(
        padded([sources[row] for row in rows], s),
        torch.tensor([len(sources[row]) for row in rows]),
        padded([[2, *targets[row][:-1]] for row in rows], t),
        padded([targets[row] for row in rows], t),
        links,
    )


GUIDED = TranslationLoss(0.1, guided_weight=0.7)


def model(**changes: Any) -> TranslationModel:
    return build_model({**one_by_one_rows()[0], **changes})


@pytest.mark.parametrize("window", ["global", "local_m", "local_p"])
@pytest.mark.parametrize("placement", [name for name in PLACEMENTS if not name.startswith("none")])
def test_guided_loss_is_the_same_in_any_batch(placement: str, window: str) -> None:
    translation = model(placement=placement, window=window, heads=2)
    together = GUIDED(translation, batch_of([0, 1, 2]))
    assert float(together.terms["guided_alignment"]) > 0
    for others in ([batch_of([2, 0, 1])], [batch_of([0, 1, 2], extra=3)], [batch_of([row]) for row in (0, 1, 2)]):
        losses = [GUIDED(translation, batch) for batch in others]
        torch.testing.assert_close(sum(loss.total for loss in losses), together.total, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(
            sum(loss.terms["guided_alignment"] for loss in losses),
            together.terms["guided_alignment"],
            rtol=1e-10,
            atol=1e-10,
        )


def test_guided_loss_is_added_with_its_weight() -> None:
    translation, batch = model(), batch_of([0, 1])
    plain = TranslationLoss(0.1)(translation, dataclasses.replace(batch, links=None))
    guided = GUIDED(translation, batch)
    term = guided.terms["guided_alignment"]
    torch.testing.assert_close(guided.total, plain.total + 0.7 * term, rtol=1e-12, atol=1e-12)
    assert torch.equal(guided.terms["nll"], plain.terms["nll"])
    decoded = translation(batch.source, batch.source_lengths, batch.inputs)
    assert batch.links is not None
    torch.testing.assert_close(
        term, written_out(decoded.attended.weights, batch.links).detach(), rtol=1e-12, atol=1e-12
    )


def test_a_batch_without_links_has_the_plain_cross_entropy_to_the_bit() -> None:
    translation, batch = model(), dataclasses.replace(batch_of([0, 1, 2]), links=None)
    found = GUIDED(translation, batch)
    real = batch.targets != PAD
    features = translation(batch.source, batch.source_lengths, batch.inputs).features[real]
    output = translation.output
    total, _ = ProjectedCrossEntropy.apply(features, output.weight, output.bias, batch.targets[real], 0.1)
    assert torch.equal(found.total, total)
    assert "guided_alignment" not in found.terms


# --- configuration ---------------------------------------------------------------------------------------------------


def values(weight: float, alignments: str | None, **attention: str) -> dict[str, Any]:
    names = {"score": "additive", "window": "global", "normaliser": "softmax", "placement": "before", **attention}
    return {
        "data": {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de", "alignments": alignments},
        "model": {"attention": {group: {"name": name} for group, name in names.items()}, "bridge": {"name": "last"}},
        "training": {"guided_alignment": weight},
    }


@pytest.mark.parametrize(
    ("weight", "alignments", "attention", "keys"),
    [
        (0.1, None, {}, ["training.guided_alignment=0.1", "data.alignments=null", "Give data.alignments=FILE"]),
        (0.0, "a", {}, ["data.alignments=a", "training.guided_alignment=0", "leave data.alignments=null"]),
        (0.1, "a", {"placement": "none"}, ["training.guided_alignment=0.1", "model/attention/placement=none"]),
        *(
            (0.1, "a", {"normaliser": name}, [f"normaliser={name}", "Use model/attention/normaliser=softmax"])
            for name in config.GROUPS[config.Normaliser]
            if name != "softmax"
        ),
        (-1, "a", {}, ["training.guided_alignment=-1.0: must be at least 0"]),
    ],
)
def test_what_can_not_be_guided_is_refused(
    weight: float, alignments: str | None, attention: dict[str, str], keys: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        config.parse("train", values(weight, alignments, **attention))
    for key in keys:
        assert key in str(refused.value)
    assert len(str(refused.value).split("\n")) == 1


def test_every_window_and_placement_with_attention_can_be_guided() -> None:
    for group in ("window", "placement"):
        table = config.GROUPS[{"window": config.Window, "placement": config.Placement}[group]]
        for name in table:
            if name != "none":
                assert config.parse("train", values(0.1, "a", **{group: name})).training.guided_alignment == 0.1


def test_the_run_directory_follows_the_alignments_and_their_weight() -> None:
    names = [
        default_run_dir(config.parse("train", values(weight, alignments)), "bahdanau2015")
        for weight, alignments in ((0, None), (0.1, "a"), (0.2, "a"), (0.1, "b"))
    ]
    assert len(set(names)) == 4
