"""Protocol buffers written by hand: enough for sentencepiece models that no training would make."""

import struct
from collections.abc import Sequence

Field = tuple[int, int | float | bytes]
"""Number and value of a field: varint, 32-bit float or bytes."""


def varint(value: int) -> bytes:
    """Encode a number with seven bits a byte, the lowest first."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def message(fields: Sequence[Field]) -> bytes:
    """Encode the fields one after the other."""
    encoded = b""
    for number, value in fields:
        if isinstance(value, bytes):
            encoded += varint(number << 3 | 2) + varint(len(value)) + value
        elif isinstance(value, float):
            encoded += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            encoded += varint(number << 3) + varint(value)
    return encoded


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Kinds of pieces."""
UNIGRAM, BPE, WORD, CHAR = range(1, 5)
"""Kinds of models."""

Piece = tuple[bytes, float, int]
"""Name, score and kind of a piece."""
SPECIALS: list[Piece] = [(b"<pad>", 0.0, CONTROL), (b"<unk>", 0.0, UNKNOWN), (b"<s>", 0.0, CONTROL),
                         (b"</s>", 0.0, CONTROL)]  # fmt: skip


def sentencepiece_model(
    pieces: Sequence[Piece],
    *,
    kind: int = UNIGRAM,
    trainer: Sequence[Field] = (),
    normalizer: Sequence[Field] = (),
    denormalizer: Sequence[Field] = (),
) -> bytes:
    """Make a model whose special pieces have our numbers."""
    listed = [(1, message([(1, name), (2, score), (3, of)])) for name, score, of in pieces]
    numbers: list[Field] = [(40, 1), (41, 2), (42, 3), (43, 0)]  # unk, bos, eos, pad
    parts: list[Field] = [*listed, (2, message([(3, kind), *numbers, *trainer])), (3, message(normalizer))]
    return message([*parts, *([(5, message(denormalizer))] if denormalizer else [])])
