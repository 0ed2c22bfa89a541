"""Checkpoints, data and caches that somebody made to do harm: each ends with a clear message, in little memory, without
anything executed, and with no file read or written but those that were named.

All commands run in one process that notes what it opens, starts and connects to (tests/support/watched.py).
"""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from support import FORMAT_1, ROOT, trainers
from support.protobuf import NORMAL, SPECIALS, sentencepiece_model
from support.sentences import PAIRS, write_pairs

import seq2seq
from seq2seq import checkpoint
from seq2seq.cli.files import arriving_lines, output_stream
from seq2seq.cli.main import main
from seq2seq.cli.reading import RowLayout, read_pairs
from seq2seq.config import parse, to_plain
from seq2seq.errors import DataError
from seq2seq.inference.forced_scores import SentencePair
from seq2seq.inference.loading import load_translator
from seq2seq.search.shortlist import Shortlist
from seq2seq.text import corpus as corpus_module
from seq2seq.text.cache import encode_corpus
from seq2seq.text.corpus import MOST_BYTES, read_lines
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.storage import unfinished_path
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training.progress import Effort, Progress, effort
from seq2seq.training.run_directory import RunLock, claim_run_dir

TESTS = ROOT / "tests"
MODEL = FORMAT_1
SOURCE, TARGET = "the cat sees you .\na dog likes a tree .\n", "die Katze sieht dich .\nein Hund mag einen Baum .\n"


@dataclass
class Case:
    """A command, and what has to come of it."""

    arguments: list[str]
    code: int
    says: str = ""


@dataclass
class Place:
    """Where the cases are made: a directory for each, and files outside that none may read or write."""

    root: Path
    cases: dict[str, Case] = field(default_factory=dict)

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def checkpoint(self, name: str) -> Path:
        """A good one, to be spoilt."""
        return Path(shutil.copytree(MODEL, self.root / name))

    def edit(self, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
        """A checkpoint with another config.json."""
        directory = self.checkpoint(name)
        config = json.loads((directory / "config.json").read_text())
        change(config)
        (directory / "config.json").write_text(json.dumps(config))
        return directory

    def translate(self, name: str, says: str, directory: Path | None = None, code: int = 2) -> None:
        """Expect this of translating with the checkpoint of that name."""
        where = directory or self.root / name
        arguments = ["translate", f"checkpoint={where}", f"input={self.root}/source.txt", "decoding.max_length=3"]
        self.cases[name] = Case([*arguments, f"output={self.root}/{name}.out"], code, says)


class Harmful:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def pickles(place: Place) -> None:
    harmful = Harmful(place.outside / "executed")
    file = io.BytesIO()
    torch.save({"weight": torch.ones(2), "x": harmful}, file)
    says = {
        "model.safetensors": "not a readable checkpoint",
        "source.model": "not a sentencepiece model",
        "config.json": "not a readable checkpoint",
        "shortlist.safetensors": "not a readable shortlist",
    }
    for kind, content in (("pickle", pickle.dumps(harmful)), ("torch", file.getvalue())):
        for name in says:
            (place.checkpoint(f"{kind}-{name}") / name).write_bytes(content)
            place.translate(f"{kind}-{name}", says[name])


def configurations(place: Place) -> None:
    def model(**other: Any) -> Callable[[dict[str, Any]], None]:
        return lambda config: config["model"].update(other)

    def attention(**other: Any) -> Callable[[dict[str, Any]], None]:
        return lambda config: config["model"]["attention"].update(other)

    def data(train: str) -> Callable[[dict[str, Any]], None]:
        return lambda config: config["data"].update(train=train)

    home = "${oc.env:HOME}"
    changes = {
        "target": ("no such key", attention(score={"name": "additive", "_target_": "os.system", "args": "id"})),
        "interpolation": ("interpolations are not allowed", data(home)),
        "name": ("no such option", attention(score={"name": home})),
        "wide": ("weights don't fit", model(hidden_size=65536, encoder_layers=64, decoder_layers=64)),
        "window": ("at most 1024", attention(window={"name": "local_m", "half_width": 2**40})),
        "location": ("at most 65536", attention(score={"name": "location", "max_length": 2**62})),
        "heads": ("heads must divide", attention(heads=2**60)),
        "number": ("64 bits", model(embedding_size=10**30)),
        "null": ("may not be null", model(attention=None)),
        "format": ("format 99", lambda config: config.update(format=99)),
        "nothing": ("has no 'model'", lambda config: config.pop("model")),
        "origin": ("not a readable checkpoint", lambda config: config.update(origin=[1])),
        "half": ("not a readable checkpoint", data("\ud800")),
        "nul": ("without NUL", data("a\0b")),
    }
    for name, (says, change) in changes.items():
        place.edit(f"config-{name}", change)
        place.translate(f"config-{name}", says)
    (place.checkpoint("config-deep") / "config.json").write_text("[" * 200_000)
    place.translate("config-deep", "nested too deeply")
    (place.checkpoint("config-missing") / "config.json").unlink()
    place.translate("config-missing", "not a readable checkpoint")


def links(place: Place) -> None:
    for name, listed in (("sums", "../outside/checkpoint/config.json"), ("device", "config.json")):
        directory = place.checkpoint(f"sums-{name}")
        (directory / "SHA256SUMS").write_text(f"{'0' * 64}  {listed}\n")
    (place.root / "sums-device/config.json").unlink()
    (place.root / "sums-device/config.json").symlink_to("/dev/zero")
    place.translate("sums-sums", "", code=0)
    place.translate("sums-device", "a link that leads out of")
    good = place.root / "outside/checkpoint"
    shutil.copytree(MODEL, good)
    save_file({"candidates": torch.full((330, 2), 5).int(), "frequent": torch.tensor([5, 6]).int()},
              good / "shortlist.safetensors")  # fmt: skip
    for name in ("config.json", "model.safetensors", "source.model", "target.model", "shortlist.safetensors"):
        directory = place.checkpoint(f"link-{name}")
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(good / name)
        place.translate(f"link-{name}", "a link that leads out of")
    directory = place.checkpoint("link-up")
    (directory / "target.model").unlink()
    (directory / "target.model").symlink_to("../outside/checkpoint/target.model")
    place.translate("link-up", "a link that leads out of")
    (place.root / "link-best").mkdir()
    (place.root / "link-best/best").symlink_to(good)
    place.translate("link-best", "a link that leads out of")
    directory = place.checkpoint("link-within")
    (directory / "target.model").unlink()
    (directory / "target.model").symlink_to("source.model")
    place.translate("link-within", "", code=0)
    for name in ("config.json", "source.model"):
        directory = place.checkpoint(f"device-{name}")
        (directory / name).unlink()
        os.mkfifo(directory / name)
        place.translate(f"device-{name}", "not a regular file")
        directory = place.checkpoint(f"sparse-{name}")
        os.truncate(directory / name, 1 << 40)
        place.translate(f"sparse-{name}", "larger than")


def tensors(place: Place) -> None:
    def file(header: dict[str, Any], body: bytes = b"", size: int | None = None) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text) if size is None else size) + text + body

    def tensor(shape: list[int], end: int, begin: int = 0) -> dict[str, Any]:
        return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}

    lies = {
        "huge": file({"output.bias": tensor([2**60], 2**62)}, bytes(8)),
        "overflow": file({"output.bias": tensor([2**62, 16], 64)}, bytes(64)),
        "behind": file({"output.bias": tensor([2], 2**40 + 8, 2**40)}, bytes(8)),
        "backwards": file({"output.bias": tensor([2], 0, 8)}, bytes(8)),
        "header": file({}, b"", 2**63),
        "empty": b"",
    }
    for name, content in lies.items():
        (place.checkpoint(f"tensor-{name}") / "model.safetensors").write_bytes(content)
        place.translate(f"tensor-{name}", "not a readable checkpoint")
    weights = load_file(MODEL / "model.safetensors")
    embedding = weights["source_embedding.weight"]
    changed = {
        "larger": {**weights, "source_embedding.weight": torch.cat([embedding, embedding[:5]])},
        "more": {**weights, "decoder.evil": torch.ones(1)},
        "fewer": {name: weight for name, weight in weights.items() if name != "output.bias"},
        "double": {name: weight.double() for name, weight in weights.items()},
    }
    for name, of in changed.items():
        save_file(of, place.checkpoint(f"weights-{name}") / "model.safetensors")
        place.translate(f"weights-{name}", "weights don't fit config.json")
    for name, value in (("nan", float("nan")), ("infinite", float("inf")), ("large", 3e38)):
        spoilt = {name: torch.full_like(weight, value) for name, weight in weights.items()}
        save_file(spoilt, place.checkpoint(f"weights-{name}") / "model.safetensors")
        place.translate(f"weights-{name}", "", code=0)
    few = sentencepiece_model([*SPECIALS, (b"\xe2\x96\x81the", -1.0, NORMAL)])
    (place.checkpoint("weights-vocabulary") / "target.model").write_bytes(few)
    place.translate("weights-vocabulary", "weights don't fit config.json and the tokenizers")


def tokenizers(place: Place) -> None:
    models = {
        "octets": ("not a sentencepiece model of UTF-8", sentencepiece_model([*SPECIALS, (b"\xff", -1.0, NORMAL)])),
        "unknown": ("at most 256", sentencepiece_model([*SPECIALS, (b"a", -1.0, NORMAL)], trainer=[(44, b"x" * 1000)])),
        "growing": ("substitutes 50,000 bytes", growing_tokenizer(place.root / "rules.tsv")),
        "cut": ("not a sentencepiece model", (MODEL / "source.model").read_bytes()[:-100] + b"\xff" * 9),
    }
    for name, (says, content) in models.items():
        (place.checkpoint(f"tokenizer-{name}") / "source.model").write_bytes(content)
        place.translate(f"tokenizer-{name}", says)


def growing_tokenizer(rules: Path) -> bytes:
    """Puts 50,000 letters in the place of one."""
    rules.write_text("61\t" + " ".join(["62"] * 50_000) + "\n")
    learned = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["b c d"] * 5), model_writer=learned, model_type="bpe", vocab_size=9,
        normalization_rule_tsv=str(rules), pad_id=0, unk_id=1, bos_id=2, eos_id=3, minloglevel=2,
    )  # fmt: skip
    return learned.getvalue()


def text(place: Place) -> None:
    place.checkpoint("text")
    long = {"line": b"a" * 100_000_000, "pieces": b"a b " * 20_000, "bomb.gz": gzip.compress(bytes(1 << 28), 1),
            "lines.gz": gzip.compress((b"a " * 500 + b"\n") * 100_000)}  # fmt: skip
    says = {"line": ":1: a line of more than 1,048,576 bytes", "pieces": "pieces, at most 16,384",
            "bomb.gz": ":1: a line of more than", "lines.gz": "unpacks to more than 128 times its size"}  # fmt: skip
    for name, content in long.items():
        path = place.root / f"long.{name}"
        path.write_bytes(content)
        arguments = [f"checkpoint={place.root}/text", "decoding.max_length=3", "decoding.beam_size=1"]
        if name == "lines.gz":
            place.cases["bleu"] = Case(["bleu", f"hypothesis={path}", f"reference={path}"], 2, says[name])
            continue
        place.cases[f"long-{name}"] = Case(
            ["translate", *arguments, f"input={path}", f"output={place.root}/{name}.out"], 2, says[name]
        )
    pieces = place.root / "long.pieces"
    arguments = ["score", f"checkpoint={place.root}/text", f"source={pieces}", f"target={pieces}"]
    place.cases["long-score"] = Case(arguments, 2, says["pieces"])


def baits(place: Place) -> None:
    """Checkpoints that name files outside, and all commands that use such a checkpoint."""
    for name in ("train", "valid", "test"):
        for language, content in (("en", SOURCE), ("de", TARGET)):
            (place.outside / f"{name}.{language}").write_text(content)
    for name in ("dictionary", "links"):
        (place.outside / name).write_text("a\tb\n")
    names: dict[str, Any] = {name: str(place.outside / name) for name in ("train", "valid", "test")}
    baited = {**names, "cache_dir": str(place.outside / "cache"), "alignments": str(place.outside / "links")}
    origin = {"training": {"start_from": str(place.outside / "checkpoint")},
              "decoding": {"dictionary": str(place.outside / "dictionary")}}  # fmt: skip
    for name in ("bait", "bait2"):
        place.edit(name, lambda config: (config["data"].update(baited), config.update(origin=origin)))  # type: ignore[func-returns-value]
    run = place.root / "bait-run"
    shutil.copytree(place.root / "bait", run / "best")
    stored = json.loads((run / "best/config.json").read_text())
    training = {"start_from": str(place.outside / "checkpoint"), "guided_alignment": 0.1}
    decoding = {"beam_size": 1, "dictionary": str(place.outside / "dictionary"), "replace_unknown": True}
    whole = {"data": {**stored["data"], "tokenizer": "word", "vocab_size": 10}, "model": stored["model"],
             "training": training, "decoding": decoding}  # fmt: skip
    (run / "config.json").write_text(json.dumps(to_plain(parse("train", whole))))
    root = place.root
    sides = [f"source={root}/source.txt", f"target={root}/target.txt"]
    scored = [f"source={root}/source.txt", f"reference={root}/target.txt"]
    short = ["decoding.max_length=3"]
    commands = {
        "translate": [f"input={root}/source.txt", "output_format=jsonl", f"alignments={root}/a.align", *short],
        "evaluate": [*scored, f"report={root}/report", *short],
        "score": [*sides, "output_format=jsonl"],
        "align": [*sides, f"gold={root}/gold.txt"],
        "plot": [f"input={root}/source.txt", "output_format=html", f"output={root}/page.html", *short],
        "shortlist": [*sides],
        "average": [f"output={root}/averaged"],
        "compare": [*scored, f"runs=[{run}]", f"output={root}/comparison", *short],
    }
    for command, more in commands.items():
        checkpoints = {"average": f"checkpoint=[{root}/bait,{root}/bait2]", "compare": "device=cpu"}
        where = checkpoints.get(command, f"checkpoint={root}/bait")
        place.cases[f"bait-{command}"] = Case([command, where, *more], 0)
    # What is written beside a stranger's weights does not follow links either.
    directory = place.checkpoint("trap")
    (directory / ".shortlist.safetensors.tmp").symlink_to(place.outside / "train.en")
    place.cases["trap-shortlist"] = Case(["shortlist", f"checkpoint={directory}", *sides], 0)
    (root / ".trap.out.tmp").symlink_to(place.outside / "train.en")
    place.translate("trap", "", code=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """All cases, and what came of them."""
    made = Place(tmp_path_factory.mktemp("hostile"))
    made.outside.mkdir()
    for name, content in (("source", SOURCE), ("target", TARGET), ("gold", "0-0\n\n")):
        (made.root / f"{name}.txt").write_text(content)
    for group in (pickles, configurations, links, tensors, tokenizers, text, baits):
        group(made)
    return made


@pytest.fixture(scope="module")
def results(place: Place) -> dict[str, dict[str, Any]]:
    commands, found = place.root / "commands.json", place.root / "results.json"
    commands.write_text(json.dumps([case.arguments for case in place.cases.values()]))
    done = subprocess.run(
        [sys.executable, str(TESTS / "support/watched.py"), str(commands), str(found)],
        env=trainers.ENVIRONMENT, cwd=place.root, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(place.cases, json.loads(found.read_text()), strict=True))


def test_each_ends_with_a_clear_message(place: Place, results: dict[str, dict[str, Any]]) -> None:
    for name, case in place.cases.items():
        result = results[name]
        assert result["code"] == case.code, (name, result["code"], result["errors"][-2000:])
        assert case.says in result["errors"], (name, result["errors"])
        assert "Traceback" not in result["errors"], name
        if case.code == 2:
            assert len(result["errors"]) < 4000, name
            outputs = [word.partition("=")[2] for word in case.arguments if word.startswith("output=")]
            assert not any(os.path.exists(output) for output in outputs), name
            assert not any(unfinished_path(Path(output)).exists() for output in outputs), name


def test_nothing_is_executed(place: Place, results: dict[str, dict[str, Any]]) -> None:
    assert not (place.outside / "executed").exists()
    for name, result in results.items():
        assert not [event for event in result["events"] if not event.startswith("open ")], name


def test_nothing_outside_is_read_or_written(place: Place, results: dict[str, dict[str, Any]]) -> None:
    outside = os.path.realpath(place.outside)
    for name, result in results.items():
        assert not [event for event in result["events"] if outside in event], name
    assert (place.outside / "train.en").read_text() == SOURCE
    assert sorted(path.name for path in place.outside.iterdir()) == sorted(
        [
            "checkpoint",
            "dictionary",
            "links",
            *(f"{n}.{side}" for n in ("train", "valid", "test") for side in ("en", "de")),
        ]
    )


def test_what_is_watched_is_seen(tmp_path: Path) -> None:
    """The hook is no good if it sees nothing."""
    (tmp_path / "text").write_text("a\n")
    commands = [["bleu", f"hypothesis={tmp_path}/text", f"reference={tmp_path}/text"]]
    (tmp_path / "commands").write_text(json.dumps(commands))
    program = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from support import watched; import os, json, pickle\n"
    program += f"found = watched.main({commands!r})\nos.system('true')\npickle.loads(b'cos\\nsystem\\n.')\n"
    program += "print(json.dumps([found, watched.events]))"
    environment = {**os.environ, "PYTHONPATH": str(Path(seq2seq.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    ((result,), after) = json.loads(done.stdout)
    assert result["code"] == 0
    assert f"open {os.path.realpath(tmp_path / 'text')}" in result["events"]
    assert [event.split()[0] for event in after if not event.startswith("open ")] == ["os.system", "pickle.find_class"]


# --- without a command -----------------------------------------------------------------------------------------------


def test_a_pickled_cache_or_training_state_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("the cat\tdie Katze\n")
    corpus = ParallelText.find(str(tmp_path / "t.tsv"), "en", "de")
    pieces = Tokenizer.load(MODEL / "source.model")
    encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    array = np.array([Harmful(tmp_path / "executed")], dtype=object)
    np.save(entry / "source.offsets.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"damaged .* Delete it"):
        encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache")
    for name in ("state.json", "state.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Harmful(tmp_path / "executed")))
    with pytest.raises(DataError, match="the training state can't be read"):
        checkpoint.load_state(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("source.offsets.npy", [0, 2**40]),
        ("source.offsets.npy", [0, -5]),
        ("source.offsets.npy", [-3, 3]),
        ("source.offsets.npy", [0, 1, 2]),
        ("target.tokens", [2**31]),
        ("target.tokens", []),
    ],
)
def test_a_lying_cache_is_named(tmp_path: Path, name: str, lie: list[int]) -> None:
    (tmp_path / "t.tsv").write_text("the cat\tdie Katze\n")
    corpus = ParallelText.find(str(tmp_path / "t.tsv"), "en", "de")
    pieces = Tokenizer.load(MODEL / "source.model")
    first = encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    source, target = first.source[0].tolist(), first.target[0].tolist()
    if name.endswith(".npy"):
        np.save(entry / name, np.array(lie, np.int64))
    else:
        (entry / name).write_bytes(np.array(lie * len(target), np.uint32).tobytes())
    with pytest.raises(DataError, match=f"{name.partition('.')[0]}.*Delete it, and it is made again"):
        encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache")
    shutil.rmtree(entry)
    again = encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache")
    assert again.source[0].tolist() == source


@pytest.mark.parametrize("begin", [b"", b"\x93NUMPY\x03\x00", b"\x93NUMPY\x01\x00\xff\xff{(", b"PK\x03\x04"])
def test_a_cache_file_of_another_kind_is_named(tmp_path: Path, begin: bytes) -> None:
    (tmp_path / "t.tsv").write_text("the cat\tdie Katze\n")
    corpus = ParallelText.find(str(tmp_path / "t.tsv"), "en", "de")
    pieces = Tokenizer.load(MODEL / "source.model")
    encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    content = (entry / "source.offsets.npy").read_bytes()
    (entry / "source.offsets.npy").write_bytes(begin + content[len(begin) :] if begin else b"")
    with pytest.raises(DataError, match="Delete it, and it is made again"):
        encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=tmp_path / "cache")


def test_a_gzip_bomb_is_refused_and_packed_text_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "_ALWAYS_UNPACKED", 1 << 10)
    content = "".join(f"{number} bottles of beer\n" for number in range(5000)).encode()
    (tmp_path / "text.gz").write_bytes(gzip.compress(content))
    assert sum(len(line) + 1 for line in read_lines(tmp_path / "text.gz")) == len(content)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"beer\n" * 200_000))
    with pytest.raises(DataError, match=r"bomb\.gz: unpacks to more than 128 times its size"):
        list(read_lines(tmp_path / "bomb.gz"))
    with pytest.raises(DataError, match=r"bomb\.gz: unpacks to more than 128 times its size"):
        ParallelText("bomb", (tmp_path / "bomb.gz",)).content_hash()


def test_a_line_may_have_so_many_bytes_and_no_more(tmp_path: Path) -> None:
    for ending in (b"\n", b""):
        (tmp_path / "text").write_bytes(b"first\n" + b"a" * MOST_BYTES + ending)
        assert [len(line) for line in read_lines(tmp_path / "text")] == [5, MOST_BYTES]
        for more in (b"a", b"\r", b"aa\n"):
            (tmp_path / "text").write_bytes(b"first\n" + b"a" * MOST_BYTES + more + ending)
            with pytest.raises(DataError, match=":2: a line of more than 1,048,576 bytes"):
                list(read_lines(tmp_path / "text"))


def test_an_endless_line_on_a_pipe_is_refused() -> None:
    too_long = pytest.raises(DataError, match="stdin: a line of more than 67,108,864 bytes")
    with open("/dev/zero", "rb", buffering=0) as endless, too_long:
        list(arriving_lines(endless.fileno(), 4))


def test_a_text_without_sentences_is_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.text.tokenizer._MOST_TEXT", 10_000)
    monkeypatch.setattr("seq2seq.text.tokenizer._SAMPLE", 101)
    options: dict[str, Any] = {"kind": "bpe", "vocab_size": 270, "byte_fallback": None, "character_coverage": 1.0,
                               "normalization": "identity"}  # fmt: skip
    assert Tokenizer.train(["a b c d e " * 9] * 1000, **options)  # 101 of them are short enough
    with pytest.raises(DataError, match=r"lines of 101 characters on average, .* expected a sentence on each line"):
        Tokenizer.train(["a b c d e " * 10 + "f"] * 1000, **options)


def test_a_run_directory_leads_nowhere(tmp_path: Path) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    run.mkdir()
    outside.write_text("{}\n")
    (run / "metrics.jsonl").symlink_to(outside)
    device = torch.device("cpu")
    with pytest.raises(DataError, match="a link that leads out of"):
        Progress(run, 1, device, epoch=1, validate_every=1)
    with pytest.raises(DataError, match="a link that leads out of"):
        effort(run)
    (run / ".config.json.tmp").symlink_to(outside)
    (run / ".lock").symlink_to(outside)
    options = parse("train", json.loads((MODEL / "config.json").read_text(), object_hook=_of_run))
    with pytest.raises(DataError, match="a link that leads out of"), claim_run_dir(RunLock(run), options):
        pass
    (run / ".lock").unlink()
    with claim_run_dir(RunLock(run), options):
        pass
    assert outside.read_text() == "{}\n"
    assert json.loads((run / "config.json").read_text())["seed"] == 1
    (tmp_path / ".text.tmp").symlink_to(outside)
    with output_stream(str(tmp_path / "text")) as file:
        file.write("said\n")
    assert outside.read_text() == "{}\n"


def _of_run(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "format"}


CALL = "{_target_: shutil.copy, src: ../text, dst: ../executed}"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"hydra: {{callbacks: {{x: {CALL}}}}}", "'_target_' in line 2; values and choices are allowed"),
        (f"seed: 1\nhydra: {{launcher: {{x: {CALL}}}}}", "'_target_' in line 3"),
        (f"hydra: {{callbacks: {{x: {CALL.replace('_target_', chr(34) + '_tar' + chr(92) + 'x67et_' + chr(34))}}}}}",
         "'_target_' in line 2"),
        ("hydra: {job_logging: {version: 1, root: {}, formatters: {x: {(): os.system, command: id}}}}", "'()' in line"),
        (f"hydra: {{callbacks: '${{oc.decode:\"{{x: {CALL}}}\"}}'}}", "${oc.decode:"),
        ("data: {train: '${oc.env:HOME}'}", "'${oc.env:HOME}' in line 2"),
        ("seed: o\ndata: {train: '${${seed}c.env:HOME}'}", "'${${seed}c.env:HOME}' in line 3"),
        ("a: &a [1, 1]\nb: &b [*a, *a]", "an alias, *a"),
        ("seed: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("seed: [", "expected the node content"),
        ("data: {train: '${nowhere}'}", "Interpolation key 'nowhere' not found"),
        ("hydra: []", "the configuration can't be composed ("),
        ("# @", "the configuration can't be composed (ValueError: Expected header format"),
        ("seed: \0", "can't be read as a configuration"),
        ("x: " + "[" * 5000, ""),
    ],
)  # fmt: skip
def test_configurations_of_others_only_set_and_choose(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, content: str, says: str
) -> None:
    (tmp_path / "configs/experiment").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "configs")
    (tmp_path / "text").write_text("a\n")
    (tmp_path / "configs/experiment/theirs.yaml").write_text(f"# @package _global_\n{content}\n")
    assert main(["train", f"--config-dir={tmp_path}/configs", "experiment=theirs", "run_dir=nowhere"]) == 2
    said = capfd.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert not (tmp_path / "executed").exists()


def test_configurations_of_ones_own_are_used_where_they_are_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs("t", PAIRS)
    (tmp_path / "experiment").mkdir()
    text = (
        "# @package _global_\ndefaults: [override /model/attention: none]\ndata: {train: t, valid: '${data.train}'}\n"
    )
    (tmp_path / "experiment/mine.yaml").write_text(text)
    command = ["train", "experiment=mine", *trainers.TINY, "check=true"]
    assert main([*command, f"--config-dir={tmp_path}"]) == 0
    assert "run_dir would be runs/t-none-" in capfd.readouterr().err
    (tmp_path / "more").symlink_to(tmp_path / "experiment")
    assert main([*command, f"--config-dir={tmp_path}"]) == 2
    for other in (f"--config-path={tmp_path}", "--config-name=mine", f"hydra.searchpath=[file://{tmp_path}]"):
        assert main([*command, other]) == 2
    said = capfd.readouterr().err
    assert "more: can't be read as a configuration (a link;" in said
    assert said.count("Use --config-dir=DIR with yours") == 3


@pytest.mark.parametrize("path", [".", "/", "..", "x" * 300, "a/" * 3000])
def test_any_path_can_be_asked_for_a_checkpoint(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no checkpoint here"):
        checkpoint.load(Path(path), torch.device("cpu"))
    with pytest.raises(DataError, match=r"no such file|a directory, expected a corpus"):
        ParallelText.find(path, "en", "de")


@pytest.mark.parametrize(
    ("candidates", "frequent"),
    [
        (torch.zeros(7).int(), torch.tensor(0).int()),
        (torch.zeros(7, 3, 1).int(), torch.zeros(3, 1).int()),
        (torch.zeros(7, 3).int(), torch.zeros(4).int()),
        (torch.zeros(6, 3).int(), torch.zeros(3).int()),
        (torch.zeros(7, 0).int(), torch.zeros(0).int()),
        (torch.zeros(7, 3), torch.zeros(3)),
        (torch.zeros(7, 3).bfloat16(), torch.zeros(3).bfloat16()),
        (torch.full((7, 3), 9).int(), torch.zeros(3).int()),
        (torch.zeros(7, 3).int(), torch.full((3,), -1).int()),
    ],
)
def test_a_shortlist_of_another_shape_is_named(
    tmp_path: Path, candidates: torch.Tensor, frequent: torch.Tensor
) -> None:
    save_file({"candidates": candidates, "frequent": frequent}, tmp_path / "shortlist.safetensors")
    with pytest.raises(DataError, match="Make it again with seq2seq shortlist"):
        Shortlist.load(tmp_path, 7, 9)
    save_file({"candidates": torch.full((7, 3), 8).int(), "frequent": torch.zeros(3).int()},
              tmp_path / "shortlist.safetensors")  # fmt: skip
    assert Shortlist.load(tmp_path, 7, 9) is not None


def test_lines_that_look_like_json_are_lines(tmp_path: Path) -> None:
    translator, layout = load_translator(MODEL), RowLayout((None, None))
    for line in ("[" * 100_000, '{"a":' * 2000, '{"source": "a", "tokens": ["\\ud800"]}', "9" * 5000):
        (tmp_path / "text").write_text(f"{line}\n")
        assert read_pairs(str(tmp_path / "text"), str(tmp_path / "text"), translator, layout) == [
            SentencePair(line, line)
        ]
    record = json.dumps({"source": "a", "tokens": ["</s>"]})
    (tmp_path / "text").write_text(f"{record}\n{'[' * 100_000}\n")
    with pytest.raises(DataError, match=":2: expected an object with `source` and `tokens`"):
        read_pairs(str(tmp_path / "text"), str(tmp_path / "text"), translator, layout)


@pytest.mark.parametrize(
    "line",
    ["[1]", "{", '{"update": "a"}', '{"update": NaN}', '{"event": "train", "tokens_per_second": [1]}', "[" * 9999],
)
def test_lines_of_metrics_that_are_none_are_named(tmp_path: Path, line: str) -> None:
    good = {"event": "train", "update": 10, "tokens": 100, "tokens_per_second": 50.0, "peak_memory_mb": None}
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(good)}\n")
    assert effort(tmp_path) == Effort(10, 50.0, None)
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(good)}\n{line}\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: not a line of metrics"):
        effort(tmp_path)


def test_a_training_state_that_does_not_fit_is_named(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, "training.max_updates=1", "decoding.max_length=1")
    trainer.run()
    assert trainer.resume()
    (trainer.run_dir / "last/SHA256SUMS").unlink()  # whoever lies can also count
    path = trainer.run_dir / "last/state.json"
    good = json.loads(path.read_text())
    lies: list[tuple[str, Any]] = [
        ("processes", 10**6), ("position", {**good["position"], "batch": -1}), ("position", {"update": "1"}),
        ("position", {**good["position"], "metrics_size": -1}), ("schedule", [1.0]), ("schedule", [1.0, float("inf")]),
        ("scores", [1]),
    ]  # fmt: skip
    for key, lie in lies:
        path.write_text(json.dumps({**good, key: lie}))
        with pytest.raises(DataError, match="the training state doesn't fit"):
            trainer.resume()
    path.write_text(json.dumps(good))
    moments = load_file(trainer.run_dir / "last/state.safetensors")
    for name, tensor in (("0.exp_avg", torch.ones(3)), ("99999.exp_avg", torch.ones(3)), ("exp_avg", torch.ones(3))):
        save_file({**moments, name: tensor}, trainer.run_dir / "last/state.safetensors")
        with pytest.raises(DataError, match="the training state doesn't fit"):
            trainer.resume()
    save_file(moments, trainer.run_dir / "last/state.safetensors")
    assert trainer.resume()
