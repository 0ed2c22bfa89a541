"""Ways of decoding, from the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.trainers import learn_few_pairs

from seq2seq import load
from seq2seq.cli.main import main

SOURCES = ["the cat sees a tree .", "", "a dog hears the old house .", "my friend sees Zebra ."]


@pytest.fixture(scope="module")
def runs(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of several attentions with one vocabulary, one with another vocabulary, and one of whole words."""
    where = tmp_path_factory.mktemp("runs")
    (where / "source.txt").write_text("".join(f"{line}\n" for line in SOURCES))
    for path in ("fixed", "train.de"):
        (where / path).symlink_to(models / path)
    common = learn_few_pairs(models, where)
    assert main([*common, f"run_dir={where}/additive"]) == 0
    assert main([*common, f"run_dir={where}/local", "model/attention=luong2015_local_p", "model.cell=lstm"]) == 0
    assert main([*common, f"run_dir={where}/other", "data.vocab_size=330", "training.max_updates=1"]) == 0
    words = ["data.tokenizer=word", "data.vocab_size=20", "training.max_updates=200"]
    assert main([*common, f"run_dir={where}/words", *words]) == 0
    return where


@pytest.fixture
def work(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in ("additive", "local", "fixed", "other", "words", "source.txt", "train.de"):
        Path(path).symlink_to(runs / path)
    return tmp_path


def translate(*settings: str) -> list[dict[str, Any]]:
    assert main(["translate", "input=source.txt", "output=said", "output_format=jsonl", *settings]) == 0
    return [json.loads(line) for line in Path("said").read_text().splitlines()]


def test_an_ensemble_is_a_list_of_checkpoints(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = translate("checkpoint=[additive,local,fixed]", "alignments=links", "decoding.coverage_penalty=0.2")
    assert [record["source"] for record in said] == SOURCES
    assert Path("links").read_text().splitlines() == [record["alignment"] for record in said]
    assert translate("checkpoint=[additive,local,fixed]", "alignments=s.jsonl", "decoding.coverage_penalty=0.2") == said
    for record, soft in zip(said, map(json.loads, Path("s.jsonl").read_text().splitlines()), strict=True):
        assert soft["alignment"] == record["alignment"]
        assert soft["tokens"] == record["tokens"]
        assert len(soft["attention"]) == len(soft["tokens"])
        assert all(len(row) == len(soft["source_tokens"]) for row in soft["attention"])
        assert len(soft["matrix"]) == len(soft["target_words"]) == len(record["translation"].split())
    ensemble = ["checkpoint=[additive,local,fixed]", "source=said", "target=said"]
    assert main(["score", *ensemble, "output=forced", "output_format=jsonl"]) == 0
    for one, other in zip(said, map(json.loads, Path("forced").read_text().splitlines()), strict=True):
        assert other["score"] == pytest.approx(one["score"], abs=1e-4)
        assert other["alignment"] == one["alignment"]
    capsys.readouterr()
    assert main(["translate", "checkpoint=additive", "input=said", "output=again"]) == 2
    assert "said: JSON lines, as translate output_format=jsonl writes them, and not text" in capsys.readouterr().err
    assert not Path("again").exists()
    assert main(["evaluate", "checkpoint=[additive,local]", "source=train.de", "reference=train.de"]) == 0
    capsys.readouterr()
    assert main(["translate", "checkpoint=[additive,other]", "input=source.txt"]) == 2
    assert "checkpoint=[additive,other]: their target vocabularies differ" in capsys.readouterr().err
    assert main(["translate", "checkpoint=[]", "input=source.txt"]) == 2


def test_samples_can_be_had_again(work: Path) -> None:
    settings = ["checkpoint=additive", "decoding.search=sample", "decoding.n_best=3", "decoding.top_k=20"]
    first, again = translate(*settings), translate(*settings, "decoding.batch_size=1")
    assert len(first) == 3 * len(SOURCES)
    assert [record["tokens"] for record in first] == [record["tokens"] for record in again]
    assert first != translate(*settings, "decoding.seed=2")
    assert main(["translate", "checkpoint=additive", "input=source.txt", "decoding.temperature=0.5"]) == 2


def test_translations_begin_with_their_prefixes(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("prefix").write_text("mein Freund\nein Hund\n\ndie Ka\n")
    for search in ("decoding.beam_size=1", "decoding.beam_size=3"):
        texts = [record["translation"] for record in translate("checkpoint=additive", "prefix=prefix", search)]
        assert texts[0].startswith("mein Freund")
        assert texts[1] == ""
        assert texts[3].startswith("die Ka")
        assert texts[2] == translate("checkpoint=additive", search)[2]["translation"]
    for wrong in ("a\n", "a\n" * 5):
        Path("prefix").write_text(wrong)
        assert main(["translate", "checkpoint=additive", "input=source.txt", "prefix=prefix", "output=x"]) == 2
        assert "prefix" in capsys.readouterr().err
        assert not Path("x").exists()


def test_lengths_and_repetitions_are_limited_by_the_sentence(work: Path) -> None:
    for record in translate("checkpoint=additive", "decoding.min_length_ratio=1.5"):
        if record["tokens"]:
            source = load("additive").source.encode([record["source"]])[0]
            assert len(record["tokens"]) >= 1.5 * len(source)
    for record in translate("checkpoint=additive", "decoding.min_length_ratio=1.9", "decoding.no_repeat_ngram=2"):
        pairs = list(zip(record["tokens"], record["tokens"][1:], strict=False))
        assert len(set(pairs)) == len(pairs)


def check_scores(checkpoint: str, said: list[dict[str, Any]]) -> None:
    """`score` gives what `translate` gave, over the shortlist of 5, and says so; without it something else."""
    command = ["score", f"checkpoint={checkpoint}", "source=said", "target=said", "output_format=jsonl", "batch_size=3"]
    differing = 0
    for shortlist in (5, None):
        given = [] if shortlist is None else [f"shortlist={shortlist}"]
        assert main([*command, "output=scored", *given]) == 0
        scored = [json.loads(line) for line in Path("scored").read_text().splitlines()]
        assert {record["shortlist"] for record in scored} == {shortlist}
        for record, before in zip(scored, said, strict=True):
            assert before["shortlist"] == 5
            same = record["token_scores"] == pytest.approx(before["token_scores"], abs=1e-4)
            assert same or shortlist is None
            differing += not same
    assert differing


def test_a_shortlist_is_learned_once_and_then_asked_for(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("additive/best", "mine")
    short = "decoding.shortlist=5"
    assert main(["translate", "checkpoint=mine", "input=source.txt", short]) == 2
    assert "seq2seq shortlist checkpoint=DIR candidates=5" in capsys.readouterr().err
    assert main(["shortlist", "checkpoint=mine", "candidates=5", "max_pairs=30"]) == 0  # of what it was trained on
    assert Path("mine/shortlist.safetensors").is_file()
    said = translate("checkpoint=mine", short, "alignments=links")
    assert [record["source"] for record in said] == SOURCES
    alone = translate("checkpoint=mine", short, "decoding.batch_size=1")
    assert [record["tokens"] for record in said] == [record["tokens"] for record in alone]
    assert translate("checkpoint=[mine,local]", short)
    check_scores("mine", said)
    check_scores("[mine,local]", translate("checkpoint=[mine,local]", short, "decoding.n_best=2"))
    plot = ["plot", "checkpoint=mine", "input=source.txt", "target=source.txt", "output_format=html"]
    assert main([*plot, "output=full.html"]) == main([*plot, "output=short.html", short]) == 0
    assert Path("full.html").read_text() != Path("short.html").read_text()
    assert main(["translate", "checkpoint=mine", "input=source.txt", "decoding.shortlist=6"]) == 2
    assert "decoding.shortlist=6" in capsys.readouterr().err
    both = ["source=source.txt", "target=source.txt"]
    assert main(["shortlist", "checkpoint=mine", "candidates=1000", *both]) == 0
    everything, full = translate("checkpoint=mine", "decoding.shortlist=350"), translate("checkpoint=mine")
    assert [record["tokens"] for record in everything] == [record["tokens"] for record in full]
    for wrong, complaint in (
        (["checkpoint=mine", "source=source.txt"], "Give both"),
        (["checkpoint=fixed"], "placement=none has no attention"),
        (["checkpoint=mine", "source=missing", "target=missing"], "no such file"),
        (["checkpoint=mine", "source=empty", "target=empty"], "no pair"),
    ):
        Path("empty").touch()
        assert main(["shortlist", *wrong]) == 2
        assert complaint in capsys.readouterr().err
    config = json.loads(Path("mine/config.json").read_text())
    config["data"]["train"] = "elsewhere"
    Path("mine/config.json").write_text(json.dumps(config))
    Path("mine/SHA256SUMS").unlink()
    assert main(["shortlist", "checkpoint=mine"]) == 2
    assert "Give text to align" in capsys.readouterr().err


def test_unknown_words_are_copied(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = translate("checkpoint=words")
    unknown = [record for record in plain if "<unk>" in record["tokens"]]
    copied = translate("checkpoint=words", "decoding.replace_unknown=true", "alignments=links")
    assert [record["tokens"] for record in copied] == [record["tokens"] for record in plain]
    assert not any("⁇" in record["translation"] for record in copied)
    for record, links in zip(copied, Path("links").read_text().splitlines(), strict=True):
        targets = [int(link.split("-")[1]) for link in links.split()]
        assert all(target < len(record["translation"].split()) for target in targets)
        assert record["alignment"] == links
    assert unknown
    assert any(record["alignment"] for record in copied)
    assert main(["align", "checkpoint=words", "source=said", "target=said", "output=again"]) == 0
    assert Path("again").read_text() == Path("links").read_text()
    for wrong in ("checkpoint=additive", "checkpoint=fixed"):
        assert main(["translate", wrong, "input=source.txt", "decoding.replace_unknown=true"]) == 2
        assert "decoding.replace_unknown=true" in capsys.readouterr().err
    assert main(["translate", "checkpoint=words", "input=source.txt", "decoding.dictionary=x"]) == 2


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["decoding.replace_unknown=true"], "data.tokenizer=bpe and decoding.replace_unknown=true"),
        (["model/attention=none", "decoding.coverage_penalty=0.1"], "placement=none and decoding.coverage_penalty=0.1"),
        (["data.tokenizer=word", "decoding.replace_unknown=true", "decoding.dictionary=missing"], "missing"),
        (["decoding.shortlist=20"], "decoding.shortlist=20: a model that is yet to be trained has no shortlist"),
    ],
)
def test_training_refuses_validations_that_can_not_be(
    work: Path, settings: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["data.train=train", "data.valid=train", "data.source_lang=de", "data.target_lang=de", "data.vocab_size=60"]
    assert main(["train", *data, "data.cache_dir=cache", "check=true", "device=cpu", *settings]) == 2
    assert complaint in capsys.readouterr().err


def test_two_sides_can_not_be_stdin(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "checkpoint=additive", "source=-", "target=-"]) == 2
    assert "both sides are stdin" in capsys.readouterr().err


def test_what_a_limit_cuts_off_is_reported(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    said = translate("checkpoint=additive", "decoding.max_length=2", "decoding.min_length_ratio=1", "decoding.n_best=2")
    assert sum("</s>" not in record["tokens"] for record in said) == 8  # two of them blank
    assert "6 of 8 translations were cut off at their length limit" in capsys.readouterr().err
