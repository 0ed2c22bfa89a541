"""From a training configuration to a trainer: data, tokenizers, model, optimizer, run directory."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seq2seq import build
from seq2seq.config import ConfigError, Data, Location, NoAttention, Reinforce, TrainConfig, Training, parse, to_plain
from seq2seq.inference.metrics import bleu_tokenizer, check_tokenizer
from seq2seq.inference.precision import check_precision
from seq2seq.inference.unknown import read_dictionary
from seq2seq.model.translation import TranslationModel
from seq2seq.text.cache import EncodedCorpus, digest, encode_corpus
from seq2seq.text.corpus import DataError, ParallelText
from seq2seq.text.links import WordLinks
from seq2seq.text.storage import replace_directory
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.training.capture import cuda_graphs
from seq2seq.training.card import model_card
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.loop import Trainer
from seq2seq.training.loss import TranslationLoss
from seq2seq.training.schedule import Schedule
from seq2seq.training.validation import Validation
from seq2seq.training.workers import default_processes

logger = logging.getLogger(__name__)

_MAY_CHANGE = ("max_updates", "max_epochs", "patience", "save_every", "log_every", "tensorboard", "cuda_graphs")
"""Keys of `training` that a resumed run may change."""

_WITHOUT_EFFECT = ("test", "cache_dir")
"""Keys of `data` that change nothing in the model."""

_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


@dataclass(frozen=True)
class PreparedData:
    """The corpora of a run, read and encoded."""

    source: Tokenizer
    target: Tokenizer
    train: EncodedCorpus
    validation: Validation
    hashes: dict[str, str]


def default_run_dir(config: TrainConfig, attention: str) -> Path:
    """runs/<corpus>-<attention>-<hash of model, data, guided alignment and seed>."""
    train = Path(config.data.train)
    corpus = train.parent.name if train.name.startswith("train") and train.parent.name else train.name
    values = to_plain(config)
    for key in _WITHOUT_EFFECT:
        del values["data"][key]
    if config.data.alignments is None:  # such runs keep the name that they had before there were alignments
        del values["data"]["alignments"]
    else:
        values["data"]["guided_alignment"] = config.training.guided_alignment
    return Path("runs") / f"{corpus}-{attention}-{digest(values['model'], values['data'], config.seed)[:8]}"


def prepare_data(config: TrainConfig) -> PreparedData:
    """Read and check both corpora, learn the sub-words on the training side, encode. All of it is cached."""
    data = config.data
    tokenizer = data.bleu_tokenizer or bleu_tokenizer(data.target_lang)
    check_tokenizer(tokenizer)
    train = ParallelText.find(data.train, data.source_lang, data.target_lang)
    valid = ParallelText.find(data.valid, data.source_lang, data.target_lang)
    cache = Path(data.cache_dir)
    hashes = {"train": train.content_hash(), "valid": valid.content_hash()}
    references = list(valid.pairs())
    if config.decoding.dictionary is not None:
        read_dictionary(Path(config.decoding.dictionary))
    if data.test is not None:  # read now, so that what is wrong with it is known before training
        for _ in ParallelText.find(data.test, data.source_lang, data.target_lang).pairs():
            pass
    links = None
    if data.alignments is not None:
        links = WordLinks.find(data.alignments, data.source_lang, data.target_lang)
        hashes["alignments"] = links.content_hash()
    source, target = _tokenizers(train, data, hashes["train"], cache)
    encoded = encode_corpus(train, source, target, max_length=data.max_length, cache_dir=cache, links=links)
    held_out = encode_corpus(valid, source, target, max_length=None, cache_dir=cache)
    for name, corpus in ((data.train, encoded), (data.valid, held_out)):
        if not len(corpus):
            raise DataError(f"{name}: no usable pair ({corpus.counts})")
    logger.info(
        "%s: %d pairs, dropped %d with an empty side and %d longer than data.max_length=%d; %d + %d pieces",
        data.train,
        len(encoded),
        encoded.counts["empty"],
        encoded.counts["long"],
        data.max_length,
        len(source),
        len(target),
    )
    if links is not None:
        _check_links(links, encoded)
    validation = Validation(
        held_out,
        [s for s, _ in references],
        [t for _, t in references],
        config.decoding,
        tokenizer,
        config.training.batch_tokens,
        config.training.batch_sentences,
    )
    return PreparedData(source, target, encoded, validation, hashes)


def _check_links(links: WordLinks, corpus: EncodedCorpus) -> None:
    """Say how much is linked. Raises DataError if nothing is."""
    linked, pieces = corpus.counts["linked"], len(corpus.target.tokens) - len(corpus)
    if not linked:
        raise DataError(f"{links.path}: no link in it is between words of a pair that is used; nothing would be guided")
    logger.info("%s: %.1f%% of the target pieces are linked", links.path, 100 * linked / pieces)


def _tokenizers(train: ParallelText, data: Data, content: str, cache: Path) -> tuple[Tokenizer, Tokenizer]:
    options: dict[str, Any] = {
        "kind": data.tokenizer,
        "vocab_size": data.vocab_size,
        "byte_fallback": data.byte_fallback,
        "character_coverage": data.character_coverage,
        "normalization": data.normalization,
    }
    entry = cache / f"tokenizer-{digest(content, len(train.files), data.joint, options)}"
    if not entry.is_dir():
        logger.info("learning %s pieces from %s", data.tokenizer, data.train)

        def lines(*sides: int) -> Iterator[str]:
            return (pair[side] for pair in train.pairs() for side in sides if pair[side].strip())

        with replace_directory(entry) as unfinished:
            if data.joint:
                joint = Tokenizer.train(lines(0, 1), **options).model
                models = {"source": joint, "target": joint}
            else:
                sides = enumerate(("source", "target"))
                models = {name: Tokenizer.train(lines(i), **options).model for i, name in sides}
            for name, model in models.items():
                (unfinished / f"{name}.model").write_bytes(model)
    return Tokenizer.load(entry / "source.model"), Tokenizer.load(entry / "target.model")


def make_trainer(config: TrainConfig, data: PreparedData, run_dir: Path, device: torch.device) -> Trainer:
    """A trainer at update 0, or where the run directory's state left off."""
    check_precision(config.decoding.precision, device)
    engine = cuda_graphs(device) if config.training.cuda_graphs else None
    torch.manual_seed(config.seed)
    model = build.translation_model(config.model, len(data.source), len(data.target)).to(device)
    if isinstance(config.model.attention.placement, NoAttention):
        logger.info("placement none: score, window, normaliser and heads are ignored and stored as null")
    _log_parameters(model)
    if isinstance(score := config.model.attention.score, Location):
        longer = int((data.train.source.lengths > score.max_length).sum())
        logger.info("location: %d training sources are longer than max_length=%d pieces", longer, score.max_length)
    training = config.training
    trainer = Trainer(
        run_dir=run_dir,
        checkpoint=Checkpoint(model, config.model, config.data, data.source, data.target),
        corpus=data.train,
        validation=data.validation,
        options=training,
        loss=_loss(config),
        optimizer=_optimizer(training, model),
        schedule=Schedule(
            name=training.schedule,
            base=training.learning_rate,
            warmup_updates=training.warmup_updates,
            plateau_factor=training.plateau_factor,
            plateau_patience=training.plateau_patience,
        ),
        device=device,
        processes=training.processes or default_processes(device, training.batch_tokens),
        engine=engine,
        seed=config.seed,
        hashes=data.hashes,
        card=lambda updates, epochs, scores: model_card(config, updates, epochs, scores, data.hashes),
    )
    limits = [training.max_updates, training.max_epochs and training.max_epochs * trainer.batches_per_epoch]
    trainer.schedule.total_updates = min(limit for limit in limits if limit is not None)
    return trainer


def _loss(config: TrainConfig) -> TranslationLoss:
    normaliser = config.model.attention.normaliser
    if isinstance(normaliser, Reinforce):
        return TranslationLoss(config.training.label_smoothing, normaliser.reward_weight, normaliser.entropy_weight)
    return TranslationLoss(config.training.label_smoothing, guided_weight=config.training.guided_alignment)


def _optimizer(training: Training, model: TranslationModel) -> torch.optim.Optimizer:
    return _OPTIMIZERS[training.optimizer](
        model.parameters(),
        lr=training.learning_rate,
        weight_decay=training.weight_decay,
        fused=True,
    )  # type: ignore[call-arg]


def _log_parameters(model: TranslationModel) -> None:
    count = sum(parameter.numel() for parameter in model.parameters())
    logger.info("%s parameters on %s", f"{count:,}", next(model.parameters()).device)


def check_run_dir(run_dir: Path, config: TrainConfig) -> None:
    """Raises ConfigError naming every key in which a run that is there differs and may not."""
    path = run_dir / "config.json"
    if not path.is_file():
        return
    try:
        old = to_plain(parse("train", json.loads(path.read_text())))  # with today's defaults for what was not there yet
    except (OSError, ValueError, ConfigError) as error:
        raise ConfigError(f"{path}: can't be read ({error}). Restore it, or take another run_dir.") from error
    differing = [key for key in differences(old, to_plain(config), "") if not _may_change(key)]
    if differing:
        keys = "\n".join(f"  {key}" for key in differing)
        raise ConfigError(
            f"run_dir={run_dir}: holds a run with other settings:\n{keys}\n"
            "Take another run_dir, or the old settings to go on."
        )


def claim_run_dir(run_dir: Path, config: TrainConfig) -> None:
    """Create the run directory with its config.json."""
    unfinished = run_dir / "config.json.tmp"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(to_plain(config), indent=2) + "\n")
        unfinished.replace(run_dir / "config.json")
    except OSError as error:
        raise ConfigError(f"run_dir={run_dir}: can't be written ({error.strerror})") from error


def _may_change(difference: str) -> bool:
    key = difference.partition(":")[0]
    section, _, name = key.rpartition(".")
    allowed = {"": ("run_dir", "device", "check"), "training": _MAY_CHANGE, "data": _WITHOUT_EFFECT}
    return name in allowed.get(section, ())


def differences(old: Any, new: Any, path: str) -> Iterator[str]:
    """Each key in which two trees of plain values differ, and how; `path` is the key of the trees themselves."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: was {old!r}, now {new!r}"
