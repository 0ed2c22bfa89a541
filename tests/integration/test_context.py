"""Documents from a corpus to a translation: a context-aware model is trained, started from another, read and seen."""

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.sentences import FEW_PAIRS, write_pairs
from support.trainers import SMALL, settings, weights

import seq2seq
from seq2seq.cli import grid_measurement
from seq2seq.cli.contrast import read_items
from seq2seq.cli.grid import Cell, read_run
from seq2seq.cli.grid_measurement import read_task
from seq2seq.cli.main import main
from seq2seq.config import parse
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.translator import Translator

BLANK = ("", "")
DOCUMENTS = [*FEW_PAIRS[:3], BLANK, *FEW_PAIRS[3:], BLANK, *FEW_PAIRS[2:5]]
CONTEXT = [
    "data.context=2", "model/context=hierarchical", "model.context.words.heads=2", "model.context.sentences.heads=2",
]  # fmt: skip
TINY = [*SMALL, "data.train=train", "data.valid=train", "training.validate_every=100", "decoding.max_length=5"]
TWO = ["training.processes=2"] if sys.platform.startswith("linux") else []


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", DOCUMENTS)
    return tmp_path


def train(*more: str) -> int:
    return main(["train", *TINY, *more])


def scores(capsys: pytest.CaptureFixture[str], run: str, *more: str) -> list[str]:
    capsys.readouterr()
    assert main(["score", f"checkpoint={run}", "source=train.en", "target=train.de", *more]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "options",
    [
        [*TWO, "training.accumulate=2"],
        [*TWO, "training.loss=minimum_risk", "training.risk_samples=2"],
        ["data.tokenizer=unigram", "data.subword_sampling=0.2", "data.vocab_size=290"],
    ],
    ids=["shares", "risk", "sampling"],
)
@pytest.mark.usefixtures("corpus")
def test_every_training_reads_the_context(options: list[str]) -> None:
    assert train(*CONTEXT, "run_dir=run", "training.max_updates=3", *options) == 0
    assert train(*CONTEXT, "run_dir=again", "training.max_updates=3", *options) == 0
    assert weights("run/best").keys() == weights("again/best").keys()
    assert all(torch.equal(x, weights("again/best")[name]) for name, x in weights("run/best").items())
    assert any(name.startswith("context.") for name in weights("run/best"))
    assert weights("run/best")["context.sentences.heads.output.weight"].any(), "it has learned"


@pytest.mark.usefixtures("corpus")
def test_a_start_from_single_sentences_scores_as_they_do_and_context_alone_can_be_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train("run_dir=alone", "training.max_updates=5") == 0
    start = [*CONTEXT, "training.start_from=alone"]
    assert train(*start, "run_dir=none", "training.max_updates=1", "training.learning_rate=1e-30") == 0
    assert scores(capsys, "none") == scores(capsys, "alone")
    frozen = "training.freeze=[source_embedding,encoder,bridge,decoder,output]"
    assert train(*start, frozen, "run_dir=context", "training.max_updates=5", "training.learning_rate=1e-2") == 0
    for name, x in weights("alone/best").items():
        assert torch.equal(x, weights("context/best")[name]), name
    before, after = scores(capsys, "alone"), scores(capsys, "context")
    firsts = [
        number for number, pair in enumerate(DOCUMENTS) if pair == BLANK or not number or DOCUMENTS[number - 1] == BLANK
    ]
    changed = [number for number, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
    assert changed == [number for number in range(len(DOCUMENTS)) if number not in firsts]


def test_a_resumed_training_is_the_uninterrupted_one(corpus: Path) -> None:
    options = [*CONTEXT, "training.schedule=constant"]
    assert train(*options, "run_dir=whole", "training.max_updates=6") == 0
    assert train(*options, "run_dir=parts", "training.max_updates=3") == 0
    assert train(*options, "run_dir=parts", "training.max_updates=6") == 0
    assert all(torch.equal(x, weights("parts/best")[name]) for name, x in weights("whole/best").items())


@pytest.fixture
def run(corpus: Path) -> str:
    """A context-aware model whose context counts."""
    options = ["training.max_updates=40", "training.learning_rate=1e-2", "model.dropout=0"]
    assert train(*CONTEXT, *options, "run_dir=run") == 0
    return "run"


def translated(capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["translate", "checkpoint=run", "output_format=jsonl", *more]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("run")
def test_translations_depend_on_the_context_and_not_on_the_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = translated(capsys, "input=train.en")
    assert [row["source"] for row in rows] == [source for source, _ in DOCUMENTS]
    assert [len(row.get("context", [])) for row in rows] == [0, 1, 2, 0, 0, 1, *[2] * 7, 0, 0, 1, 2]
    one_by_one = translated(capsys, "input=train.en", "decoding.batch_size=1")
    assert [row["tokens"] for row in rows] == [row["tokens"] for row in one_by_one]
    torch.testing.assert_close(
        [row["score"] for row in rows], [row["score"] for row in one_by_one], rtol=1e-4, atol=1e-5
    )
    with Path("train.en").open() as lines, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", lines)
        assert [row["tokens"] for row in translated(capsys)] == [row["tokens"] for row in rows]
    for number, row in enumerate(rows):
        if row.get("context"):
            total = torch.tensor([[sum(w) for w in sentence["weights"]] for sentence in row["context"]]).sum(0)
            torch.testing.assert_close(total, torch.ones(len(row["source_tokens"])), rtol=0, atol=1e-4)
            assert row["context"][-1]["source"] == DOCUMENTS[number - 1][0], "in the order of the text"
            assert all(0 < gate < 1 for gate in row["gate"])
    same = [number for number, (source, _) in enumerate(DOCUMENTS) if source == DOCUMENTS[2][0]]
    assert len({rows[number]["score"] for number in same}) == len(same), "in other contexts"


@pytest.mark.usefixtures("run")
def test_a_resumed_translation_keeps_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    expected = [row["score"] for row in translated(capsys, "input=train.en")]
    assert main(["translate", "checkpoint=run", "input=train.en", "output=out.jsonl", "output_format=jsonl"]) == 0
    kept = Path("out.jsonl").read_text().splitlines(keepends=True)
    Path("out.jsonl.partial").write_text("".join(kept[:2]))
    Path("out.jsonl").unlink()
    again = ["translate", "checkpoint=run", "input=train.en", "output=out.jsonl", "output_format=jsonl", "resume=true"]
    assert main(again) == 0
    resumed = [json.loads(line)["score"] for line in Path("out.jsonl").read_text().splitlines()]
    torch.testing.assert_close(resumed, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("run")
def test_scores_alignments_and_pictures_read_documents(capsys: pytest.CaptureFixture[str]) -> None:
    rows = translated(capsys, "input=train.en", "decoding.beam_size=1")
    Path("out.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    forced = scores(capsys, "run", "target=out.jsonl")
    torch.testing.assert_close([float(x) for x in forced], [row["score"] for row in rows], rtol=1e-4, atol=1e-5)
    assert main(["align", "checkpoint=run", "source=train.en", "target=train.de"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(DOCUMENTS)
    page = ["plot", "checkpoint=run", "input=train.en", "output=page.html", "output_format=html"]
    assert main(page) == 0
    assert Path("page.html").read_text().count('"part":"context"') == sum("context" in row for row in rows)
    assert main(["plot", "checkpoint=run", "input=train.en", "output_format=png", "output=pictures"]) == 0
    assert Path("pictures/0002-context.png").exists()
    assert not Path("pictures/0001-context.png").exists()


@pytest.mark.usefixtures("run")
def test_other_contexts_change_the_scores_of_a_test_set(capsys: pytest.CaptureFixture[str]) -> None:
    def evaluated(context: str) -> float:
        words = ["source=train.en", "reference=train.de", f"context={context}", f"report={context}"]
        assert main(["evaluate", "checkpoint=run", "decoding.beam_size=1", *words]) == 0
        rows = Path(f"{context}/translations.jsonl").read_text().splitlines()
        return sum(json.loads(row)["score"] for row in rows)

    assert len({evaluated(context) for context in ("own", "shuffled", "none")}) == 3
    pages = [Path(f"{context}/attention.html").read_text() for context in ("own", "none")]
    assert ['"part":"context"' in page for page in pages] == [True, False]
    pages = [Path(f"{context}/report.html").read_text() for context in ("own", "shuffled", "none")]
    assert ["context=shuffled" in page for page in pages] == [False, True, False]
    assert ["context=none" in page for page in pages] == [False, False, True]
    assert train("run_dir=alone", "training.max_updates=1") == 0
    assert main(["evaluate", "checkpoint=alone", "source=train.en", "reference=train.de", "context=none"]) == 2
    assert "reads no context. Use context=own" in capsys.readouterr().err


@pytest.mark.usefixtures("run")
def test_contrast_counts_right_choices(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"source": source, "target": target, "wrong": ["zzz qqq"], "context": [DOCUMENTS[0][0]], "far": number % 2}
        for number, (source, target) in enumerate(FEW_PAIRS[:4])
    ]
    rows.append(
        {"source": rows[0]["source"], "target": "zzz qqq", "wrong": [rows[0]["target"]], "context": [], "far": 1}
    )
    Path("items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    capsys.readouterr()
    words = ["contrast", "checkpoint=run", "input=items.jsonl", "by=far", "output_format=json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "all": {"right": 80.0, "items": 5},
        "far=0": {"right": 100.0, "items": 2},
        "far=1": {"right": pytest.approx(200 / 3), "items": 3},
    }
    Path("far.jsonl").write_text("".join(json.dumps({**rows[0], "far": far}) + "\n" for far in (10, 9, "b2", "b10")))
    assert main([*words[:2], "input=far.jsonl", "by=far"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == ["all", "far=9", "far=10", "far=b2", "far=b10"]
    Path("empty.jsonl").touch()
    assert main([*words[:2], "input=empty.jsonl"]) == 2
    assert "empty.jsonl: no items to score" in capsys.readouterr().err
    assert main([*words, "by=near"]) == 2
    assert "items.jsonl:1: expected an object with" in capsys.readouterr().err
    assert main([*words, "columns=[1,2]"]) == 2
    assert "columns: no such key" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"wrong": "c d"}, {"context": "c d"}, {"wrong": []}, {"wrong": [1]}], ids=str)
def test_wrong_translations_and_context_are_lists(change: dict[str, Any], tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"source": "a", "target": "b", "wrong": ["c d"], "context": [], **change}))
    with pytest.raises(DataError, match=r"items.jsonl:1: expected an object with"):
        list(read_items(str(items), None))


def test_an_item_may_have_no_context(tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text('{"source": "a", "target": "b", "wrong": ["c"]}\n[]\n')
    found = read_items(str(items), None)
    assert next(found).context == ()
    with pytest.raises(DataError, match=r"items\.jsonl:2: expected an object"):
        next(found)


def test_a_split_holds_out_whole_documents(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = [
        [(f"{a} {b}", f"{b} {a}") for b in ["dogs", "cats", "cows"]] for a in ["the", "a", "no", "some", "all"]
    ]
    write_pairs("train", [pair for document in documents for pair in (*document, BLANK)])
    words = [word for word in TINY if not word.startswith("data.valid")]
    words += ["data.split.valid=4", "data.vocab_size=300", "training.max_updates=1"]
    assert main(["train", *words, *CONTEXT, "run_dir=run"]) == 0
    parts = [Path(f"run/split/{part}.en").read_text().split("\n\n") for part in ("train", "valid")]
    found = [[lines for text in part if (lines := text.split("\n")) != [""]] for part in parts]
    sources = [[source for source, _ in document] for document in documents]
    assert sorted([*found[0], *found[1]]) == sorted(sources)
    assert len(found[1]) in (2, 3)
    assert "no document is in two of them" in capsys.readouterr().err


def test_a_file_names_documents_in_every_command(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = FEW_PAIRS[:6]
    write_pairs("named", pairs)
    Path("named.doc").write_text("".join(f"{name}\n" for name in "aabbbc"))
    named = [*CONTEXT, "data.train=named", "data.valid=named", "data.documents=doc", "data.vocab_size=330"]
    assert train(*named, "run_dir=run", "training.max_updates=1") == 0
    rows = translated(capsys, "input=named.en")
    assert [len(row.get("context", [])) for row in rows] == [0, 1, 0, 1, 2, 0]
    Path("out.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for source in ("named.en", "out.jsonl"):
        forced = [float(x) for x in scores(capsys, "run", f"source={source}", "target=out.jsonl")]
        torch.testing.assert_close(forced, [row["score"] for row in rows], rtol=1e-4, atol=1e-5)
    whole = scores(capsys, "run", "source=named.en", "target=named.de")
    assert scores(capsys, "run", "source=out.jsonl", "target=named.de") == whole
    Path("strange.jsonl").write_text(json.dumps({**rows[0], "context": [1]}) + "\n")
    assert main(["score", "checkpoint=run", "source=strange.jsonl", "target=strange.jsonl"]) == 2
    assert "strange.jsonl:1: `context` is no list of objects with `source`" in capsys.readouterr().err
    apart = "".join(f"{source}\n" + "\n" * (number in (1, 4)) for number, (source, _) in enumerate(pairs))
    Path("apart.en").write_text(apart)
    Path("apart.de").write_text("".join(f"{target}\n" + "\n" * (n in (1, 4)) for n, (_, target) in enumerate(pairs)))
    assert [x for x in scores(capsys, "run", "source=apart.en", "target=apart.de") if float(x)] == whole
    assert main(["evaluate", "checkpoint=run", "source=named"]) == 0
    Path("named.doc").write_text("".join(f"{name}\n" for name in "abbbbc"))
    capsys.readouterr()
    assert train(*named, "run_dir=run", "training.max_updates=2") == 2
    assert "data.documents" in capsys.readouterr().err


@pytest.mark.usefixtures("corpus")
def test_a_comparison_reads_named_documents(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs("named", FEW_PAIRS[:6])
    Path("named.doc").write_text("".join(f"{name}\n" for name in "aabbbc"))
    Path("gold").write_text("0-0 1-1\n" * 6)
    named = [*CONTEXT, *(f"data.{part}=named" for part in ("train", "valid", "test")), "data.documents=doc"]
    assert train(*named, "data.vocab_size=330", "training.max_updates=1", "run_dir=run") == 0
    read: list[list[int]] = []
    translate, score = Translator.translate_requests, grid_measurement.score_all

    def note(items: Iterable[Any]) -> list[Any]:
        known = list(items)
        read.append([len(item.context) for item in known])
        return known

    monkeypatch.setattr(Translator, "translate_requests", lambda self, x, *a, **k: translate(self, note(x), *a, **k))
    monkeypatch.setattr(grid_measurement, "score_all", lambda self, x, *a, **k: score(self, note(x), *a, **k))
    compare = ["compare", "runs=[run]", "device=cpu", "gold=gold", "decoding.beam_size=1", "decoding.max_length=5"]
    assert main(compare) == 0
    assert read == [[0, 1, 0, 1, 2, 0]] * 2, "translations and alignments"
    result = json.loads(Path("comparison/cells/run-seed1.json").read_text())["result"]
    assert result["bleu"] == json.loads(Path("run/test.json").read_text())["bleu"]
    assert main(compare) == 0
    assert "1 of 1 cells are measured already" in capsys.readouterr().err
    Path("named.doc").write_text("".join(f"{name}\n" for name in "abbbbc"))
    assert main(compare) == 0
    assert "contents.test_documents: was" in capsys.readouterr().err

    Path("named.doc").write_text("".join(f"{name}\n" for name in "aabbbc"))
    files = parse("compare", {"source": "named.en", "reference": "named.de"})
    reading, _ = read_run(Path("run"))
    alone = dataclasses.replace(reading, data=dataclasses.replace(reading.data, context=0, documents=None))
    for cells in ([Cell("a", alone), Cell("b", reading)], [Cell("b", reading), Cell("a", alone)]):
        for config in (parse("compare", {}), files):
            pairs = read_task(config, cells).pairs(2)
            assert [len(pair.context) for pair in pairs] == [0, 1, 0, 1, 2, 0]
    other = dataclasses.replace(reading, data=dataclasses.replace(reading.data, documents=None))
    with pytest.raises(ConfigError, match=r"data.documents: .*a: doc; b: None"):
        read_task(files, [Cell("a", reading), Cell("b", other)])


def test_sentences_and_documents_are_not_split_into_the_same_test_set() -> None:
    data = {"train": "train", "split": {"valid": 1, "test": 1}, "source_lang": "en", "target_lang": "de"}
    cells = [
        Cell(
            str(size),
            dataclasses.replace(
                settings([*SMALL, "data.train=train", "data.valid=train"]),
                data=parse("data", {**data, "context": size}),
            ),
        )
        for size in (0, 2)
    ]
    with pytest.raises(ConfigError, match=r"data.test: all cells need the same one"):
        read_task(parse("compare", {}), cells)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["data.documents=doc"], "data.documents=doc and data.context=0: without context, nothing depends"),
        (["data.context=2"], "data.context=2 and model/context=none: the model would not read"),
        (["model/context=hierarchical"], "model/context=hierarchical and data.context=0: there is nothing"),
        ([*CONTEXT, "model.context.words.heads=5"], "model.context.words.heads=5 and an encoder state of size"),
        ([*CONTEXT, "model/context/words/normaliser=reinforce"], "Use model/context/words/normaliser=gumbel or hard"),
        ([*CONTEXT, "data.documents=doc"], "train.doc: no such file"),
    ],
)
@pytest.mark.usefixtures("corpus")
def test_what_means_nothing_is_refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*options, "run_dir=run", "training.max_updates=1") == 2
    assert message in capsys.readouterr().err


def test_sentences_of_a_line_are_a_document_too(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sentencex")
    sentences = ["The cat sees you.", "A dog hears a tree.", "My friend likes you."]
    Path("lines.en").write_text("\n".join(sentences))
    Path("line.en").write_text(" ".join(sentences))
    alone = translated(capsys, "input=lines.en")
    (together,) = translated(capsys, "input=line.en", "split=sentences")
    assert together["sentences"] == 3
    assert together["score"] == pytest.approx(sum(row["score"] for row in alone), abs=1e-4)


def test_from_python(run: str) -> None:
    translator = seq2seq.load(run)
    first, second, blank, again = translator.translate([DOCUMENTS[0][0], DOCUMENTS[0][0], "", DOCUMENTS[0][0]])
    assert (second.context, blank.text, again.context) == ((DOCUMENTS[0][0],), "", ())
    assert first.score == pytest.approx(again.score, abs=1e-5)
    assert first.score == pytest.approx(translator.translate(DOCUMENTS[0][0]).score, abs=1e-5)
    assert abs(first.score - second.score) > 1e-5
