"""The normalisation rules in a sentencepiece model: how long they can make a text, before any text is read.

A model is a protocol buffer. Its fields 3 and 5 are the normalizer and the denormalizer. Field 2 of these holds the
rules: the size of an index, the index, and the texts it points to, each ended by a NUL.
"""

from collections.abc import Iterator

_NORMALIZERS = (3, 5)
_RULES = 2
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types of fields."""


def longest_rule(model: bytes) -> int:
    """Bytes of the longest text that a rule substitutes; 33 in the rules that come with sentencepiece.

    Raises ValueError for anything but a protocol buffer.
    """
    normalizers = [content for field, content in _fields(memoryview(model)) if field in _NORMALIZERS]
    rules = [bytes(content) for normalizer in normalizers for field, content in _fields(normalizer) if field == _RULES]
    return max(map(_longest, rules), default=0)


def _longest(rules: bytes) -> int:
    index_size = int.from_bytes(rules[:4], "little")
    return max(map(len, rules[4 + index_size :].split(b"\0")))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The number and the content of each field that holds bytes."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        size, kind = 0, key & 7
        if kind in (_VARINT, _BYTES):
            size, place = _number(message, place)
        if kind == _BYTES:
            yield key >> 3, message[place : place + size]
            place += size
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            place += 8 if kind == _EIGHT_BYTES else 4


def _number(message: memoryview, place: int) -> tuple[int, int]:
    """The number that begins at this place, seven bits a byte and the lowest first, and the place after it."""
    value = shift = 0
    while place < len(message):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            break
    raise ValueError("not a protocol buffer")
