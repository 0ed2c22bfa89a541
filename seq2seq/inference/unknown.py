"""Replacing unknown words by source words (Luong 2015b, "Addressing the Rare Word Problem").

Shapes: h heads, t target tokens, s source tokens.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from seq2seq.errors import DataError
from seq2seq.text.corpus import read_lines
from seq2seq.text.tokenizer import UNK
from seq2seq.text.words import WordSegmenter


@lru_cache(maxsize=1)
def read_dictionary(path: Path) -> Mapping[str, str]:
    """Read a source word, a tab and its translation from each line; a word's first translation counts.

    Raises DataError naming the line.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        word, tab, translation = line.partition("\t")
        if not (tab and word.strip() and translation.strip()):
            raise DataError(
                f"{path}:{number}: {line[:60]!r} is no entry; expected a source word, a tab and its translation"
            )
        entries.setdefault(word.strip(), " ".join(translation.split()))
    return entries


def replace_unknown(
    source: WordSegmenter,
    target: WordSegmenter,
    dictionary: Mapping[str, str],
    line: str,
    tokens: Sequence[int],
    attention: Tensor,
) -> str:
    """Decode tokens, putting the most attended source word, or its entry in the dictionary, for each unknown word.

    Where attention [h t s] meets no word, the mark of the unknown word stays.
    """
    words = source.line(line)
    weights = attention.mean(0).cpu().numpy()  # [t s]
    of_words = weights @ words.membership()  # [t words]
    protected = source.tokenizer.protected(line)
    decoded, spans = target.tokenizer.decode_spans(target.tokenizer.pieces(tokens), protected)
    text, end = "", 0
    for token, row, of_row, span in zip(tokens, weights, of_words, spans, strict=True):
        if span is None:
            continue
        if token == UNK and words.words and of_row.max() > 0:
            word = int(of_row.argmax())
            place = max((i for i, owners in enumerate(words.owners) if word in owners), key=lambda i: row[i])
            copied = [words.words[i] for i in words.owners[place]]
            text += " " + " ".join(dictionary.get(word, word) for word in copied)
        else:
            text += decoded[end : span[1]]
        end = span[1]
    return text.strip()
