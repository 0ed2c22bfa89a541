"""Readers of untrusted input, inputs of all kinds for each, and one property that all must have.

An input is read, or refused with one clear message; no other error is raised. tests/unit/test_readers.py tries a few
inputs of each reader, tests/fuzz.py as many as it is asked for.
"""

import contextlib
import copy
import functools
import gzip
import io
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from hypothesis import strategies as st

from seq2seq import checkpoint
from seq2seq.cli import main as command_line
from seq2seq.cli.grid import Cell, read_run, settings
from seq2seq.cli.grid_results import read_result
from seq2seq.cli.reading import RowLayout, read_gold_file, read_pairs, score_all
from seq2seq.cli.rows import result_row
from seq2seq.cli.translate import requests
from seq2seq.config import COMMANDS, GROUPS, KINDS, Decoding, parse, to_plain
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference import comparison
from seq2seq.inference.alignment import Aligner
from seq2seq.inference.comparison import Measured
from seq2seq.inference.forced_scores import SentencePair
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translator import Translator
from seq2seq.inference.unknown import read_dictionary
from seq2seq.search.shortlist import FILE as SHORTLIST
from seq2seq.search.shortlist import Shortlist
from seq2seq.text.batches import make_batch
from seq2seq.text.cache import encode_corpus
from seq2seq.text.corpus import read_lines
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.tag_placement import place_tags
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.text.word_alignments import WordLinks
from seq2seq.training.progress import effort
from seq2seq.training.run_report import RunReport
from support import FORMAT_1, trainers
from support.protobuf import BPE, CHAR, NORMAL, SPECIALS, UNIGRAM, WORD, sentencepiece_model
from support.sentences import PAIRS

MODEL = FORMAT_1
MOST_MESSAGE = 40_000
"""Characters: fifty mistakes, each with the keys that there are."""
CPU = torch.device("cpu")

Inputs = st.SearchStrategy[Any]


@dataclass(frozen=True)
class Reader:
    """A reader and its inputs."""

    inputs: Inputs
    read: Callable[[Any, Path], object]
    """Takes an input and a directory to write it to, which may still hold the previous one."""


def check(reader: Reader, value: Any, directory: Path) -> bool:
    """Whether the input was read, rather than refused. Other errors are raised."""
    try:
        reader.read(value, directory)
    except (ConfigError, DataError) as error:
        message = str(error)
        assert message
        assert len(message) < MOST_MESSAGE
        message.encode("utf-8", "backslashreplace")
        return False
    return True


# --- inputs ----------------------------------------------------------------------------------------------------------

ODD = [
    "", " ", "\t", "\r", "\0", "\ufeff", "\u2028", "\u00a0", "猫", "e\u0301", "\U0001f600", "\x1b[2J", "\u202e",
    "\u2581", "</s>", "<unk>", "<0x0A>", "0-0", "0?1", "1-", "99-0", "the cat", "a\tb", "[" * 200, '{"', "%s",
    "${oc.env:HOME}", "../../etc/passwd", "x" * 300,
]  # fmt: skip
text = st.text(max_size=20) | st.sampled_from(ODD) | st.lists(st.sampled_from(ODD), max_size=4).map(" ".join)
octets = text.map(lambda line: line.encode("utf-8", "surrogatepass")) | st.binary(max_size=20)


def lines_of(good: Inputs) -> Inputs:
    """Bytes of files of lines, most of them valid."""
    line = good.map(lambda line: str(line).encode("utf-8", "surrogatepass"))
    ends = st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n", b""])
    few = st.lists(line, max_size=6) | st.lists(line | octets, max_size=6)
    return st.builds(lambda rows, end, last: end.join(rows) + last, few, ends, ends)


@st.composite
def mutated(draw: st.DrawFn, content: bytes, most: int = 3) -> bytes:
    """The bytes with a few changed, left out, inserted or repeated."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(0, most))):
        place = draw(st.integers(0, len(changed)))
        size = draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["other", "out", "in", "end", "twice"]))
        if kind == "other":
            changed[place : place + size] = draw(st.binary(min_size=size, max_size=size))
        elif kind == "out":
            del changed[place : place + size]
        elif kind == "in":
            changed[place:place] = draw(st.binary(max_size=8))
        elif kind == "end":
            del changed[place:]
        else:
            changed[place:place] = changed[max(place - 16 * size, 0) : place]
    return bytes(changed)


numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**53, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**400]),
    st.floats(),
    st.sampled_from([1e300, 5e-324, -0.0]),
)
words = st.sampled_from(
    ["???", "${oc.env:HOME}", "../../../etc/passwd", "/dev/zero", "a\0b", "\ud800", "none", "global", "train",
     "_target_", "name", "x" * 500, *(name for table in GROUPS.values() for name in table)]
)  # fmt: skip
scalars = st.none() | st.booleans() | numbers | words | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each group or list in a value, with each of its keys or indices."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


@st.composite
def edited(draw: st.DrawFn, base: Any, most: int = 3) -> Any:
    """The plain values with a few replaced, left out or added."""
    value = copy.deepcopy(base)
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(value))
        if not places:
            return draw(values)
        group, key = (
            draw(st.sampled_from(places)) if len(places) < 50 else places[draw(st.integers(0, len(places) - 1))]
        )
        kind = draw(st.sampled_from(["other", "out", "new"]))
        if kind == "out":
            del group[key]
        elif kind == "new" and isinstance(group, dict):
            group[draw(words | st.text(max_size=8))] = draw(values)
        else:
            group[key] = draw(values)
    return value if draw(st.integers(0, 30)) else draw(values)


def as_text(value: Any) -> bytes:
    """JSON as Python writes it, also for values that JSON does not have."""
    return json.dumps(value).encode()


def documents(base: Any) -> Inputs:
    """Bytes of JSON files; some are nested very deeply, some broken."""
    deep = st.sampled_from([b"[" * 100_000, b'{"a":' * 5000, b"[" * 300 + b"]" * 300, b"9" * 5000, b"", b"null", b"[]"])
    broken = mutated(as_text(base))
    return st.one_of(edited(base).map(as_text), edited(base).map(as_text), edited(base).map(as_text), broken, deep)


# --- what they are read into -----------------------------------------------------------------------------------------


@functools.cache
def translator() -> Translator:
    """A small translator."""
    return load_translator(MODEL)


def _put(directory: Path, name: str, content: bytes) -> str:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


# --- text ------------------------------------------------------------------------------------------------------------


def read_plain(value: tuple[bytes, bytes], directory: Path) -> None:
    for side, content in zip(("en", "de"), value, strict=True):
        _put(directory, f"text.{side}", content)
    corpus = ParallelText.find(str(directory / "text"), "en", "de")
    pairs = list(corpus.pairs())
    assert sum(len(line.encode()) for pair in pairs for line in pair) <= sum(map(len, value))
    assert not any(breaking in line for pair in pairs for line in pair for breaking in ("\n", "\0"))
    corpus.content_hash()


def read_table(value: bytes, directory: Path) -> None:
    _put(directory, "text.tsv", value)
    pairs = list(ParallelText.find(str(directory / "text.tsv"), "en", "de").pairs())
    assert not any("\t" in side for pair in pairs for side in pair)


def read_packed(value: bytes, directory: Path) -> None:
    for line in read_lines(Path(_put(directory, "text.gz", value))):
        assert len(line) <= 1 << 20


_packed = lines_of(text).map(lambda content: gzip.compress(content, mtime=0))


def _linked(kinds: str, most: int) -> Inputs:
    """Lines of links between words up to `most`, separated by a mark of one of the `kinds`."""
    word = st.integers(0, most)
    link = st.builds(lambda i, kind, j: f"{i}{kind}{j}", word, st.sampled_from(kinds), word)
    return st.lists(link, max_size=5).map(" ".join)


def _three(kinds: str) -> Inputs:
    """A line for each of the three pairs read with it, or any lines."""
    each = st.tuples(_linked(kinds, 4), _linked(kinds, 1), st.just(""))
    return each.map(lambda rows: "".join(f"{row}\n" for row in rows).encode()) | lines_of(_linked(kinds, 4))


def read_links(value: bytes, directory: Path) -> None:
    _put(directory, "text.tsv", b"the cat sees you .\tdie Katze sieht dich .\na dog\tein Hund\n\t\n")
    corpus = ParallelText.find(str(directory / "text.tsv"), "en", "de")
    found = WordLinks.find(_put(directory, "links", value), "en", "de").beside(corpus)
    assert [source for source, _, _ in found] == ["the cat sees you .", "a dog", ""]


def read_gold(value: tuple[bytes, int], directory: Path) -> None:
    content, base = value
    pairs = [
        SentencePair("the cat sees you .", "die Katze sieht dich ."),
        SentencePair("a dog", "猫 狗"),
        SentencePair("", ""),
    ]
    for gold, pair in zip(
        read_gold_file(_put(directory, "gold", content), base, pairs, ("en", "zh")), pairs, strict=True
    ):
        assert gold.sure <= gold.possible
        assert all(0 <= i < len(pair.source.split()) for i, _ in gold.possible)


def read_entries(value: bytes, directory: Path) -> None:
    read_dictionary.cache_clear()
    found = read_dictionary(Path(_put(directory, "dictionary", value)))
    assert all(word.strip() == word and word and translation for word, translation in found.items())


def read_markup(value: tuple[bytes, str], directory: Path) -> None:
    """Read lines of markup; the text of each has no line feed."""
    content, form = value
    name = _put(directory, "input", content)
    config = parse("translate", {"checkpoint": "c", "input": name, "format": form})
    for group in requests(config, name, 4):
        for request in group:
            assert request.markup is not None
            assert "\n" not in request.line
            place_tags(request.markup, request.line.split(), "die Katze", ["die", "Katze"], [])


def read_requests(value: tuple[tuple[bytes, bytes], bool], directory: Path) -> None:
    """Read and translate requests: each line in gives one line out."""
    (lines, prefixes), alone = value
    names = {"input": _put(directory, "input", lines), "prefix": _put(directory, "prefix", prefixes)}
    config = parse("translate", {"checkpoint": "c", **({"input": names["input"]} if alone else names)})
    shortest = Decoding(beam_size=1, max_length=3)
    for group in requests(config, names["input"], 4):
        for request, (best, *_) in zip(group, translator().translate_group(group, shortest), strict=True):
            assert best.source == request.line
            assert not any(breaking in best.text for breaking in "\n\r\0")


_tags = [
    "<b>", "</b>", "<x/>", "<br>", '<a b="', '">', "<", ">", "&amp;", "&", "<!", "--", "<![", "]]>", "<?", "cat",
]  # fmt: skip
_markup = st.lists(st.sampled_from(_tags), max_size=8).map("".join)

_record = {
    "source": "the cat sees you .",
    "translation": "die Katze sieht dich .",
    "score": -1.0,
    "rank": -0.5,
    "tokens": ["\u2581die", "\u2581Katze", "\u2581sieht", "\u2581dich", "\u2581.", "</s>"],
    "token_scores": [-0.1] * 6,
    "alignment": "0-0 1-1",
}
_pieces = st.integers(0, 329).map(lambda number: translator().target.pieces([number])[0])


@st.composite
def _records(draw: st.DrawFn) -> bytes:
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        record = {**_record, "tokens": draw(st.lists(_pieces, max_size=8))} if draw(st.booleans()) else _record
        rows.append(as_text(draw(edited(record, 2))) if draw(st.integers(0, 9)) else draw(octets))
    return b"\n".join(rows) + b"\n"


def read_records(value: bytes, directory: Path) -> None:
    """Read, score and align records."""
    name = _put(directory, "records.jsonl", value)
    pairs = read_pairs(name, name, translator(), RowLayout(("en", "de")))
    aligner = Aligner.of(translator())
    assert aligner is not None
    for scored in score_all(translator(), pairs, 4):
        result_row(scored, aligner.align(scored)).encode()


# --- what a run leaves -----------------------------------------------------------------------------------------------

_event = {
    "event": "train", "update": 10, "epoch": 0.5, "loss": 2.5, "tokens": 640, "tokens_per_second": 1e4,
    "peak_memory_mb": 300.5,
}  # fmt: skip


def read_metrics(value: bytes, directory: Path) -> None:
    _put(directory, "metrics.jsonl", value)
    assert len(_report(directory)["train"]["loss"]) <= 3  # a report leaves out what is no line
    found = effort(directory)
    assert found.tokens_per_second is None or found.tokens_per_second == found.tokens_per_second


_snapshots = {
    "columns": [["▁a", "</s>"]], "rows": [["▁b"]], "updates": [10, 20], "epochs": [0.5, 1.0],
    "weights": [["AAAA"], ["P_v_"]], "samples": [["a", "b", "c"]],
}  # fmt: skip


def read_snapshots(value: bytes, directory: Path) -> None:
    _put(directory, "snapshots.json", value)
    attention = _report(directory)["attention"]
    assert len(attention["weights"]) == len(attention["updates"])


def _report(run_dir: Path) -> Any:
    """What the page about a run draws; JavaScript's JSON is stricter than Python's."""
    report = RunReport(run_dir, ("en", "de"), "bleu", "run", dict)
    report.resume(20)
    page = report.page(20, 30, 0.5, "")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert not re.search(r"[,:[](NaN|-?Infinity)", re.sub(r'"(\\.|[^"\\])*"', "", found))
    return json.loads(found)


_run = {
    "data": {"train": "train", "valid": "valid", "source_lang": "en", "target_lang": "de"},
    "model": {
        "attention": {
            "score": {"name": "additive", "coverage": False},
            "window": {"name": "local_p", "half_width": 3},
            "normaliser": {"name": "softmax"},
            "placement": {"name": "before", "readout": "maxout"},
            "heads": 1,
        },
        "bridge": {"name": "last"},
    },
}


@functools.cache
def _whole_run() -> dict[str, Any]:
    return to_plain(parse("train", _run))


def read_run_config(value: bytes, directory: Path) -> None:
    _put(directory, "config.json", value)
    read_run(directory)


_result = {
    "label": "one", "seed": 1, "bleu": 30.0, "chrf": 50.0, "ter": 60.0, "aer": 0.2, "parameters": 1000, "updates": 10,
    "training_tokens_per_second": 1e3, "decoding_sentences_per_second": 10.0, "peak_memory_mb": 300.0,
    "signatures": {"bleu": "b", "chrf": "c", "ter": "t"}, "machine": "cpu", "translations": ["a", "b"],
}  # fmt: skip


def read_cell(value: bytes, directory: Path) -> None:
    """Read a cell, and make the table from it again."""
    cell = Cell("one", parse("train", _run))
    belongs_to = {"training": settings(cell.training), "decoding": to_plain(Decoding()), "bleu_tokenizer": "13a",
                  "contents": {}}  # fmt: skip
    _put(directory, "cells/one-seed1.json", value)
    said: list[str] = []
    found = read_result(cell, str(directory), belongs_to, 2, said.append)
    assert (found is None) == bool(said)
    if isinstance(found, Measured):
        table = comparison.compare([found], [], "one", ["a", "b"], "13a", "beam 5")
        assert comparison.markdown(table)
        assert comparison.as_csv(table)


@functools.cache
def _cell_document() -> dict[str, Any]:
    training = settings(parse("train", _run))
    identity = {"training": training, "decoding": to_plain(Decoding()), "bleu_tokenizer": "13a", "contents": {}}
    return {"result": _result, "identity": identity}


# --- checkpoints -----------------------------------------------------------------------------------------------------


WEIGHTS = "model.safetensors"


def _stored() -> Any:
    return json.loads((MODEL / "config.json").read_text())


def _checkpoint(directory: Path, name: str, content: bytes) -> Path:
    """The checkpoint MODEL with another content of one file."""
    for file in MODEL.iterdir():
        if not (directory / file.name).exists():
            _put(directory, file.name, file.read_bytes())
    _put(directory, name, content)
    return directory


def _file_of_checkpoint(name: str) -> Callable[[bytes, Path], None]:
    def read(value: bytes, directory: Path) -> None:
        loaded = checkpoint.load(_checkpoint(directory, name, value), CPU)
        assert sum(weight.numel() for weight in loaded.model.parameters()) < 1 << 20

    return read


def _tensors(path: Path) -> Inputs:
    """Tensor files with false headers."""
    whole = path.read_bytes()
    (size,) = struct.unpack("<Q", whole[:8])
    header, body = json.loads(whole[8 : 8 + size]), whole[8 + size :]

    @st.composite
    def lying(draw: st.DrawFn) -> bytes:
        told = copy.deepcopy(header)
        for _ in range(draw(st.integers(0, 2))):
            name = draw(st.sampled_from(sorted(header)))
            if name in told and isinstance(told[name], dict):
                key = draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
                lie = {
                    "dtype": st.sampled_from(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "X"]),
                    "shape": st.lists(st.sampled_from([0, 1, 12, 330, 2**20, 2**60, 2**63, 2**64]), max_size=3),
                    "data_offsets": st.lists(st.sampled_from([0, 8, len(body), 2**40, 2**63, 2**64 - 1]), max_size=3),
                }
                told[name][key] = draw(lie[key] | values)
        text = as_text(draw(edited(told, 1)))
        length = draw(st.sampled_from([len(text)] * 6 + [0, 1, len(text) - 1, len(text) + 1, 2**40, 2**64 - 1]))
        end = draw(st.sampled_from([len(body)] * 6 + [0, len(body) - 1]))
        return struct.pack("<Q", length) + text + body[:end] + draw(st.sampled_from([b"", b"", b"\0"]))

    return lying() | mutated(whole)


def read_shortlist(value: bytes, directory: Path) -> None:
    found = Shortlist.load(Path(_put(directory, SHORTLIST, value)).parent, 7, 9)
    assert found is not None
    most = found.candidates.shape[1]
    assert found.select([[4, 5, 3], [6, 3]], [[], [8]], most, 9).tokens.max() < 9


@functools.cache
def _shortlist() -> bytes:
    from safetensors.torch import save

    return save({"candidates": torch.arange(21).reshape(7, 3).int() % 9, "frequent": torch.tensor([4, 5, 6]).int()})


def _shortlists() -> Inputs:
    dtypes = st.sampled_from([torch.int32] * 4 + [torch.int64, torch.float32, torch.bfloat16, torch.bool])
    shapes = st.sampled_from([(7, 3), (7, 3), (7, 0), (7,), (), (6, 3), (0,), (7, 3, 1), (3,)])
    ends = st.sampled_from([9, 9, 9, 10, 2**31 - 1])

    def table(dtype: torch.dtype, shape: tuple[int, ...], end: int, seed: int) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(seed).integers(-(end == 10), end, shape)).to(dtype)

    tables = st.builds(table, dtypes, shapes, ends, st.integers(0, 9))
    frequent = st.builds(table, dtypes, st.sampled_from([(3,), (3,), (3,), (0,), (), (3, 1)]), ends, st.integers(0, 9))

    def packed(candidates: torch.Tensor, frequent: torch.Tensor) -> bytes:
        from safetensors.torch import save

        return save({"candidates": candidates, "frequent": frequent})

    return st.builds(packed, tables, frequent) | mutated(_shortlist())


# --- tokenizers ------------------------------------------------------------------------------------------------------


def read_tokenizer(value: bytes, directory: Path) -> None:
    """Load a tokenizer, and use it as a translator does."""
    tokenizer = Tokenizer.load(Path(_put(directory, "source.model", value)))
    tokenizer.forbidden()
    line = "the cat  猫 e\u0301\u2028 ."
    (tokens,) = tokenizer.encode([line])
    assert len(tokens) <= 257 * len(line) + 2
    assert max(tokens) < len(tokenizer)
    assert all(0 <= begin <= end <= len(line) for begin, end in tokenizer.encode_spans(line))
    everything = list(range(len(tokenizer)))
    spelt = tokenizer.decode(everything)
    assert not any(breaking in spelt for breaking in "\n\r\0")
    decoded, spans = tokenizer.decode_spans(tokenizer.pieces(everything))
    assert len(spans) == len(everything)
    assert all(span is None or 0 <= span[0] <= span[1] <= len(decoded) for span in spans)


@st.composite
def _models(draw: st.DrawFn) -> bytes:
    names = st.one_of(
        st.sampled_from(
            [b"a", b"\xe2\x96\x81", b"\xe2\x96\x81the", b"\n", b"<0x0A>", b"<s>", b"\xff", b"t", b"h", b"e"]
        ),
        st.text(max_size=4).map(lambda name: name.encode("utf-8", "surrogatepass")),
        st.binary(max_size=4),
    )
    score = st.floats(width=32) | st.just(-1.0)
    kind = st.sampled_from([NORMAL] * 6 + [1, 2, 3, 4, 5, 6, 7, 0])
    pieces = draw(st.lists(st.tuples(names, score, kind), max_size=8, unique_by=lambda piece: piece[0]))
    fields = st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 3) | st.floats(width=32) | st.binary(max_size=8)), max_size=2
    )
    rules = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 1) | st.binary(max_size=12)), max_size=2)
    return sentencepiece_model(
        [*SPECIALS, *pieces] if draw(st.integers(0, 9)) else pieces,
        kind=draw(st.sampled_from([UNIGRAM, BPE, WORD, CHAR, 0, 9])),
        trainer=draw(fields),
        normalizer=draw(rules),
        denormalizer=draw(rules),
    )


# --- cache and training state ----------------------------------------------------------------------------------------


@functools.cache
def _cached() -> dict[str, bytes]:
    """The files of a cache entry with links."""
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        (entry,) = _encode_into(Path(directory))
        return {file.name: file.read_bytes() for file in sorted(entry.iterdir())}


def _encode_into(directory: Path) -> list[Path]:
    text = "".join(f"{source}\t{target}\n" for source, target in PAIRS[:4])
    corpus = ParallelText.find(_put(directory, "text.tsv", text.encode()), "en", "de")
    links = WordLinks(Path(_put(directory, "links", b"0-0 1-1\n\n2-2\n0-0\n")), ("en", "de"))
    pieces = translator().source
    encoded = encode_corpus(corpus, pieces, pieces, filters=Filters(), cache_dir=directory / "cache", links=links)
    if len(encoded):
        batch = make_batch(encoded, range(len(encoded)))
        assert int(max(batch.source.max(), batch.targets.max())) < len(pieces)
    return list((directory / "cache").iterdir())


def read_cached(value: Mapping[str, bytes], directory: Path) -> None:
    if not (directory / "cache").exists():
        _encode_into(directory)
    (entry,) = (directory / "cache").iterdir()
    for name, content in {**_cached(), **value}.items():
        _put(entry, name, content)
    _encode_into(directory)


@st.composite
def _entries(draw: st.DrawFn) -> dict[str, bytes]:
    changed = {}
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(_cached())))
        if name == "counts.json":
            changed[name] = draw(documents(json.loads(_cached()[name])))
        elif name.endswith(".npy") and draw(st.booleans()):
            lies = draw(st.lists(st.integers(-2, 60) | st.sampled_from([2**31, 2**62, -(2**63)]), max_size=6))
            kind = draw(st.sampled_from([np.int64] * 4 + [np.int32, np.float64, np.bool_]))
            file = io.BytesIO()
            np.save(file, np.array(lies, np.int64).astype(kind).reshape(draw(st.sampled_from([(-1,), (-1,), (1, -1)]))))
            changed[name] = file.getvalue()
        else:
            changed[name] = draw(mutated(_cached()[name]))
    return changed


@functools.cache
def _trainer() -> Any:
    """The trainer of a run that did one update."""
    import tempfile

    directory = Path(tempfile.mkdtemp(prefix="readers-"))
    with contextlib.redirect_stderr(io.StringIO()):
        trainer = trainers.make(directory, "training.max_updates=1", "decoding.max_length=1")
        trainer.run()
    (trainer.run_dir / "last/SHA256SUMS").unlink()  # whoever lies can also count
    return trainer


def _state(name: str) -> bytes:
    content: bytes = (_trainer().run_dir / "last" / name).read_bytes()
    return content


@functools.cache
def _state_files() -> dict[str, bytes]:
    return {name: _state(name) for name in ("state.json", "state.safetensors")}


def read_state(value: tuple[str, bytes], directory: Path) -> None:
    files = {**_state_files(), value[0]: value[1]}
    trainer = _trainer()
    for name, content in files.items():
        _put(trainer.run_dir, f"last/{name}", content)
    assert trainer.resume()
    trainer.reason_to_stop()


def _states() -> Inputs:
    named = st.just("state.json"), st.just("state.safetensors")
    lies = _tensors(_trainer().run_dir / "last/state.safetensors")
    return st.tuples(named[0], documents(json.loads(_state("state.json")))) | st.tuples(named[1], lies)


# --- configurations --------------------------------------------------------------------------------------------------


def _configurations() -> Inputs:
    bases = {"train": _run, "model": _run["model"], "data": _run["data"]}
    kinds = st.sampled_from(sorted(KINDS))
    whole = kinds.flatmap(lambda kind: st.tuples(st.just(kind), edited(bases.get(kind, {"checkpoint": "c"}))))
    return whole | st.tuples(st.just("train"), edited(_whole_run(), 5)) | st.tuples(kinds, values)


def read_configuration(value: tuple[str, Any], directory: Path) -> None:
    kind, given = value
    config = parse(kind, given)
    assert parse(kind, to_plain(config)) == config


_keys = st.sampled_from(
    ["data.train", "data.valid", "data.source_lang", "model.hidden_size", "model.dropout", "model/attention", "seed",
     "model/attention/score", "model/bridge", "experiment", "training.max_updates", "decoding.beam_size", "checkpoint",
     "input", "source", "reference", "hypothesis", "variants", "runs", "nothing", "_target_", "model.attention.score"]
)  # fmt: skip
_settings = st.builds(
    lambda sign, key, equals, value: f"{sign}{key}{equals}{value}",
    st.sampled_from(["", "", "", "", "+", "++", "~"]),
    _keys | text,
    st.sampled_from(["=", "=", "=", "=", "", ":", "@"]),
    scalars.map(str)
    | values.map(lambda value: json.dumps(value))
    | text
    | st.sampled_from(["none", "bahdanau2015", "[a,b]"]),
)
_commands = st.tuples(
    st.sampled_from([*sorted(COMMANDS), "--version", "nothing", ""]),
    st.lists(_settings | st.sampled_from(["--help", "--cfg", "job", "-c", "--nothing", "--resolve"]), max_size=3),
)


def read_command(value: tuple[str, list[str]], directory: Path) -> None:
    """Compose and parse the options of a command without running it."""
    command, rest = value
    out, errors = io.StringIO(), io.StringIO()
    stack = contextlib.ExitStack()
    with stack, contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        if command in COMMANDS:
            stack.enter_context(mock.patch(f"seq2seq.cli.{command}.run", return_value=0))
        try:
            code = command_line.main([command, *rest])
        except SystemExit as ended:  # argparse, of flags
            code = ended.code  # type: ignore[assignment]
    assert code in (0, 2), (code, errors.getvalue())
    assert "Traceback" not in errors.getvalue()
    if code == 2:
        raise ConfigError(errors.getvalue().strip())


_scalar = st.sampled_from(
    ["seed", "data", "hydra", "callbacks", "launcher", "_target_", "()", "os.system", "1", "~", "${seed}", "mine", "*a",
     "${oc.env:HOME}", "&a 1", "!!python/name:os.system", "override /model/attention", "none", "defaults", "'", "\\x5f"]
) | st.text(max_size=6)  # fmt: skip
_yaml = st.recursive(
    _scalar,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(_scalar, inner), max_size=3).map(lambda of: "{" + ", ".join(map(": ".join, of)) + "}")
    ),
    max_leaves=6,
)
_OWN = b"""# @package _global_
defaults: [override /model/attention: none]
seed: 2
data: {train: t, valid: '${data.train}'}
"""


def read_own(value: bytes, directory: Path) -> None:
    """Read an experiment from --config-dir."""
    _put(directory, "configs/experiment/own.yaml", value)
    sides = ["data.source_lang=en", "data.target_lang=de"]
    read_command(("train", [f"--config-dir={directory}/configs", "experiment=own", *sides]), directory)


def _own() -> Inputs:
    header = st.sampled_from(
        ["# @package _global_\n"] * 4 + ["", "# @package hydra.callbacks\n", "# @package ${seed}\n"]
    )
    rows = st.lists(st.tuples(_scalar, _yaml), max_size=4).map(lambda of: "\n".join(map(": ".join, of)))
    made = st.builds(lambda first, rest: (first + rest).encode("utf-8", "surrogatepass"), header, rows)
    return made | mutated(_OWN)


_word = st.text("aä猫 -", min_size=1, max_size=5)


def _columns() -> Inputs:
    return lines_of(st.tuples(_word, _word).map("\t".join)) | lines_of(st.tuples(text, text).map("\t".join))


def _sides() -> Inputs:
    """Two files, often with the same number of lines."""
    rows = st.lists(st.tuples(text, text), max_size=6)
    alike = rows.map(lambda pairs: tuple("".join(f"{side}\n" for side in sides) for sides in zip(*pairs, strict=True)))
    as_bytes = alike.filter(bool).map(lambda sides: tuple(side.encode("utf-8", "surrogatepass") for side in sides))
    return as_bytes | st.tuples(lines_of(text), lines_of(text))


READERS: dict[str, Callable[[], Reader]] = {
    "corpus, plain": lambda: Reader(_sides(), read_plain),
    "corpus, TSV": lambda: Reader(_columns(), read_table),
    "corpus, gzip": lambda: Reader(_packed | _packed.flatmap(mutated) | octets, read_packed),
    "data.alignments": lambda: Reader(_three("-"), read_links),
    "gold alignments": lambda: Reader(st.tuples(_three("-?"), st.sampled_from([0, 0, 1])), read_gold),
    "dictionary": lambda: Reader(_columns(), read_entries),
    "input and prefixes": lambda: Reader(st.tuples(_sides(), st.booleans()), read_requests),
    "markup": lambda: Reader(st.tuples(lines_of(_markup), st.sampled_from(["html", "xml"])), read_markup),
    "JSONL of translations": lambda: Reader(_records(), read_records),
    "metrics.jsonl": lambda: Reader(st.lists(documents(_event), max_size=3).map(b"\n".join), read_metrics),
    "snapshots.json": lambda: Reader(documents(_snapshots), read_snapshots),
    "config.json of a run": lambda: Reader(documents(_whole_run()), read_run_config),
    "cells of a comparison": lambda: Reader(documents(_cell_document()), read_cell),
    "config.json of a checkpoint": lambda: Reader(documents(_stored()), _file_of_checkpoint("config.json")),
    "model.safetensors": lambda: Reader(_tensors(MODEL / WEIGHTS), _file_of_checkpoint(WEIGHTS)),
    "tokenizer": lambda: Reader(_models() | mutated((MODEL / "source.model").read_bytes()), read_tokenizer),
    "shortlist": lambda: Reader(_shortlists(), read_shortlist),
    "training state": lambda: Reader(_states(), read_state),
    "token cache": lambda: Reader(_entries(), read_cached),
    "configuration": lambda: Reader(_configurations(), read_configuration),
    "command line": lambda: Reader(_commands, read_command),
    "--config-dir": lambda: Reader(_own(), read_own),
}
"""Readers by name, made on demand."""

SLOW = {
    "metrics.jsonl": 10, "snapshots.json": 10, "config.json of a run": 3, "cells of a comparison": 3,
    "config.json of a checkpoint": 3, "model.safetensors": 3, "configuration": 3, "tokenizer": 2, "shortlist": 2,
    "token cache": 10, "training state": 10,
    "JSONL of translations": 10, "input and prefixes": 20, "command line": 100,
    "--config-dir": 100,
}  # fmt: skip
"""How many times longer an input takes than with other readers, roughly."""
