"""The corpora of a training: read and checked, sub-words learned from them, encoded."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.config import Data, TrainConfig, several
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.metrics import bleu_tokenizer, check_tokenizer
from seq2seq.inference.unknown import read_dictionary
from seq2seq.text.cache import EncodedCorpus, digest, encode_corpus, join
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.storage import remove_unfinished, replace_directory
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.text.word_alignments import WordLinks
from seq2seq.training.held_out import DIRECTORY, check_columns, find_texts, show
from seq2seq.training.run_directory import check_contents
from seq2seq.training.validation import Validation

logger = logging.getLogger(__name__)

_A_DAY = 86400.0
"""Seconds without a write after which what is unfinished in a cache, which machines may share, is given up."""

_OF_TOKENIZERS = (
    "tokenizer", "vocab_size", "joint", "byte_fallback", "character_coverage", "normalization", "raw_text",
    "tokenizer_model", "protect",
)  # fmt: skip
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
    own = checkpoint.find_state(run_dir / "last") if run_dir is not None else None
    directory = run_dir / DIRECTORY if run_dir is not None and (own or not config.check) else None
    texts = find_texts(data, directory, begun=own is not None)
    if own is None:  # a run that has begun may do without the corpus that was split
        check_columns(texts, data)
    trains, valids = texts.train, texts.valid
    contents = [text.content_hash() for text in trains]
    hashes = {**_named("train", contents), **_named("valid", [text.content_hash() for text in valids])}
    for text in valids:  # read now, as is data.test, so that what is wrong with it is known before training
        for _ in text.pairs():
            pass
    if config.decoding.dictionary is not None:
        read_dictionary(Path(config.decoding.dictionary))
    if texts.test is not None:
        for _ in texts.test.pairs():
            pass
    if own is None:
        show(texts, data)
    links = [WordLinks.find(name, *languages) for name in several(data.alignments)]
    hashes |= _named("alignments", [of_corpus.content_hash() for of_corpus in links])
    start = None if config.training.start_from is None else Path(config.training.start_from)
    if own is not None:
        hashes = check_contents(own, hashes)
    elif start is not None:
        hashes["start_from"] = checkpoint.weights_hash(start)
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
        counts = {words: corpus.counts[reason] for reason, words in filters.reasons().items()}
        dropped = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count)
        logger.info(
            "%s: %s pairs, %s", text.name, f"{len(corpus):,}", f"dropped {dropped}" if dropped else "none dropped"
        )
        if given is not None:
            _check_links(given, corpus)
        encoded.append(corpus)
    if source.model == target.model:
        logger.info("%s pieces, shared by both languages", f"{len(source):,}")
    else:
        logger.info("%s source pieces, %s target pieces", f"{len(source):,}", f"{len(target):,}")
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
    if own := several(data.tokenizer_model):
        return _load(Path(own[0]), data), _load(Path(own[-1]), data)
    options: dict[str, Any] = {
        "kind": data.tokenizer,
        "vocab_size": data.vocab_size,
        "byte_fallback": data.byte_fallback,
        "character_coverage": data.character_coverage,
        "normalization": data.normalization,
        "raw_text": data.raw_text,
        "protect": several(data.protect),
    }
    texts: list[Any] = [*contents, *(len(text.files) for text in trains)]
    entry = cache / f"tokenizer-{digest(*texts, data.joint, options)}"
    if not os.path.isdir(entry):
        logger.info("learning %s pieces from %s", data.tokenizer, ", ".join(text.name for text in trains))
        with replace_directory(entry, keep=True) as unfinished:
            if data.joint:
                joint = Tokenizer.train(_Lines(trains, (0, 1)), **options).model
                models = {"source": joint, "target": joint}
            else:
                sides = enumerate(("source", "target"))
                models = {name: Tokenizer.train(_Lines(trains, (i,)), **options).model for i, name in sides}
            for name, model in models.items():
                (unfinished / f"{name}.model").write_bytes(model)
    return _load(entry / "source.model", data), _load(entry / "target.model", data)


def _load(model: Path, data: Data) -> Tokenizer:
    return Tokenizer.load(model, raw_text=data.raw_text, protect=several(data.protect))


@dataclass(frozen=True)
class _Lines:
    """What is not blank on some sides of corpora; it can be read again."""

    texts: Sequence[ParallelText]
    sides: tuple[int, ...]

    def __iter__(self) -> Iterator[str]:
        return (pair[side] for text in self.texts for pair in text.pairs() for side in self.sides if pair[side].strip())
