"""The data to train on and to translate: real text, generated sentences, or the peers' sub-words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seq2seq import build
from seq2seq.config import BenchmarkConfig, Data, Decoding, Generated, TrainConfig
from seq2seq.errors import DataError
from seq2seq.inference.metrics import bleu_tokenizer
from seq2seq.inference.translation import in_documents
from seq2seq.model.translation import TranslationModel
from seq2seq.text.cache import EncodedCorpus, encode_corpus
from seq2seq.text.corpus import read_lines
from seq2seq.text.filters import Filters
from seq2seq.text.parallel import ParallelText
from seq2seq.text.stored_rows import StoredRows
from seq2seq.text.tokenizer import EOS, Tokenizer
from seq2seq.training.corpora import PreparedData, prepare_data
from seq2seq.training.held_out import find_texts
from seq2seq.training.validation import Validation
from seq2seq.training.workers import default_processes

_SPECIALS = EOS + 1
_UNLIMITED = 1 << 30
_HELD_OUT = 1000
"""Generated pairs to translate."""
_ZIPF_SHIFT = 2.7
"""Shift of the Zipf-Mandelbrot law: the word of rank r has a probability proportional to 1 / (r + 2.7)."""
_SPACE, _SPACE_IN_WORD = "\u2581", "\uff3f"
"""Sentencepiece's mark of a space, and its substitute where a piece serves as a word."""


@dataclass(frozen=True)
class Task:
    """A corpus to train on, and sentences to translate."""

    data: Data
    prepared: PreparedData
    sources: list[str]
    references: list[str] | None
    """None where translations cannot be scored."""

    def training(self, config: BenchmarkConfig, precision: str, device: torch.device) -> TrainConfig:
        """Options for `train`, with one process per thread but at most as many as `train` would start by itself."""
        training = config.training
        default = default_processes(device, training.batch_tokens // training.accumulate)
        training = replace(
            training,
            precision=precision,
            processes=training.processes or min(config.threads, default),
            max_updates=_UNLIMITED,
            max_epochs=None,
        )
        return TrainConfig(self.data, config.model, training, config.decoding, seed=config.seed)

    def fresh_model(self, config: BenchmarkConfig) -> TranslationModel:
        """A model with weights drawn from the seed."""
        torch.manual_seed(config.seed)
        sizes = len(self.prepared.source), len(self.prepared.target)
        return build.translation_model(config.model, *sizes, reverse_source=self.data.reverse_source)


def prepare(config: BenchmarkConfig, scratch: Path) -> Task:
    """Prepare the configuration's corpus; files go into the scratch directory."""
    if config.peers_work is not None:
        return _peers_data(config, Path(config.peers_work) / "data", scratch)
    if config.data is None:
        return _generated(config, config.generated)
    prepared = prepare_data(TrainConfig(config.data, config.model, config.training, config.decoding))
    texts = find_texts(config.data)
    sources, references = zip(*(texts.test or texts.valid[0]).pairs(), strict=True)
    return Task(config.data, prepared, list(sources), list(references))


def _generated(config: BenchmarkConfig, options: Generated) -> Task:
    generator = np.random.default_rng(config.seed)
    tokenizer = word_tokenizer([f"w{number}" for number in range(options.vocab_size - _SPECIALS)])
    train, held_out = (_draw(generator, options, len(tokenizer), pairs) for pairs in (options.pairs, _HELD_OUT))
    sources = [" ".join(tokenizer.pieces(held_out.source[row][:-1].tolist())) for row in range(len(held_out))]
    sources = [source.replace(_SPACE, "") for source in sources]
    prepared = _prepared(config, tokenizer, train, held_out, sources)
    return Task(_data("generated", ("en", "de"), tokenizer), prepared, sources, None)


def _draw(generator: np.random.Generator, options: Generated, vocab: int, pairs: int) -> EncodedCorpus:
    """Random pairs with lengths like those of short descriptions: on average two fifths of the way up the range."""
    least, most = options.least_length, options.most_length
    source = least + np.floor((most - least + 1) * generator.beta(2, 3, pairs)).astype(np.int64)
    target = np.rint(source * generator.normal(1, 0.15, pairs)).astype(np.int64).clip(least, most)
    chance = 1 / (np.arange(vocab - _SPECIALS) + 1 + _ZIPF_SHIFT)
    bounds = (chance / chance.sum()).cumsum()

    def side(lengths: NDArray[np.int64]) -> StoredRows:
        offsets = np.concatenate([[0], lengths.cumsum()])
        drawn = np.searchsorted(bounds, generator.random(offsets[-1])).clip(max=len(bounds) - 1)
        tokens = (_SPECIALS + drawn).astype(np.uint32)
        tokens[offsets[1:] - 1] = EOS
        return StoredRows(tokens, offsets)

    return EncodedCorpus(side(source), side(target), {"kept": pairs, "empty": 0, "long": 0})


def _peers_data(config: BenchmarkConfig, where: Path, scratch: Path) -> Task:
    """The pieces that the peers train on, each taken as a word. A given checkpoint translates the text behind them."""
    try:
        about = json.loads((where / "data.json").read_text())
        languages = (str(about["src"]), str(about["trg"]))
        names = [line.partition("\t")[0] for line in read_lines(where / "spm.vocab")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}/data.json: can't be read ({error}); prepare the peers' data first") from error
    tokenizer = word_tokenizer([name.replace(_SPACE, _SPACE_IN_WORD) for name in names[_SPECIALS:]])
    for split in ("train", "valid", "test"):
        for language in languages:
            lines = (line.replace(_SPACE, _SPACE_IN_WORD) for line in read_lines(where / f"{split}.{language}"))
            (scratch / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def encoded(split: str) -> EncodedCorpus:
        text = ParallelText.find(str(scratch / split), *languages)
        return encode_corpus(text, tokenizer, tokenizer, filters=Filters(), cache_dir=scratch / "cache")

    valid = list(read_lines(scratch / f"valid.{languages[0]}"))
    prepared = _prepared(config, tokenizer, encoded("train"), encoded("valid"), valid)
    sources, references = list(read_lines(scratch / f"test.{languages[0]}")), None
    if config.checkpoint is not None:
        sources = [line.replace(" ", "").replace(_SPACE_IN_WORD, " ").strip() for line in sources]
        references = list(read_lines(where / "test.raw"))
    return Task(_data(str(where / "train"), languages, tokenizer), prepared, sources, references)


def _data(name: str, languages: tuple[str, str], tokenizer: Tokenizer) -> Data:
    source, target = languages
    size = len(tokenizer)
    return Data(train=name, valid=name, source_lang=source, target_lang=target, tokenizer="word", vocab_size=size)


def _prepared(
    config: BenchmarkConfig, tokenizer: Tokenizer, train: EncodedCorpus, valid: EncodedCorpus, sources: Sequence[str]
) -> PreparedData:
    sizes = config.training.batch_tokens, config.training.batch_sentences
    validation = Validation(
        valid, list(in_documents(sources, 0)), sources, Decoding(beam_size=1), bleu_tokenizer("de"), *sizes
    )
    return PreparedData(tokenizer, tokenizer, train, validation, {})


def word_tokenizer(words: Sequence[str]) -> Tokenizer:
    """A tokenizer in which each of these words is a piece."""
    return Tokenizer.train(
        words,
        kind="word",
        vocab_size=len(words) + _SPECIALS,
        byte_fallback=None,
        character_coverage=1.0,
        normalization="identity",
    )
