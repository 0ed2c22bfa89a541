"""The measurement of a cell: the test set that all cells share, training, and the scores of the translations."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from seq2seq import checkpoint
from seq2seq.cli.grid import Cell, decoding_of, value_hash
from seq2seq.cli.main import Stopped
from seq2seq.cli.reading import layout_of, read_gold_file, score_all
from seq2seq.cli.references import read_test_set
from seq2seq.cli.training import run_training
from seq2seq.config import CompareConfig, Data, several
from seq2seq.device import choose_device
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference import metrics
from seq2seq.inference.alignment import Aligner, Gold, agreement
from seq2seq.inference.comparison import Measured
from seq2seq.inference.forced_scores import SentencePair, pairs_in_documents
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translation import in_documents
from seq2seq.training.held_out import DIRECTORY, find_test
from seq2seq.training.progress import effort
from seq2seq.version import __version__


@dataclass(frozen=True)
class Task:
    """The test set on which every cell is measured."""

    sources: list[str]
    references: list[str]
    begins: list[bool] | None
    """Whether a document begins at each source; None: at blank ones, or no cell reads the context"""
    gold: list[Gold] | None
    tokenizer: str
    """BLEU's"""
    contents: dict[str, str | None]
    """Hashes of each side and of the gold alignments"""

    def pairs(self, context: int = 0) -> list[SentencePair]:
        """Return sources with their references, and so many sentences before each."""
        return list(pairs_in_documents(zip(self.sources, self.references, strict=True), context, self.begins))


def read_task(config: CompareConfig, cells: Sequence[Cell]) -> Task:
    """Read the test set: `source` and `reference`, or the `data.test` that all cells share."""
    if (config.source is None) != (config.reference is None):
        raise ConfigError("source and reference: give both, or neither to use the cells' own data.test")
    reader = max(cells, key=lambda cell: bool(cell.training.data.context))  # only those in context know documents
    data = reader.training.data
    if config.source is not None:
        layout = layout_of(data)
        sources, alternatives = read_test_set(config.source, config.reference, layout)
        references = [str(text) for text in alternatives]  # `reference` is a single file
        begins = layout.beginnings(config.source, corpus=config.reference == config.source)
    else:
        sources, references, begins = _read_shared_test(cells, reader)
    named = {cell.training.data.documents: cell.label for cell in cells if cell.training.data.context}
    if len(named) > 1:
        found = "; ".join(f"{label}: {name}" for name, label in named.items())
        raise ConfigError(f"data.documents: cells in context need the same one to be compared ({found}).")
    tokenizers = {
        cell.training.data.bleu_tokenizer or metrics.bleu_tokenizer(cell.training.data.target_lang): cell.label
        for cell in cells
    }
    if len(tokenizers) > 1:
        found = "; ".join(f"{label}: {tokenizer}" for tokenizer, label in tokenizers.items())
        raise ConfigError(f"data.bleu_tokenizer: scores of different tokenizers can't be compared ({found}).")
    (tokenizer,) = tokenizers
    metrics.check_tokenizer(tokenizer)
    contents: dict[str, str | None] = {"source": value_hash(sources), "reference": value_hash(references)}
    starts = list(begins) if data.context and begins is not None else None
    task = Task(sources, references, starts, None, tokenizer, contents)
    if config.gold is None:
        return replace(task, contents={**task.contents, "gold": None})
    gold = read_gold_file(config.gold, config.gold_base, task.pairs(), (data.source_lang, data.target_lang))
    links = [[sorted(sentence.sure), sorted(sentence.possible)] for sentence in gold]
    return replace(task, gold=gold, contents={**task.contents, "gold": value_hash(links)})


def _read_shared_test(cells: Sequence[Cell], reader: Cell) -> tuple[list[str], list[str], Iterator[bool]]:
    tests = {_test_set(cell.training.data): cell for cell in cells}
    if len(tests) > 1 or None in tests:
        found = "; ".join(f"{cell.label}: {test and test[0]}" for test, cell in tests.items())
        raise ConfigError(f"data.test: all cells need the same one ({found}). Give source=FILE reference=FILE.")
    test = find_test(reader.training.data, reader.run and reader.run / DIRECTORY)
    assert test is not None
    pairs = list(test.pairs())
    if not pairs:
        raise DataError(f"{test.name}: no lines to score")
    return [source for source, _ in pairs], [target for _, target in pairs], test.beginnings()


def _test_set(data: Data) -> tuple[str, ...] | None:
    """Return a key that identifies the test set of a cell; None without one."""
    if data.test is None and data.split.test is None:
        return None
    whole = ", whole documents" if data.context else ""
    name = data.test or f"{data.split} of {', '.join(several(data.train))}{whole}"
    return (name, data.source_lang, data.target_lang, *(data.columns or []))


def measure(cell: Cell, task: Task, config: CompareConfig, run_dir: Path) -> Measured:
    """Train a cell, or resume its training, and measure it. Raises Stopped after a signal."""
    if cell.run is None:
        data = replace(cell.training.data, test=None)
        training = replace(cell.training, data=data, run_dir=str(run_dir), device=config.device)
        if (code := run_training(training)) > 128:
            raise Stopped(code)
        if code:
            raise RuntimeError("its training lost a process; see the log")
    device = choose_device(config.device)
    translator = load_translator(run_dir, device)
    begin = time.perf_counter()
    requests = in_documents(task.sources, translator.context, task.begins)
    decoding = decoding_of(cell, config)
    ranked = translator.translate_requests(requests, decoding, keep_attention=False)
    translations = [best.text for best, *_ in ranked]
    seconds = time.perf_counter() - begin
    scores = metrics.score(translations, task.references, task.tokenizer)
    aligner = Aligner.of(translator)
    aer = None
    if task.gold is not None and aligner is not None:
        scored = score_all(translator, task.pairs(translator.context), decoding.batch_size)
        links = [aligner.align(pair).links for pair in scored]
        aer = agreement(links, task.gold).aer
    spent = effort(run_dir)
    return Measured(
        label=cell.label,
        seed=cell.seed,
        bleu=scores.bleu,
        chrf=scores.chrf,
        ter=scores.ter,
        aer=aer,
        parameters=sum(parameter.numel() for parameter in translator.model.parameters()),
        updates=spent.updates,
        training_tokens_per_second=spent.tokens_per_second,
        decoding_sentences_per_second=len(task.sources) / seconds,
        peak_memory_mb=spent.peak_memory_mb,
        signatures=scores.signatures,
        machine=f"{device}, threads: {torch.get_num_threads()}, torch {torch.__version__}, seq2seq {__version__}",
        translations=translations,
        validation_bleu=checkpoint.read_validation_bleu(run_dir),
    )
