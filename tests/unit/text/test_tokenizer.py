"""A sentencepiece model of one's own instead of one that is learned."""

import io
import re
import string
from pathlib import Path

import pytest
import sentencepiece
import torch
from support.sentences import PAIRS
from support.trainers import settings, write_corpus

from seq2seq import checkpoint
from seq2seq.checkpoint import Checkpoint
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training.corpora import prepare_data
from seq2seq.training.setup import make_trainer

IDS = {"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}


def own_model(path: Path, side: int, **options: object) -> str:
    learned = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([pair[side] for pair in PAIRS]), model_writer=learned, model_type="bpe", vocab_size=40,
        minloglevel=2, **options,
    )  # fmt: skip
    path.write_bytes(learned.getvalue())
    return str(path)


def test_one_for_each_language_is_used_and_copied_into_the_checkpoint(tmp_path: Path) -> None:
    names = [own_model(tmp_path / f"{side}.model", side, **IDS) for side in (0, 1)]
    told = [*write_corpus(tmp_path), f"data.tokenizer_model={names}".replace("'", '"')]
    config = settings([*told, "data.joint=false"])
    data = prepare_data(config)
    trainer = make_trainer(config, data, tmp_path / "run", torch.device("cpu"))
    made = Checkpoint(trainer.model, config.model, config.data, data.source, data.target)
    checkpoint.save(tmp_path / "saved", made, "")
    for name in names:
        Path(name).rename(f"{name}.gone")
    loaded = checkpoint.load(tmp_path / "saved", torch.device("cpu"))
    for tokenizer, name in zip((loaded.source, loaded.target), names, strict=True):
        assert tokenizer.model == Path(f"{name}.gone").read_bytes()
        assert len(tokenizer) == 40
    with pytest.raises(ConfigError, match=r"data\.joint=true and data\.tokenizer_model=.*data\.joint=false"):
        settings(told)


def test_one_for_both_languages_is_a_joint_vocabulary(tmp_path: Path) -> None:
    name = own_model(tmp_path / "own.model", 0, **IDS)
    told = [*write_corpus(tmp_path), f"data.tokenizer_model={name}", "model.tied_embeddings=all"]
    data = prepare_data(settings(told))
    assert data.source.fingerprint == data.target.fingerprint
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").glob("tokenizer-*"))


def test_other_numbers_of_special_pieces_are_refused_with_the_command_that_gives_these(tmp_path: Path) -> None:
    name = own_model(tmp_path / "own.model", 0)
    config = settings([*write_corpus(tmp_path), f"data.tokenizer_model={name}"])
    with pytest.raises(DataError, match=r"own\.model: .* got \(-1, 0, 1, 2\)\. Train it with .*--pad_id=0 --unk_id=1"):
        prepare_data(config)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.model").write_text("nothing of the kind")
    config = settings([*write_corpus(tmp_path), f"data.tokenizer_model={tmp_path}/own.model"])
    with pytest.raises(DataError, match=r"own\.model: not a sentencepiece model"):
        prepare_data(config)


def test_too_few_pieces_are_answered_with_a_number_that_gives_each_character_its_own() -> None:
    lines = [f"{' '.join(string.ascii_letters)} äöüß"] * 40
    lines += [f"some other words are here to be learned {number}" for number in range(100)]
    options = {"kind": "bpe", "byte_fallback": None, "character_coverage": None, "normalization": "identity"}
    with pytest.raises(DataError, match="fewer than the characters") as refused:
        Tokenizer.train(lines, vocab_size=100, **options)
    least = re.search(r"data\.vocab_size=(\d+) or more", str(refused.value))
    assert least is not None
    learned = Tokenizer.train(lines, vocab_size=int(least[1]), **options)
    assert not [piece for row in learned.encode(lines) for piece in learned.pieces(row) if piece.startswith("<0x")]
