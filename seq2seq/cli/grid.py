"""The grid of a comparison: a cell for each variant and seed; training, measurement and result files of cells.

A result file holds everything about a cell, so a comparison can be rebuilt from these files alone.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import re
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonprefix
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.cli.compose import composed
from seq2seq.cli.files import output_stream
from seq2seq.cli.main import Stopped
from seq2seq.cli.reading import layout_of, read_gold_file, score_all
from seq2seq.cli.references import read_test_set
from seq2seq.cli.training import run_training
from seq2seq.config import (
    CompareConfig,
    Data,
    Decoding,
    TrainConfig,
    greedy_decoding,
    lost,
    parse,
    several,
    stored_data,
    to_plain,
    upgrade,
)
from seq2seq.device import choose_device
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference import metrics
from seq2seq.inference.alignment import Aligner, Gold, agreement
from seq2seq.inference.comparison import COLUMNS, Failed, Measured
from seq2seq.inference.forced_scores import SentencePair, pairs_in_documents
from seq2seq.inference.loading import load_translator
from seq2seq.inference.translation import in_documents
from seq2seq.text.corpus import content_hash, find_file
from seq2seq.text.json_io import read_json, typed
from seq2seq.text.parallel import ParallelText
from seq2seq.text.storage import file_name, within
from seq2seq.training.held_out import DIRECTORY, find_test
from seq2seq.training.progress import effort
from seq2seq.training.run_directory import differences, start_hash
from seq2seq.version import __version__

_SET_BY_COMPARE = ("seed", "run_dir", "change", "device", "check")
"""Keys of a training that the comparison sets itself"""
_WITHOUT_EFFECT = {
    "": ("run_dir", "change", "device", "check"),
    "data": ("train", "valid", "test", "cache_dir"),
    "training": ("keep_best", "keep_last", "save_every", "log_every", "samples", "tensorboard"),
}
"""Keys of a training that do not change its result; the files of `data` count by their content"""


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


@dataclass(frozen=True)
class Cell:
    """One variant with one seed."""

    label: str
    training: TrainConfig
    run: Path | None = None
    """A finished run, whose checkpoint is used as it is"""
    given: frozenset[str] = frozenset()
    """Names of the options that `common` and the variant set"""

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.training.seed

    @property
    def name(self) -> str:
        """A file name for label and seed."""
        return f"{file_name(self.label)}-seed{self.seed}"


# --- planning --------------------------------------------------------------------------------------------------------


def plan(config: CompareConfig) -> list[Cell]:
    """Return all cells, those of one seed together. Raises ConfigError for all mistakes, with the variant of each."""
    variants: list[Cell] = []
    mistakes = []
    if config.variants and (not config.seeds or len(set(config.seeds)) < len(config.seeds)):
        raise ConfigError(f"seeds={config.seeds}: expected one or more, each once, such as [1,2,3]")
    for label, words in config.variants.items():
        try:
            overrides = (*_overrides(config.common), *_overrides(words))
            cell = Cell(label, _composed(overrides), given=frozenset(map(_name, overrides)))
            decoding = to_plain(decoding_of(cell, config))
            parse("train", {**to_plain(cell.training), "decoding": decoding})  # will it decode like this?
            variants.append(cell)
        except ConfigError as error:
            mistakes.append(f"variants.{label}: {error}")
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    finished = list(_finished(config.runs))
    if taken := {cell.label for cell in variants} & {cell.label for cell in finished}:
        raise ConfigError(f"runs and variants: both have {', '.join(sorted(taken))}. Give the variant another label.")
    grid = itertools.product(config.seeds, variants)
    seeded = (replace(cell, training=replace(cell.training, seed=seed)) for seed, cell in grid)
    return [*seeded, *finished]


def decoding_of(cell: Cell, config: CompareConfig) -> Decoding:
    """Return how a cell is decoded: as the comparison says, except for what its own variant or experiment sets.

    The validations of a finished run do not count.
    """
    if cell.run is not None:
        return config.decoding
    own, usual = to_plain(cell.training.decoding), to_plain(greedy_decoding())
    chosen = {key: value for key, value in own.items() if value != usual[key] or f"decoding.{key}" in cell.given}
    decoding: Decoding = parse("decoding", to_plain(config.decoding) | chosen)
    return decoding


@functools.cache
def _composed(overrides: tuple[str, ...]) -> TrainConfig:
    config: TrainConfig = parse("train", composed("train", overrides))
    return config


def _overrides(text: str) -> Iterator[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{text}: can't be read ({error}). Expected overrides as on the command line.") from error
    for word in words:
        name = _name(word)
        if name in _SET_BY_COMPARE or name.split(".")[0].split("/")[0] == "hydra" or word.startswith("-"):
            raise ConfigError(f"{word}: not possible for a single variant. Give it to seq2seq compare itself.")
        yield word


def _name(word: str) -> str:
    """Return the option that an override sets."""
    return word.partition("=")[0].lstrip("+~")


def _finished(runs: Sequence[str]) -> Iterator[Cell]:
    """Yield the cells of finished runs; runs that differ only in their seed are one variant."""
    groups: dict[str, list[tuple[str, TrainConfig]]] = {}
    for name in runs:
        training, no_longer = read_run(Path(name))
        key = _hash([settings(replace(training, seed=0)), training.data.train, training.data.valid, no_longer])
        groups.setdefault(key, []).append((name, training))
    labels = {key: _shared_name([Path(name).resolve().name for name, _ in group]) for key, group in groups.items()}
    uses = Counter(labels.values())
    for key, group in groups.items():
        if len({training.seed for _, training in group}) < len(group):
            twice = ", ".join(name for name, _ in group)
            raise ConfigError(f"runs: {twice}: the same settings and seed more than once. Leave out the duplicates.")
        label = labels[key] if uses[labels[key]] == 1 else group[0][0]
        yield from (Cell(label, training, Path(name)) for name, training in group)


def _shared_name(names: Sequence[str]) -> str:
    """Return the common beginning of the names, without `-seed`."""
    shared = re.sub(r"[-_.]*(seed|s)?[-_.]*$", "", commonprefix(names))  # noqa: RUF071
    return names[0] if len(names) == 1 else shared or names[0]


def read_run(path: Path) -> tuple[TrainConfig, list[str]]:
    """Read the configuration of a run, and its settings that this version no longer has.

    Raises DataError if there is none.
    """
    try:
        values = read_json(within(path, "config.json"))
        if "format" in values:
            raise DataError(f"runs: {path}: a checkpoint; expected a run directory. Give {path.parent}")
        stored = {**values, "data": stored_data(values["data"])}
        config: TrainConfig = parse("train", upgrade(stored))
    except OSError as error:
        raise DataError(
            f"runs: {path}: no run here ({error.strerror}); expected a run directory with config.json"
        ) from error
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"runs: {path}/config.json: not the configuration of a run ({error})") from error
    return config, sorted(lost(stored))


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
        begins = layout.beginnings(config.source, config.reference)
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
    contents: dict[str, str | None] = {"source": _hash(sources), "reference": _hash(references)}
    starts = list(begins) if data.context and begins is not None else None
    task = Task(sources, references, starts, None, tokenizer, contents)
    if config.gold is None:
        return replace(task, contents={**task.contents, "gold": None})
    gold = read_gold_file(config.gold, config.gold_base, task.pairs(), (data.source_lang, data.target_lang))
    links = [[sorted(sentence.sure), sorted(sentence.possible)] for sentence in gold]
    return replace(task, gold=gold, contents={**task.contents, "gold": _hash(links)})


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


# --- the identity of a result ----------------------------------------------------------------------------------------


def settings(training: TrainConfig) -> dict[str, Any]:
    """Return all settings that affect the result of a training, except the corpora."""
    values = to_plain(training)
    for section, keys in _WITHOUT_EFFECT.items():
        for key in keys:
            del (values[section] if section else values)[key]
    return values


def identities(cells: Sequence[Cell], task: Task, config: CompareConfig) -> list[dict[str, Any]]:
    """Return the identity of each cell's result: settings as plain values, and hashes of the files it reads."""
    file_hash = functools.cache(lambda name: content_hash(find_file(name)))

    @functools.cache
    def corpus(*place: Any) -> tuple[str, str | None]:
        text = ParallelText.find(*place)
        return text.content_hash(), text.documents_hash() if text.documents_file else None

    made = []
    for cell in cells:
        data, contents = cell.training.data, dict(task.contents)
        if data.context and task.begins is not None:
            contents["test_documents"] = _hash(task.begins)
        decoding = decoding_of(cell, config)
        if decoding.dictionary is not None:
            contents["dictionary"] = file_hash(decoding.dictionary)
        if cell.run is not None:
            contents["weights"] = checkpoint.weights_hash(cell.run)
        else:
            columns = tuple(data.columns) if data.columns else None
            place = (data.source_lang, data.target_lang, columns, "data.train", data.documents)
            train, valid = ([corpus(name, *place) for name in several(names)] for names in (data.train, data.valid))
            hashes = {"train": [text for text, _ in train], "valid": [text for text, _ in valid]}
            optional = {
                "alignments": [file_hash(name) for name in several(data.alignments)],
                "tokenizer_model": [file_hash(name) for name in several(data.tokenizer_model)],
                "documents": [documents for _, documents in (*train, *valid) if documents is not None],
            }
            hashes |= {key: found for key, found in optional.items() if found}  # older results keep their identity
            contents |= {key: found[0] if len(found) == 1 else _hash(found) for key, found in hashes.items()}
            if start := several(cell.training.training.start_from):
                contents["start_from"] = start_hash(start)
        made.append(
            {
                "training": settings(cell.training),
                "decoding": to_plain(decoding),
                "bleu_tokenizer": task.tokenizer,
                "contents": contents,
            }
        )
    return made


def changes(old: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the differences between two identities; empty if they agree."""
    try:
        data = old["training"]["data"]
        listed = next((data[key] for key in ("weights", "alignments") if isinstance(data.get(key), list)), ["-"])
        held_out = {} if (data.get("split") or {}).get("valid") else {"valid": "-"}
        data = {**data, **held_out, "train": ["-"] * len(listed)}
        before = {
            **old,
            "training": settings(parse("train", {**old["training"], "data": data})),
            "decoding": to_plain(parse("decoding", old["decoding"])),
        }  # with today's defaults for keys that did not exist yet
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        return [f"its identity can't be read ({error})"]
    return list(differences(before, now, ""))


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


# --- a result --------------------------------------------------------------------------------------------------------


def result_path(cell: Cell, output: str) -> Path:
    """Return the path of a cell's result."""
    return Path(output) / "cells" / f"{cell.name}.json"


def read_result(
    cell: Cell, output: str, expected: dict[str, Any], sentences: int, tell: Callable[[str], None]
) -> Measured | Failed | None:
    """Read the result of a cell; None, passing the reason to `tell`, unless it has this size and identity."""
    path = result_path(cell, output)
    try:
        values = read_json(path)
        result: Measured | Failed
        result = typed(Failed, values["result"]) if "message" in values["result"] else typed(Measured, values["result"])
        if (result.label, result.seed) != (cell.label, cell.seed):
            raise ValueError(f"it is for {result.label[:60]!r}, seed {result.seed}")
        if isinstance(result, Measured) and not result.signatures.keys() <= COLUMNS.keys():
            raise ValueError(f"it has signatures of {', '.join(result.signatures)[:60]}")
        if not all(math.isfinite(value) for value in vars(result).values() if isinstance(value, float)):
            raise ValueError("it has numbers that are not finite")
        if isinstance(result, Measured) and len(result.translations) != sentences:
            raise ValueError(f"it has {len(result.translations)} translations of {sentences} sentences")
        changed = changes(values["identity"], expected)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        tell(f"{path}: can't be read ({error}); measuring it again")
        return None
    if changed:
        tell("\n  ".join([f"{path}: made with other settings or data; measuring it again:", *changed]))
        return None
    return result


def write_result(cell: Cell, output: str, identity: dict[str, Any], result: Measured | Failed) -> None:
    """Write the result file of a cell, whole or not at all."""
    path = result_path(cell, output)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"result": dataclasses.asdict(result), "identity": identity}
    with output_stream(str(path)) as file:
        print(json.dumps(values, ensure_ascii=False, indent=1), file=file)


def run_directory(cell: Cell, identity: dict[str, Any], output: str) -> Path:
    """Return the run directory of a cell; it depends on settings and corpora."""
    contents = identity["contents"]
    made_of = [identity["training"], contents.get("train"), contents.get("valid")]
    made_of += [
        contents[key] for key in ("start_from", "alignments", "tokenizer_model", "documents") if key in contents
    ]
    return cell.run or Path(output) / "runs" / f"{cell.name}-{_hash(made_of)[:8]}"


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
