"""Length limits of translations follow the training pairs, and what they cut off is reported."""

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support import FORMAT_1, trainers
from support.sentences import PAIRS

from seq2seq import checkpoint
from seq2seq.config import Decoding, to_plain
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translator import Translator
from seq2seq.search.lengths import Lengths
from seq2seq.search.protocol import MARGIN, Limits
from seq2seq.text.tokenizer import EOS
from seq2seq.training.process_group import ProcessGroup
from seq2seq.training.risk import MinimumRisk
from seq2seq.training.run_directory import check_run_dir

CPU = torch.device("cpu")
OLD = FORMAT_1
OPEN = "decoding.max_length=null"
LINES = [source for source, _ in PAIRS[:4]]


def measured(*pairs: tuple[int, int]) -> Lengths:
    sources, targets = np.array(pairs, np.int32).T
    return Lengths.of(sources, targets)


def fitting(lengths: Lengths, sources: NDArray[Any], targets: NDArray[Any]) -> float:
    """Share of the pairs whose target is within the limits."""
    limits = lengths.limits([], None, None)
    return float(np.mean([t <= limits.longest([0] * s, []) for s, t in zip(sources, targets, strict=True)]))


# --- the limits ------------------------------------------------------------------------------------------------------


def test_numbers_read_aloud_fit() -> None:
    """Four digits, forty letters: `9972 -> nine thousand nine hundred seventy two`."""
    random = np.random.default_rng(1)
    sources = random.integers(2, 6, 5000)
    targets = random.integers(5, 10 * sources)
    assert fitting(Lengths(), sources, targets) < 0.8
    assert fitting(Lengths.of(sources, targets), sources, targets) == 1


def test_ratios_are_exact() -> None:
    """In floating point, 100 x 1.1 is above 110, and 100 x 1.15 below 115."""
    limits = Limits([], 1000, 1.15, min_length_ratio=1.1)
    assert (limits.shortest([0] * 100), limits.longest([0] * 100, [])) == (110, 115 + MARGIN)


def test_sentences_of_like_lengths_have_the_limits_they_always_had() -> None:
    random = np.random.default_rng(1)
    sources = random.integers(2, 60, 5000)
    lengths = Lengths.of(sources, np.maximum(sources + random.integers(-5, 12, 5000), 1))
    assert (lengths.ratio, lengths.longest_source) == (2.0, sources.max())
    assert lengths.limits([], None, None) == Lengths().limits([], None, None) == Lengths().limits([], 256, 2.0)


def test_a_few_misaligned_pairs_change_nothing() -> None:
    pairs = [(20, 22)] * 5000
    assert measured(*pairs, *[(1, 190)] * 4).ratio == measured(*pairs).ratio


def test_translations_may_be_as_long_as_the_longest_target() -> None:
    assert measured((10, 12), (400, 390)).limits([], None, None).max_length == 390
    assert measured((10, 12)).limits([], None, None).max_length == 256


def test_what_is_asked_for_counts() -> None:
    limits = measured((1, 100), (300, 300)).limits([7], 5, 1.5, 0.5, 3)
    assert (limits.forbidden, limits.max_length, limits.max_length_ratio) == ([7], 5, 1.5)
    assert (limits.min_length_ratio, limits.no_repeat_ngram) == (0.5, 3)


def test_a_ratio_that_follows_the_pairs_leaves_room_for_the_least() -> None:
    assert Lengths().limits([], None, None, min_length_ratio=5).max_length_ratio == 5


def test_one_word_may_be_a_book() -> None:
    assert measured(*[(1, 10**6)] * 3).ratio == 1000  # as much as decoding.max_length_ratio can be


# --- the checkpoint --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a model that never ends a translation by itself, of a corpus whose targets are long."""
    where = tmp_path_factory.mktemp("lengths")
    trainer = trainers.make(where, OPEN)
    trainer.model.output.bias.data[EOS] = -1e9
    checkpoint.save(where / "saved", trainer.keeper.checkpoint, "card")
    text = json.loads((where / "saved/config.json").read_text())
    text["lengths"] |= {"ratio": 3.5}
    (where / "saved/SHA256SUMS").unlink()
    (where / "saved/config.json").write_text(json.dumps(text))
    return where / "saved"


def lengths_of(translator: Translator, decoding: Decoding) -> list[int]:
    found = [best for best, *_ in translator.translate_lines(LINES, decoding)]
    assert all(best.cut and best.tokens[-1] != "</s>" for best in found)
    return [len(best.tokens) for best in found]


@pytest.mark.parametrize("search", [{"beam_size": 1}, {"beam_size": 2}, {"search": "sample"}], ids=str)
def test_search_takes_the_checkpoints_limits(trained: Path, search: dict[str, Any]) -> None:
    translator = load_translator(trained)
    sources = translator.source.encode(LINES)
    assert lengths_of(translator, Decoding(**search)) == [int(3.5 * len(source)) + 10 for source in sources]
    given = Decoding(max_length_ratio=1.0, max_length=19, **search)
    assert lengths_of(translator, given) == [min(len(source) + 10, 19) for source in sources]


def test_an_old_checkpoint_has_the_limits_it_had(tmp_path: Path) -> None:
    old = checkpoint.load(OLD, CPU)
    translator = load_translator(OLD)
    assert translator.limits(Decoding()) == translator.limits(Decoding(max_length=256, max_length_ratio=2.0))
    checkpoint.save(tmp_path / "again", old, "card")  # as `average` does
    assert checkpoint.load(tmp_path / "again", CPU).lengths == old.lengths


@pytest.mark.parametrize(
    "lengths",
    [
        {"ratio": -1.0},
        {"ratio": 1e9},
        {"ratio": math.nan},
        {"longest_source": 0},
        {"longest_target": "x"},
        {"a": 1},
        [],
    ],
    ids=str,
)
def test_what_is_no_lengths_is_no_checkpoint(trained: Path, tmp_path: Path, lengths: Any) -> None:
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = json.loads((trained / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**text, "lengths": lengths}))
    with pytest.raises(DataError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path, CPU)


# --- training --------------------------------------------------------------------------------------------------------


def test_training_measures_its_pairs(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, OPEN, "training.loss=minimum_risk")
    measured = Lengths.of(trainer.data.corpus.source.lengths, trainer.data.corpus.target.lengths)
    assert trainer.keeper.checkpoint.lengths == trainer.translator.lengths == measured
    loss = trainer.gradient.loss
    assert isinstance(loss, MinimumRisk)
    assert loss.limits == trainer.translator.limits(Decoding())


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its config.json has the limits of then as numbers."""
    given = trainers.settings(trainers.told(tmp_path))
    config = replace(given, decoding=replace(given.decoding, max_length=None))
    old = to_plain(config)
    old["decoding"] |= {"max_length": 256, "max_length_ratio": 2.0}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert check_run_dir(tmp_path, config) == [
        "decoding.max_length: was 256, now None", "decoding.max_length_ratio: was 2.0, now None"
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"decoding\.max_length: was 256, now 3"):
        check_run_dir(tmp_path, given)
    risk = replace(config, training=replace(config.training, loss="minimum_risk"))
    old["training"]["loss"] = "minimum_risk"
    (tmp_path / "config.json").write_text(json.dumps(old))
    with pytest.raises(ConfigError, match=r"decoding\.max_length: was 256, now None"):  # they limit its samples
        check_run_dir(tmp_path, risk)


# --- what is said ----------------------------------------------------------------------------------------------------


def test_what_was_cut_off_is_counted(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    translator = load_translator(trained)
    list(translator.translate_lines([*LINES, ""], Decoding(beam_size=2, n_best=2)))
    (said,) = caplog.messages
    assert said.startswith("8 of 10 translations were cut off at their length limit (3.5 x the source's tokens + 10,")
    caplog.clear()
    list(load_translator(OLD).translate_lines(LINES))
    list(translator.translate_lines(LINES, Decoding(max_length=4, max_length_ratio=1000, min_length_ratio=1000)))
    assert not caplog.messages  # a fixed length was asked for
    list(translator.translate_lines(LINES, Decoding(min_length_ratio=4)))
    assert "were cut off" in caplog.text  # at least four times the source's tokens leave MARGIN to choose


def test_a_validation_counts_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = trainers.make(tmp_path)
    trainer.model.output.bias.data[EOS] = -1e9
    with caplog.at_level(logging.WARNING):
        trainer.validation.run(trainer.translator, ProcessGroup(), tmp_path / "translations")
    count = len(trainer.validation.requests)
    assert f"{count} of {count} translations were cut off" in caplog.text
