"""Prepares the training corpora: reads and checks them, learns their sub-words, encodes them."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from seq2seq import checkpoint
from seq2seq.config import Data, TrainConfig, several
from seq2seq.errors import ConfigError, DataError
from seq2seq.inference.metrics import bleu_tokenizer, check_tokenizer
from seq2seq.inference.translation import in_documents
from seq2seq.inference.unknown import read_dictionary
from seq2seq.text.cache import EncodedCorpus, digest, encode_corpus, join
from seq2seq.text.corpus import content_hash
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.storage import remove_unfinished, replace_directory
from seq2seq.text.tokenizer import Tokenizer
from seq2seq.text.word_alignments import WordLinks
from seq2seq.training.held_out import DIRECTORY, check_columns, find_texts, show
from seq2seq.training.run_directory import check_contents, start_hash
from seq2seq.training.validation import Validation

logger = logging.getLogger(__name__)

_A_DAY = 86400.0
"""Idle seconds after which unfinished cache entries are deleted: another machine may be writing them."""

Hash = TypeVar("Hash", str, str | None)

_OF_TOKENIZERS = (
    "tokenizer", "vocab_size", "joint", "byte_fallback", "character_coverage", "normalization", "raw_text",
    "tokenizer_model", "protect",
)  # fmt: skip
"""Keys of `data` that determine the sub-words."""


@dataclass(frozen=True)
class PreparedData:
    """The corpora of a run, read and encoded."""

    source: Tokenizer
    target: Tokenizer
    train: EncodedCorpus
    validation: Validation
    hashes: dict[str, str]
    extra_validations: dict[str, Validation] = field(default_factory=dict)
    """Held-out sets after the first one, by name."""
    start: Sequence[Path] = ()
    """Checkpoints that provide the first weights of a new run."""


def prepare_data(config: TrainConfig, run_dir: Path | None = None) -> PreparedData:
    """Read and check all corpora, learn sub-words on the training side, and encode everything, with a cache.

    A run with a saved state keeps its sub-words, even if the cache is gone. A new run with training.start_from uses
    those of that checkpoint; several must have the same.
    """
    data = config.data
    remove_unfinished(Path(data.cache_dir), _A_DAY)
    tokenizer = data.bleu_tokenizer or bleu_tokenizer(data.target_lang)
    check_tokenizer(tokenizer)
    state = checkpoint.find_state(run_dir / "last") if run_dir is not None else None
    directory = run_dir / DIRECTORY if run_dir is not None and (state or not config.check) else None
    texts = find_texts(data, directory, begun=state is not None)
    if state is None:  # a run that has begun may lack the corpus that was split
        check_columns(texts, data)
    for text in (*texts.valid, *filter(None, [texts.test])):  # reports problems before training
        for _ in text.pairs():
            pass
    if config.decoding.dictionary is not None:
        read_dictionary(Path(config.decoding.dictionary))
    if state is None:
        show(texts, data)
    links = [WordLinks.find(name, data.source_lang, data.target_lang) for name in several(data.alignments)]
    contents = [text.content_hash() for text in texts.train]
    hashes = {
        **named("train", contents),
        **named("valid", [text.content_hash() for text in texts.valid]),
        **named("alignments", [link.content_hash() for link in links]),
        **named("documents", document_hashes([*texts.train, *texts.valid]) if data.context else []),
    }
    start = [Path(name) for name in several(config.training.start_from)]
    if state is not None:
        hashes = check_contents(state, hashes)
    elif start:
        hashes["start_from"] = start_hash(start)
    if state is not None:
        source, target = _tokenizers_of([state], data if start else None)
        start = []
    else:
        source, target = first_tokenizers(texts.train, data, contents, start)
    train = _training_set(texts.train, links, source, target, data)
    first, *others = ((text.name, _validation(text, source, target, config, tokenizer)) for text in texts.valid)
    return PreparedData(source, target, train, first[1], hashes, dict(others), start)


def document_hashes(texts: Sequence[ParallelText]) -> list[str]:
    """Hash the files that name documents."""
    files = (text.documents_file for text in texts)
    return [content_hash(file) for file in files if file is not None]


def _validation(
    text: ParallelText, source: Tokenizer, target: Tokenizer, config: TrainConfig, bleu_tokenizer: str
) -> Validation:
    cache, context = Path(config.data.cache_dir), config.data.context
    corpus = encode_corpus(text, source, target, filters=Filters(), cache_dir=cache, context=context)
    _check_usable(text, corpus)
    pairs = list(text.pairs())
    begins = text.beginnings() if context else None
    return Validation(
        corpus,
        list(in_documents((source for source, _ in pairs), context, begins)),
        [target for _, target in pairs],
        config.decoding,
        bleu_tokenizer,
        config.training.batch_tokens,
        config.training.batch_sentences,
    )


def _training_set(
    trains: Sequence[ParallelText], links: Sequence[WordLinks], source: Tokenizer, target: Tokenizer, data: Data
) -> EncodedCorpus:
    """Encode and join the corpora; log the pairs of each and what was dropped."""
    filters = Filters(data.max_length, data.max_length_ratio, data.drop_identical, data.drop_duplicates)
    encoded = []
    for number, text in enumerate(trains):
        given = links[number] if links else None
        cache, context = Path(data.cache_dir), data.context
        corpus = encode_corpus(text, source, target, filters=filters, cache_dir=cache, links=given, context=context)
        _check_usable(text, corpus)
        counts = {words: corpus.counts[reason] for reason, words in filters.reasons().items()}
        dropped = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count)
        documents = "" if corpus.documents is None else f" in {corpus.documents.count:,} documents"
        logger.info(
            f"{text.name}: {len(corpus):,} pairs{documents}, {f'dropped {dropped}' if dropped else 'none dropped'}"
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


def _tokenizers_of(checkpoints: Sequence[Path], data: Data | None) -> tuple[Tokenizer, Tokenizer]:
    """Return the tokenizers of checkpoints that have the same, as `data` describes them unless it is None."""
    first, *others = [checkpoint.load(path, torch.device("cpu")) for path in checkpoints]
    if data is not None:
        _check_same_tokenizers(checkpoints[0], first.data, data)
    for path, other in zip(checkpoints[1:], others, strict=True):
        sides = [side for side in ("source", "target") if getattr(first, side).model != getattr(other, side).model]
        if sides:
            raise ConfigError(
                f"training.start_from=[{checkpoints[0]},{path}]: their sub-words of the {' and the '.join(sides)} "
                "differ, so their weights do not fit together. Train the second with training.start_from set to the "
                "first, or with data.tokenizer_model, or leave one out."
            )
    return first.source, first.target


def _check_same_tokenizers(start: Path, theirs: Data, ours: Data) -> None:
    """Raise ConfigError if the configuration describes other sub-words than those of the checkpoint."""
    differing = [key for key in _OF_TOKENIZERS if getattr(theirs, key) != getattr(ours, key)]
    if differing:
        now = ", ".join(f"data.{key}={_word(getattr(ours, key))}" for key in differing)
        wanted = " ".join(f"data.{key}={_word(getattr(theirs, key))}" for key in differing)
        raise ConfigError(
            f"{now} and training.start_from={start}: its sub-words were learned "
            f"differently, and its embeddings are useless without them. Give {wanted}, or use training.start_from=null."
        )


def _word(value: object) -> str:
    """Format a value as on the command line."""
    return json.dumps(value).strip('"')


def named(kind: str, hashes: Sequence[Hash]) -> dict[str, Hash]:
    """Name hashes by their kind, with numbers if there are several."""
    return {kind if len(hashes) == 1 else f"{kind}[{n}]": content for n, content in enumerate(hashes)}


def _check_usable(text: ParallelText, corpus: EncodedCorpus) -> None:
    if not len(corpus):
        raise DataError(f"{text.name}: no usable pair ({corpus.counts})")


def _check_links(links: WordLinks, corpus: EncodedCorpus) -> None:
    """Log the share of linked pieces. Raises DataError if it is 0."""
    linked, pieces = corpus.counts["linked"], int(corpus.target.lengths.sum()) - len(corpus)
    if not linked:
        raise DataError(f"{links.path}: it links no words of the pairs in use, so it would not guide the attention")
    logger.info("%s: %.1f%% of the target pieces are linked", links.path, 100 * linked / pieces)


def first_tokenizers(
    trains: Sequence[ParallelText], data: Data, contents: Sequence[str], start: Sequence[Path]
) -> tuple[Tokenizer, Tokenizer]:
    """Return the tokenizers of a new run: those of the checkpoints that it starts from, else learned ones, cached.

    `contents` are the hashes of the corpora.
    """
    if start:
        return _tokenizers_of(start, data)
    if own := several(data.tokenizer_model):
        return _load(Path(own[0]), data), _load(Path(own[-1]), data)
    names = ("vocab_size", "byte_fallback", "character_coverage", "normalization", "raw_text")
    options: dict[str, Any] = {"kind": data.tokenizer, **{name: getattr(data, name) for name in names}}
    options["protect"] = several(data.protect)
    texts: list[Any] = [*contents, *(len(text.files) for text in trains)]
    entry = Path(data.cache_dir) / f"tokenizer-{digest(*texts, data.joint, options)}"
    if not os.path.isdir(entry):
        logger.info("learning %s pieces from %s", data.tokenizer, ", ".join(text.name for text in trains))
        with replace_directory(entry, keep=True) as unfinished:
            groups = [(0, 1)] if data.joint else [(0,), (1,)]
            models = [Tokenizer.train(_Lines(trains, sides), **options).model for sides in groups]
            (unfinished / "source.model").write_bytes(models[0])
            (unfinished / "target.model").write_bytes(models[-1])
    return _load(entry / "source.model", data), _load(entry / "target.model", data)


def _load(model: Path, data: Data) -> Tokenizer:
    return Tokenizer.load(model, raw_text=data.raw_text, protect=several(data.protect))


@dataclass(frozen=True)
class _Lines:
    """The non-blank lines of some sides of corpora; can be read repeatedly."""

    texts: Sequence[ParallelText]
    sides: tuple[int, ...]

    def __iter__(self) -> Iterator[str]:
        return (pair[side] for text in self.texts for pair in text.pairs() for side in self.sides if pair[side].strip())
