"""Sub-words by sentencepiece: training, encoding, decoding."""

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, islice
from pathlib import Path
from random import Random
from typing import Any

import sentencepiece

from seq2seq.errors import DataError
from seq2seq.text.cleaning import Replacement, Span, clean, find_unusual, overlay, replace, spans_after, spans_before
from seq2seq.text.json_io import read_bytes
from seq2seq.text.normalizer_rules import longest_rule
from seq2seq.text.protection import SYMBOLS, Protection, show
from seq2seq.text.segmentation import choose, draw_segmentation, drop_merges

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Numbers of the special pieces in every vocabulary."""

_SPECIALS = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>"}
"""Sentencepiece's names of the special pieces, in the order of their numbers, and ours."""
_HIDDEN = "\n"
"""Ends the names of special pieces in a vocabulary. Lines have no line feed, so no text is mistaken for one."""

_COVERAGE, _LEAST_COVERAGE = 0.9995, 0.98
"""Share of the text whose characters have pieces: the default of sentencepiece, and its minimum."""
_RARE = 3
"""Occurrences up to which a character beyond that share has no piece of its own."""
_ALPHABET = 256
"""Characters that have pieces even if these are more than half of all pieces."""

_RESERVED = "\u2581\u2585"
"""Signs that stand for a space and for an unknown character during learning."""

_SAMPLE = 2_000_000
"""Lines that pieces are learned from, at most."""
_LOOKED_AT = 10_000
"""Lines that are taken as typical of all."""
_CHARACTERS = 250_000_000
"""Characters of these lines, at most: each takes four bytes during learning, all together a gigabyte."""
_LONG, _LONG_CHARACTERS = 20, 6_000_000
"""Length above which words hardly ever repeat, as in writing without spaces, and how many of their characters are
learned from at most: each takes 170 bytes, all together another gigabyte."""

_BREAKING = ("\0", "\n", "\r")
"""Characters that no output line may hold; with byte fallback they are pieces of their own."""
_SPACES = str.maketrans(dict.fromkeys(_BREAKING, " "))

_MOST_MODEL = 1 << 26
"""Bytes of a sentencepiece model, at most; one of 32,000 pieces has less than a million."""
_MOST_RULE = 256
"""Bytes, at most, that a tokenizer may substitute for a character or an unknown word."""
_MOST_TEXT = 1 << 32
"""Characters of the text that pieces are learned from, at most: it is held in memory several times."""
_WORDS = re.compile("\u2581?[^\u2581]+|\u2581")
"""A word in the spelling of the pieces, where that sign stands for the white space before a word."""


class Tokenizer:
    """A trained sentencepiece model, given by its serialised bytes.

    With `raw_text` it reads lines as they are. It keeps to the letter what matches a pattern of `protect`.
    """

    def __init__(self, model: bytes, name: str, *, raw_text: bool = False, protect: Sequence[str] = ()) -> None:
        self.model = model
        self.raw_text = raw_text
        self._protection = Protection(protect)
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise DataError(f"{name}: not a sentencepiece model ({error})") from error
        specials = tuple(getattr(self._processor, f"{special}_id")() for special in _SPECIALS)
        if specials != (PAD, UNK, BOS, EOS):
            raise DataError(
                f"{name}: expected pad, unk, bos, eos to be pieces {(PAD, UNK, BOS, EOS)}, got {specials}. Train it "
                "with spm_train --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3, or the same arguments in Python."
            )
        if protect and self._processor.PieceToId(SYMBOLS[0]) == UNK:
            raise DataError(f"{name}: has no pieces for what data.protect={list(protect)} finds; use null")
        try:
            self._vocabulary = [str(self._processor.IdToPiece(piece)) for piece in range(len(self))]
            longest = max(longest_rule(model), len(self._processor.decode([UNK])))
        except ValueError as error:
            raise DataError(f"{name}: not a sentencepiece model of UTF-8 text ({error})") from error
        if longest > _MOST_RULE:
            raise DataError(
                f"{name}: substitutes {longest:,} bytes for a character, expected at most {_MOST_RULE}; use a model "
                "that was trained here"
            )
        self._names = [piece.removesuffix(_HIDDEN) for piece in self._vocabulary]

    @classmethod
    def load(cls, path: Path, *, raw_text: bool = False, protect: Sequence[str] = ()) -> "Tokenizer":
        try:
            return cls(read_bytes(path, _MOST_MODEL), str(path), raw_text=raw_text, protect=protect)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: can't be read ({error})") from error

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        *,
        kind: str,
        vocab_size: int,
        byte_fallback: bool | None,
        character_coverage: float | None,
        normalization: str,
        raw_text: bool = False,
        protect: Sequence[str] = (),
    ) -> "Tokenizer":
        """Learn `vocab_size` pieces of a `kind` (bpe, unigram, char or word) from the lines.

        Without `character_coverage` the lines are read twice. Raises DataError if the text is too short for so many
        pieces.
        """
        learned = io.BytesIO()
        subwords = kind in ("bpe", "unigram")
        bytes_too = subwords if byte_fallback is None else byte_fallback
        symbols = SYMBOLS if protect else []
        room = vocab_size - len(_SPECIALS) - len(symbols) - 256 * bytes_too if subwords else None
        specials: dict[str, Any] = {f"{name}_id": number for number, name in enumerate(_SPECIALS)}
        specials |= {f"{name}_piece": f"{piece}{_HIDDEN}" for name, piece in _SPECIALS.items()}
        # A text that only one side has is not protected there, so its characters count.
        counted = _read(lines, raw_text, ()) if character_coverage is None else ()
        text = _CheckedLines(_read(lines, raw_text, protect))
        remaining = iter(text)
        begin = list(islice(remaining, _LOOKED_AT))
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=chain(begin, remaining),
                model_writer=learned,
                model_type=kind,
                vocab_size=vocab_size,
                use_all_vocab=kind == "char",  # the text decides how many characters and words there are
                hard_vocab_limit=subwords,
                byte_fallback=bytes_too,
                character_coverage=_LEAST_COVERAGE if character_coverage is None else character_coverage,
                required_chars=_frequent_characters(counted, room, normalization),
                normalization_rule_name=normalization,
                input_sentence_size=_sample_size(begin),
                shuffle_input_sentence=True,
                max_sentence_length=1 << 16,
                user_defined_symbols=symbols,
                minloglevel=2,
                **specials,
            )
        except RuntimeError as error:
            if text.failure is not None:
                raise text.failure from None
            if not text.count:
                raise DataError("the training text has no line to learn pieces from") from None
            raise DataError(f"data.vocab_size={vocab_size}: {_explain(str(error))}") from error
        return cls(learned.getvalue(), "a newly trained tokenizer", raw_text=raw_text, protect=protect)

    def __len__(self) -> int:
        return int(self._processor.GetPieceSize())

    @cached_property
    def fingerprint(self) -> str:
        """A name of the pieces and of how lines are read: tokenizers that share it encode every line alike."""
        digest = hashlib.sha256(self.model).hexdigest()
        reading = [self.raw_text, *self._protection.patterns, *(["words"] if self.whole_words else [])]
        return digest if reading == [True] else f"{digest}-{json.dumps(reading)}"

    def clean(self, line: str) -> str:
        """The line that is cut into pieces, before anything is protected: see `find_unusual`."""
        return line if self.raw_text else clean(line)

    def is_blank(self, line: str) -> bool:
        """Whether the line has nothing to translate."""
        return not self.clean(line).strip()

    def protected(self, line: str) -> list[str]:
        """The texts of a line that are kept to the letter."""
        return self._protection.find(line)

    def encode(self, lines: Sequence[str], protected: Iterable[Sequence[str]] | None = None) -> list[list[int]]:
        """Encode lines as the numbers of their pieces, EOS included.

        The `protected` texts of each line, by default all its own, become numbered pieces.
        """
        tables = map(self.protected, lines) if protected is None else protected
        read = [replace(line, self._changes(line, texts)) for line, texts in zip(lines, tables, strict=True)]
        encoded: list[list[int]] = self._processor.encode(read, out_type=int, add_eos=True)
        if self.whole_words:
            for row, line in enumerate(read):
                if UNK in encoded[row]:
                    encoded[row] = [*(token for token, _ in self._words_apart(line)), EOS]
        return encoded

    def _words_apart(self, text: str) -> Iterator[tuple[int, Span]]:
        """Yield the tokens of a text with their spans, one for each unknown word: sentencepiece joins neighbours."""
        found = self._processor.encode(text, return_type="offset_mapping")
        for token, piece, (begin, end) in zip(found["ids"], found["pieces"], found["offsets"], strict=True):
            count = len(_WORDS.findall(piece)) if token == UNK else 1
            words = [(begin + word.start(), begin + word.end()) for word in re.finditer(r"\s*\S+", text[begin:end])]
            yield from ((token, span) for span in (words if len(words) == count else [(begin, end)] * count))

    def _changes(self, line: str, protected: Sequence[str]) -> list[Replacement]:
        unusual = [] if self.raw_text else find_unusual(line)
        return overlay(self._protection.hide(line, protected), unusual) if protected else unusual

    def decode(self, tokens: Sequence[int], protected: Sequence[str] = ()) -> str:
        """Decode the numbers of pieces to one line of text.

        Special pieces vanish, invalid UTF-8 becomes U+FFFD, and numbered pieces become the `protected` texts.
        """
        text = self._decode([token for token in tokens if token not in (PAD, BOS, EOS)])
        return _one_line(replace(text, show(text, protected)))

    def decode_lines(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Decode several sequences that hold no PAD and no BOS, and EOS only at the end."""
        decoded: list[str] = self._decode([row[:-1] if row[-1:] == [EOS] else row for row in rows])
        return decoded

    def _decode(self, tokens: Sequence[Any], **options: Any) -> Any:
        try:
            return self._processor.decode(tokens, **options)
        except UnicodeDecodeError as error:
            raise DataError(f"the tokenizer makes text that is not UTF-8 ({error})") from error

    def sample(self, rows: Sequence[Sequence[int]], amount: float, nbest: int | None, seed: int) -> list[list[int]]:
        """Draw other pieces for encoded lines; the same for the same seed on every machine and in every process.

        unigram: a segmentation x with probability ~ P(x)^amount, of the `nbest` most probable ones or of all (Kudo
        2018, section 3.2); bpe: each merge is left out with probability `amount` (Provilkov 2020).
        """
        random = Random(seed)
        if nbest is None or self._merges:
            return [self._cut(row, amount, random) for row in rows]
        drawn = []
        for row, text in zip(rows, self.decode_lines(rows), strict=True):
            segmentations: list[list[int]] = self._processor.nbest_encode_as_ids(text, nbest)
            # Where there is little to choose from, some segmentations spell a symbol in bytes.
            candidates = [tokens for tokens in segmentations if self._symbols_of(tokens) == self._symbols_of(row)]
            scores = [[self._processor.GetScore(token) for token in candidate] for candidate in candidates]
            drawn.append([*candidates[choose(scores, amount, random)], EOS] if candidates else list(row))
        return drawn

    def _symbols_of(self, tokens: Sequence[int]) -> list[str]:
        return [piece for piece in map(self._vocabulary.__getitem__, tokens) if piece in SYMBOLS]

    def _cut(self, row: Sequence[int], amount: float, random: Random) -> list[int]:
        """Cut a sentence anew, word by word since no piece spans two; bytes and special pieces stay."""
        cut: list[int] = []
        draw = drop_merges if self._merges else draw_segmentation
        named = zip(self.pieces(row), row, strict=True)
        for is_text, group in groupby(named, lambda piece: piece[0] in self._scores):
            names, tokens = zip(*group, strict=True)
            if not is_text:
                cut.extend(tokens)
                continue
            for word in _WORDS.findall("".join(names)):
                cut.extend(self._numbers[piece] for piece in draw(word, self._scores, amount, random))
        return cut

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """The numbers of the pieces that are text, neither special nor a byte."""
        model = self._processor
        kinds = (model.IsControl, model.IsUnknown, model.IsUnused, model.IsByte)
        texts = {name: n for n, name in enumerate(self._vocabulary) if not any(is_kind(n) for is_kind in kinds)}
        return {name: number for name, number in texts.items() if not name.endswith(_HIDDEN)}

    @cached_property
    def _scores(self) -> dict[str, float]:
        return {piece: self._processor.GetScore(number) for piece, number in self._numbers.items()}

    @cached_property
    def _merges(self) -> bool:
        """Whether this is BPE: its scores are the negative numbers of merges, those of unigram log-probabilities."""
        return all(score == round(score) for score in self._scores.values())

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """The names of the pieces."""
        return [self._names[token] for token in tokens]

    def encode_spans(self, line: str, protected: Sequence[str] | None = None) -> list[Span]:
        """The span in the line of each piece that `encode` makes of it, EOS left out.

        A piece that is only a part of a character has an empty span in front of it.
        """
        changes = self._changes(line, self.protected(line) if protected is None else protected)
        text = replace(line, changes)
        if self.whole_words:
            spans = [span for _, span in self._words_apart(text)]
        else:
            spans = self._processor.encode(text, return_type="offset_mapping")["offsets"]
        return spans_before(line, changes, spans) if changes else spans

    @cached_property
    def whole_words(self) -> bool:
        """Whether every piece is a word, so that other words are unknown; those for protected text don't count."""
        return all(name.startswith("\u2581") for name in self._vocabulary[EOS + 1 :] if not name.endswith(_HIDDEN))

    def decode_spans(self, pieces: Sequence[str], protected: Sequence[str] = ()) -> tuple[str, list[Span | None]]:
        """Decode pieces given by name, and find the span of each in the text; None for those that vanish."""
        vanishing = set(self.pieces((PAD, BOS, EOS)))
        kept = [self._full_names.get(piece, piece) for piece in pieces if piece not in vanishing]
        decoded = self._decode(kept, return_type="offset_mapping")
        shown = show(decoded["text"], protected)
        spans = iter(spans_after(shown, decoded["offsets"]))
        text = _one_line(replace(decoded["text"], shown))
        return text, [None if piece in vanishing else next(spans) for piece in pieces]

    @cached_property
    def _full_names(self) -> dict[str, str]:
        """The names in the vocabulary of pieces that have another name outside."""
        return {name: full for name, full in zip(self._names, self._vocabulary, strict=True) if name != full}

    def forbidden(self) -> list[int]:
        """Pieces that search may never produce: PAD, BOS, and those that would break a line."""
        breaking = {f"<0x{ord(character):02X}>" for character in _BREAKING}
        return [
            number
            for number, name in enumerate(self._names)
            if number in (PAD, BOS) or name in breaking or any(c in name for c in _BREAKING)
        ]


def _one_line(text: str) -> str:
    """The text with spaces for the characters that would break a line.

    Search never produces these, but a tokenizer trained elsewhere may have them for an unknown word.
    """
    return text.translate(_SPACES)


def _read(lines: Iterable[str], raw_text: bool, protect: Sequence[str]) -> Iterable[str]:
    """The lines to learn from, without what is protected."""
    lines = map(Protection(protect).remove, lines) if protect else lines
    return lines if raw_text else map(clean, lines)


def _frequent_characters(lines: Iterable[str], room: int | None, normalization: str) -> str:
    """The characters that need a piece of their own; the most frequent of them where `room` is too small for all."""
    counts: Counter[str] = Counter()
    if normalization != "identity":
        lines = map(sentencepiece.SentencePieceNormalizer(rule_name=normalization).normalize, lines)
    for line in lines:
        counts.update(line)
    # Without any room, sentencepiece names how many characters there are.
    most = None if room is None or room < 1 else max(room // 2, min(room - 1, _ALPHABET))
    required, left = "", counts.total()
    for character, count in counts.most_common():
        if len(required) == most or (count <= _RARE and left <= (1 - _COVERAGE) * counts.total()):
            break
        left -= count
        required += "" if character.isspace() or character in _RESERVED else character
    return required


@dataclass
class _CheckedLines:
    """Lines, their number, and the error that ended them: sentencepiece reports its own instead."""

    lines: Iterable[str]
    count: int = 0
    size: int = 0
    """Characters of all lines."""
    failure: DataError | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for line in self.lines:
                self.count += 1
                self.size += len(line)
                if self.size > _MOST_TEXT and self.size * _SAMPLE > _MOST_TEXT * self.count:
                    raise DataError(
                        f"the training text has lines of {self.size // self.count:,} characters on average, which are "
                        "too many to learn pieces from; expected a sentence on each line"
                    )
                yield line
        except DataError as error:
            self.failure = error
            raise


def _sample_size(lines: Sequence[str]) -> int:
    """How many lines to learn from, of a text that begins with these."""
    characters = sum(map(len, lines))
    long = sum(len(word) for line in lines for word in line.split() if len(word) > _LONG)
    most = min(_CHARACTERS / max(characters, 1), _LONG_CHARACTERS / max(long, 1)) * len(lines)
    return max(min(_SAMPLE, int(most)), 1) if lines else _SAMPLE


def _explain(error: str) -> str:
    """Sentencepiece's message in terms of what to change."""
    if most := re.search(r"value <= (\d+)", error):
        return f"the training text is too short for so many pieces. Use data.vocab_size={most[1]} or less."
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
        return (
            f"fewer than the characters that need a piece of their own. Use data.vocab_size={least[1]} or more, "
            "or a lower data.character_coverage."
        )
    return f"sentencepiece can't learn from this text ({error.strip()})."
