"""From a training configuration to a trainer: data, tokenizers, model, optimizer, run directory."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from seq2seq import build
from seq2seq.config import (
    ConfigError,
    Data,
    Location,
    Model,
    NoAttention,
    Reinforce,
    TrainConfig,
    Training,
    parse,
    several,
    to_plain,
)
from seq2seq.inference.metrics import bleu_tokenizer, check_tokenizer, sentence_metric
from seq2seq.inference.precision import check_precision
from seq2seq.inference.unknown import read_dictionary
from seq2seq.model.parameters import parameters_by_part
from seq2seq.model.translation import TranslationModel
from seq2seq.schema import shown
from seq2seq.search.protocol import Limits
from seq2seq.text.cache import EncodedCorpus, digest, encode_corpus
from seq2seq.text.corpus import DataError, ParallelText
from seq2seq.text.filters import Filters
from seq2seq.text.links import WordLinks
from seq2seq.text.mixture import join
from seq2seq.text.plain import read_json
from seq2seq.text.sampling import SubwordSampling
from seq2seq.text.storage import remove_unfinished, replace_directory, replace_file, within
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training import checkpoint
from seq2seq.training.capture import cuda_graphs
from seq2seq.training.card import model_card
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.lock import locked
from seq2seq.training.loop import Trainer
from seq2seq.training.loss import LossFunction, TranslationLoss
from seq2seq.training.optimizer import make_optimizer
from seq2seq.training.origin import origin
from seq2seq.training.parts import freeze, start_from
from seq2seq.training.precision import fastest_precision
from seq2seq.training.risk import MinimumRisk
from seq2seq.training.sampled_inputs import SampledInputs
from seq2seq.training.schedule import Schedule
from seq2seq.training.team import Team
from seq2seq.training.validation import Validation
from seq2seq.training.workers import can_fork, default_processes

logger = logging.getLogger(__name__)

_MAY_CHANGE = (
    "max_updates", "max_epochs", "max_hours", "min_learning_rate", "patience", "max_skipped", "keep_best", "save_every",
    "log_every", "tensorboard", "cuda_graphs",
)  # fmt: skip
"""Keys of `training` that a resumed run may change."""

_WITHOUT_EFFECT = ("test", "cache_dir")
"""Keys of `data` that change nothing in the model."""

_LATER = {
    "model": ("layer_norm", "variational_dropout", "recurrent_dropout", "word_dropout"),
    "data": (
        "weights", "reverse_source", "max_length_ratio", "drop_identical", "drop_duplicates", "subword_sampling",
        "subword_nbest",
    ),
}  # fmt: skip
"""Keys that came after others, and leave a run its name as long as they are at their defaults."""

_A_DAY = 86400.0
"""Seconds without a write after which what is unfinished in a cache, which machines may share, is given up."""

_OF_START = ("start_from", "freeze")
"""Keys of `training` that tell runs apart where they are given."""

_OF_TOKENIZERS = ("tokenizer", "vocab_size", "joint", "byte_fallback", "character_coverage", "normalization")
"""Keys of `data` that say how sub-words are learned."""


@dataclass(frozen=True)
class PreparedData:
    """The corpora of a run, read and encoded."""

    source: Tokenizer
    target: Tokenizer
    train: EncodedCorpus
    validation: Validation
    hashes: dict[str, str]
    further: dict[str, Validation] = field(default_factory=dict)
    """By name, the held-out sets after the first."""
    start: Path | None = None
    """The checkpoint whose weights a fresh run begins with."""


def default_run_dir(config: TrainConfig, attention: str) -> Path:
    """runs/<corpus>-<attention>-<hash of model, data, guided alignment, loss, start_from, freeze and seed>; of
    several corpora the first one and how many others.
    """
    first, *others = several(config.data.train)
    train = Path(first)
    corpus = train.parent.name if train.name.startswith("train") and train.parent.name else train.name
    corpus += f"+{len(others)}" if others else ""
    values = to_plain(config)
    for section, options in (("model", Model), ("data", Data)):
        for key in _LATER[section]:
            if values[section][key] == getattr(options, key):
                del values[section][key]
    for key in _WITHOUT_EFFECT:
        del values["data"][key]
    if config.data.alignments is None:  # such runs keep the name that they had before there were alignments
        del values["data"]["alignments"]
    else:
        values["data"]["guided_alignment"] = config.training.guided_alignment
    values["data"] |= {key: getattr(config.training, key) for key in _OF_START if getattr(config.training, key)}
    if config.training.loss != "cross_entropy":
        values["data"]["loss"] = config.training.loss
    return Path("runs") / f"{corpus}-{attention}-{digest(values['model'], values['data'], config.seed)[:8]}"


def prepare_data(config: TrainConfig, run_dir: Path | None = None) -> PreparedData:
    """Read and check all corpora, learn the sub-words on the training side, encode. All of it is cached.

    The sub-words are the run's own where its directory holds a state, whatever became of the cache; else with
    training.start_from that checkpoint's.
    """
    data = config.data
    remove_unfinished(Path(data.cache_dir), _A_DAY)
    tokenizer = data.bleu_tokenizer or bleu_tokenizer(data.target_lang)
    check_tokenizer(tokenizer)
    languages = data.source_lang, data.target_lang
    trains = [ParallelText.find(name, *languages) for name in several(data.train)]
    valids = [ParallelText.find(name, *languages) for name in several(data.valid)]
    contents = [text.content_hash() for text in trains]
    hashes = {**_named("train", contents), **_named("valid", [text.content_hash() for text in valids])}
    for text in valids:  # read now, as is data.test, so that what is wrong with it is known before training
        for _ in text.pairs():
            pass
    if config.decoding.dictionary is not None:
        read_dictionary(Path(config.decoding.dictionary))
    if data.test is not None:
        for _ in ParallelText.find(data.test, data.source_lang, data.target_lang).pairs():
            pass
    links = [WordLinks.find(name, *languages) for name in several(data.alignments)]
    hashes |= _named("alignments", [of_corpus.content_hash() for of_corpus in links])
    start = None if config.training.start_from is None else Path(config.training.start_from)
    own = checkpoint.find_state(run_dir / "last") if run_dir is not None else None
    if begun := own or start:
        of = checkpoint.load(begun, torch.device("cpu"))
        if start is not None:
            _check_same_tokenizers(start, of.data, data)
        source, target, start = of.source, of.target, None if own else start
    else:
        source, target = _tokenizers(trains, data, contents, Path(data.cache_dir))
    train = _training_set(trains, links, source, target, data)
    first, *others = [_validation(text, source, target, config, tokenizer) for text in valids]
    further = dict(zip((text.name for text in valids[1:]), others, strict=True))
    return PreparedData(source, target, train, first, hashes, further, start)


def _validation(
    text: ParallelText, source: Tokenizer, target: Tokenizer, config: TrainConfig, bleu_tokenizer: str
) -> Validation:
    corpus = encode_corpus(text, source, target, filters=Filters(), cache_dir=Path(config.data.cache_dir))
    _check_usable(text, corpus)
    pairs = list(text.pairs())
    return Validation(
        corpus,
        [s for s, _ in pairs],
        [t for _, t in pairs],
        config.decoding,
        bleu_tokenizer,
        config.training.batch_tokens,
        config.training.batch_sentences,
    )


def _training_set(
    trains: Sequence[ParallelText], links: Sequence[WordLinks], source: Tokenizer, target: Tokenizer, data: Data
) -> EncodedCorpus:
    """The corpora in tokens, as one. Says of each what it has and what was left out of it."""
    filters = Filters(data.max_length, data.max_length_ratio, data.drop_identical, data.drop_duplicates)
    encoded = []
    for number, text in enumerate(trains):
        given = links[number] if links else None
        corpus = encode_corpus(text, source, target, filters=filters, cache_dir=Path(data.cache_dir), links=given)
        _check_usable(text, corpus)
        dropped = ", ".join(f"{corpus.counts[reason]} {words}" for reason, words in filters.reasons().items())
        logger.info(
            "%s: %d pairs, dropped %s; %d + %d pieces", text.name, len(corpus), dropped, len(source), len(target)
        )
        if given is not None:
            _check_links(given, corpus)
        encoded.append(corpus)
    joined = join(encoded, data.weights or [1] * len(encoded))
    if joined is not encoded[0]:
        logger.info("%d corpora: an epoch has %d pairs", len(encoded), len(joined))
    return joined


def _check_same_tokenizers(start: Path, theirs: Data, ours: Data) -> None:
    """Raises ConfigError naming the keys to change: what a run says of its sub-words has to be so."""
    differing = [key for key in _OF_TOKENIZERS if getattr(theirs, key) != getattr(ours, key)]
    if differing:
        now = ", ".join(f"data.{key}={_word(getattr(ours, key))}" for key in differing)
        then = " ".join(f"data.{key}={_word(getattr(theirs, key))}" for key in differing)
        raise ConfigError(
            f"{now} and training.start_from={start}: its sub-words, without which its embeddings are worth "
            f"nothing, were learned otherwise. Give {then}, or take training.start_from=null."
        )


def _word(value: object) -> str:
    """As on the command line."""
    return json.dumps(value).strip('"')


def _named(kind: str, hashes: Sequence[str]) -> dict[str, str]:
    """Under the kind's name; several are numbered."""
    return {kind if len(hashes) == 1 else f"{kind}[{number}]": one for number, one in enumerate(hashes)}


def _check_usable(text: ParallelText, corpus: EncodedCorpus) -> None:
    if not len(corpus):
        raise DataError(f"{text.name}: no usable pair ({corpus.counts})")


def _check_links(links: WordLinks, corpus: EncodedCorpus) -> None:
    """Say how much is linked. Raises DataError if nothing is."""
    linked, pieces = corpus.counts["linked"], int(corpus.target.lengths.sum()) - len(corpus)
    if not linked:
        raise DataError(f"{links.path}: no link in it is between words of a pair that is used; nothing would be guided")
    logger.info("%s: %.1f%% of the target pieces are linked", links.path, 100 * linked / pieces)


def _tokenizers(
    trains: Sequence[ParallelText], data: Data, contents: Sequence[str], cache: Path
) -> tuple[Tokenizer, Tokenizer]:
    options: dict[str, Any] = {
        "kind": data.tokenizer,
        "vocab_size": data.vocab_size,
        "byte_fallback": data.byte_fallback,
        "character_coverage": data.character_coverage,
        "normalization": data.normalization,
    }
    texts: list[Any] = [*contents, *(len(text.files) for text in trains)]
    entry = cache / f"tokenizer-{digest(*texts, data.joint, options)}"
    if not os.path.isdir(entry):
        logger.info("learning %s pieces from %s", data.tokenizer, ", ".join(text.name for text in trains))

        def lines(*sides: int) -> Iterator[str]:
            return (pair[side] for text in trains for pair in text.pairs() for side in sides if pair[side].strip())

        with replace_directory(entry, keep=True) as unfinished:
            if data.joint:
                joint = Tokenizer.train(lines(0, 1), **options).model
                models = {"source": joint, "target": joint}
            else:
                sides = enumerate(("source", "target"))
                models = {name: Tokenizer.train(lines(i), **options).model for i, name in sides}
            for name, model in models.items():
                (unfinished / f"{name}.model").write_bytes(model)
    return Tokenizer.load(entry / "source.model"), Tokenizer.load(entry / "target.model")


def make_trainer(
    config: TrainConfig, data: PreparedData, run_dir: Path, device: torch.device, team: Team | None = None
) -> Trainer:
    """A trainer at update 0, or where the run directory's state left off; without a team, of this process alone."""
    team = team or Team()
    check_precision(config.decoding.precision, device)
    processes = _processes(config.training, device, team)
    engine = cuda_graphs(device) if config.training.cuda_graphs else None
    torch.manual_seed(config.seed)
    model = build.translation_model(
        config.model, len(data.source), len(data.target), reverse_source=config.data.reverse_source
    ).to(device)
    if data.start is not None:
        start_from(model, checkpoint.load(data.start, device).model, str(data.start))
    team.adopt(model)
    freeze(model, config.training.freeze)
    if isinstance(config.model.attention.placement, NoAttention):
        logger.info("placement none: score, window, normaliser and heads are ignored and stored as null")
    _log_parameters(model)
    if isinstance(score := config.model.attention.score, Location):
        longer = int((data.train.source.lengths > score.max_length).sum())
        logger.info("location: %d training sources are longer than max_length=%d pieces", longer, score.max_length)
    training = config.training
    made = origin(config, data.hashes)
    if team.ranks > 1:
        made["training"]["ranks"] = team.ranks
    trainer = Trainer(
        run_dir=run_dir,
        checkpoint=Checkpoint(model, config.model, config.data, data.source, data.target, made),
        corpus=data.train,
        validation=data.validation,
        further=data.further,
        options=training,
        loss=_loss(config, data),
        optimizer=make_optimizer(
            training.optimizer, model, learning_rate=training.learning_rate, weight_decay=training.weight_decay
        ),
        schedule=Schedule(
            name=training.schedule,
            base=training.learning_rate,
            warmup_updates=training.warmup_updates,
            plateau_factor=training.plateau_factor,
            plateau_patience=training.plateau_patience,
            halve_after=training.halve_after,
            halve_every=training.halve_every,
        ),
        device=device,
        processes=processes,
        team=team,
        sampling=_sampling(config.data, data),
        sampled_inputs=_sampled_inputs(training),
        engine=engine,
        seed=config.seed,
        hashes=data.hashes,
        card=lambda updates, epochs, scores: model_card(config, updates, epochs, scores, made),
    )
    limits = [training.max_updates, training.max_epochs and training.max_epochs * trainer.batches_per_epoch]
    trainer.schedule.updates_per_epoch = trainer.batches_per_epoch
    trainer.schedule.total_updates = min(limit for limit in limits if limit is not None)
    return trainer


def _processes(training: Training, device: torch.device, team: Team) -> int:
    """That each rank has for its share. Raises ConfigError where several ranks would share twice."""
    if team.ranks == 1:
        if (training.processes or 1) > 1 and not can_fork(device):
            logger.info(
                "training.processes=%d: processes share batches on Linux's CPUs; here it is one", training.processes
            )
            return 1
        return training.processes or default_processes(device, training.batch_tokens // training.accumulate)
    if (training.processes or 1) > 1:
        raise ConfigError(
            f"training.processes={training.processes} and {team.ranks} processes of torchrun: each batch is shared "
            "already. Take training.processes=null and as many processes of torchrun as there are cores or GPUs."
        )
    if training.cuda_graphs:
        raise ConfigError(
            f"training.cuda_graphs=true and {team.ranks} processes of torchrun: nccl's threads may spoil a capture. "
            "Take training.cuda_graphs=false."
        )
    return 1


def _loss(config: TrainConfig, data: PreparedData) -> LossFunction:
    training, decoding = config.training, config.decoding
    if training.loss == "minimum_risk":
        limits = Limits(data.target.forbidden(), decoding.max_length, decoding.max_length_ratio)
        metric = sentence_metric(training.risk_metric, data.validation.bleu_tokenizer)
        return MinimumRisk(data.target, metric, limits, training.risk_samples, training.risk_sharpness)
    normaliser = config.model.attention.normaliser
    if isinstance(normaliser, Reinforce):
        return TranslationLoss(config.training.label_smoothing, normaliser.reward_weight, normaliser.entropy_weight)
    return TranslationLoss(config.training.label_smoothing, guided_weight=config.training.guided_alignment)


def _sampling(options: Data, data: PreparedData) -> SubwordSampling | None:
    if options.subword_sampling is None:
        return None
    return SubwordSampling(
        data.source, data.target, options.subword_sampling, options.subword_nbest, options.max_length
    )


def _sampled_inputs(training: Training) -> SampledInputs | None:
    if training.sampled_inputs_half is None:
        return None
    return SampledInputs(training.scheduled_sampling, training.sampled_inputs_half, training.sampled_inputs_most)


def _log_parameters(model: TranslationModel) -> None:
    counts = parameters_by_part(model)
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    logger.info("%s parameters on %s: %s", f"{sum(counts.values()):,}", next(model.parameters()).device, parts)


def check_alike(trainer: Trainer, config: TrainConfig) -> None:
    """Raises ConfigError unless all ranks of the trainer's team have the same corpora, pieces and saved state."""
    pieces = [trainer.checkpoint.source.model, trainer.checkpoint.target.model]
    mine = {
        "data.train, data.valid": trainer.hashes,
        "data.cache_dir (sub-words)": [hashlib.sha256(model).hexdigest() for model in pieces],
        "run_dir": vars(trainer.position),
        "training.precision": config.training.precision,
    }
    first, *others = (json.loads(theirs) for theirs in trainer.team.texts(json.dumps(mine)))
    for rank, theirs in enumerate(others, 1):
        differing = [key for key in mine if theirs[key] != first[key]]
        if differing:
            raise ConfigError(
                f"{'; '.join(differing)}: not the same for process {rank} as for process 0. On several machines the "
                "corpora, data.cache_dir and run_dir have to be in a file system that all of them share."
            )


def settle_precision(config: TrainConfig, run_dir: Path, device: torch.device) -> TrainConfig:
    """With a name in place of training.precision=auto: of the run that is there, else of what is fastest."""
    if config.training.precision != "auto":
        return config
    old = _stored_config(run_dir)
    precision = fastest_precision(device) if old is None else old.training.precision
    logger.info("training.precision=auto: %s", precision)
    return replace(config, training=replace(config.training, precision=precision))


def _stored_config(run_dir: Path) -> TrainConfig | None:
    """Of the run that is there, with today's defaults for what was not there yet."""
    path = within(run_dir, "config.json")
    if not os.path.isfile(path):
        return None
    try:
        config: TrainConfig = parse("train", read_json(path))
    except (OSError, ValueError, ConfigError) as error:
        raise ConfigError(f"{path}: can't be read ({error}). Restore it, or take another run_dir.") from error
    return config


def check_run_dir(run_dir: Path, config: TrainConfig) -> list[str]:
    """In what a run that is there differs, of what may. Raises ConfigError naming all that may not."""
    stored = _stored_config(run_dir)
    if stored is None:
        return []
    found = list(differences(to_plain(stored), to_plain(config), ""))
    differing = [key for key in found if not _may_change(key)]
    if differing:
        keys = "\n".join(f"  {key}" for key in differing)
        free = ", ".join(f"{section}.{name}".lstrip(".") for section, names in _FREE.items() for name in names)
        raise ConfigError(
            f"run_dir={run_dir}: holds a run with other settings:\n{keys}\n"
            f"Take another run_dir, or the old settings to go on. What may change: {free}."
        )
    return found


@contextmanager
def claim_run_dir(run_dir: Path, config: TrainConfig) -> Iterator[Callable[[], bool]]:
    """Create the run directory with its config.json; within it no other process trains there. Gives `lock.locked`'s."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            replaced = held.enter_context(locked(run_dir))
            changed = check_run_dir(run_dir, config)  # again: another process may have begun a run there since
            remove_unfinished(run_dir)
            replace_file(run_dir / "config.json", json.dumps(to_plain(config), indent=2) + "\n")
            lock = held.pop_all()
    except OSError as error:
        raise ConfigError(f"run_dir={run_dir}: can't be written ({error.strerror})") from error
    for change in changed:
        logger.info("%s: goes on with %s", run_dir, change)
    with lock:
        yield replaced


_FREE = {"": ("run_dir", "device", "check"), "training": _MAY_CHANGE, "data": _WITHOUT_EFFECT}
"""By section, the keys that a resumed run may change."""


def _may_change(difference: str) -> bool:
    key = difference.partition(":")[0]
    section, _, name = key.rpartition(".")
    return name in _FREE.get(section, ())


def differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Each key in which two trees of plain values differ, and how; `path` is the key of the trees themselves."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: was {shown(old)}, now {shown(new)}"
