"""The commands from end to end, on a corpus of a few sentences."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import forked
from support.sentences import PAIRS, write_pairs
from support.trainers import ENVIRONMENT, SMALL, weights

import seq2seq
from seq2seq.cli.main import main
from seq2seq.training.progress import Progress

TINY = [*SMALL, "data.train=train", "data.valid=valid", "decoding.max_length=5"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS * 3)
    write_pairs("valid", PAIRS[::5])
    return tmp_path


def train(*more: str) -> int:
    return main(["train", *TINY, *more])


def test_from_raw_text_to_scores(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quick = ["model.hidden_size=32", "model.embedding_size=32", "training.batch_tokens=400", "decoding.max_length=50"]
    limits = ["training.max_epochs=50", "training.validate_every=60"]
    assert train(*quick, "training.learning_rate=0.02", *limits, "run_dir=run", "data.test=valid") == 0
    assert json.loads(Path("run/test.json").read_text())["bleu"] > 90
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert {"loss", "perplexity", "bleu", "chrf", "best"} <= events[-1].keys()
    assert all(b["update"] - a["update"] <= 10 for a, b in itertools.pairwise(events))
    assert json.loads(Path("run/config.json").read_text())["model"]["attention"]["score"]["name"] == "additive"
    card = Path("run/best/README.md").read_text()
    assert "score `additive`, window `global`, normaliser `softmax`" in card
    capfd.readouterr()

    odd = "Was?  \u2028 猫 (odd) \u0085"
    Path("in.txt").write_text(f"the cat sees you .\n\n{odd}\n{'a tree ' * 120}\na dog likes a tree .\n")
    assert main(["translate", "checkpoint=run", "input=in.txt", "output=out.txt"]) == 0
    lines = Path("out.txt").read_bytes().decode().split("\n")
    assert len(lines) == 6
    assert (lines[0], lines[1], lines[4]) == ("die Katze sieht dich .", "", "ein Hund mag einen Baum .")
    assert main(["translate", "checkpoint=run/best", "input=in.txt", "output_format=jsonl", "decoding.n_best=2"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.rstrip("\n").split("\n")]
    assert len(records) == 2 * 5  # the blank line's are empty
    for record in records:
        assert record["score"] == pytest.approx(sum(record["token_scores"]))
        assert len(record["tokens"]) == len(record["token_scores"])

    assert main(["evaluate", "checkpoint=run", "source=valid.en", "reference=valid.de", "output_format=json"]) == 0
    scores = json.loads(capfd.readouterr().out)
    assert scores["bleu"] > 90
    assert "tok:13a" in scores["bleu_signature"]
    assert scores["bleu_by_length"][0]["sentences"] == len(PAIRS[::5])
    assert main(["bleu", "hypothesis=valid.de", "reference=valid.de"]) == 0
    assert "BLEU 100.00" in capfd.readouterr().out
    assert main(["plot", "checkpoint=run", "input=valid.en", "output_format=text"]) == 0
    assert "</s> |" in capfd.readouterr().out
    best = seq2seq.load("run").translate("the cat hears a tree .")
    assert best.text == "die Katze hört einen Baum ."


def test_a_pipe_that_stays_open_gets_its_answers(corpus: Path) -> None:
    assert train("run_dir=run", "training.max_updates=2") == 0
    with subprocess.Popen(
        [sys.executable, "-m", "seq2seq", "translate", "checkpoint=run", "decoding.max_length=3"],
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for line in ("the cat sees you .", "", "a tree"):
            process.stdin.write(line + "\n")
            assert (process.stdout.readline() == "\n") == (line == "")
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0


VARIANTS = [[], ["model/attention/normaliser=reinforce", "training.schedule=cosine"], ["training.optimizer=sgd"]]


def stop_after(update: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a signal come after this update of the next training."""
    advance, updates = Progress.advance, itertools.count(1)

    def stop(progress: Progress, tokens: int) -> None:
        advance(progress, tokens)
        if next(updates) == update:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "advance", stop)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    corpus: Path, variant: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*variant, "training.max_updates=13", "training.validate_every=3", "training.plateau_patience=0"]
    assert train("run_dir=whole", *command) == 0
    stop_after(7, monkeypatch)
    assert train("run_dir=parts", *command) == 128 + signal.SIGTERM
    assert json.loads(Path("parts/last/state.json").read_text())["position"]["update"] == 7
    assert train("run_dir=parts", *command) == 0
    for name, tensor in weights("whole/last").items():
        assert torch.equal(tensor, weights("parts/last")[name]), name
    events = [json.loads(line) for line in Path("parts/metrics.jsonl").read_text().splitlines()]
    assert [event["update"] for event in events] == [3, 6, 9, 10, 12, 13, 13]


def test_a_finished_run_has_nothing_to_do_until_its_limit_is_raised(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("run_dir=run", "training.max_updates=3") == 0
    before = weights("run/last")
    capfd.readouterr()
    assert train("run_dir=run", "training.max_updates=3") == 0
    assert "run: nothing to do, training.max_updates=3 is reached (3 updates)" in capfd.readouterr().err
    assert all(torch.equal(tensor, weights("run/last")[name]) for name, tensor in before.items())
    assert train("run_dir=run", "training.max_updates=5") == 0
    assert json.loads(Path("run/last/state.json").read_text())["position"]["update"] == 5


def test_a_run_stopped_before_its_first_validation_is_validated_when_its_limit_is_lowered(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stop_after(4, monkeypatch)
    command = ["run_dir=run", "training.validate_every=9"]
    assert train(*command, "training.max_updates=9") == 128 + signal.SIGTERM
    assert not Path("run/best").exists()
    assert train(*command, "training.max_updates=3") == 0
    (scores,) = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert (scores["event"], scores["update"]) == ("valid", 4)
    assert Path("run/best").is_dir()
    capfd.readouterr()
    assert train(*command, "training.max_updates=3") == 0
    assert "nothing to do" in capfd.readouterr().err


def test_the_same_seed_gives_the_same_bits_and_another_does_not(corpus: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        assert train(f"run_dir={name}", "training.max_updates=5", f"seed={seed}") == 0
    one, two, other = (weights(f"{name}/last") for name in ("one", "two", "other"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_directory_belongs_to_one_run(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("run_dir=run", "training.max_updates=2") == 0
    capfd.readouterr()
    assert train("run_dir=run", "training.max_updates=4", "model.hidden_size=14", "training.clip_norm=2") == 2
    message = capfd.readouterr().err
    assert "model.hidden_size: was 12, now 14" in message
    assert "training.clip_norm: was 1.0, now 2.0" in message
    assert "max_updates: was" not in message


def test_the_run_directory_follows_the_words_that_were_swapped(corpus: Path) -> None:
    for words in ([], ["model/attention/score=dot"], ["model/attention=none"], ["seed=2"]):
        assert train("training.max_updates=1", *words) == 0
    names = sorted(path.name for path in Path("runs").iterdir() if path.name != "cache")
    assert len(names) == 4
    assert sum("-bahdanau2015-" in name for name in names) == 3
    assert sum("-none-" in name for name in names) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(corpus: Path, number: signal.Signals) -> None:
    command = ["train", *TINY, "run_dir=run", "training.validate_every=100000", "training.max_epochs=null"]
    process = forked.start([*command, "training.max_updates=1000000"], Path("log"))
    while "\n" not in (Path("run/metrics.jsonl").read_text() if Path("run/metrics.jsonl").exists() else ""):
        assert process.is_alive()
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number
    assert "Traceback" not in Path("log").read_text()
    done = json.loads(Path("run/last/state.json").read_text())["position"]["update"]
    assert done >= 10
    assert main([*command, f"training.max_updates={done + 3}"]) == 0
    assert json.loads(Path("run/last/state.json").read_text())["position"]["update"] == done + 3


def test_tensorboard_gets_the_metrics(corpus: Path) -> None:
    pytest.importorskip("tensorboard")
    assert train("run_dir=run", "training.max_updates=10", "training.tensorboard=true") == 0
    assert list(Path("run/tensorboard").glob("events*"))


def test_one_word_each_makes_several_runs(corpus: Path) -> None:
    assert train("training.max_updates=1", "--multirun", "model/attention=none,luong2015_global") == 0
    assert len([path for path in Path("runs").iterdir() if (path / "best").is_dir()]) == 2


def test_any_key_makes_several_runs_in_directories_of_their_own(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One that shapes the updates is in the hash, any other in the name; what is not varied is in neither."""
    sweep = ["training.learning_rate=0.01,0.02", "training.max_updates=1,2", "training.log_every=5"]
    assert train("-m", *sweep) == 0
    runs = {path.name for path in Path("runs").iterdir() if (path / "best").is_dir()}
    assert len(runs) == 4
    assert {name.partition("-max_updates=")[2] for name in runs} == {"1", "2"}
    assert len({name.partition("-max_updates=")[0] for name in runs}) == 2
    assert not any("log_every" in name for name in runs)
    capfd.readouterr()
    assert train("-m", *sweep) == 0  # the same sweep goes on with its runs
    assert capfd.readouterr().err.count("nothing to do") == 4
    assert {path.name for path in Path("runs").iterdir() if (path / "best").is_dir()} == runs


def test_no_job_replaces_the_output_of_another(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("run_dir=run", "training.max_updates=1") == 0
    sweep = ["translate", "-m", "checkpoint=run", "input=valid.en", "decoding.max_length=1,3"]
    capfd.readouterr()
    assert main([*sweep, "output=translations.de"]) == 2
    assert "'output=translations-${hydra:job.num}.de'" in capfd.readouterr().err
    first = Path("translations.de").read_text()
    assert main([*sweep, "output=translations-${hydra:job.num}.de"]) == 0
    assert Path("translations-0.de").read_text() == first != Path("translations-1.de").read_text()
    assert main([*sweep, "output=-"]) == 0
    capfd.readouterr()
    assert main([*sweep, "output=-", "alignments=."]) == 2
    assert "'alignments=-${hydra:job.num}'" in capfd.readouterr().err


def test_the_beam_of_validations_is_told_and_not_that_of_other_commands(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("run_dir=run", "training.max_updates=1", "data.test=valid") == 0
    assert (
        "valid, best checkpoint, decoded as in validations with decoding.beam_size=1 (`seq2seq evaluate` takes 5 by "
        "default):\nBLEU"
    ) in capfd.readouterr().err
    for command, beam in (("train", 1), ("evaluate", 5), ("compare", 5)):
        assert main([command, "--help"]) == 0
        assert f"  decoding.beam_size={beam}\n" in capfd.readouterr().out


def test_check_trains_nothing(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("check=true", "run_dir=run") == 0
    assert not Path("run").exists()
    assert "are fine" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaints"),
    [
        (["model.hiden_size=3", "training.optimizer=adm"], ["Did you mean 'hidden_size'?", "Did you mean 'adam'?"]),
        (["model/attention=bahdanau"], ["Did you mean 'bahdanau2015'?", "luong2015_local_p"]),
        (["model/attention/score=dott"], ["model/attention/score=dott: no such option. Did you mean 'dot'?"]),
        ([f"{'x' * 5000}=1"], ["can't be composed", "too long"]),
        (["model.attention.score=dot"], ["chosen with a slash: model/attention/score=dot"]),
        (["model.attention=none"], ["chosen with a slash: model/attention=none"]),
        (["model/attentoin=none"], ["model/attentoin=none: no such group. Did you mean 'model/attention=none'?"]),
        (["data.train=nowhere"], ["nowhere.en: no such file"]),
        (["data.vocab_size=100000"], ["Use data.vocab_size="]),
        (["model/attention=none", "model/bridge=zero"], ["model/bridge=zero", "Use another bridge"]),
        (["device=cuda"] if not torch.cuda.is_available() else ["device=gpu"], ["device=", "cpu"]),
        (["model.dropout=[1,2"], ["model.dropout=[1,2"]),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    corpus: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], complaints: list[str]
) -> None:
    before = sorted(Path().iterdir())
    assert train("data.cache_dir=elsewhere", *arguments) == 2
    message = capfd.readouterr().err
    assert "Traceback" not in message
    for complaint in complaints:
        assert complaint in message
    assert [path for path in sorted(Path().iterdir()) if path.name != "elsewhere"] == before


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("train.de", b"ein\nzwei \xff\n", "train.de:2: not UTF-8"),
        ("train.en", b"one\n\0\n", "train.en:2: a NUL byte"),
        ("valid.de", b"eins\n", "valid.de:2: the file ends here"),
        ("train.en", b"\n" * 81, "train: no usable pair"),
    ],
)
def test_bad_text_is_named_before_anything_is_written(
    corpus: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes, complaint: str
) -> None:
    Path(name).write_bytes(content)
    assert train("run_dir=run") == 2
    message = capfd.readouterr().err
    assert complaint in message
    assert "Traceback" not in message
    assert not Path("run").exists()


def test_another_corpus_under_a_run_is_refused(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("run_dir=run", "training.max_updates=2") == 0
    with Path("train.en").open("a") as file:
        file.write("a new line\n")
    with Path("train.de").open("a") as file:
        file.write("eine neue Zeile\n")
    assert train("run_dir=run", "training.max_updates=4") == 2
    assert "the corpus has changed since this run began (data.train)" in capfd.readouterr().err


def test_diverging_training_stops_with_advice(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wild = ["training.learning_rate=1e30", "training.optimizer=sgd", "training.clip_norm=0"]
    assert train("run_dir=run", *wild) == 2
    assert "Use a lower rate" in capfd.readouterr().err


def test_a_missing_test_set_or_tokenizer_is_named_before_training(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train("run_dir=run", "data.test=nowhere") == 2
    assert train("run_dir=run", "data.bleu_tokenizer=foo") == 2
    assert not Path("run").exists()
    assert "nowhere.en: no such file" in (message := capfd.readouterr().err)
    assert "bleu_tokenizer=foo: sacrebleu has" in message


def test_a_limit_that_is_raised_leaves_no_trace(corpus: Path) -> None:
    command = ["training.schedule=plateau", "training.plateau_patience=0", "training.validate_every=3"]
    assert train("run_dir=whole", *command, "training.max_updates=12") == 0
    assert train("run_dir=parts", *command, "training.max_updates=5") == 0
    assert train("run_dir=parts", *command, "training.max_updates=12") == 0
    for name, tensor in weights("whole/last").items():
        assert torch.equal(tensor, weights("parts/last")[name]), name


def test_training_goes_on_while_the_loss_falls_though_bleu_stays_at_zero(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    slow = ["training.learning_rate=0.0002", "training.validate_every=2", "training.max_updates=24"]
    assert train("run_dir=run", *slow, "training.patience=2", "training.plateau_patience=0") == 0
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    scores = [event["bleu"] for event in events if event["event"] == "valid"]
    assert max(scores) < 1
    assert "training.max_updates" in capfd.readouterr().err
    assert events[-1]["update"] == 24
    assert json.loads(Path("run/last/state.json").read_text())["schedule"][0] == 1.0


def test_patience_ends_what_no_longer_learns(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    still = ["training.learning_rate=1e-12", "training.validate_every=1", "training.schedule=constant"]
    assert train("run_dir=run", *still, "training.patience=3", "training.max_updates=200") == 0
    assert "nor the loss improved in 3 validations" in capfd.readouterr().err
    assert json.loads(Path("run/last/state.json").read_text())["position"]["update"] < 200


def test_a_broken_run_config_is_named(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("run_dir=run", "training.max_updates=2") == 0
    Path("run/config.json").write_text('{"broken')
    assert train("run_dir=run", "training.max_updates=2") == 2
    assert "config.json: can't be read" in capfd.readouterr().err


def test_unknown_commands_and_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert "Did you mean 'train'?" in capfd.readouterr().err
    assert main(["--help"]) == 0
    assert main(["train", "--help"]) == 0
    text = capfd.readouterr().out
    for word in ("luong2015_local_p", "normed_additive", "sparsemax", "between", "multi30k_en_de", "inverse_sqrt"):
        assert word in text
