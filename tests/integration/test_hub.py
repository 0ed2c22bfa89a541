"""`seq2seq push` and `checkpoint=hf://NAME` as typed, against a stand-in of the Hub."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="the extra `hub`")

from huggingface_hub import ModelCard, constants
from support import ROOT, hub, trainers
from support.sentences import PAIRS, write_pairs
from support.servers import serving

import seq2seq
from seq2seq import checkpoint
from seq2seq.cli.main import main
from seq2seq.inference.link_rules import FILE as LINKS
from seq2seq.search.shortlist import FILE as SHORTLIST

MODEL = ROOT / "tests/compatibility/format2"
NAME = "hf://me/model"
PUSH = ["push", "repo=me/model", "licence=mit"]
LINE, TRANSLATION = "my friend hears the old house .\n", "mein Freund hört das alte Haus .\n"
SCORES = {"bleu": 31.4159, "bleu_signature": "nrefs:1|tok:13a", "ter": 50.0, "ter_signature": "nrefs:1|case:lc"}
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # its upload without xet


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    """A stand-in that this process asks, and a directory with a run and a text."""
    shutil.copytree(MODEL, tmp_path / "run/best")
    (tmp_path / "text").write_text(LINE)
    (tmp_path / "translation").write_text(TRANSLATION)
    monkeypatch.chdir(tmp_path)
    with hub.serving() as server, hub.connected(server, tmp_path / "home"):
        yield server


def forget() -> None:
    """Do as if this were another process."""
    seq2seq.hub.download.cache_clear()  # type: ignore[attr-defined]


def published(server: hub.Hub, branch: str = "main") -> hub.Files:
    repository = server.repositories["me/model"]
    return repository.commits[repository.refs[branch]]


def upload(server: hub.Hub, **changed: bytes | None) -> hub.Repository:
    """A repository with a good checkpoint, in which some files are other ones."""
    files = {path.name: path.read_bytes() for path in MODEL.iterdir()}
    files |= {name: content for name, content in changed.items() if content is not None}
    repository = server.repositories.setdefault("me/model", hub.Repository())
    repository.commit({name: file for name, file in files.items() if changed.get(name, b"") is not None}, "first")
    return repository


def translate(name: str = NAME, *more: str) -> int:
    forget()
    Path("out").unlink(missing_ok=True)
    return main(["translate", f"checkpoint={name}", "input=text", "output=out", *more])


def test_push_and_pull_give_the_same_bits(server: hub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("state.json", "state.safetensors", "notes.txt"):
        Path("run/best", name).write_text("private")
    assert main([*PUSH, "checkpoint=run"]) == 0
    repository = server.repositories["me/model"]
    commit = repository.refs["main"]
    url = f"{server.url}/me/model/commit/{commit}"
    assert capfd.readouterr().out == f"{url}\n{NAME}@{commit}\n"
    local = {path.name: path.read_bytes() for path in Path("run/best").iterdir()}
    pushed = published(server)
    kept = {"model.safetensors", "config.json", "source.model", "target.model", "SHA256SUMS"}
    assert pushed.keys() == {*kept, "README.md", ".gitattributes"}
    assert all(pushed[name] == local[name] for name in kept)
    assert translate() == 0
    assert Path("out").read_text() == TRANSLATION
    pulled = checkpoint.find(Path(NAME))
    assert {path.name for path in pulled.iterdir()} == {*kept, "README.md"}
    assert all((pulled / name).read_bytes() == pushed[name] for name in pushed if name != ".gitattributes")
    assert checkpoint.damage(pulled) == ""


def test_a_push_replaces_what_has_changed(server: hub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["shortlist", "checkpoint=run", "source=text", "target=translation", "candidates=2"]) == 0
    assert main([*PUSH, "checkpoint=run"]) == 0
    repository = server.repositories["me/model"]
    first = repository.refs["main"]
    assert {SHORTLIST, LINKS} & published(server).keys() == {SHORTLIST}
    assert SHORTLIST.encode() in published(server)["SHA256SUMS"]
    assert translate(NAME, "decoding.shortlist=2") == 0
    capfd.readouterr()
    assert main([*PUSH, "checkpoint=run"]) == 0
    told = capfd.readouterr()
    assert f"{NAME}@{first}\n" in told.out
    assert "nothing has changed" in told.err
    Path("run/best", SHORTLIST).unlink()
    assert main([*PUSH, "checkpoint=run", "message=Without it"]) == 0
    assert SHORTLIST not in published(server)
    assert repository.refs["main"] != first
    assert repository.messages == ["initial commit", f"Push with seq2seq {seq2seq.__version__}", "Without it"]
    assert translate(NAME) == 0
    assert translate(f"{NAME}@{first}", "decoding.shortlist=2") == 0


def test_a_branch_a_tag_and_a_commit_are_revisions(server: hub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*PUSH, "checkpoint=run", "revision=en-de/small"]) == 0
    repository = server.repositories["me/model"]
    commit = repository.refs["v1.0"] = repository.refs["en-de/small"]
    assert f"checkpoint={NAME}@en-de/small".encode() in published(server, "en-de/small")["README.md"]
    for revision in ("en-de/small", "v1.0", commit):
        assert translate(f"{NAME}@{revision}") == 0
        assert checkpoint.find(Path(f"{NAME}@{revision}")).name == commit
    server.requests.clear()
    assert translate(f"{NAME}@{commit}") == 0
    assert server.requests == []  # what a commit holds does not change
    capfd.readouterr()
    assert translate(f"{NAME}@v2") == 2
    assert f"{NAME}@v2: the repository has no such revision" in capfd.readouterr().err
    assert translate() == 2  # only the first commit of the Hub is there
    assert "not a checkpoint of seq2seq; the repository has no model.safetensors" in capfd.readouterr().err


def test_the_card_has_the_metadata_that_the_hub_reads(server: hub.Hub) -> None:
    write_pairs(Path("train"), PAIRS)
    trained = trainers.make(Path(), "training.max_updates=2", "training.validate_every=2", run="trained")
    trained.run()
    recorded = json.loads(Path("trained/last/config.json").read_text())["origin"]["validation"]
    assert recorded["bleu"] == trained.scores["bleu"]
    Path("scores.json").write_text(json.dumps(SCORES))
    assert main([*PUSH, "checkpoint=trained", "evaluation={newstest2014: scores.json}"]) == 0
    text = published(server)["README.md"].decode()
    data = ModelCard(text).data
    assert (data.language, data.license, data.library_name) == (["en", "de"], "mit", "seq2seq")
    assert (data.pipeline_tag, data.model_name, data.metrics) == ("translation", "model", ["bleu", "chrf", "ter"])
    assert data.tags == ["translation", "attention", "recurrent"]
    results = {(each.dataset_split, each.metric_type): each for each in data.eval_results}
    assert {split: value for split, value in results if split == "test"} == {"test": "ter"}
    test, valid = results["test", "bleu"], results["validation", "chrf"]
    assert (test.dataset_name, test.metric_value, test.metric_args) == (
        "newstest2014", 31.42, {"signature": "nrefs:1|tok:13a"},
    )  # fmt: skip
    assert valid.metric_value == round(trained.scores["chrf"], 2)
    assert valid.metric_args == {"signature": recorded["chrf_signature"]}
    for digest in json.loads(Path("trained/best/config.json").read_text())["origin"]["hashes"].values():
        assert digest in text
    for line in (
        'pip install "seq2seq-attention-trainer[hub]"',
        f"seq2seq translate checkpoint={NAME} input=FILE",
        f'seq2seq.load("{NAME}")',
    ):
        assert f"    {line}" in text or line in text
    assert "THIS_DIRECTORY" not in text


def test_signatures_on_record_are_those_of_evaluate(server: hub.Hub) -> None:
    write_pairs(Path("train"), PAIRS)
    trained = trainers.make(Path(), "training.max_updates=1", run="trained")
    trained.run()
    recorded = json.loads(Path("trained/last/config.json").read_text())["origin"]["validation"]
    test = ["evaluate", "checkpoint=trained/last", "source=text", "reference=translation", "decoding.max_length=2"]
    assert main([*test, "output_format=json", "output=scores"]) == 0
    printed = json.loads(Path("scores").read_text())
    signatures = [key for key in printed if key.endswith("_signature")]
    assert len(signatures) == 3
    assert all(recorded[key] == printed[key] for key in signatures)


def test_an_average_has_none_of_the_scores(server: hub.Hub) -> None:
    for name in ("one", "two"):
        shutil.copytree(MODEL, name)
        config = json.loads(Path(name, "config.json").read_text())
        config["origin"]["validation"] = SCORES
        Path(name, "config.json").write_text(json.dumps(config))
        Path(name, "SHA256SUMS").unlink()
    assert main([*PUSH, "checkpoint=one"]) == 0
    assert b"31.42" in published(server)["README.md"]
    assert main(["average", f"checkpoint=[{NAME},two]", "output=mean"]) == 0
    assert NAME in Path("mean/README.md").read_text()
    assert main([*PUSH, "checkpoint=mean"]) == 0
    assert b"31.42" not in published(server)["README.md"]


def test_own_metadata_and_text_are_kept(server: hub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    card = Path("run/best/README.md")
    card.write_text("---\nlicense_name: ours\ntags: [poetry]\nlicense: mit\n---\n\n# Ours\n")
    assert main([*PUSH, "checkpoint=run", "licence=other"]) == 0
    read = ModelCard(published(server)["README.md"].decode())
    assert (read.data.license, read.data["license_name"]) == ("other", "ours")
    assert read.data.tags[:2] == ["poetry", "translation"]
    assert read.text.startswith("\n# Ours\n")
    assert read.text.count(NAME) == 2
    card.write_text(read.content)  # as after a download
    assert main([*PUSH, "checkpoint=run", "licence=other"]) == 0
    assert published(server)["README.md"].decode() == read.content
    card.write_text("---\n[broken\n---\n")
    assert main([*PUSH, "checkpoint=run"]) == 2
    assert "README.md: its metadata can't be read" in capfd.readouterr().err


def test_nothing_private_is_published(server: hub.Hub, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = json.loads(Path("run/best/config.json").read_text())
    config["data"] |= {"train": "/scratch/alice/corpora/news", "valid": "~/corpora/valid"}
    Path("run/best/config.json").write_text(json.dumps(config))
    Path("run/best/SHA256SUMS").unlink()
    assert main([*PUSH, "checkpoint=run"]) == 0
    everything = b"".join(published(server).values()) + "".join(capfd.readouterr()).encode()
    for secret in (b"alice", b"scratch", str(tmp_path).encode(), hub.TOKEN.encode()):
        assert secret not in everything
    data = json.loads(published(server)["config.json"])["data"]
    assert (data["train"], data["valid"]) == ("corpora/news", "~/corpora/valid")
    assert translate() == 0  # its sums are those of the published files
    Path("secret").write_text("secret")
    for name in ("README.md", LINKS):
        Path("run/best", name).unlink(missing_ok=True)
        Path("run/best", name).symlink_to(tmp_path / "secret")
        assert main([*PUSH, "checkpoint=run"]) == 2
        assert "leads out of" in capfd.readouterr().err
        Path("run/best", name).unlink()


def damage_weights() -> None:
    weights = Path("run/best/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")


@pytest.mark.parametrize(
    ("words", "prepare", "complaint"),
    [
        (["repo=model"], None, "repo=model: expected USER/NAME"),
        (["repo=me/model@v1"], None, "expected USER/NAME"),
        (["repo=me/mo del"], None, "not a name on the Hub"),
        (["licence=free"], None, '"license" must be one of [apache-2.0'),
        (["repo=others/model"], None, "your token may not do this"),
        (["checkpoint=nothing"], None, "nothing: no checkpoint here"),
        (["checkpoint=run"], damage_weights, "has not the SHA-256"),
        (["evaluation={test: missing.json}"], None, "evaluation.test=missing.json: can't be read"),
        (["evaluation={test: text}"], None, "evaluation.test=text: can't be read"),
        (["evaluation={test: n.json}"], lambda: Path("n.json").write_text("{}"), "it has none of bleu, chrf, ter"),
        (["evaluation={test: n.json}"], lambda: Path("n.json").write_text('{"bleu": 1}'), "'bleu_signature'"),
        (["evaluation={test: n.json}"], lambda: Path("n.json").write_text('{"bleu": "x"}'), "'bleu' is str"),
    ],
)  # fmt: skip
def test_what_can_not_be_pushed_is_refused_before_anything_is_made(
    server: hub.Hub,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    prepare: Callable[[], object] | None,
    complaint: str,
) -> None:
    if prepare:
        prepare()
    assert main([*PUSH, "checkpoint=run", *words]) == 2
    told = capfd.readouterr().err
    assert complaint in told
    assert "Traceback" not in told
    assert not server.repositories


def test_a_private_repository_stays_private(server: hub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*PUSH, "checkpoint=run", "private=true"]) == 0
    assert server.repositories["me/model"].private
    server.repositories["me/open"] = hub.Repository()
    first = server.repositories["me/open"].commit({}, "first")
    capfd.readouterr()
    assert main([*PUSH, "checkpoint=run", "private=true", "repo=me/open"]) == 2
    assert "private=true: the repository me/open exists and is public" in capfd.readouterr().err
    assert server.repositories["me/open"].refs["main"] == first


def test_who_may_not_read_is_told_what_to_do(
    server: hub.Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(name: str = NAME) -> str:
        assert translate(name) == 2
        text = capfd.readouterr().err
        assert "Traceback" not in text
        return text

    repository = upload(server)
    assert "private one that your token may not read" in told("hf://me/other")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "the Hub does not accept your token. To get another one, log in with `hf auth login`" in told()
    monkeypatch.delenv("HF_TOKEN")
    repository.private = True
    assert "no such repository, or it needs a login" in told()
    assert main([*PUSH, "checkpoint=run"]) == 2
    assert "HF_TOKEN" in capfd.readouterr().err
    repository.private, repository.gated = False, True
    assert "its owner grants access on request. Ask for it on the page of me/model" in told()
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    assert translate() == 0


def test_a_cut_download_goes_on_where_it_stopped(
    server: hub.Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    upload(server)
    server.cuts["model.safetensors"] = 2
    assert translate() == 0
    assert Path("out").read_text() == TRANSLATION
    shutil.rmtree("home")
    server.cuts["model.safetensors"] = 1000
    assert translate() == 2
    told = capfd.readouterr().err
    assert f"{NAME}@main: can't be downloaded" in told
    assert "run the command again" in told
    assert "Traceback" not in told
    server.cuts["model.safetensors"] = 0
    server.requests.clear()
    assert translate() == 0
    assert Path("out").read_text() == TRANSLATION
    got = [path for method, path in server.requests if method == "GET" and "/resolve/" in path]
    assert [path.rpartition("/")[2] for path in got] == ["model.safetensors"]  # the others had arrived


def test_a_cut_push_publishes_nothing(
    server: hub.Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    server.cuts |= {"storage": 1000}
    assert main([*PUSH, "checkpoint=run"]) == 2
    told = capfd.readouterr().err
    assert f"{NAME}: can't be pushed to" in told
    assert "Traceback" not in told
    server.cuts |= {"storage": 1, "commit": 1}
    assert main([*PUSH, "checkpoint=run"]) == 2
    assert "run the command again" in capfd.readouterr().err
    assert published(server).keys() == {".gitattributes"}
    assert main([*PUSH, "checkpoint=run"]) == 0
    assert translate() == 0


def test_without_the_hub_the_cache_is_used(
    server: hub.Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = upload(server)
    assert translate() == 0
    assert "can't be reached" not in capfd.readouterr().err
    server.status = 503
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    assert translate() == 0
    assert Path("out").read_text() == TRANSLATION
    assert f"Using the copy in the cache, commit {repository.refs['main']}" in capfd.readouterr().err
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert translate() == 0
    assert translate("hf://me/model@other") == 2
    told = capfd.readouterr().err
    assert "hf://me/model@other: can't be downloaded" in told
    assert "the cache has no complete copy" in told
    assert main([*PUSH, "checkpoint=run"]) == 2
    assert "offline mode is enabled" in capfd.readouterr().err
    assert server.requests == []


def test_a_process_reads_one_commit(server: hub.Hub) -> None:
    repository = upload(server)
    first = checkpoint.find(Path(NAME))
    repository.commit({}, "everything is gone")
    server.requests.clear()
    assert checkpoint.find(Path(NAME)) == first
    assert server.requests == []


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"model.safetensors": b"\x80\x04."}, "has not the SHA-256"),
        ({"model.safetensors": b"\x80\x04.", "SHA256SUMS": None}, "not a readable checkpoint"),
        ({"config.json": b"[" * (1 << 24) + b"]", "SHA256SUMS": None}, "larger than"),
        ({"config.json": b"{}", "SHA256SUMS": b"x" * (1 << 17)}, "SHA256SUMS can't be read"),
        ({"source.model": None}, "the repository has no source.model"),
        ({LINKS: b'{"prior": 1}'}, "links.json: not readable"),
        ({LINKS: b"{}", "SHA256SUMS": f"{'0' * 64}  {LINKS}\n".encode()}, "has not the SHA-256"),
        ({"source.model": b"../../../text", "SHA256SUMS": None}, "not a sentencepiece model"),  # a link, as git has it
    ],
)  # fmt: skip
def test_a_hostile_repository_is_refused(
    server: hub.Hub, capfd: pytest.CaptureFixture[str], changed: dict[str, bytes | None], complaint: str
) -> None:
    upload(server, **changed)
    assert translate() == 2
    told = capfd.readouterr().err
    assert complaint in told
    assert "Traceback" not in told


def test_only_the_files_of_a_checkpoint_are_downloaded(server: hub.Hub) -> None:
    others = ["pytorch_model.bin", "best/model.safetensors", "code.py", "../../escaped", "state.json", "x.pkl", "a\\b"]
    upload(server, **dict.fromkeys(others, b"\x80\x04."))
    assert translate() == 0
    asked = {path.partition("/resolve/")[2].partition("/")[2] for _, path in server.requests if "/resolve/" in path}
    assert asked == {path.name for path in MODEL.iterdir()}
    assert not [path for path in Path("home").rglob("*") if path.name in ("escaped", "code.py", "x.pkl")]


def test_a_snapshot_leads_nowhere_but_to_blobs(
    server: hub.Hub, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    upload(server)
    assert translate() == 0
    snapshot = checkpoint.find(Path(NAME))
    card = snapshot / "config.json"
    assert card.is_symlink()
    kept = os.readlink(card)
    blob = card.resolve()
    store = Path("home/hub/blobs/ab")  # which repositories share
    store.mkdir(parents=True)
    blob.rename(store / "shared")
    blob.symlink_to((store / "shared").resolve())
    assert translate() == 0
    target = tmp_path / "secret"
    target.write_text("{}")
    blob.unlink()
    blob.symlink_to(target)
    assert translate() == 2
    assert "leads out of" in capfd.readouterr().err
    card.unlink()
    card.symlink_to(target)
    assert translate(str(snapshot)) == 2
    assert "leads out of" in capfd.readouterr().err
    card.unlink()
    card.symlink_to(kept)
    blobs = blob.parent
    blobs.rename("elsewhere")
    blobs.symlink_to(Path("elsewhere").resolve())  # a cache whose blobs are no directory of its own
    assert translate(str(snapshot)) == 2
    assert "leads out of" in capfd.readouterr().err


PAIR = ["source=text", "target=translation"]


@pytest.mark.parametrize(
    "words",
    [
        ["translate", "checkpoint=[run,hf://me/model@main]", "input=text", "output=out"],
        ["score", f"checkpoint={NAME}", *PAIR, "output=out"],
        ["align", f"checkpoint={NAME}", *PAIR, "output=out"],
        ["evaluate", f"checkpoint={NAME}", "source=text", "reference=translation", "output=out"],
        ["plot", f"checkpoint={NAME}", "input=text", "output_format=html", "output=out.html"],
        ["average", f"checkpoint=[{NAME},run]", "output=mean"],
        ["push", f"checkpoint={NAME}", "repo=me/copy", "licence=mit"],
    ],
    ids=lambda words: words[0],
)
def test_commands_take_a_name(server: hub.Hub, words: list[str]) -> None:
    upload(server)
    assert main(words) == 0


def test_a_training_starts_from_a_name(server: hub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    write_pairs(Path("train"), PAIRS)
    learn = [*trainers.learn_few_pairs(Path(), Path()), "training.max_updates=1", "decoding.max_length=3"]
    assert main([*learn, "run_dir=parent"]) == 0
    assert main([*PUSH, "checkpoint=parent"]) == 0
    assert main([*learn, "run_dir=child", f"training.start_from={NAME}@main"]) == 0
    assert f"training.start_from={NAME}@main:\n" in capfd.readouterr().err
    server.requests.clear()
    forget()
    assert main([*learn, "run_dir=child", f"training.start_from={NAME}@main", "training.max_updates=2"]) == 0
    assert server.requests == []  # a resumed run needs it no longer
    origin = json.loads(Path("child/last/config.json").read_text())["origin"]
    assert origin["training"]["start_from"] == f"{NAME}@main"
    assert origin["hashes"]["start_from"] == checkpoint.weights_hash(Path("parent"))
    assert f"began with the weights of `{NAME}@main`" in Path("child/last/README.md").read_text()
    assert main([*PUSH, "checkpoint=child/last", "repo=me/child"]) == 0
    repository = server.repositories["me/child"]
    card = ModelCard(repository.commits[repository.refs["main"]]["README.md"].decode())
    assert card.data.base_model == ["me/model"]


def test_a_served_model_has_the_name_of_its_repository(server: hub.Hub, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve`")
    upload(server)
    with serving(tmp_path, f"checkpoint=[{NAME}@main,run]", "workers=2", "device=cpu") as (client, _):
        assert [model["name"] for model in client.get("/models")] == ["model@main", "run"]


def test_no_file_is_added_to_a_checkpoint_on_the_hub(server: hub.Hub, capfd: pytest.CaptureFixture[str]) -> None:
    upload(server)
    for words in (
        ["shortlist", f"checkpoint={NAME}", *PAIR],
        ["align", "checkpoint=run", f"reverse={NAME}", "tune=true", *PAIR],
    ):
        assert main(words) == 2
        assert "hf download me/model --revision main --local-dir DIR" in capfd.readouterr().err
    assert server.requests == []


@pytest.mark.parametrize(
    "name", ["hf://", "hf://a/b/c", "hf://a b", "hf://a/b@", "hf://a/b@../x", "hf://../x", "hf://é/b"]
)
def test_what_is_no_name_is_refused(server: hub.Hub, capfd: pytest.CaptureFixture[str], name: str) -> None:
    assert translate(name) == 2
    assert "not a name on the Hub. Expected hf://USER/NAME" in capfd.readouterr().err
    assert server.requests == []


def test_without_huggingface_hub_the_extra_is_named(
    server: hub.Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for words in ([*PUSH, "checkpoint=run"], ["translate", f"checkpoint={NAME}", "input=text"]):
        assert main(words) == 2
        told = capfd.readouterr().err
        assert "The Hub needs huggingface_hub. Install it: pip install" in told
        assert "[hub]" in told


def test_variables_of_the_environment_lead_to_another_hub(server: hub.Hub, tmp_path: Path) -> None:
    upload(server)
    code = f"import seq2seq; print(seq2seq.load('{NAME}', 'cpu').translate({LINE.strip()!r}).text)"
    variables = {**os.environ, **hub.environment(server, tmp_path / "other"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, text=True, capture_output=True)
    assert (done.returncode, done.stdout) == (0, TRANSLATION), done.stderr
    assert (tmp_path / "other/hub/models--me--model").is_dir()
