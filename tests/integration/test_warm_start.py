"""Training that begins with another model, from end to end."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL, weights

from seq2seq.cli.main import main

TINY = [
    *SMALL, "data.valid=two", "model.embedding_size=8", "model.hidden_size=8", "training.processes=1",
    "decoding.max_length=4",
]  # fmt: skip


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("one", PAIRS[:15])
    write_pairs("two", PAIRS[12:])
    assert train("data.train=one", "run_dir=parent", "training.max_updates=6") == 0
    return tmp_path


def train(*more: str) -> int:
    return main(["train", *TINY, *more])


def test_another_corpus_goes_on_with_the_same_pieces(corpora: Path, capfd: pytest.CaptureFixture[str]) -> None:
    start = ["data.train=two", "training.start_from=parent/last"]
    capfd.readouterr()
    assert train("run_dir=still", *start, "training.max_updates=1", "training.learning_rate=1e-30") == 0
    said = capfd.readouterr().err
    assert "  encoder: reused 8 tensors, " in said
    assert ": new " not in said
    assert ": dropped " not in said
    assert "learning bpe pieces" not in said
    parent, still = weights("parent/last"), weights("still/last")
    assert all(torch.equal(parent[name], still[name]) for name in parent)
    for side in ("source", "target"):
        assert Path(f"still/last/{side}.model").read_bytes() == Path(f"parent/last/{side}.model").read_bytes()
    assert "It began with the weights of `parent/last`" in Path("still/best/README.md").read_text()
    # The whole run, and one that is stopped after its parent is gone.
    assert train("run_dir=whole", *start, "training.max_updates=8") == 0
    assert train("run_dir=parts", *start, "training.max_updates=3") == 0
    shutil.rmtree("parent")
    assert train("run_dir=parts", *start, "training.max_updates=8") == 0
    whole, parts = weights("whole/last"), weights("parts/last")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    capfd.readouterr()
    assert train("run_dir=parts", "data.train=two", "training.max_updates=9") == 2
    assert "training.start_from: was 'parent/last', now None" in capfd.readouterr().err
    assert train("run_dir=new", *start) == 2
    assert "parent/last: no checkpoint here" in capfd.readouterr().err
    assert not Path("new").exists()


def test_another_attention_takes_what_it_can(corpora: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    other = ["data.train=one", "model/attention=luong2015_global", "training.start_from=parent"]
    assert train("check=true", *other) == 0
    said = capfd.readouterr().err
    assert "training.start_from=parent:" in said
    assert "  encoder: reused" in said
    assert "  decoder.placement: new " in said
    assert "  decoder.placement: dropped " in said
    assert train(*other, "training.max_updates=1") == 0
    assert train("data.train=one", "model/attention=luong2015_global", "training.max_updates=1") == 0
    assert len([path for path in Path("runs").iterdir() if path.name != "cache"]) == 2  # not the same run
    capfd.readouterr()
    assert train("check=true", *other, "data.vocab_size=320", "data.joint=false") == 2
    assert "Give data.vocab_size=360 data.joint=true, or use training.start_from=null" in capfd.readouterr().err
    assert train("check=true", *other, "model.hidden_size=6", "model.embedding_size=6") == 0  # the output's bias fits
    assert "output: reused 1 tensor, 360 parameters: bias [360]" in capfd.readouterr().err
    assert json.loads(Path("parent/config.json").read_text())["training"]["start_from"] is None


def test_a_run_begins_with_the_encoder_of_one_and_the_decoder_of_another(
    corpora: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = ["model/encoder=transformer", "model.encoder.attention.heads=2", "model/bridge=mean"]
    both = [*encoder, "model/decoder=transformer", "model.decoder.attention.heads=2", "model.attention.heads=2"]
    assert train("data.train=one", "run_dir=other", "training.max_updates=2", *both) == 0
    start = ["data.train=two", *encoder, "training.learning_rate=1e-30", "training.start_from=[other/last,parent/last]"]
    capfd.readouterr()
    assert train("run_dir=mixed", *start, "training.max_updates=1") == 0
    said = capfd.readouterr().err
    assert said.index("start_from=other/last:\n") < said.index("  encoder: reused") < said.index("=parent/last:\n")
    other, parent, mixed = weights("other/last"), weights("parent/last"), weights("mixed/last")
    for name, tensor in mixed.items():
        if name.startswith(("encoder", "source_embedding", "output")):
            assert tensor.equal(other[name])
        elif name.startswith(("decoder.placement", "decoder.attention")):
            assert tensor.equal(parent[name])
    assert "It began with the weights of `other/last`, then `parent/last`." in Path("mixed/best/README.md").read_text()
    Path("other").rename("moved")  # a resumed run may find them elsewhere, in the same order
    elsewhere = "training.start_from=[moved/last,parent/last]"
    assert train("run_dir=mixed", *start, elsewhere, "training.max_updates=2") == 0
    assert train("run_dir=mixed", *start, "training.start_from=[parent/last,moved/last]") == 2
    assert train("data.train=two", "data.vocab_size=300", "run_dir=third", "training.max_updates=1") == 0
    capfd.readouterr()
    assert train("run_dir=new", *start, "training.start_from=[parent/last,third/last]") == 2
    assert "their sub-words of the source and the target differ" in capfd.readouterr().err
