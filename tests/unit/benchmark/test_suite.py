"""The benchmark: what it counts, what it measures on, what it asks of search and of the peers, what it tells."""

import dataclasses
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seq2seq.benchmark import corpora, machine, peers, runs, suite, tables
from seq2seq.benchmark.corpora import Task
from seq2seq.benchmark.machine import Product
from seq2seq.benchmark.runs import DecodingRun, Measurement, training_run
from seq2seq.cli.command_line import read
from seq2seq.cli.compose import run_composed
from seq2seq.config import BenchmarkConfig, LocalM, TrainConfig, parse, to_plain
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.models import EnsembleMember
from seq2seq.inference.translator import Translator
from seq2seq.text.batches import Batch, make_batch
from seq2seq.text.tokenizer import EOS, PAD

CPU = torch.device("cpu")
TINY = [
    "model.embedding_size=6", "model.hidden_size=8", "generated.pairs=60", "generated.vocab_size=30",
    "generated.most_length=12", "training.batch_sentences=8", "device=cpu",
]  # fmt: skip


def composed(*overrides: str) -> BenchmarkConfig:
    found: list[BenchmarkConfig] = []
    run_composed("benchmark", read("benchmark", overrides), lambda values: found.append(parse("benchmark", values)))
    (config,) = found
    return config


def changed(config: BenchmarkConfig, **changes: Any) -> BenchmarkConfig:
    """With other values, a dictionary for a group."""
    values = to_plain(config)
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(values[key], dict) else value
    return parse("benchmark", values)


@pytest.fixture(scope="module")
def config() -> BenchmarkConfig:
    return composed(*TINY)


@pytest.fixture(scope="module")
def task(config: BenchmarkConfig, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return corpora.prepare(config, tmp_path_factory.mktemp("scratch"))


def translator(config: BenchmarkConfig, task: Task) -> Translator:
    reader = EnsembleMember(task.fresh_model(config), task.prepared.source)
    return Translator([reader], task.prepared.target, CPU, ("en", "de"))


# --- operations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("lstm", 4)])
def test_products_are_those_of_the_equations(cell: str, gates: int, task: Task) -> None:
    """Fused layers and the vocabulary's projection among them."""
    v, e, d = 30, 6, 8
    m = d  # of both directions
    config = composed(*TINY, f"model.cell={cell}", "model/attention=bahdanau2015_tanh")
    corpus = task.prepared.train
    s, t = int(corpus.source.lengths[0]), int(corpus.target.lengths[0])
    model = machine.countable(task.fresh_model(config))
    found = machine.forward_products(model, make_batch(corpus, [0]))
    encoder = s * 2 * gates * (d // 2) * (e + d // 2)
    bridge = (1 if cell == "gru" else 2) * m * d
    attention = s * m * d + t * d * d + t * s * d + t * s * m  # keys, queries, energies, contexts
    decoder = t * gates * d * (e + m + d)
    readout = t * d * (e + m + d)
    expected = 2 * (encoder + bridge + attention + decoder + readout + t * d * v)
    assert sum(product.operations for product in found) == expected


TRANSFORMER = [
    "model/encoder=transformer", "model/decoder=transformer", "model.encoder_layers=2", "model.decoder_layers=3",
    "model.attention.heads=2", "model.encoder.attention.heads=2", "model.decoder.attention.heads=2",
    "model.encoder.feed_forward_size=20", "model.decoder.feed_forward_size=24",
]  # fmt: skip


def transformer_products(s: int, t: int) -> int:
    """Of the products of `TRANSFORMER` with `TINY`: all but the input's are of the hidden size."""
    v, e, d = 30, 6, 8
    encoder = s * e * d + 2 * (4 * s * d * d + 2 * s * s * d + 2 * s * d * 20)
    to_source = 2 * t * d * d + 2 * s * d * d + 2 * t * s * d
    decoder = t * e * d + 3 * (4 * t * d * d + 2 * t * t * d + to_source + 2 * t * d * 24)
    return encoder + decoder + t * d * v


def test_products_of_fused_attention_are_those_of_the_equations(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each layer's attention, whether it is a single operation or several."""
    called: list[int] = []
    fused = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *a, **k: (called.append(1), fused(*a, **k))[1]
    )
    model = machine.countable(task.fresh_model(composed(*TINY, *TRANSFORMER)))
    corpus = task.prepared.train
    for row in range(3):
        s, t = int(corpus.source.lengths[row]), int(corpus.target.lengths[row])
        found = machine.forward_products(model, make_batch(corpus, [row]))
        assert sum(product.operations for product in found) == 2 * transformer_products(s, t)
    assert len(called) == 3 * (2 + 3 + 2)  # the layer that aligns needs its weights
    lengths = zip(corpus.source.lengths.tolist(), corpus.target.lengths.tolist(), strict=True)
    every = sum(transformer_products(s, t) for s, t in lengths) / int(corpus.target.lengths.sum())
    assert machine.forward_operations(model, corpus) == pytest.approx(2 * every, rel=0.1)  # a sample of sentences


def test_operations_are_a_target_token_s(task: Task, config: BenchmarkConfig) -> None:
    """Of sentences of equal length, so that each is as good as another."""
    options = dataclasses.replace(config.generated, least_length=5, most_length=5, pairs=3)
    corpus = corpora.prepare(dataclasses.replace(config, generated=options), Path()).prepared.train
    model = machine.countable(task.fresh_model(config))
    one = sum(product.operations for product in machine.forward_products(model, make_batch(corpus, [1])))
    assert machine.forward_operations(model, corpus) == one / 5


def test_padding_is_not_counted(task: Task, config: BenchmarkConfig) -> None:
    model, corpus = machine.countable(task.fresh_model(config)), task.prepared.train
    short, long = corpus.target.lengths.argmin(), corpus.target.lengths.argmax()
    both = machine.forward_products(model, make_batch(corpus, [int(short), int(long)]))
    (vocabulary,) = [product for product in both if product.shape[3] == 30]
    assert vocabulary.shape[1] == corpus.target.lengths[short] + corpus.target.lengths[long]


def test_model_a_is_model_a(tmp_path: Path) -> None:
    config = composed("experiment=benchmark/model_a", "generated.pairs=400")
    assert (config.training.batch_sentences, config.training.clip_norm, config.model.dropout) == (64, 1.0, 0.2)
    counted, largest = suite.count(config, corpora.prepare(config, tmp_path))
    assert counted["forward_operations_per_target_token"] == pytest.approx(15.8e6, rel=0.03)
    assert counted["training_operations_per_target_token"] == pytest.approx(47.3e6, rel=0.03)
    assert counted["parameters"] == pytest.approx(12.4e6, rel=0.01)
    shapes = {product.shape[2:] for product in largest}
    assert {(512, 8000), (512, 1536), (512, 512)} <= shapes  # vocabulary, gates, queries
    assert 64 in {product.shape[1] for product in largest}


def test_the_transformer_is_of_the_sizes_that_its_file_tells(tmp_path: Path) -> None:
    config = composed("experiment=benchmark/transformer", "generated.pairs=200")
    assert (config.training.batch_sentences, config.training.clip_norm, config.model.dropout) == (64, 1.0, 0.2)
    counted, largest = suite.count(config, corpora.prepare(config, tmp_path))
    assert counted["parameters"] == pytest.approx(11.6e6, rel=0.01)
    assert {(256, 8000), (256, 1024), (256, 256)} <= {product.shape[2:] for product in largest}


def test_the_product_rate_weighs_shapes_by_their_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {10: 1.0, 20: 4.0}
    monkeypatch.setattr(machine, "_seconds", lambda shape, dtype, device: seconds[shape[1]])
    shapes = [Product((1, 10, 5, 5), 3), Product((1, 20, 5, 5), 2)]
    operations = 2 * 10 * 25 * 3 + 2 * 20 * 25 * 2
    assert machine.product_rate(shapes, torch.float32, CPU) == operations / (3 * 1.0 + 2 * 4.0)
    many, vector, little = Product((7, 10, 5, 5), 1), Product((1, 99, 99, 1), 1), Product((1, 1, 1, 2), 1)
    assert machine.dominant([*shapes, many, vector, little]) == shapes


def test_the_rates_of_copies_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = threading.Barrier(2, timeout=10)  # broken unless two of them are in it

    def seconds(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> float:
        at_once.wait()
        return 0.5

    monkeypatch.setattr(machine, "_seconds", seconds)
    assert machine.product_rate([Product((1, 10, 5, 5), 1)], torch.float32, CPU, copies=2) == 2 * 500 / 0.5


def test_two_precisions_share_batches_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first training leaves this process one thread; the second still gets as many processes."""
    started: list[int | None] = []
    copies: list[int] = []

    @contextmanager
    def one_run(options: TrainConfig, *rest: Any) -> Iterator[Any]:
        started.append(options.training.processes)
        torch.set_num_threads(1)
        measured = Measurement(1, 1, 1.0, 1.0, 1)
        yield SimpleNamespace(train=lambda *rest: measured, profile=lambda: {})

    def product_rate(products: Any, dtype: Any, device: Any, count: int) -> float:
        copies.append(count)
        return 1.0

    monkeypatch.setattr(runs, "training_run", one_run)
    monkeypatch.setattr(machine, "product_rate", product_rate)
    monkeypatch.setattr(machine, "copy_rate", lambda device: 1.0)
    config = replace(composed(*TINY, "training.batch_tokens=1024", "threads=2"), measure=["training"], repeats=1)
    with machine.restrict(2, None):
        suite.Suite(config, corpora.prepare(config, tmp_path), CPU, "highest", [], tmp_path)._training([], 1.0)
    assert started == [2, 2]
    assert set(copies) == {2}


# --- what is measured on ---------------------------------------------------------------------------------------------


def test_generated_sentences_are_of_the_lengths_and_words_asked_for(task: Task, config: BenchmarkConfig) -> None:
    for side in (task.prepared.train.source, task.prepared.train.target):
        assert 6 <= side.lengths.min() < side.lengths.max() <= 12
        assert all(side[row][-1] == EOS and EOS not in side[row][:-1] for row in range(60))
        assert side.numbers.max() < len(task.prepared.source) == len(task.prepared.target) == 30
    assert task.prepared.source.encode(task.sources[:3])[2][-1] == EOS
    first = task.prepared.source.encode(task.sources)
    assert {len(tokens) for tokens in first} == set(range(6, 13))
    again = corpora.prepare(config, Path())
    assert again.sources == task.sources
    other = corpora.prepare(dataclasses.replace(config, seed=2), Path())
    assert other.sources != task.sources
    counts = np.sort(np.bincount(task.prepared.train.source.numbers, minlength=30)[4:])[::-1]
    assert counts[0] > 3 * counts[-5]  # Zipf


def test_sentences_may_all_be_of_one_length(config: BenchmarkConfig) -> None:
    options = dataclasses.replace(config.generated, least_length=9, most_length=9)
    corpus = corpora.prepare(dataclasses.replace(config, generated=options), Path()).prepared.train
    assert set(corpus.source.lengths) == set(corpus.target.lengths) == {9}


PIECES = ["▁the", "▁", "c", "at", "▁sat", "▁_", "."]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """What the peers' scripts prepare."""
    data = tmp_path / "work" / "data"
    data.mkdir(parents=True)
    (data / "data.json").write_text('{"src": "xx", "trg": "yy"}')
    (data / "spm.vocab").write_text("".join(f"{p}\t0\n" for p in ["<unk>", "<pad>", "<s>", "</s>", *PIECES]))
    for split in ("train", "valid", "test"):
        (data / f"{split}.xx").write_text("▁the ▁ c at ▁sat .\n▁_ .\n")
        (data / f"{split}.yy").write_text("▁sat .\n▁the at\n")
    (data / "test.raw").write_text("sat.\nthe at\n")
    return tmp_path / "work"


def test_the_peers_pieces_are_ours(config: BenchmarkConfig, work: Path, tmp_path: Path) -> None:
    asked = changed(config, peers=str(tmp_path), peers_work=str(work))
    found = corpora.prepare(asked, tmp_path)
    assert len(found.prepared.source) == 4 + len(PIECES)
    corpus = found.prepared.train
    assert corpus.source.lengths.tolist() == [7, 3]
    assert len(set(corpus.source.numbers[:].tolist())) == 1 + len(PIECES)  # none is unknown, none is another
    assert found.prepared.source.encode(found.sources)[0] == corpus.source[0].tolist()
    assert found.references is None
    trained = corpora.prepare(dataclasses.replace(asked, checkpoint="some"), tmp_path)
    assert trained.sources == ["the cat sat.", "_."]
    assert trained.references == ["sat.", "the at"]


def test_threads_and_cores_are_kept_to_and_given_back() -> None:
    before = torch.get_num_threads()
    with machine.restrict(before + 1, None):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    for core in (4095, -1, 1 << 40):
        with pytest.raises(ConfigError, match=rf"cpu=\[{core}\]: no such cores"), machine.restrict(1, [core]):
            pytest.fail("a core that is not there")
    assert machine.describe(CPU, 1, None, "highest")["torch"] == torch.__version__


# --- training and decoding -------------------------------------------------------------------------------------------


def test_a_slice_of_training_counts_real_tokens(
    task: Task, config: BenchmarkConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_PROFILED_UPDATES", 1)
    seen, products_were = [], set()
    with training_run(task.training(config, "fp32", CPU), task.prepared, CPU, "high") as run:
        step = run.trainer.step

        def watched(batch: Batch) -> Any:
            seen.append(batch)
            products_were.add(torch.get_float32_matmul_precision())
            return step(batch)

        run.trainer.step = watched  # type: ignore[method-assign]
        done = run.train(3)
        assert done.updates == len(seen) == 3
        assert done.sentences == sum(len(batch.source) for batch in seen) <= 3 * 8
        assert done.tokens == sum(int((batch.targets != PAD).sum()) for batch in seen)
        assert run.train(1, 0.05).seconds >= 0.05
        shares = run.profile()
    assert sum(shares.values()) == pytest.approx(1)
    assert {"matrix products", "loss", "optimizer", "dropout"} <= shares.keys()
    assert products_were == {"high"}
    assert torch.get_float32_matmul_precision() == "highest"


def test_training_has_a_process_for_each_thread_at_most(task: Task, config: BenchmarkConfig) -> None:
    assert task.training(config, "bf16", CPU).training.processes == 1
    asked = changed(config, training={"processes": 3})
    assert task.training(asked, "bf16", CPU).training.processes == 3
    small = changed(config, threads=9, training={"batch_tokens": 9})
    assert task.training(small, "bf16", CPU).training.processes == 1


def test_search_makes_the_products_of_the_decoder(task: Task) -> None:
    v, e, d = 30, 6, 8
    config = composed(*TINY, "model/attention=bahdanau2015_tanh", "decoding.batch_size=5", "decoding.beam_size=2")
    counted = machine.countable(task.fresh_model(config))
    row = DecodingRun(config.decoding, [], *machine.search_products(counted, [4, 5, 6, EOS], 5 * 2))
    encoding = 4 * 2 * 3 * (d // 2) * (e + d // 2) + d * d + 4 * d * d  # states, bridge, keys
    step = 3 * d * (e + 2 * d) + d * d + 2 * 4 * d + d * (e + 2 * d) + d * v  # gates, query, attention, readout
    assert sum(product.operations for product in row.encoding) == 2 * encoding
    assert sum(product.operations for product in row.step) == 2 * 5 * 2 * step
    row.turns, row.rates = [Measurement(3, 45, 0.5, 1.0)], [1000.0]
    assert row.report()["share_of_product_rate"] == pytest.approx(2 * (6 * encoding + 90 * 2 * step) / 1000)
    int8 = dataclasses.replace(row, options=dataclasses.replace(row.options, precision="int8"), rates=[])
    int8.measure_products(CPU)
    assert int8.report()["share_of_product_rate"] is None


@pytest.mark.parametrize("beam", [1, 3])
def test_forced_translations_have_so_many_tokens(beam: int, task: Task, config: BenchmarkConfig) -> None:
    base = dataclasses.replace(config.decoding, beam_size=beam)
    model = translator(config, task)
    torch.nn.init.constant_(model.model.output.bias[EOS : EOS + 1], 10.0)  # it would end at once
    lines = ["w1", *task.sources[:5]]
    done, texts = runs.translate(model, lines, runs.forced(base, 15))
    assert (done.sentences, done.tokens, len(texts)) == (6, 6 * 15, 6)
    assert runs.translate(model, lines, runs.forced(base, None))[0].tokens == 6


def test_lines_that_fit_come_from_all_over_in_whole_batches(
    task: Task, config: BenchmarkConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [str(number) for number in range(100)]
    options = dataclasses.replace(config.decoding, batch_size=8)
    rate = 10.0
    monkeypatch.setattr(
        runs, "translate", lambda _, few, __: (Measurement(len(few), 1, len(few) / rate, 1.0), list(few))
    )
    chosen = runs.sample_lines(translator(config, task), lines, options, 2.1)
    assert chosen == [str(number) for number in (0, 6, 12, 18, 25, 31, 37, 43, 50, 56, 62, 68, 75, 81, 87, 93)]
    assert len(runs.sample_lines(translator(config, task), lines, options, 0.0)) == 8
    assert runs.sample_lines(translator(config, task), lines, options, 99.0) == lines


def test_growth_changes_one_thing_at_a_time(config: BenchmarkConfig, tmp_path: Path) -> None:
    points = list(suite.growth_points(config))
    assert {point.table for point in points} == {"length", "batch", "beam", "vocabulary"}
    lengths = [point for point in points if point.table == "length"]
    assert {(point.value, point.window) for point in lengths} >= {(10, "global"), (200, "local_m")}
    assert isinstance(lengths[1].config.model.attention.window, LocalM)
    assert all(point.config.generated.least_length == point.value == point.config.forced_length for point in lengths)
    assert [p.config.generated.vocab_size for p in points if p.table == "vocabulary"][-1] == 64_000
    small = dataclasses.replace(lengths[1], config=dataclasses.replace(lengths[1].config, seconds=0.01))
    measured = suite.measure_growth(small, CPU, "highest", tmp_path)
    assert measured["training_tokens_per_second"] > 0
    assert measured["decoding_tokens_per_second"] == pytest.approx(10 * measured["decoding_sentences_per_second"])
    assert measured["training_peak_memory_mb"] > 0


# --- peers -----------------------------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if sys.argv[1] == "broken":
    sys.exit("out of order")
print("progress")
print(json.dumps({"toolkit": sys.argv[1], "words": words}))
"""


def peer_of(config: BenchmarkConfig, work: Path, scripts: Path, **changes: Any) -> peers.Peer:
    for name in ("train.py", "decode.py"):
        (scripts / name).write_text(SCRIPT)
    where = {"peers": str(scripts), "peers_work": str(work), "peers_toolkits": ["any"]}
    (peer,) = peers.find_peers(changed(config, **where, **changes), [0, 1])
    return peer


def test_the_peers_get_what_we_get(config: BenchmarkConfig, work: Path, tmp_path: Path) -> None:
    peer = peer_of(config, work, tmp_path, threads=2, peers_precisions=["medium"], peers_updates=40)
    words = peer.train()["words"]
    common = {
        "--work": str(work), "--attention": "mlp", "--precision": "medium", "--threads": "2", "--cpu": "0,1",
    }  # fmt: skip
    measured = {"--name": "measured-any-mlp"}
    assert words == {**common, **measured, "--updates": "40", "--warmup": "20", "--batch": "8"}
    words = peer.decode(5, 16, 15, 100)["words"]
    forced = {"--min-length": "15", "--max-length": "15", "--limit": "100"}
    assert words == {**common, **measured, **forced, "--beam": "5", "--batch": "16"}
    trained = work / "runs" / "any-mlp"
    trained.mkdir(parents=True)
    (trained / "run.json").write_text("{}")
    words = peer.decode(1, 1, None, None)["words"]
    assert words == {**common, "--name": "any-mlp", "--beam": "1", "--batch": "1"}


def test_the_peers_get_a_transformer_of_our_sizes(work: Path, tmp_path: Path) -> None:
    config = composed("experiment=benchmark/transformer", "model.encoder_layers=2", "model.decoder_layers=2")
    peer = peer_of(config, work, tmp_path)
    sizes = {"--layers": "2", "--size": "256", "--heads": "8", "--feed-forward": "1024"}
    trained, decoded = peer.train()["words"], peer.decode(1, 1, None, None)["words"]
    assert trained["--attention"] == decoded["--attention"] == "transformer"
    assert trained.items() >= sizes.items()
    assert not sizes.keys() & decoded.keys()
    for other in ("model.encoder_layers=3", "model.decoder.norm=post", "model/attention/score=dot",
                  "model/decoder/attention/window=local_m", "model/positions=rotary"):  # fmt: skip
        unlike = composed("experiment=benchmark/transformer", "model.decoder_layers=2", other)
        with pytest.raises(ConfigError, match="peers have only recurrent models with additive or general, and Transf"):
            peer_of(unlike, work, tmp_path)


def test_what_a_peer_can_not_do_is_said(config: BenchmarkConfig, work: Path, tmp_path: Path) -> None:
    peer = peer_of(config, work, tmp_path)
    with pytest.raises(DataError, match="out of order"):
        dataclasses.replace(peer, toolkit="broken").train()
    with pytest.raises(ConfigError, match=r"score=none: the peers have only recurrent models with additive or gen"):
        peer_of(config, work, tmp_path, model={"attention": {"placement": {"name": "none"}}})
    with pytest.raises(ConfigError, match="batch_sentences=null: the peers' batches count sentences"):
        peer_of(config, work, tmp_path, training={"batch_sentences": None})
    with pytest.raises(ConfigError, match=r"train\.py: not found"):
        peers.find_peers(changed(config, peers=str(work), peers_work=str(work)), None)
    with pytest.raises(DataError, match=r"data\.json: can't be read"):
        corpora.prepare(changed(config, peers=str(work), peers_work=str(tmp_path)), tmp_path)


def test_impossible_pairs_are_refused(config: BenchmarkConfig) -> None:
    def refused(**changes: Any) -> str:
        with pytest.raises(ConfigError) as error:
            changed(config, **changes)
        return str(error.value)

    assert "checkpoint=null and forced_length=null" in refused(forced_length=None)
    assert "checkpoint=c without data" in refused(checkpoint="c")
    assert "peers_work=null" in refused(peers="p")
    assert "the least is more than the most" in refused(generated={"least_length": 9, "most_length": 8})
    assert "decode_batches=[]" in refused(decode_batches=[])
    assert "decode_precisions[0]=fp64: no such choice" in refused(decode_precisions=["fp64"])
    assert "peers_updates=55: must be a multiple of 10" in refused(peers_updates=55)
    assert "generated sentences have none" in refused(training={"guided_alignment": 1.0})
    assert "training.start_from=c without data" in refused(training={"start_from": "c"})
    text = {"train": "t", "valid": "v", "source_lang": "a", "target_lang": "b"}
    assert changed(config, data=text).data is not None
    assert "Leave data out" in refused(data=text, peers="p", peers_work="w")
    for more in ({"context": 3}, {"documents": "ids"}):
        assert "sentences are measured one by one" in refused(data=text | more)
    assert "two vocabularies" in refused(data={**text, "joint": False}, model={"tied_embeddings": "all"})


# --- what is told ----------------------------------------------------------------------------------------------------


def decoded(name: str, value: str, *rates: tuple[int, int, float], **more: Any) -> list[dict[str, Any]]:
    return [
        {name: value, "beam": beam, "batch": batch, "sentences_per_second": rate, "tokens_per_second": 15 * rate,
         "bleu": 31.4, "share_of_product_rate": 0.17, **more}
        for beam, batch, rate in rates
    ]  # fmt: skip


REPORT: dict[str, Any] = {
    "machine": {"device": "cpu", "cores_used": None},
    "training": [{"precision": "bf16", "tokens_per_second": 5000.0, "sentences_per_second": 300.0,
                  "share_of_product_rate": 0.61, "time": {"matrix products": 0.7, "loss": 0.3}}],
    "memory": {"bf16": 800.0},
    "peers_training": [{"peer": "x highest", "tokens_per_second": 1000.0, "sentences_per_second": 60.0,
                        "peak_memory_mb": 2000}],
    "forced_length": None,
    "decoding": decoded("precision", "fp32", (1, 1, 100.0), (1, 16, 500.0), (1, 64, 400.0), (5, 1, 40.0)),
    "peers_decoding": decoded("peer", "x highest", (1, 1, 25.0), (1, 16, 90.0), (1, 64, 100.0), startup_seconds=3.0),
    "startup": {"seconds": 1.5},
    "growth": [{"table": "beam", "value": 10, "window": "", "decoding_tokens_per_second": 1234.0,
                "decoding_sentences_per_second": 82.0}],
}  # fmt: skip


def test_ratios_compare_like_with_like() -> None:
    found = {(row["what"], row["ours"], row["peer"]): row["ratio"] for row in suite.ratios(REPORT)}
    assert found == {
        ("training", "bf16", "x highest"): 5.0,
        ("training memory", "bf16", "x highest"): 2.5,
        ("beam 1, batch 1", "fp32", "x highest"): 4.0,
        ("beam 1, best batch", "fp32", "x highest"): 5.0,
        ("start-up", "", "x highest"): 2.0,
    }


def test_tables_have_a_row_for_everything() -> None:
    text = tables.text({**REPORT, "ratios": suite.ratios(REPORT)})
    lines = [line.split() for line in text.splitlines()]
    assert ["ours", "bf16", "5,000", "300.0", "61%", "800"] in lines
    assert ["x", "highest", "1,000", "60.0", "2,000"] in lines
    assert ["matrix", "products", "70%"] in lines
    assert ["ours", "fp32", "1", "16", "500.0", "7,500", "17%", "31.40"] in lines
    assert ["training", "memory", "bf16", "x", "highest", "2.50"] in lines
    assert ["10", "1,234", "82.0"] in lines
    assert "1.50 s" in text
    assert json.dumps(REPORT)
    assert tables.aligned(("name", "n"), [("a", "100"), ("long name", "2")]) == [
        "name         n",
        "a          100",
        "long name    2",
    ]
