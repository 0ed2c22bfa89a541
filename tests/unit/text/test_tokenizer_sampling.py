"""How much text pieces are learned from: what fits into a gigabyte while they are."""

from collections.abc import Iterable, Iterator

import pytest

from seq2seq.errors import DataError
from seq2seq.text import tokenizer
from seq2seq.text.tokenizer import Tokenizer, _sample_size


def test_only_words_that_never_come_again_make_the_sample_smaller() -> None:
    spaced = ["the cat sees the old house of my friend , and hears you ."] * 10
    assert _sample_size([]) == _sample_size(spaced) == 2_000_000
    assert _sample_size([" ".join(["word"] * 50)]) == 250_000_000 // 249
    assert _sample_size(["象" * 30]) == 200_000
    assert _sample_size(["象" * 30, *spaced[:1]]) == 400_000  # both sides of a corpus, in turn
    assert _sample_size(["象" * 10**7]) == 1  # 0 would be all of it


def test_all_lines_are_read_whatever_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def learned(lines: Iterable[str]) -> list[str]:
        pieces = Tokenizer.train(
            lines, kind="char", vocab_size=100, byte_fallback=False, character_coverage=1.0, normalization="identity"
        )
        return sorted(pieces.pieces(range(4, len(pieces))))

    monkeypatch.setattr(tokenizer, "_LOOKED_AT", 2)
    assert learned(["ab", "cd", "ef", "gh"]) == ["a", "b", "c", "d", "e", "f", "g", "h", "\u2581"]

    def broken() -> Iterator[str]:
        yield from ["ab"] * 3
        raise DataError("line 4")

    with pytest.raises(DataError, match="line 4"):
        learned(broken())
