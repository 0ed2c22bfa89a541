"""`seq2seq reproduce`: the same bits from a checkpoint's own record, and a report of what they depend on."""

import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import FORMAT_1, ROOT, trainers

from seq2seq.cli.main import main
from seq2seq.training.progress import Progress

FILES = ["data.train=train", "data.valid=valid", "data.cache_dir=cache"]
SHORT = ["training.max_updates=6", "training.validate_every=3"]


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainers.write_corpus(tmp_path)


def train(*more: str, files: list[str] = FILES) -> None:
    assert main(["train", *trainers.TINY, *files, "run_dir=run", *more]) == 0


def reproduce(
    capfd: pytest.CaptureFixture[str], *more: str, checkpoint: str = "run"
) -> tuple[int, dict[str, str], str]:
    """Return the exit code, the state of each requirement, and all that was printed."""
    capfd.readouterr()
    code = main(["reproduce", f"checkpoint={checkpoint}", *more])
    out, err = capfd.readouterr()
    rows = [(line[:13].strip(), line[13:].strip()) for line in out.splitlines()]
    return code, {row.partition(": ")[0]: state for state, row in rows if state}, out + err


def sha256(directory: str) -> str:
    return hashlib.sha256(Path(directory, "model.safetensors").read_bytes()).hexdigest()


def new(checkpoint: str = "run/best") -> str:
    """The run directory of a reproduction by default."""
    return f"runs/reproduce-{sha256(checkpoint)[:8]}"


def edit(change: Callable[[dict[str, Any]], object], checkpoint: str = "run/best") -> None:
    """Change the record of a checkpoint, as another version or machine would have written it."""
    path = Path(checkpoint, "config.json")
    values = json.loads(path.read_text())
    change(values["origin"])
    path.write_text(json.dumps(values))
    Path(checkpoint, "SHA256SUMS").unlink(missing_ok=True)


EXPECTED = {
    "update", "seed", "precision", "data.train=train", "data.valid=valid", "source.model", "target.model", "seq2seq",
    "python", "torch", "numpy", "safetensors", "sentencepiece", "sacrebleu", "device", "processor", "instructions",
    "threads", "processes", "micro_batches", "fp32_products",
}  # fmt: skip


@pytest.mark.parametrize(
    "more",
    [
        ["training.schedule=cosine", "model.dropout=0.3"],
        ["training.plateau_patience=0"],
        pytest.param(
            ["training.processes=2"],
            marks=pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only"),
        ),
    ],
)
def test_a_checkpoint_within_a_training_is_reproduced_to_the_bit(
    more: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The schedule is that of the whole training, but no update after the checkpoint's is made."""
    train(*SHORT, *more, "training.keep_last=3", "data.test=valid")
    code, states, said = reproduce(capfd, checkpoint="run/last-000003")
    assert code == 0
    assert states.keys() - {"commit"} == EXPECTED | {"model.safetensors"}
    assert {state for name, state in states.items() if name != "commit"} == {"same"}
    assert sha256(f"{new('run/last-000003')}/last") == sha256("run/last-000003")
    assert f"same          model.safetensors: {sha256('run/last-000003')}\n" in said
    assert json.loads(Path(new("run/last-000003"), "last/state.json").read_text())["position"]["update"] == 3
    assert sha256("run/last") != sha256("run/last-000003")


def test_check_reports_and_stops(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    code, states, _ = reproduce(capfd, "check=true")
    assert (code, states.keys() - {"commit"}) == (0, EXPECTED)
    assert not Path(new()).exists()
    page = (ROOT / "docs/reproduce.md").read_text().replace("data/embedded/", "")
    shown = set(re.findall(r"^    (?:same|differs) +(\S+): ", page, re.MULTILINE))
    assert shown == {*EXPECTED, "commit", "model.safetensors"}


def test_a_resumed_training_is_reproduced_without_its_stops(capfd: pytest.CaptureFixture[str]) -> None:
    train("training.max_updates=2")
    train("training.max_updates=5")
    code, _, said = reproduce(capfd, checkpoint="run/last")
    assert (code, "changed mid-run" in said) == (0, False)
    torch.set_num_threads(2)
    try:
        train("training.max_updates=6")
    finally:
        torch.set_num_threads(1)
    _, states, said = reproduce(capfd, "check=true", checkpoint="run/last")
    assert states["changed mid-run"] == "differs"
    assert "threads 1 until update 5, then 2" in said
    assert "threads 1 until update 5, then 2" in Path("run/last/README.md").read_text()


def test_a_stopped_reproduction_goes_on(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    train(*SHORT)
    advance, updates = Progress.advance, itertools.count(1)

    def stop_after_four(progress: Progress, tokens: int) -> None:
        advance(progress, tokens)
        if next(updates) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "advance", stop_after_four)
        code, states, _ = reproduce(capfd, "run_dir=again")
    assert (code, "model.safetensors" in states) == (130, False)
    for goes_on in ("again: resuming from update 4", "again: nothing to do, update 6 is reached"):
        code, states, said = reproduce(capfd, "run_dir=again")
        assert (code, states["model.safetensors"]) == (0, "same")
        assert goes_on in said


def test_a_corpus_that_has_changed_or_is_missing_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    expected = json.loads(Path("run/best/config.json").read_text())["origin"]["hashes"]["train"]
    shutil.copy("train.de", "kept.de")
    shutil.copy("train.en", "kept.en")
    Path("train.de").write_bytes(Path("train.de").read_bytes().replace(b"K", b"k", 1))
    code, states, said = reproduce(capfd)
    assert (code, states["data.train=train"], states["data.valid=valid"]) == (2, "differs", "same")
    assert f"differs       data.train=train: recorded {expected}, here " in said
    assert "data.train=train: differs; give the original as data.train=..., wherever it lies now" in said
    Path("train.de").unlink()
    code, states, said = reproduce(capfd)
    assert (code, states["data.train=train"], states["source.model"]) == (2, "missing", "missing")
    assert f"missing       data.train=train: recorded {expected}, here nothing" in said
    assert not Path(new()).exists()
    code, states, _ = reproduce(capfd, "data.train=kept")
    assert (code, states["data.train=kept"], states["model.safetensors"]) == (0, "same", "same")


def test_other_sub_words_are_not_trained_with(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    train("data.vocab_size=350", "run_dir=other", "training.max_updates=1")
    code, states, said = reproduce(capfd, "data.tokenizer_model=other/last/source.model")
    assert (code, states["source.model"]) == (2, "differs")
    assert "take over the checkpoint's with data.tokenizer_model" in said
    assert reproduce(capfd, "data.tokenizer_model=run/best/source.model")[0] == 0


def test_other_versions_are_reported_and_explain_other_bits(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    tensors = load_file("run/best/model.safetensors")
    name, tensor = next(iter(tensors.items()))
    tensor.view(-1)[0] += 0.5
    save_file({**tensors, name: tensor}, "run/best/model.safetensors")
    edit(lambda origin: origin["versions"].update(torch="1.0"))
    code, states, said = reproduce(capfd)
    assert (code, states["torch"], states["model.safetensors"]) == (1, "differs", "differs")
    assert f"torch: recorded 1.0, here {torch.__version__}" in said
    assert f"1 of {sum(map(torch.numel, tensors.values())):,} weights differ, by at most 0.5" in said
    assert "may explain it: torch (differs)" in said


def test_differing_bits_that_nothing_explains_are_told_as_such(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    edit(lambda origin: (origin.update(seed=2), origin["versions"].pop("commit", None)))
    code, states, said = reproduce(capfd, "run_dir=other")
    assert (code, states["seed"], states["model.safetensors"]) == (1, "same", "differs")
    assert ("nothing recorded explains it" in said) == ("commit" not in states)


def test_older_checkpoints_are_reproduced_as_well_as_their_record_allows(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT, "training.keep_last=2")

    def forget(origin: dict[str, Any]) -> None:
        del origin["update"], origin["machine"], origin["versions"]["numpy"]

    for checkpoint in ("run/last-000003", "run/best"):
        edit(forget, checkpoint)
    code, states, said = reproduce(capfd, checkpoint="run/last-000003")
    unknown = {"update", "threads", "processes", "processor", "numpy"}
    assert {states[name] for name in unknown} == {"not recorded"}
    assert (code, states["model.safetensors"]) == (0, "same")
    assert "update: here 3\n" in said  # as the model card says
    Path("run/best/README.md").unlink()
    code, states, said = reproduce(capfd, "run_dir=whole")
    assert (code, states["model.safetensors"]) == (0, "same")
    assert "update: here the best of a training to its end" in said


def average(_: dict[str, Any]) -> None:
    assert main(["average", "checkpoint=[run/best,run/last]", "output=mean"]) == 0
    shutil.rmtree("run")
    Path("mean").rename("run")


CHANGED = "learning_rate 0.01 until update 3, then 0.02"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda origin: origin.clear(), "has no record of its training"),
        (lambda origin: origin.update(versions=[1]), "expected groups of keys in `origin`: versions"),
        (lambda origin: origin["machine"].update(threads="x"), "got update=6, threads=x"),
        (lambda origin: origin["machine"].update(processes=0), "training.processes=0: must be at least 1"),
        (lambda origin: origin["training"].update(changed=CHANGED), f"settings were changed mid-run ({CHANGED})"),
        (lambda origin: origin["training"].update(ranks=2), "was trained by 2 processes of torchrun"),
        (lambda origin: origin["training"].update(schedule="cosine", max_hours=1.5), "training.max_hours=1.5 follows"),
        (average, "is the mean of run/best, run/last. Reproduce each of them"),
    ],
)
def test_what_no_training_gives_again_is_refused_with_the_reason(
    change: Callable[[dict[str, Any]], object], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    train(*SHORT)
    if change is average:
        average({})
    else:
        edit(change)
    code, _, said = reproduce(capfd)
    assert code == 2
    assert complaint in said


def test_a_checkpoint_of_the_first_format_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, said = reproduce(capfd, checkpoint=str(FORMAT_1))
    assert code == 2
    assert "has no record of its training (`origin` in config.json)" in said


def test_limits_that_shape_a_schedule_are_recorded_when_they_change(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT, "training.schedule=cosine")
    train(*SHORT[1:], "training.schedule=cosine", "training.max_updates=8")
    code, _, said = reproduce(capfd, checkpoint="run/last")
    assert code == 2
    assert "settings were changed mid-run (max_updates 6 until update 6, then 8)" in said


def test_the_recorded_threads_are_used(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    edit(lambda origin: origin["machine"].update(threads=2))
    found: list[int] = []
    monkeypatch.setattr(
        "seq2seq.cli.reproduce.run_training", lambda *_, **__: found.append(torch.get_num_threads()) or 3
    )
    code, states, _ = reproduce(capfd)
    assert (code, found, states["threads"], torch.get_num_threads()) == (3, [2], "same", 1)


@pytest.mark.parametrize("run_dir", ["run", "run/again", "run/best/again", "."])
def test_the_original_is_never_touched(run_dir: str, capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    code, _, said = reproduce(capfd, f"run_dir={run_dir}")
    assert code == 2
    assert f"run_dir={run_dir}: the original lies there" in said
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before


def test_another_run_is_not_taken_for_a_reproduction(capfd: pytest.CaptureFixture[str]) -> None:
    """Not even a copy of the original, whose weights would be the same without a single update."""
    train(*SHORT)
    shutil.copytree("run", "copy")
    code, _, said = reproduce(capfd, "run_dir=copy")
    assert code == 2
    assert "run_dir=copy: holds a run that does not reproduce run/best" in said


def test_a_device_that_is_not_here_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    train(*SHORT)
    missing = "mps" if sys.platform.startswith("linux") else "cuda"
    edit(lambda origin: origin["machine"].update(device=missing))
    code, states, said = reproduce(capfd)
    assert (code, states["device"]) == (2, "differs")
    assert "device: differs; give device=... to train on another one" in said
    code, states, _ = reproduce(capfd, "device=cpu")
    assert (code, states["model.safetensors"]) == (0, "same")


def documents() -> list[str]:
    for name in ("train", "valid"):
        lines = len(Path(f"{name}.en").read_text().splitlines())
        Path(f"{name}.doc").write_text("".join(f"{n // 5}\n" for n in range(lines)))
    heads = [f"model.context.{level}.heads=1" for level in ("words", "sentences")]
    return ["data.documents=doc", "data.context=1", "model/context=hierarchical", *heads]


def alignments() -> list[str]:
    Path("links").write_text("0-0\n" * len(Path("train.en").read_text().splitlines()))
    return ["data.alignments=links", "training.guided_alignment=0.1"]


def start() -> list[str]:
    train("run_dir=first", "training.max_updates=1")
    return ["training.start_from=first"]


@pytest.mark.parametrize(
    ("prepare", "names"),
    [
        (documents, {"data.documents[0]", "data.documents[1]"}),
        (alignments, {"data.alignments=links"}),
        (start, {"training.start_from=first"}),
        (lambda: ["data.split.valid=6", "data.split.test=6", "data.valid=null"], {"data.train=train", "data.valid"}),
        (lambda: ["data.valid=[valid,train]"], {"data.valid[0]=valid", "data.valid[1]=train"}),
    ],
)
def test_every_file_that_is_hashed_is_compared(
    prepare: Callable[[], list[str]], names: set[str], capfd: pytest.CaptureFixture[str]
) -> None:
    train("training.max_updates=2", *prepare())
    code, states, said = reproduce(capfd)
    assert (code, states["model.safetensors"]) == (0, "same"), said
    assert {states[name] for name in names} == {"same"}
    if Path("first").exists():
        shutil.rmtree("first")
        code, states, said = reproduce(capfd)
        assert (code, states["training.start_from=first"]) == (2, "missing")
        assert "give the original as training.start_from=..." in said


@pytest.mark.slow
def test_the_model_of_the_demo_is_as_good_as_ever_and_is_reproduced(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=demo", "run_dir=demo"]) == 0
    test = ["source=data/embedded/test.en", "reference=data/embedded/test.de", "decoding.precision=fp32"]
    capfd.readouterr()
    assert main(["evaluate", "checkpoint=demo", *test]) == 0
    bleu = re.search(r"^BLEU +([\d.]+)", capfd.readouterr().out, re.MULTILINE)
    assert bleu
    assert 93.5 < float(bleu[1]) < 97.0
    code, states, said = reproduce(capfd, checkpoint="demo")
    assert (code, states["model.safetensors"]) == (0, "same"), said
    assert f"same          model.safetensors: {sha256('demo/best')}" in said
