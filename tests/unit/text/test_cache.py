"""Several corpora as one: rows, lengths, links, and the plan of an epoch."""

import numpy as np
import pytest

from seq2seq.cli.grid import settings
from seq2seq.cli.grid_results import changes
from seq2seq.config import Decoding, parse, to_plain
from seq2seq.errors import ConfigError
from seq2seq.text.batches import make_batch, plan_batches
from seq2seq.text.cache import EncodedCorpus, join
from seq2seq.text.stored_rows import StoredRows

LENGTHS = [[(2, 3), (5, 1), (4, 4)], [], [(1, 6), (3, 3)]]


def side(sizes: list[int], first: int) -> StoredRows:
    offsets = np.cumsum([0, *sizes])
    return StoredRows((first + np.arange(offsets[-1])).astype(np.uint32), offsets)


def corpora() -> list[EncodedCorpus]:
    """Every token of all of them is another number; each pair links its first pieces, the last corpus' also others."""
    found = []
    for number, lengths in enumerate(LENGTHS):
        pairs = np.zeros((len(lengths) * (1 + number // 2), 2), np.uint32)
        pairs[1::2, 1] = number // 2
        links = StoredRows(pairs, np.arange(len(lengths) + 1) * (1 + number // 2))
        sides = [side([pair[k] for pair in lengths], 100 * number + 50 * k + 4) for k in range(2)]
        found.append(EncodedCorpus(sides[0], sides[1], {"kept": len(lengths), "empty": 1}, links))
    return found


def test_rows_are_those_of_the_parts_as_often_as_they_weigh() -> None:
    parts = corpora()
    joined = join(parts, [2, 1, 3])
    rows = [(part, row) for part, weight in zip(parts, (2, 1, 3), strict=True) for _ in range(weight)
            for row in range(len(part))]  # fmt: skip
    assert len(joined) == len(rows) == 12
    assert joined.source.lengths.tolist() == [len(part.source[row]) for part, row in rows]
    assert joined.target.lengths.tolist() == [len(part.target[row]) for part, row in rows]
    assert joined.links is not None
    for number, (part, row) in enumerate(rows):
        assert part.links is not None
        assert joined.source[number].tolist() == part.source[row].tolist()
        assert joined.target[number].tolist() == part.target[row].tolist()
        assert joined.links[number].tolist() == part.links[row].tolist()
    batch = make_batch(joined, [1, 11])
    assert batch.links is not None
    assert batch.source[:, 0].tolist() == [6, 205]
    assert (batch.links.sum(-1) > 0).sum(-1).tolist() == [1, 1]


def test_one_corpus_is_itself() -> None:
    (one, _, _) = corpora()
    assert join([one], [1]) is one
    assert len(join([one], [3])) == 9
    assert join([one, EncodedCorpus(one.source, one.target, one.counts)], [1, 1]).links is None


def test_an_epoch_is_that_of_a_file_in_which_all_stand() -> None:
    """The same batches as if the corpora were one text: nothing but lengths, seed and epoch counts."""
    joined = join(corpora(), [2, 1, 1])
    lengths = [*LENGTHS[0], *LENGTHS[0], *LENGTHS[2]]
    whole = EncodedCorpus(side([s for s, _ in lengths], 4), side([t for _, t in lengths], 4), {"kept": len(lengths)})
    for seed in (None, (1, 0), (1, 1), (2, 0)):
        plan, expected = plan_batches(joined, 8, seed), plan_batches(whole, 8, seed)
        assert [rows.tolist() for rows in plan] == [rows.tolist() for rows in expected]
        assert sorted(np.concatenate(plan).tolist()) == list(range(8))
    assert len(plan_batches(joined, 8, (1, 0))) == len(plan_batches(joined, 8, None))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"train": []}, "data.train=[]: expected a corpus"),
        ({"train": ["a", "b"], "weights": [1]}, "data.weights=[1] and data.train=['a', 'b']: one is needed for each"),
        ({"train": "a", "weights": [1, 2]}, "data.weights=[1, 2] and data.train=a"),
        ({"train": ["a", "b"], "weights": [1, 0]}, "weights[1]=0: must be at least 1"),
        ({"train": ["a", "b"], "weights": [1, 0.5]}, "weights[1]: expected a whole number"),
        ({"train": ["a", "b"], "alignments": "c"}, "data.alignments=c and data.train=['a', 'b']"),
    ],
)
def test_weights_and_alignments_are_one_for_each_corpus(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse("data", {"valid": "v", "source_lang": "en", "target_lang": "de", **values})
    assert complaint in str(error.value)


@pytest.mark.parametrize("given", [{}, {"weights": [3, 1]}, {"alignments": ["c", "d"]}], ids=str)
def test_a_result_of_compare_belongs_to_what_it_was_made_with(given: dict[str, object]) -> None:
    data = {"train": ["a", "b"], "valid": "v", "source_lang": "en", "target_lang": "de", **given}
    attention = {"placement": {"name": "before"}, "score": {"name": "dot"}, "window": {"name": "global"},
                 "normaliser": {"name": "softmax"}}  # fmt: skip
    guided = {"guided_alignment": 0.1} if "alignments" in given else {}
    model = {"attention": attention, "bridge": {"name": "last"}}
    training = parse("train", {"data": data, "model": model, "training": guided})
    made = {"training": settings(training), "decoding": to_plain(Decoding())}
    assert changes(made, made) == []
