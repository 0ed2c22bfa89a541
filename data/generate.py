"""Generate an English-German corpus with gold word alignments from a synchronous grammar."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import english
import german
from grammar import Sentence, alignment, surface
from sampler import Sampler

EMBEDDED = Path(__file__).resolve().parent / "embedded"
EMBEDDED_SEED = 1
SPLITS = {"train": 8000, "valid": 500, "test": 500}
LONG_PAIRS = 300
MIN_WORDS, MAX_WORDS = 4, 18
LONG_MIN_WORDS, LONG_MAX_WORDS = 20, 45


class Pair(NamedTuple):
    """A sentence pair and its Pharaoh alignment."""

    en: str
    de: str
    align: str


def realise(sentence: Sentence, mark: str = ".") -> Pair:
    """Both realisations of an abstract tree, linked word by word."""
    en, source = surface(english.sentence(sentence), mark)
    de, target = surface(german.sentence(sentence), mark)
    return Pair(en, de, " ".join([f"{i}-{j}" for i, j in alignment(source, target)]))


def pairs(seed: int, min_words: int = MIN_WORDS, max_words: int = MAX_WORDS) -> Iterator[Pair]:
    """Endless pairs whose two sides both have min_words to max_words words."""
    sampler = Sampler(random.Random(seed), long=min_words > MAX_WORDS)
    while True:
        pair = realise(*sampler.sentence())
        if all(min_words <= side.count(" ") + 1 <= max_words for side in (pair.en, pair.de)):
            yield pair


def unique(stream: Iterator[Pair], seen: set[str]) -> Iterator[Pair]:
    """The pairs whose source has not been seen, recorded in `seen`."""
    for pair in stream:
        if pair.en not in seen:
            seen.add(pair.en)
            yield pair


def write(stream: Iterator[Pair], count: int, prefix: Path) -> None:
    """Write the first `count` pairs to PREFIX.en, PREFIX.de and PREFIX.align."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with (
        open(f"{prefix}.en", "w", encoding="utf-8", newline="\n") as en,
        open(f"{prefix}.de", "w", encoding="utf-8", newline="\n") as de,
        open(f"{prefix}.align", "w", encoding="utf-8", newline="\n") as align,
    ):
        for _ in range(count):
            pair = next(stream)
            en.write(pair.en + "\n")
            de.write(pair.de + "\n")
            align.write(pair.align + "\n")


def write_embedded(directory: Path) -> None:
    """Write the embedded corpus: splits with disjoint sources, and longer sentences."""
    seen: set[str] = set()
    stream = unique(pairs(EMBEDDED_SEED), seen)
    for split, count in SPLITS.items():
        write(stream, count, directory / split)
    longer = unique(pairs(EMBEDDED_SEED + 1, LONG_MIN_WORDS, LONG_MAX_WORDS), seen)
    write(longer, LONG_PAIRS, directory / "long")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--output", type=Path, metavar="PREFIX", help="write PREFIX.en, PREFIX.de, PREFIX.align")
    mode.add_argument("--embedded", action="store_true", help="rewrite the embedded corpus")
    parser.add_argument("--pairs", type=int, default=8000, help="number of pairs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2, help="random seed (default: %(default)s)")
    parser.add_argument("--min-words", type=int, default=MIN_WORDS, help="of either side (default: %(default)s)")
    parser.add_argument("--max-words", type=int, default=MAX_WORDS, help="of either side (default: %(default)s)")
    parser.add_argument(
        "--unique",
        action="store_true",
        help="no source sentence twice (keeps all sources in memory; without it repetitions occur)",
    )
    options = parser.parse_args()
    if options.embedded:
        write_embedded(EMBEDDED)
        return
    if options.pairs < 0 or not 4 <= options.min_words <= options.max_words:
        parser.error("need --pairs >= 0 and 4 <= --min-words <= --max-words")
    stream = pairs(options.seed, options.min_words, options.max_words)
    write(unique(stream, set()) if options.unique else stream, options.pairs, options.output)


if __name__ == "__main__":
    main()
