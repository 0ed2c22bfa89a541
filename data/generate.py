"""Generate an English-German corpus with gold word alignments from a synchronous grammar."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import english
import german
from documents import Document, DocumentSampler, documents
from grammar import Sentence, alignment, surface
from sampler import Sampler

EMBEDDED = Path(__file__).resolve().parent / "embedded"
EMBEDDED_SEED = 1
SPLITS = {"train": 8000, "valid": 500, "test": 500}
LONG_PAIRS = 300
DOCUMENTS_SEED = 11
DOCUMENTS = {"train": 4000, "valid": 200, "test": 300}
CONTRASTS = 240
"""Items for each distance from the noun"""
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


def as_pairs(document: Document) -> list[Pair]:
    """The sentences of a document in both languages."""
    return [realise(sentence) for sentence in document.sentences]


def new(document: Document, seen: set[str]) -> list[Pair]:
    """The sentences of a document that has not been seen, recorded in `seen`; else nothing."""
    found = as_pairs(document)
    text = "\n".join(pair.en for pair in found)
    if text in seen:
        return []
    seen.add(text)
    return found


def contrast(document: Document) -> dict[str, object]:
    """The last sentence of a document, and the same with the pronoun of the other genders."""
    *context, last = as_pairs(document)
    place = len(document.sentences) - 1
    reference = document.references[place]
    others = [realise(reference.sentences[gender]).de for gender in "mfn" if gender != document.gender]
    return {
        "context": [pair.en for pair in context],
        "source": last.en,
        "target": last.de,
        "wrong": [text for text in dict.fromkeys(others) if text != last.de],
        "distance": place - document.introduced,
        "pronoun": reference.kind,
        "gender": document.gender,
        "distractor": bool(document.distractors),
    }


def contrasts(seed: int, count: int, seen: set[str]) -> Iterator[dict[str, object]]:
    """So many items for each distance, as many of each gender; for "its", half of the things are feminine."""
    sampler = DocumentSampler(random.Random(seed))
    for distance in (1, 2, 3):
        made = 0
        while made < count:
            gender = "mfn"[made % 3]
            document = sampler.document(size=min(distance + 1 + sampler.chance(0.3), 4), gender=gender)
            item = contrast(document)
            balanced = item["pronoun"] != "its" or gender == "f" or sampler.chance(0.5)
            if item["distance"] == distance and balanced and new(document, seen):
                made += 1
                yield item


def write_documents(directory: Path) -> None:
    """Write the documents, which are separated by blank lines and of which none is in two files."""
    seen: set[str] = set()
    stream = documents(DOCUMENTS_SEED)
    directory.mkdir(parents=True, exist_ok=True)
    for split, count in DOCUMENTS.items():
        texts: list[list[Pair]] = []
        while len(texts) < count:
            if found := new(next(stream), seen):
                texts.append(found)
        for side in ("en", "de", "align"):
            text = "\n".join("".join(f"{getattr(pair, side)}\n" for pair in found) for found in texts)
            (directory / f"{split}.{side}").write_text(text, encoding="utf-8", newline="\n")
    with open(directory / "contrastive.jsonl", "w", encoding="utf-8", newline="\n") as file:
        for item in contrasts(DOCUMENTS_SEED + 1, CONTRASTS, seen):
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--output", type=Path, metavar="PREFIX", help="write PREFIX.en, PREFIX.de, PREFIX.align")
    mode.add_argument("--embedded", action="store_true", help="rewrite the embedded corpus")
    mode.add_argument("--documents", action="store_true", help="rewrite its documents")
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
    if options.documents:
        write_documents(EMBEDDED / "documents")
        return
    if options.pairs < 0 or not 4 <= options.min_words <= options.max_words:
        parser.error("need --pairs >= 0 and 4 <= --min-words <= --max-words")
    stream = pairs(options.seed, options.min_words, options.max_words)
    write(unique(stream, set()) if options.unique else stream, options.pairs, options.output)


if __name__ == "__main__":
    main()
